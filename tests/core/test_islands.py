"""Block by block, exactly the cells of the whole plane: the same pixels, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, special

from napari_unet.core import islands
from napari_unet.core.instances import CellRules, instances
from napari_unet.core.islands import Box, cells_of_block, find_window

unhurried = settings(deadline=None, max_examples=40)
Plane = NDArray[np.float32]


@pytest.fixture(autouse=True)
def narrow_margins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small planes are cut too: a margin of 4 pixels is what there is to begin with."""
    monkeypatch.setattr(islands, "MARGIN", 4)


def boxes(shape: tuple[int, int], side: int) -> Iterator[Box]:
    """The blocks of a plane."""
    for y, x in product(*(range(0, n, side) for n in shape)):
        yield slice(y, min(y + side, shape[0])), slice(x, min(x + side, shape[1]))


def by_blocks(plane: Plane, side: int, rules: CellRules, **limits: int) -> NDArray[np.uint32]:
    """Number the cells of a plane block by block."""
    shape = (plane.shape[0], plane.shape[1])
    found = [
        (box, cells_of_block(plane.__getitem__, box, shape, rules, **limits))
        for box in boxes(shape, side)
    ]
    first = np.unique(np.concatenate([cells.first for _, cells in found]))
    out = np.zeros(shape, np.uint32)
    for box, cells in found:
        numbers = np.concatenate([[0], np.searchsorted(first, cells.first) + 1])
        out[box] = numbers[cells.labels]
    return out


def blobs(shape: tuple[int, int], size: float, seed: int, least: float = 0.0) -> Plane:
    """Smooth noise as probabilities: islands, some touching, with bays, holes and cells in them."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), size)
    height = noise / max(noise.std(), 0.1)
    return special.expit(3 * (height - least)).astype(np.float32)


def shapes(shape: tuple[int, int], seed: int) -> Plane:
    """Rings in rings, disks that touch, lines one pixel wide, and specks, as sure as can be."""
    rng = np.random.default_rng(seed)
    plane = np.full(shape, 0.02, np.float32)
    y, x = np.indices(shape)
    for _ in range(int(rng.integers(1, 9))):
        middle = [rng.integers(0, n) for n in shape]
        radius, away = rng.integers(1, max(shape) // 2), np.hypot(y - middle[0], x - middle[1])
        sure = np.float32(rng.choice([0.6, 0.7, 0.9, 0.98]))
        kind = rng.integers(4)
        if kind == 0:
            plane[away <= radius / 2] = sure
        elif kind == 1:
            plane[abs(away - radius) < rng.integers(1, 4)] = sure
        elif kind == 2:
            plane[(y - middle[0]) * rng.choice([-1, 1]) == x - middle[1]] = sure
        else:
            plane[rng.random(shape) < 0.02] = sure
    return plane


rules_drawn = st.builds(
    CellRules,
    threshold=st.sampled_from([0.3, 0.5, 0.65]),
    min_size=st.sampled_from([0, 3, 30]),
    cut_size=st.sampled_from([None, 0, 2, 15]),
    max_hole=st.sampled_from([0, 4, 60, None]),
    core=st.sampled_from([0.0, 0.8]),
    split=st.sampled_from([0.0, 0.05, 0.2]),
    border=st.sampled_from([0.0, 1.5, 3.0]),
    smooth=st.sampled_from([0.7, 1.5]),
)


@unhurried
@given(
    shape=st.tuples(st.integers(1, 110), st.integers(1, 110)),
    size=st.sampled_from([0.6, 1.0, 2.0, 4.0]),
    least=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
    side=st.integers(11, 40),
    seed=st.integers(0, 10**6),
    rules=rules_drawn,
)
def test_blobs_are_the_same_block_by_block(
    shape: tuple[int, int], size: float, least: float, side: int, seed: int, rules: CellRules
) -> None:
    """On the corners of blocks, larger than a block, one in another: pixel by pixel, ids too."""
    plane = blobs(shape, size, seed, least)
    whole = instances(plane, **asdict(rules))
    np.testing.assert_array_equal(by_blocks(plane, side, rules), whole)


@unhurried
@given(
    shape=st.tuples(st.integers(5, 70), st.integers(5, 70)),
    side=st.integers(11, 40),
    seed=st.integers(0, 10**6),
    rules=rules_drawn,
)
def test_rings_lines_and_touching_disks_are_the_same_block_by_block(
    shape: tuple[int, int], side: int, seed: int, rules: CellRules
) -> None:
    """Where probabilities are equal over wide areas, nothing depends on who comes first."""
    plane = shapes(shape, seed)
    whole = instances(plane, **asdict(rules))
    np.testing.assert_array_equal(by_blocks(plane, side, rules), whole)


def test_what_is_far_away_is_not_read() -> None:
    """Small islands need small windows, however large the plane is."""
    plane = blobs((300, 400), 2.0, 0, least=1.0)
    rules = CellRules(core=0.8, split=0.2, min_size=9, max_hole=30)
    read = []

    def reading(box: Box) -> Plane:
        read.append(plane[box].size)
        return plane[box]

    for box in boxes((300, 400), 50):
        cells_of_block(reading, box, (300, 400), rules)
    assert max(read) < 160 * 160
    np.testing.assert_array_equal(by_blocks(plane, 50, rules), instances(plane, **asdict(rules)))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(
    ("end", "begin", "rules"),
    [
        # what lies between two cells is given to one of them
        (60, 63, CellRules(border=1.5, max_hole=0)),
        # outlines are smoothed so far
        (63, 68, CellRules(border=0, split=0.2, smooth=1.5, max_hole=0)),
    ],
)
def test_a_neighbour_that_has_a_say_is_seen_as_a_whole(
    end: int, begin: int, rules: CellRules, turns: int
) -> None:
    """A cell in a block may be decided by one beside the block, which may reach far away."""
    plane = np.full((100, 100), 0.02, np.float32)
    plane[45:55, 45:end] = 0.98
    plane[48:52, begin:90] = neighbour = np.float32(0.7)
    plane = np.ascontiguousarray(np.rot90(plane, turns))
    block = (slice(40, 60), slice(40, 60))
    _, seen = find_window(plane.__getitem__, block, (100, 100), rules)
    assert np.count_nonzero(seen == neighbour) == np.count_nonzero(plane == neighbour)


def test_an_island_that_is_too_large_for_memory_is_cut() -> None:
    """Where the largest window ends; all pixels are still in cells, and nothing else is cut."""
    plane = np.full((200, 200), 0.02, np.float32)
    plane[90:110] = plane[:, 90:110] = 0.98
    plane[5:15, 5:15] = 0.98
    rules = CellRules()
    _, seen = find_window(plane.__getitem__, (slice(80, 120), slice(80, 120)), (200, 200), rules)
    assert seen.shape == (200, 200)
    labels = by_blocks(plane, 40, rules, most=100 * 100)
    np.testing.assert_array_equal(labels > 0, plane > 0.5)
    assert len(np.unique(labels[5:15, 5:15])) == 1
    np.testing.assert_array_equal(labels, by_blocks(plane, 40, rules, most=100 * 100))
