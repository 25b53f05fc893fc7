"""Let cores grow over the foreground, the surest pixels first, in the same order everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.lookup import row_bands

__all__ = ["flood"]

LEVELS = 200
"""Levels of probability; equal results whatever its last bits are, and less to do one by one."""

Integers = NDArray[np.integer]


def flood(cores: Integers, over: NDArray[np.bool_], foreground: NDArray[np.floating]) -> Integers:
    """Grow labels over a mask: level by level, and within one by as many steps as it takes.

    All that can be reached on a level grows at once, by a pixel in each step, so how it grows in
    one component does not depend on another. (The queue of a watershed has an order of its own
    among equals, and needs several images of memory.)

    Parameters
    ----------
    cores : integer array
        (Y, X); 0 where nothing has a label yet.
    over : bool array
        (Y, X) pixels without a label that may get one.
    foreground : float array
        (Y, X) probabilities.

    Returns
    -------
    integer array
        (Y, X); the pixels that nothing reaches stay 0.
    """
    columns = cores.shape[1] + 2
    steps = (-columns, -1, 1, columns)
    padded, padded_free = np.pad(cores, 1), np.pad(over, 1)
    label, free = padded.reshape(-1), padded_free.reshape(-1)
    padded_cost = np.full(padded.shape, LEVELS, dtype=np.uint8)
    for rows in row_bands(foreground):
        levels = 1 - foreground[rows]
        levels *= LEVELS
        padded_cost[1:-1, 1:-1][rows] = np.rint(levels, out=levels)
    cost = padded_cost.reshape(-1)
    left = np.flatnonzero(free)
    beside = np.zeros(free.shape, dtype=bool)
    for step in steps:
        beside[left + step] = True
    pixels = np.concatenate([np.flatnonzero(beside & (label > 0)), left])
    pixels = pixels[np.argsort(cost[pixels], kind="stable")]
    bounds = np.searchsorted(cost[pixels], np.arange(LEVELS + 2))
    for level in range(LEVELS + 1):
        front = pixels[bounds[level] : bounds[level + 1]]
        front = front[label[front] > 0]
        while len(front):
            reached = []
            for step in steps:
                to = front + step
                to = to[free[to]]
                label[to] = label[to - step]
                free[to] = False
                reached.append(to)
            front = np.concatenate(reached)
            front = front[cost[front] <= level]
    return padded[1:-1, 1:-1]
