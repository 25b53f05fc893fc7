"""Which cells touch."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from napari_unet import metrics
from napari_unet.core.touching import where_cells_meet
from napari_unet.errors import InputError

PLANES = arrays(
    np.int8, st.tuples(st.integers(0, 7), st.integers(0, 7)), elements=st.integers(-1, 3)
)


@given(plane=PLANES, within=st.floats(0, 9))
def test_cells_touch_if_two_of_their_pixels_are_near(
    plane: NDArray[np.int8], within: float
) -> None:
    """As distances between all pixels of all cells say."""
    cells = {int(k): np.argwhere(plane == k) for k in np.unique(plane) if k}
    near = [
        one
        for one in cells
        if any(other != one and cdist(cells[one], cells[other]).min() <= within for other in cells)
    ]

    assert metrics.touching_cells(plane, within).tolist() == near


def test_two_pixels_touch_up_to_their_distance() -> None:
    """And no less, in all directions."""
    for dy, dx in product(range(-4, 5), repeat=2):
        plane = np.zeros((9, 9), np.uint8)
        plane[4, 4], plane[4 + dy, 4 + dx] = 7, 3
        away = math.hypot(dy, dx)

        if away:
            assert metrics.touching_cells(plane, np.nextafter(away, 0)).tolist() == []
        assert metrics.touching_cells(plane, away).tolist() == ([3, 7] if away else [])


def test_one_pixel_between_cells_still_counts() -> None:
    """Of four cells in a row the last one stands apart."""
    plane = np.array([[7, 7, 9, 0, 2, 2, 0, 0, 5]])

    assert metrics.touching_cells(plane).tolist() == [2, 7, 9]
    assert metrics.touching_cells(plane, 1).tolist() == [7, 9]


@given(plane=PLANES)
def test_cells_meet_where_a_neighbour_is_of_another_cell(plane: NDArray[np.int8]) -> None:
    """Pixel by pixel; background is no cell, and nothing lies beyond the edge."""
    around = np.pad(plane, 1)
    expected = [
        [
            bool(here)
            and any(n not in (0, here) for n in (above[x], below[x], row[x - 1], row[x + 1]))
            for x, here in enumerate(row[1:-1], start=1)
        ]
        for above, row, below in zip(around, around[1:], around[2:], strict=False)
    ]

    assert where_cells_meet(plane).tolist() == expected


@pytest.mark.parametrize("labels", [np.zeros((3, 3)), np.zeros((3, 3, 3), int), np.zeros(3, int)])
def test_only_labels_of_a_plane_can_touch(labels: NDArray[np.generic]) -> None:
    """Anything else is an error that names it."""
    with pytest.raises(InputError, match="one 2D plane"):
        metrics.touching_cells(labels)


@pytest.mark.parametrize("within", [-1.0, float("nan"), float("inf")])
def test_cells_touch_within_a_distance(within: float) -> None:
    """What is none is an error that says so."""
    with pytest.raises(InputError, match=r"within is .*: pass a distance in pixels"):
        metrics.touching_cells(np.zeros((3, 3), int), within)
