"""Give the thin background between touching cells back to them, the nearer one first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.lookup import row_bands

__all__ = ["give_border_back", "giving_reach"]

Integers = NDArray[np.integer]
Mask = NDArray[np.bool_]

FAR = np.uint16(np.iinfo(np.uint16).max)
"""Further, squared, than any pixel that is given to a cell is from it."""


def give_border_back(labels: Integers, border: float) -> Integers:
    """Let cells grow over the background that has two of them within ``border`` pixels.

    A pixel goes where its neighbour nearest to a cell goes: the upper one of two, else the left
    one. So it depends on nothing further away than `giving_reach`.

    Parameters
    ----------
    labels : integer array
        (Y, X) cells; 0 is background.
    border : float
        Width of the border in pixels; 0 gives nothing.

    Returns
    -------
    integer array
        (Y, X).
    """
    if border <= 0:
        return labels
    disk = _disk(border)
    between = _between(labels, disk)
    if not between.any():
        return labels
    columns = labels.shape[1] + 2
    # padded with what is as far as what is neither a cell nor between two
    far = np.pad(_squared_distance_to_cells(labels, between, disk), 1, constant_values=FAR)
    at = np.flatnonzero(np.pad(between, 1))
    near, nearest = at.copy(), far.ravel()[at]
    for step in (-columns, -1, 1, columns):
        other = far.ravel()[at + step]
        nearer = other < nearest
        near[nearer], nearest[nearer] = (at + step)[nearer], other[nearer]
    grown = np.pad(labels, 1)
    flat = grown.reshape(-1)
    for _ in range(_steps(border)):
        given = flat[near]
        found = given > 0
        flat[at[found]] = given[found]
        at, near = at[~found], near[~found]
        if not found.any():
            break
    return grown[1:-1, 1:-1]


def giving_reach(border: float) -> int:
    """Return how far from a pixel, in pixels, lies all that decides to which cell it is given."""
    return _steps(border) + 2 * int(border)


def _steps(border: float) -> int:
    """Return how many pixels of a border a cell grows over, which may lie around a corner."""
    return 2 * int(border)


def _disk(radius: float) -> Mask:
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disk: Mask = y**2 + x**2 <= radius**2
    return disk


def _between(labels: Integers, disk: Mask) -> Mask:
    """Return the background pixels that see two different cells within a disk."""
    reach, none = len(disk) // 2, -labels.max() - 1
    between = np.empty(labels.shape, dtype=bool)
    for rows in row_bands(labels):
        above = min(reach, rows.start)
        seen = labels[rows.start - above : rows.stop + reach]
        here = slice(above, above + len(labels[rows]))
        highest = _disk_maximum(seen, disk)[here]
        lowest = -_disk_maximum(np.where(seen > 0, -seen, none), disk)[here]
        between[rows] = (highest > 0) & (lowest != highest) & (labels[rows] == 0)
    return between


def _disk_maximum(values: Integers, disk: Mask) -> Integers:
    """Return the maximum over the disk around each pixel, one row of the disk after the other."""
    reach, n = len(disk) // 2, len(values)
    result = values.copy()
    for dy in range(min(reach, n - 1) + 1):
        rows = ndimage.maximum_filter1d(values, int(disk[reach + dy].sum()), axis=1)
        np.maximum(result[dy:], rows[: n - dy], out=result[dy:])
        np.maximum(result[: n - dy], rows[dy:], out=result[: n - dy])
    return result


def _squared_distance_to_cells(labels: Integers, where: Mask, disk: Mask) -> NDArray[np.uint16]:
    """Return the squared distance to the nearest cell at some pixels that see one within a disk.

    It is 0 in cells, and `FAR` elsewhere.
    """
    reach = len(disk) // 2
    cells = np.pad(labels > 0, reach)
    distance = np.where(labels > 0, np.uint16(0), FAR)
    y, x = np.nonzero(where)
    offsets = sorted((int(dy**2 + dx**2), dy, dx) for dy, dx in np.argwhere(disk) - reach)
    for squared, dy, dx in offsets:
        found = cells[y + reach + dy, x + reach + dx]
        distance[y[found], x[found]] = squared
        y, x = y[~found], x[~found]
        if not len(y):
            break
    return distance
