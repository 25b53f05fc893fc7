"""The compiled passes do what a few lines of Python do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.necks import Bulges
from napari_unet.core.necks_numba import distance_to_outline, find_hills, meetings


def blobs(seed: int, shape: tuple[int, int], smooth: float) -> Any:
    """Components of all shapes, also at the border of the image."""
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.label(ndimage.gaussian_filter(noise, smooth) > 0)[0].astype(np.int32)


drawn = st.builds(
    blobs,
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([0.5, 1.0, 3.0, 9.0]),
)


@given(drawn)
def test_the_distance_to_the_outline_is_exact(labels: Any) -> None:
    """That of SciPy, where all around the image is background."""
    expected = ndimage.distance_transform_edt(np.pad(labels > 0, 1))[1:-1, 1:-1]

    np.testing.assert_array_equal(distance_to_outline(labels), expected.astype(np.float32))


@given(drawn, st.integers(1, 50))
def test_a_hill_is_where_the_same_top_is_climbed_to(labels: Any, heights: int) -> None:
    """Also where many pixels are equally high."""
    rng = np.random.default_rng(heights)
    height = np.where(labels > 0, rng.integers(0, heights, labels.shape), -1).astype(np.int32)

    def climb(y: int, x: int) -> int:
        ways = [(y - 1, x), (y, x - 1), (y, x), (y, x + 1), (y + 1, x)]
        inside = [(v, u) for v, u in ways if 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1]]
        to = max(inside, key=lambda place: (height[place], [-c for c in place]))
        return y * labels.shape[1] + x if to == (y, x) else climb(*to)

    hill, tops = find_hills(height)
    assert (hill[labels == 0] == -1).all()
    assert [tops[hill[y, x]] for y, x in np.argwhere(labels)] == [
        climb(y, x) for y, x in np.argwhere(labels).tolist()
    ]


@given(drawn)
def test_hills_meet_where_their_pixels_touch(labels: Any) -> None:
    """Also at a corner, but only within a component."""
    rng = np.random.default_rng(0)
    height = np.where(labels > 0, rng.integers(0, 9, labels.shape), -1).astype(np.int32)
    hill, _ = find_hills(height)
    expected = []
    for y, x in np.argwhere(labels).tolist():
        for v, u in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
            if not (0 <= u < labels.shape[1] and v < labels.shape[0]):
                continue
            if labels[v, u] == labels[y, x] and hill[v, u] != hill[y, x]:
                pair = sorted((hill[y, x], hill[v, u]))
                expected.append((*pair, min(height[y, x], height[v, u])))

    assert list(zip(*meetings(height, labels, hill), strict=True)) == expected


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 7)])
def test_a_plane_without_a_cell_has_nothing_to_cut(shape: tuple[int, int]) -> None:
    """And neither has one that a single cell fills."""
    assert not Bulges.of(np.zeros(shape, np.int32), 1.0).cut(0.2).any()
    assert (Bulges.of(np.ones(shape, np.int32), 1.0).cut(0.2) == 1).all()
