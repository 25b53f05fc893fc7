"""From what a model says of a plane to its cells, without its network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.core.config import PredictConfig
from napari_unet.core.instances import instances
from napari_unet.engine.cells import find_cells
from napari_unet.engine.process.tasks import number_cells
from napari_unet.engine.segmenter import Segmenter


def model(**settings: Any) -> Segmenter:
    """Make a model without weights, of cells of 12 pixels."""
    known = {"in_channels": 1, "n_classes": 2, "base_channels": 4, "depth": 1, "diameter": 12.0}
    return Segmenter(weights={}, **(known | settings))


def plane() -> np.ndarray:
    """Two cells, one pixel apart, with holes of 4 and 49 pixels, a speck of 6, and two in one."""
    said = np.zeros((40, 110), np.float32)
    y, x = np.indices(said.shape)
    for middle in (66, 86):
        said[(y - 20) ** 2 + (x - middle) ** 2 < 12**2] = 0.9
    said[5:35, 5:25] = said[5:35, 26:46] = 0.9
    said[10:12, 10:12] = said[20:27, 30:37] = 0.2
    said[2:4, 55:58] = 0.6
    return said


@pytest.mark.parametrize(
    ("knobs", "spelled_out"),
    [
        ({}, {"min_size": 11, "cut_size": 6, "max_hole": 33}),
        ({"min_size": 0}, {"min_size": 0, "cut_size": 0, "max_hole": 33}),
        ({"threshold": 0.95}, {"min_size": 11, "cut_size": 6, "max_hole": 33, "threshold": 0.95}),
        ({"max_hole": 0}, {"min_size": 11, "cut_size": 6, "max_hole": 0}),
        ({"max_hole": 49}, {"min_size": 11, "cut_size": 6, "max_hole": 49}),
        ({"border": 0.0}, {"min_size": 11, "cut_size": 6, "max_hole": 33, "border": 0.0}),
        ({"border": 4.0}, {"min_size": 11, "cut_size": 6, "max_hole": 33, "border": 4.0}),
        ({"split": 0.0}, {"min_size": 11, "cut_size": 6, "max_hole": 33, "split": 0.0}),
    ],
)
def test_every_knob_reaches_the_cells(knobs: dict[str, Any], spelled_out: dict[str, Any]) -> None:
    """And what is left automatic follows the model."""
    automatic = {"core": 0.8, "split": 0.2, "border": 1.5, "smooth": 1.5}
    found = find_cells(model(), plane(), PredictConfig(**knobs))

    np.testing.assert_array_equal(found, instances(plane(), **(automatic | spelled_out)))
    if knobs:
        assert (found != find_cells(model(), plane(), PredictConfig())).any()


def test_small_cells_stay_where_small_ones_were_painted() -> None:
    """They need half the size of the smallest painted ones, where a tenth of a typical is more."""
    assert model(diameter=40.0).smallest_cell() == round(0.1 * np.pi / 4 * 40**2)
    assert model(diameter=40.0, smallest=30.0).smallest_cell() == round(0.1 * np.pi / 4 * 40**2)
    various = model(diameter=40.0, smallest=10.0)
    assert various.smallest_cell() == round(0.5 * np.pi / 4 * 10**2)
    assert various.largest_hole() == 3 * round(0.1 * np.pi / 4 * 40**2)


def test_a_cell_at_the_edge_of_the_image_may_be_half_as_small() -> None:
    """The other half of it lies beyond; but who asks for a number of pixels gets that."""
    said = np.zeros((40, 60), np.float32)
    said[0:2, 10:14] = said[20:22, 30:34] = said[38:40, 40:43] = said[12:14, 0:2] = 0.9
    assert model().smallest_cell() == 11

    found = find_cells(model(), said, PredictConfig())

    # 8 and 6 pixels at the edge stay, 8 pixels elsewhere and 4 at the edge go
    np.testing.assert_array_equal(found[0:2, 10:14], 1)
    np.testing.assert_array_equal(found[38:40, 40:43], 2)
    assert found.max() == 2
    assert find_cells(model(), said, PredictConfig(min_size=7)).max() == 2
    assert find_cells(model(), said, PredictConfig(min_size=11)).max() == 0


def test_holes_and_borders_can_be_left_as_they_are() -> None:
    """With 0 for each, the cells are the pixels that reach the threshold."""
    config = PredictConfig(min_size=0, max_hole=0, border=0.0)
    np.testing.assert_array_equal(find_cells(model(), plane(), config) > 0, plane() >= 0.5)


def test_of_a_model_that_knows_no_size_all_holes_are_filled_unless_told_otherwise() -> None:
    """And nothing is too small."""
    unknown = model(diameter=0.0)
    filled = find_cells(unknown, plane(), PredictConfig())
    left = find_cells(unknown, plane(), PredictConfig(max_hole=0))

    assert filled[22, 32]
    assert filled[3, 56]
    assert not left[22, 32]
    assert not left[10, 10]


@pytest.mark.parametrize(("diameter", "magnification"), [(2.4, 1.0), (9.0, 0.25)])
def test_what_tiny_cells_enclose_is_not_filled(diameter: float, magnification: float) -> None:
    """However small they are, 0.3 of one is less than the 49 pixels of a gap between many."""
    config = PredictConfig(magnification=magnification, split=0.0)

    found = find_cells(model(diameter=diameter), plane(), config)

    assert found[22, 28] > 0
    assert not found[20:27, 30:37].any()


@pytest.mark.parametrize("downsample", [1, 3])
def test_the_border_says_nothing_about_where_cells_are_cut(downsample: int) -> None:
    """Outlines are smoothed as much as the model's resolution wants, whatever is given back."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(80, 90)), 3)
    ragged = np.where(noise > 0, 0.9, 0).astype(np.float32)
    tight = model(split=0.1, diameter=0.0, downsample=downsample)
    spelled_out = {"core": 0.8, "split": 0.1, "smooth": 1.5 * downsample}

    for border in (0.0, 6.0):
        found = find_cells(tight, ragged, PredictConfig(border=border))
        np.testing.assert_array_equal(found, instances(ragged, **spelled_out, border=border))


def test_the_automatic_border_is_wider_at_a_coarser_resolution() -> None:
    """A network pixel is then several pixels of the image."""
    wide = np.zeros((40, 60), np.float32)
    wide[5:35, 5:25] = wide[5:35, 29:46] = 0.9  # four pixels apart
    assert not find_cells(model(), wide, PredictConfig())[20, 26]
    assert find_cells(model(downsample=4), wide, PredictConfig())[20, 26]


def test_cells_are_numbered_after_those_of_other_planes() -> None:
    """Into the array that is given; the event says how many there are."""
    out = np.full((40, 110), 7, np.uint32)
    config = PredictConfig()
    (done,) = number_cells(plane(), model(), config, out, 100)
    assert (done.objects, done.classes) == (4, ())
    cells = find_cells(model(), plane(), config).astype(int)
    np.testing.assert_array_equal(out, np.where(cells > 0, cells + 100, 0))
