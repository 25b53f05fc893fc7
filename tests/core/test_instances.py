"""From probabilities to numbered cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.giveback import (
    FAR,
    _between,
    _disk,
    _squared_distance_to_cells,
    give_border_back,
)
from napari_unet.core.instances import CellRules, instances, instances_of_each
from napari_unet.core.lookup import row_bands

unhurried = settings(deadline=None, max_examples=60)
SURE, NOT = 0.98, 0.02


def foreground(mask: Any) -> NDArray[np.float32]:
    """Probabilities of a network that is sure."""
    return np.where(np.asarray(mask, dtype=bool), SURE, NOT).astype(np.float32)


def two_squares(gap: int = 1) -> NDArray[np.bool_]:
    """Two squares of 10 pixels, ``gap`` pixels apart."""
    mask = np.zeros((20, 30 + gap), dtype=bool)
    mask[5:15, 5:15] = mask[5:15, 15 + gap : 25 + gap] = True
    return mask


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (30, 40)])
@pytest.mark.parametrize("value", [0.0, 0.49, 0.5, 1.0])
def test_an_image_of_one_value_has_no_cell_or_one(shape: tuple[int, int], value: float) -> None:
    """From the threshold on, everything is one cell."""
    labels = instances(np.full(shape, value, dtype=np.float32))
    assert (labels.shape, labels.dtype) == (shape, np.uint32)
    assert (labels == (value >= 0.5)).all()


def test_cells_are_numbered_from_one_in_reading_order() -> None:
    """Without gaps, and diagonal neighbours are two cells."""
    mask = np.zeros((30, 30), dtype=bool)
    mask[20:25, 2:8] = mask[3:8, 12:18] = mask[8:12, 18:22] = mask[3:6, 25:29] = True
    labels = instances(foreground(mask), border=0)
    np.testing.assert_array_equal(labels > 0, mask)
    assert [labels[at] for at in ((3, 12), (3, 25), (8, 18), (20, 2))] == [1, 2, 3, 4]


def discs(*centres: tuple[float, float], radius: float = 15.0) -> NDArray[np.float32]:
    """Probabilities of round cells, which fall off within some two pixels."""
    y, x = np.indices((100, 100))
    nearest = np.min([np.hypot(y - cy, x - cx) for cy, cx in centres], axis=0)
    return (1 / (1 + np.exp((nearest - radius - 0.5) / 0.8))).astype(np.float32)


@pytest.mark.parametrize("core", [0.8, 0.95])
def test_what_lies_between_several_cells_is_no_hole(core: float) -> None:
    """Four round cells that touch have background in the middle, however small it is."""
    said = discs((34, 34), (34, 64), (64, 34), (64, 64))
    labels = instances(said, core=core, split=0.1, min_size=70, max_hole=212, border=0)
    assert labels.max() == 4
    np.testing.assert_array_equal(labels > 0, said >= 0.5)


def test_a_cell_in_the_hole_of_another_is_a_cell() -> None:
    """Also where only the other one has a core."""
    y, x = np.indices((40, 40))
    distance = np.hypot(y - 20, x - 20)
    said = np.where((distance > 8) & (distance < 15), 0.95, np.where(distance < 5, 0.65, 0.0))
    for core, split in ((0.0, 0.0), (0.8, 0.0), (0.8, 0.1)):
        labels = instances(said, core=core, split=split, border=0)
        assert labels.max() == 2
        assert (labels[distance < 5] == labels[20, 20]).all()
        assert not (labels[distance >= 15] > 0).any()


@unhurried
@given(
    seed=st.integers(0, 10**6),
    smooth=st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    split=st.sampled_from([0.05, 0.2, 0.5]),
    border=st.sampled_from([0.0, 1.5, 4.0]),
    min_size=st.sampled_from([0, 1, 9]),
)
def test_cutting_never_joins_or_loses(
    seed: int, smooth: float, split: float, border: float, min_size: int
) -> None:
    """Pieces lie within one component each, are connected, and are numbered without gaps."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 45)), smooth)
    mask = noise > 0
    labels = instances(foreground(mask), min_size=min_size, split=split, border=border, max_hole=0)
    ids = np.unique(labels[labels > 0])
    np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
    components, _ = ndimage.label(mask)
    for cell in ids:
        assert ndimage.label(labels == cell, np.ones((3, 3)))[1] == 1
        # a dropped speck is background, which may be given to its neighbours
        assert min_size > 1 or len(np.unique(components[(labels == cell) & mask])) == 1
    assert min_size > 1 or (labels[mask] > 0).all()


