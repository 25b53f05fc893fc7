"""Folders with one mask for each cell, as the 2018 Data Science Bowl (BBBC038) has them.

::

    7f38/images/7f38.png
    7f38/masks/0c2e.png, 1b9d.png, ...    not 0 in one cell

Such a folder of masks is the labels of the only image beside it. Where a file in it is called as
the image is, it is a folder of labels like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.formats.imagefile import SUFFIXES
from napari_unet.engine.formats.labelnames import in_common
from napari_unet.errors import InputError

__all__ = ["image_of_masks", "read_masks"]

Labels = NDArray[np.integer]


def image_of_masks(folder: Path) -> Path | None:
    """Return the image whose cells are the files of a folder, one each; None of any other path."""
    if folder.name.lower() != "masks":
        return None
    try:
        images = sorted(_pictures(folder.with_name("images")), key=lambda path: len(path.stem))
        # a batch may have written its results beside the image
        if not images or any(not p.stem.startswith(f"{images[0].stem}_") for p in images[1:]):
            return None
        called = [in_common(mask.stem) for mask in _pictures(folder)]
    except OSError:  # there is no such folder, or it may not be entered
        return None
    return images[0] if called and in_common(images[0].stem) not in called else None


def read_masks(folder: Path, read: Callable[[Path], Labels]) -> Labels:
    """Return labels that number the masks of a folder, in the order of their names.

    Parameters
    ----------
    folder : Path
        For which there is an `image_of_masks`.
    read : callable
        Returns the labels in a file.

    Raises
    ------
    InputError
        If a mask cannot be read, is of another shape, or holds several numbers.
    """
    first, *others = sorted(_pictures(folder))
    whole = read(first)
    if not others:  # numbered or not
        return whole
    labels = np.zeros(whole.shape, np.uint32)
    for number, path in enumerate((first, *others), start=1):
        mask = read(path)
        if mask.shape != labels.shape:
            raise InputError(
                f"{path} has shape {mask.shape}, but {first} has {labels.shape}; masks of one "
                f"image have its size."
            )
        if np.unique(mask[mask != 0]).size > 1:
            raise InputError(
                f"{path} holds several numbers, but lies in a folder of masks with one cell each. "
                f"If it is labels, give this file instead of the folder."
            )
        labels[(mask != 0) & (labels == 0)] = number
    return labels


def _pictures(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that are images by their names."""
    for path in folder.iterdir():
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            yield path
