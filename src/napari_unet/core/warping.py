"""Bend one mask towards another without changing its topology, for the warping error."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["left_after_warping"]


def left_after_warping(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> int:
    """Pixels of two (Y, X) masks that differ once no simple pixel of the truth does.

    Two pixels of one sub-lattice (row and column parity) are never neighbours, so flipping all its
    simple ones at once equals one by one. A pixel that is not simple waits until a neighbour flips.
    """
    width = truth.shape[1] + 2
    source, target = np.pad(truth, 1).ravel(), np.pad(predicted, 1).ravel()
    around = np.array([1, 1 - width, -width, -width - 1, -1, width - 1, width, width + 1])
    queue = np.flatnonzero(source != target)
    lattices = itertools.cycle(range(4))
    while queue.size:
        on = queue // width % 2 * 2 + queue % width % 2 == next(lattices)
        here = queue[on]
        simple = here[_SIMPLE[source[here[:, None] + around] @ (1 << np.arange(8))]]
        source[simple] = target[simple]
        near = (simple[:, None] + around).ravel()
        queue = np.unique(np.concatenate([queue[~on], near[source[near] != target[near]]]))
    return int(np.count_nonzero(source != target))


def _simple_points() -> NDArray[np.bool_]:
    """Whether the centre of each of 256 neighbourhoods is simple: Yokoi's number for 4 is 1.

    Bit 0 is the neighbour to the right, the others follow around the centre; odd bits are corners
    (Yokoi et al., Computer Graphics and Image Processing 4, 1975).
    """
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    sides, corners = bits[:, ::2], bits[:, 1::2]
    return np.asarray(np.sum(sides - sides * corners * np.roll(sides, -1, axis=1), axis=1) == 1)


_SIMPLE = _simple_points()
