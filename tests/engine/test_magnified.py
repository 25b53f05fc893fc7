"""Images of another magnification are shown to the network at the size it learned."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from painting import disks
from skimage.transform import resize

from napari_unet import find_magnification, metrics, probabilities, segment
from napari_unet.core.annotation import Annotation
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.resized import MAGNIFICATIONS
from napari_unet.engine.blocks import segment_large
from napari_unet.engine.cells import cell_rules
from napari_unet.engine.findmagnification import finding, spread
from napari_unet.engine.inference import segment_into
from napari_unet.engine.process.mailbox import InView, Mailbox
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.training import train
from napari_unet.errors import InputError

torch.set_num_threads(1)


@cache
def model() -> Segmenter:
    """Knows disks 20 pixels wide."""
    painted = [Annotation(*disks((200, 200)))]
    *_, last = train(painted, TrainConfig(seconds=0, steps=40, downsample=1, device="cpu"))
    return last.segmenter


def drawn(size: float, shape: tuple[int, int] = (210, 240)) -> tuple[Any, NDArray[np.int32]]:
    """Disks so many times as wide, and their numbers."""
    image, labels = disks(shape)
    larger = [round(n * size) for n in shape]
    truth = resize(labels, larger, order=0, preserve_range=True, anti_aliasing=False)
    return resize(image, larger, order=1, anti_aliasing=size < 1), truth.astype(np.int32)


@pytest.mark.parametrize("size", [0.25, 4.0])
def test_objects_of_another_size_are_found_at_the_size_that_was_learned(size: float) -> None:
    """Better than as they are; the result lies on the pixels of the image."""
    image, truth = drawn(size)
    as_it_is = metrics.seg_score(truth, segment(model(), image))
    found = segment(model(), image, PredictConfig(magnification=size))
    assert found.shape == image.shape
    assert metrics.seg_score(truth, found) > max(0.75, as_it_is + 0.2)


@pytest.mark.parametrize(("magnification", "rotations"), [(0.6, 1), (1.7, 1), (1.7, 3)])
def test_neither_tiles_nor_blocks_change_the_result(
    tmp_path: Path, magnification: float, rotations: int
) -> None:
    """Nor where the user looks; the pieces of a plane are as many as were told."""
    image, _ = drawn(1.3, (210, 211))
    config = PredictConfig(magnification=magnification, rotations=rotations, device="cpu")
    whole = segment(model(), image, config)
    told = probabilities(model(), image, config)
    np.testing.assert_allclose(told.sum(axis=0), 1, atol=1e-5)
    small = replace(config, tile_size=188)
    np.testing.assert_allclose(probabilities(model(), image, small), told, atol=1e-5)
    mailbox = Mailbox()
    mailbox.put(InView(box=(slice(200, 210), slice(0, 10))))
    out = np.zeros(image.shape, np.uint32)
    tiles = [
        event
        for event in segment_into(model(), image[None], out, small, mailbox=mailbox)
        if hasattr(event, "index")
    ]
    assert [tile.index for tile in tiles] == list(range(1, tiles[-1].total + 1))
    np.testing.assert_array_equal(out, whole)
    blocks = np.zeros(image.shape, np.uint32)
    for _ in segment_large(model(), image[None], blocks, small, tmp_path, side=128):
        pass
    np.testing.assert_array_equal(blocks, whole)


def test_a_part_in_view_is_done_first() -> None:
    """Of a plane of several parts."""
    image = np.zeros((1, 700, 1400), np.float32)
    mailbox = Mailbox()
    mailbox.put(InView(box=(slice(600, 700), slice(1300, 1400))))
    out = np.zeros((700, 1400), np.uint32)
    config = PredictConfig(magnification=0.5)
    events = segment_into(model(), image, out, config, mailbox=mailbox)
    region = next(e.region for e in events if hasattr(e, "index") and e.region[0].stop)
    assert [span.stop for span in region] == [700, 1400]


def test_what_was_fitted_to_painted_cells_follows_the_magnification() -> None:
    """Sizes and widths in pixels of the image; what the user set stays."""
    one, two = (cell_rules(model(), PredictConfig(magnification=m)) for m in (1, 2))
    assert two.min_size == pytest.approx(4 * one.min_size, abs=2)
    assert two.border == 2 * one.border
    assert two.max_hole == pytest.approx(4 * (one.max_hole or 0), abs=6)
    assert cell_rules(model(), PredictConfig(magnification=2, min_size=7)).min_size == 7


@pytest.mark.parametrize("size", [1.0, 2.0, 2.83, 4.0])
def test_the_magnification_of_an_image_is_found(size: float) -> None:
    """Where the model is surest of itself: within a step of the true one, 1 where it is 1."""
    found = find_magnification(model(), [drawn(size)[0]])
    steps = abs(MAGNIFICATIONS.index(found) - MAGNIFICATIONS.index(size))
    assert steps <= (size != 1)


def test_where_nothing_can_be_told_the_magnification_is_one() -> None:
    """An image with nothing in it; no image, or one that does not fit, is refused."""
    assert find_magnification(model(), [np.zeros((100, 100), np.uint8)]) == 1
    with pytest.raises(InputError, match="no images"):
        find_magnification(model(), [])
    with pytest.raises(InputError, match=r"shape \(90,\); give \(Y, X\)"):
        find_magnification(model(), np.zeros((100, 90)))
    with pytest.raises(InputError, match="trained on 1 channel"):
        find_magnification(model(), [np.zeros((2, 100, 100))])


def test_of_many_images_and_stacks_a_few_planes_are_looked_at() -> None:
    """From all over the sequence, and each plane from the middle of its stack."""
    assert spread(range(3)) == [0, 1, 2]
    assert spread(range(100)) == [5, 16, 27, 38, 50, 61, 72, 83, 94]
    stack = np.stack([np.zeros((210, 240)), drawn(1)[0], np.zeros((210, 240))])
    steps = list(finding(model(), [stack[None]]))
    assert steps[-1] == 1
    assert len(steps) <= len(MAGNIFICATIONS) + 1


@pytest.mark.parametrize("magnification", [0.2, 5.0, 0.0])
def test_magnifications_out_of_range_are_refused(magnification: float) -> None:
    """With the value and the range."""
    with pytest.raises(InputError, match=rf"magnification.* is {magnification}.*from 0.25 to 4"):
        PredictConfig(magnification=magnification)