@unhurried
@given(seed=st.integers(0, 99), threshold=st.sampled_from([0.3, 0.5, 0.7, 0.99]))
def test_cells_cut_in_several_ways_are_those_of_each_way_alone(seed: int, threshold: float) -> None:
    """Though what the ways have in common is found once."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((60, 70)), 2)
    image = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    cuts = [(core, split) for core in (0.8, 0.95, 0.0) for split in (0.1, 0.4, 0.0)]
    sizes = {"threshold": threshold, "min_size": 9, "max_hole": 20}

    found = list(instances_of_each(image, CellRules(**sizes), cuts))

    assert len(found) == len(cuts)
    for cells, (core, split) in zip(found, cuts, strict=True):
        alone = instances(image, core=core, split=split, **sizes)
        np.testing.assert_array_equal(cells, alone)


def test_cells_are_cut_at_their_necks() -> None:
    """Two overlapping disks are two cells, one disk and one long cell are one each."""
    y, x = np.indices((70, 150))
    pair = ((y - 35) ** 2 + (x - 30) ** 2 < 20**2) | ((y - 35) ** 2 + (x - 62) ** 2 < 20**2)
    single = (y - 20) ** 2 + (x - 110) ** 2 < 15**2
    long = (abs(y - 55) < 6) & (abs(x - 115) < 30)
    probability = foreground(pair | single | long)
    assert instances(probability, border=0).max() == 3
    cut = instances(probability, split=0.2, border=0)
    assert cut.max() == 4
    assert cut[35, 25] != cut[35, 67]
    np.testing.assert_array_equal(cut > 0, pair | single | long)


def test_large_holes_can_be_kept() -> None:
    """Holes up to the size given are filled."""
    mask = np.ones((40, 40), dtype=bool)
    mask[5:8, 5:8] = mask[20:30, 20:30] = False
    labels = instances(foreground(mask), max_hole=9)
    assert (labels[5:8, 5:8] == 1).all()
    assert not labels[20:30, 20:30].any()


def test_no_hole_is_filled_when_the_largest_is_of_no_pixel() -> None:
    """Not of the foreground, and not of the surer pixels."""
    probability = foreground(np.ones((20, 20)))
    probability[5, 5] = 0.1
    probability[9:12, 9:12] = 0.6  # a hole in the core only, which grows over it
    labels = instances(probability, max_hole=0, core=0.8)
    np.testing.assert_array_equal(labels == 1, probability > 0.5)


@unhurried
@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 16), st.integers(1, 16))),
    min_size=st.integers(0, 6),
    border=st.sampled_from([0.0, 1.0, 1.5, 3.0]),
)
def test_ids_are_consecutive_and_cells_are_connected(
    mask: NDArray[np.bool_], min_size: int, border: float
) -> None:
    """On any mask; every kept pixel of the mask is in a cell, and no cell is in two pieces."""
    labels = instances(foreground(mask), min_size=min_size, border=border)
    assert labels.dtype == np.uint32
    ids = np.unique(labels[labels > 0])
    np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
    pieces, count = ndimage.label(mask)
    kept = [p for p in range(1, count + 1) if (pieces == p).sum() >= min_size]
    assert len(ids) == len(kept)
    for piece in kept:
        assert len(np.unique(labels[pieces == piece])) == 1
    for cell in ids:
        assert ndimage.label(labels == cell, np.ones((3, 3)))[1] == 1


@pytest.mark.parametrize("core", [0.0, 0.8])
def test_holes_are_filled(core: float) -> None:
    """Small and large holes inside one cell, but not a bay, and not another cell's room."""
    mask = np.zeros((30, 60), dtype=bool)
    mask[3:27, 3:27] = True
    mask[6, 6] = mask[10:20, 10:20] = False  # two holes
    mask[3:8, 22] = False  # a bay
    mask[3:27, 33:57] = True
    mask[6:24, 36:54] = False
    mask[12:18, 42:48] = True  # a cell inside the second ring
    labels = instances(foreground(mask), core=core, border=0)
    assert labels.max() == 3
    assert labels[6, 6] == labels[15, 15] == labels[4, 4] != 0
    assert labels[4, 22] == 0
    ring, island = labels[4, 34], labels[15, 45]
    assert len({int(ring), int(island), 0}) == 3
    assert labels[8, 40] == 0


