"""Which cells touch, and where: those are the ones that a segmentation runs together."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.core.given import check_pixels
from napari_unet.errors import InputError

__all__ = ["touching_cells", "where_cells_meet"]


def touching_cells(labels: ArrayLike, within: float = 2.0) -> NDArray[Any]:
    """Return the ids of the cells with a pixel near a pixel of another cell.

    ``seg_score(np.where(np.isin(truth, touching_cells(truth)), truth, 0), predicted)`` scores
    these cells only.

    Parameters
    ----------
    labels : integer array
        (Y, X), 0 background.
    within : float
        Largest distance between the two pixels; neighbours are 1 apart, so 2 lets a line of one
        pixel lie between them.

    Returns
    -------
    integer array
        The ids, rising.

    Raises
    ------
    InputError
        If the labels are not one 2D plane of integers, or ``within`` is no distance.
    """
    check_pixels("labels", labels, "read_labels")
    plane = np.asarray(labels)
    if plane.ndim != 2 or plane.dtype.kind not in "iu":
        raise InputError(
            f"the labels are {plane.dtype} values of shape {plane.shape}: pass the integer "
            "labels of one 2D plane."
        )
    if not 0 <= within < math.inf:
        raise InputError(f"within is {within}: pass a distance in pixels, 0 or more.")
    reach = int(within)
    found = [plane.ravel()[:0]]
    for dy, dx in product(range(reach + 1), range(-reach, reach + 1)):
        # half of the disk: a pair of pixels counts for both cells
        if (dy, dx) > (0, 0) and math.hypot(dy, dx) <= within:
            one, other = _shifted(plane, dy, dx)
            meet = (one != other) & (one != 0) & (other != 0)
            found += [one[meet], other[meet]]
    ids: NDArray[Any] = np.unique(np.concatenate(found))
    return ids


def where_cells_meet(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return the pixels with a pixel of another cell above, below, left or right of them.

    Parameters
    ----------
    labels : integer array
        (Y, X), 0 background.

    Returns
    -------
    bool array
        (Y, X): lines two pixels wide, one on either side.
    """
    meet = np.zeros(labels.shape, dtype=bool)
    for offset in ((0, 1), (1, 0)):
        one, other = _shifted(labels, *offset)
        differ = (one != other) & (one != 0) & (other != 0)
        for side in _shifted(meet, *offset):
            side |= differ
    return meet


def _shifted(plane: NDArray[Any], dy: int, dx: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pixels that have a neighbour at an offset, and those neighbours."""
    height, width = plane.shape
    if dx < 0:
        return plane[: max(height - dy, 0), -dx:], plane[dy:, : max(width + dx, 0)]
    return plane[: max(height - dy, 0), : max(width - dx, 0)], plane[dy:, dx:]
