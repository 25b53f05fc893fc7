"""The compiled growing does what a few lines of NumPy do."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.flood import LEVELS, flood


def grown(cores: Any, over: Any, foreground: Any) -> Any:
    """Grow level by level, all that can be reached on a level by a pixel in each step."""
    cost = np.pad(np.rint((1 - foreground) * LEVELS), 1)
    labels, free = np.pad(cores, 1), np.pad(over, 1)
    for level in range(LEVELS + 1):
        front = (labels > 0) & (cost <= level)
        while front.any():
            reached = np.zeros_like(front)
            # of several that reach a pixel the one below comes first, then the one on its right
            for shift, axis in ((-1, 0), (-1, 1), (1, 1), (1, 0)):
                to = np.roll(front, shift, axis) & free
                labels[to] = np.roll(labels, shift, axis)[to]
                free &= ~to
                reached |= to
            front = reached & (cost <= level)
    return labels[1:-1, 1:-1]


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.sampled_from([1, 2, 200]),
    st.sampled_from([0.02, 0.1, 0.5]),
)
def test_labels_grow_over_the_surest_pixels_first(
    seed: int, shape: tuple[int, int], levels: int, share: float
) -> None:
    """Also where many pixels are equally sure, and at the border of the plane."""
    rng = np.random.default_rng(seed)
    foreground = (np.rint(rng.random(shape) * levels) / levels).astype(np.float32)
    cores = (rng.random(shape) < share) * rng.integers(1, 9, shape)
    over = (foreground > rng.random()) & (cores == 0)

    np.testing.assert_array_equal(flood(cores, over, foreground), grown(cores, over, foreground))


def test_nothing_grows_where_nothing_is_free() -> None:
    """And nothing is a core."""
    plane = np.zeros((5, 7), np.int32)

    assert not flood(plane, plane == 0, np.ones(plane.shape, np.float32)).any()
    assert (flood(plane + 3, plane > 0, np.ones(plane.shape, np.float32)) == 3).all()
