"""Let cores grow over the foreground, the surest pixels first, in the same order everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.lookup import row_bands

__all__ = ["flood"]

LEVELS = 200
"""Levels of probability; equal results whatever its last bits are, and less to do one by one."""


def flood(
    cores: NDArray[np.integer], over: NDArray[np.bool_], foreground: NDArray[np.floating]
) -> NDArray[np.int32]:
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
    int32 array
        (Y, X); the pixels that nothing reaches stay 0.
    """
    # compiled when it is first needed
    from napari_unet.core.flood_numba import grow

    labels = np.pad(np.asarray(cores, dtype=np.int32), 1)
    cost = np.zeros(labels.shape, dtype=np.uint8)
    for rows in row_bands(foreground):
        levels = 1 - foreground[rows]
        levels *= LEVELS
        cost[1:-1, 1:-1][rows] = np.rint(levels, out=levels)
    grow(labels.reshape(-1), np.pad(over, 1).reshape(-1), cost.reshape(-1), labels.shape[1])
    return labels[1:-1, 1:-1]