def test_a_hole_at_the_edge_of_the_image_is_not_a_hole() -> None:
    """What reaches the edge may go on beyond it."""
    mask = np.ones((10, 10), dtype=bool)
    mask[0:4, 4:6] = False
    labels = instances(foreground(mask), border=0)
    np.testing.assert_array_equal(labels == 1, mask)


def test_specks_are_dropped() -> None:
    """Cells below the smallest size go; one of exactly that size stays."""
    mask = two_squares(8)
    mask[0, 0] = mask[18, 0:3] = True
    assert instances(foreground(mask), border=0).max() == 4
    assert instances(foreground(mask), min_size=2, border=0).max() == 3
    assert instances(foreground(mask), min_size=100, border=0).max() == 2
    nothing = instances(foreground(mask), min_size=101)
    assert nothing.shape == mask.shape
    assert not nothing.any()


@pytest.mark.parametrize(("side", "cells"), [(4, 2), (3, 1)])
def test_a_core_is_at_least_a_quarter_of_the_smallest_cell(side: int, cells: int) -> None:
    """Of 50 pixels, that is 12; what is sure over fewer is what is left of an outline."""
    probability = np.full((20, 40), NOT, dtype=np.float32)
    probability[5:15, 5:35] = 0.6
    probability[8 : 8 + side, 8 : 8 + side] = probability[8 : 8 + side, 28 : 28 + side] = SURE
    assert instances(probability, core=0.8, min_size=50).max() == cells


@pytest.mark.parametrize(("side", "cells"), [(2, 2), (1, 1)])
def test_a_core_that_the_edge_cuts_is_a_quarter_of_the_smallest_such_cell(
    side: int, cells: int
) -> None:
    """Of 12 pixels, that is 3."""
    probability = np.full((20, 40), NOT, dtype=np.float32)
    probability[:10, 5:35] = 0.6
    probability[:2, 8 : 8 + side] = probability[:2, 28 : 28 + side] = SURE
    assert instances(probability, core=0.8, min_size=50, cut_size=12).max() == cells


def test_touching_cells_get_their_border_back() -> None:
    """The one-pixel gap that training put between them goes to the two; the outline stays."""
    mask = two_squares(1)
    labels = instances(foreground(mask))
    assert (labels[5:15, 15] > 0).all()
    # the two ends of the gap, where both cells end, may go either way
    outside = np.ones(mask.shape, dtype=bool)
    outside[4:16, 15] = False
    np.testing.assert_array_equal((labels > 0)[outside], mask[outside])
    assert labels.max() == 2
    assert labels[10, 10] != labels[10, 20]


def test_a_pixel_as_near_to_several_cells_goes_to_the_upper_one() -> None:
    """Else to the left one: so every block of a plane decides alike."""
    cross = np.array([[0, 1, 0], [2, 0, 3], [0, 4, 0]])
    assert give_border_back(cross, 1)[1, 1] == 1
    cross[0] = 0
    assert give_border_back(cross, 1)[1, 1] == 2


@pytest.mark.parametrize(
    ("wide", "border", "tiles"), [(1, 1.5, (600, 4)), (3, 4.0, (40, 6))], ids=["thin", "wide"]
)
def test_in_a_plane_of_many_rows_no_row_is_special(
    wide: int, border: float, tiles: tuple[int, int]
) -> None:
    """It is looked at some rows at a time, and nobody can see where two parts meet."""
    cells = np.ones((6, 14), dtype=bool)
    cells[0, :6] = cells[1, 7:] = cells[:, [6, 13]] = False  # borders of one pixel
    cells = cells.repeat(wide, axis=0).repeat(wide, axis=1)
    high, plane = len(cells), np.tile(cells, tiles)[:, :-wide]
    _, second, *_ = row_bands(plane)
    assert wide == 1 or second.start % high == wide + 1, "they do not meet within a border"
    labels = instances(foreground(plane), border=border).astype(int)
    assert labels[high:-high].all()
    np.testing.assert_array_equal(labels[2 * high : -high], labels[high : -2 * high] + 2 * tiles[1])


