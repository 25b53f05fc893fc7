"""The growing of `napari_unet.core.flood`, compiled by numba.

Importing this module compiles it, or loads it where it was compiled before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.compiled import inlined, kept

__all__ = ["grow"]

Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


@inlined
def _takes_part(at: int, columns: int, labels: Ints, free: Mask) -> bool:
    """Tell whether a pixel may get a label, or has one and can give it to a neighbour."""
    if free[at]:
        return True
    if labels[at] == 0:
        return False
    return bool(free[at - columns] or free[at - 1] or free[at + 1] or free[at + columns])


@inlined
def _step(front: Ints, waiting: int, columns: int, labels: Ints, free: Mask, reached: Ints) -> int:
    """Give the labels of a front to its free neighbours; write which, and return how many."""
    found = 0
    for step in (-columns, -1, 1, columns):
        for index in range(waiting):
            to = front[index] + step
            if free[to]:
                free[to] = False
                labels[to] = labels[front[index]]
                reached[found] = to
                found += 1
    return found


@kept("void(int32[::1], boolean[::1], uint8[::1], int64, int64[::1], int32[::1])")
def _sort(
    labels: Ints, free: Mask, cost: Bytes, columns: int, place: NDArray[np.int64], pixels: Ints
) -> None:
    """Write the pixels that take part, each at the place of its level, which moves on by one.

    Without room for any it counts them, level by level.
    """
    for at in range(len(labels)):
        if _takes_part(at, columns, labels, free):
            if len(pixels):
                pixels[place[cost[at]]] = at
            place[cost[at]] += 1


@kept("void(int32[::1], boolean[::1], uint8[::1], int64, int64[::1], int32[::1])")
def _grow(
    labels: Ints, free: Mask, cost: Bytes, columns: int, ends: NDArray[np.int64], pixels: Ints
) -> None:
    """Grow level by level; the pixels of a level end where it says."""
    front, reached = np.empty_like(pixels), np.empty_like(pixels)
    for level in range(256):
        waiting = 0
        for index in range(ends[level - 1] if level else 0, ends[level]):
            if labels[pixels[index]] > 0:
                front[waiting] = pixels[index]
                waiting += 1
        while waiting:
            found = _step(front, waiting, columns, labels, free, reached)
            waiting = 0
            for index in range(found):
                if cost[reached[index]] <= level:
                    front[waiting] = reached[index]
                    waiting += 1


def grow(labels: Ints, free: Mask, cost: Bytes, columns: int) -> None:
    """Let labels grow over what is free, in place; both are 0 along the border of the plane.

    Parameters
    ----------
    labels, free, cost : int32, bool and uint8 arrays
        Of a plane of so many columns, row by row.
    columns : int
        Of the plane.
    """
    counts = np.zeros(256, dtype=np.int64)
    _sort(labels, free, cost, columns, counts, np.empty(0, dtype=np.int32))
    pixels = np.empty(counts.sum(), dtype=np.int32)
    if len(pixels):
        ends = np.cumsum(counts)
        _sort(labels, free, cost, columns, ends - counts, pixels)
        _grow(labels, free, cost, columns, ends, pixels)
