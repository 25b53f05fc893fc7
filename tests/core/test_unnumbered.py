"""Whether the numbers of labels seem to be objects."""

from __future__ import annotations

import numpy as np
from skimage.measure import label

from napari_unet.core.unnumbered import seems_unnumbered
from napari_unet.sample_data import touching_cells

IMAGE, CELLS = touching_cells((256, 256))
SQUARES = np.zeros((60, 120), int)
for y, x in np.ndindex(5, 10):
    SQUARES[12 * y + 2 :, 12 * x + 2 :][:8, :8] = 1


def test_a_mask_and_classes_are_doubted() -> None:
    """With how many numbers stand for how many pieces."""
    mask, classes = 255 * SQUARES, SQUARES + SQUARES * (np.arange(120) < 60)

    assert "1 number stands for 50 pieces" in seems_unnumbered(mask)
    assert "2 numbers stand for 50 pieces" in seems_unnumbered(classes)
    assert "1 number stands for 50 pieces" in seems_unnumbered(np.stack([mask] * 3))


def test_an_image_is_told_from_labels() -> None:
    """To number its pieces, or to call its greys classes, would be no remedy."""
    greys = np.clip(IMAGE / IMAGE.max() * 255, 0, 255).astype(np.uint8)
    assert "of a few pixels, like the grey values of an image" in seems_unnumbered(greys)
    assert "skimage" not in seems_unnumbered(greys)


def test_numbered_cells_are_not_doubted() -> None:
    """Nor are few pieces, cells in two pieces, and no cell at all."""
    assert seems_unnumbered(CELLS) == ""
    assert seems_unnumbered(label(SQUARES)) == ""
    assert seems_unnumbered((label(SQUARES) + 1) // 2) == ""
    assert seems_unnumbered(SQUARES[:30, :30]) == ""
    assert seems_unnumbered(np.zeros((9, 9), int)) == ""