def test_cells_further_apart_stay_apart() -> None:
    """A wide gap is background that the network saw."""
    mask = two_squares(5)
    np.testing.assert_array_equal(instances(foreground(mask)) > 0, mask)


def test_nothing_is_given_back_when_the_border_is_zero() -> None:
    """The cells are the components of the mask."""
    mask = two_squares(1)
    np.testing.assert_array_equal(instances(foreground(mask), border=0) > 0, mask)


def test_the_border_says_nothing_about_where_cells_are_cut() -> None:
    """Another width gives back more or less of the background, and changes no cut."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(80, 90)), 3)
    mask = noise > 0
    none, wide = (instances(foreground(mask), split=0.1, border=b) for b in (0.0, 6.0))
    assert none.max() > ndimage.label(mask)[1]
    np.testing.assert_array_equal(none[mask], wide[mask])


def cell_downhill(
    labels: NDArray[np.int32], far: NDArray[np.float64], place: tuple[int, int]
) -> int:
    """Return the cell that steps to the nearest neighbour lead to; of equals the upper or left."""
    while not labels[place]:
        y, x = place
        place = min(place, (y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x), key=lambda at: far[at])
        if place == (y, x):
            break
    return int(labels[place])


@unhurried
@given(
    labels=arrays(
        np.int32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(0, 3),
        fill=st.just(0),
    ),
    border=st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.3, 4.0, 20.0]),
)
@example(  # to one pixel, a cell two pixels away grows over three
    labels=np.array([[0, 2, 0, 1, 0], [0, 0, 0, 0, 1], [2, 0, 0, 0, 1]], np.int32), border=2.0
)
def test_only_what_lies_between_two_cells_is_given_back(
    labels: NDArray[np.int32], border: float
) -> None:
    """The pixels that have two different cells within the border, and none beside them."""
    y, x = np.indices(labels.shape)
    near = (y[..., None, None] - y) ** 2 + (x[..., None, None] - x) ** 2 <= border**2
    cells = sum((near & (labels == cell)).any(axis=(2, 3)) for cell in (1, 2, 3))
    between = (labels == 0) & (cells >= 2)
    np.testing.assert_array_equal(_between(labels, _disk(border)), between)
    distance = _squared_distance_to_cells(labels, between, _disk(border))
    exact = ndimage.distance_transform_edt(labels == 0) ** 2
    np.testing.assert_allclose(distance[between], exact[between])
    assert (distance[labels > 0] == 0).all()
    assert (distance[(labels == 0) & ~between] == FAR).all()

    grown = give_border_back(labels, border)
    np.testing.assert_array_equal(grown[labels > 0], labels[labels > 0])
    assert not grown[(labels == 0) & ~between].any()
    far = np.pad(
        np.where(between, exact, np.where(labels > 0, 0, np.inf)), 1, constant_values=np.inf
    )
    for place in np.argwhere(between):
        assert grown[tuple(place)] == cell_downhill(np.pad(labels, 1), far, tuple(place + 1))


def test_the_threshold_decides() -> None:
    """A pixel belongs to a cell from the threshold on."""
    probability = np.linspace(0, 1, 11, dtype=np.float32)[None].repeat(3, axis=0)
    for threshold in (0.2, 0.5, 0.9):
        found = instances(probability, threshold=threshold, border=0) > 0
        np.testing.assert_array_equal(found, probability >= threshold)


def test_more_cells_than_sixteen_bits_hold() -> None:
    """70 000 specks get 70 000 numbers."""
    mask = np.zeros((530, 530), dtype=bool)
    mask[::2, ::2] = True
    labels = instances(foreground(mask), border=0)
    assert int(labels.max()) == mask.sum() > 65_535
    assert len(np.unique(labels)) == mask.sum() + 1
