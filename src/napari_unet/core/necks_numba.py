"""The passes of `napari_unet.core.necks` over all pixels, compiled by numba.

Importing this module compiles them, or loads them where they were compiled before. All planes are
(Y, X), and places in them are counted row by row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.compiled import inlined, kept

__all__ = ["distance_to_outline", "find_hills", "meetings"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

PLANE = "int32[:, ::1]"


def distance_to_outline(labels: Ints) -> Floats:
    """Return how far each pixel is from the background; the border of the image is background."""
    rows = np.empty(labels.shape, dtype=np.int32)
    distance = np.empty(labels.shape, dtype=np.float32)
    _down_and_up(labels, rows)
    _along(rows, distance)
    return distance


def find_hills(height: Ints) -> tuple[Ints, Ints]:
    """Climb from each pixel to the highest of its neighbours, and so on.

    Parameters
    ----------
    height : int32 array
        -1 in the background.

    Returns
    -------
    hill : int32 array
        (Y, X) 0, 1, ... in reading order of the tops; -1 in the background.
    tops : int32 array
        Where the top of each hill is.
    """
    hill = np.empty(height.shape, dtype=np.int32)
    flat = hill.reshape(-1)
    _step_up(height, flat)
    _climb(flat)
    tops = np.empty(_name(flat, np.empty(0, np.int32)), dtype=np.int32)
    _name(flat, tops)
    return hill, tops


def meetings(height: Ints, labels: Ints, hill: Ints) -> tuple[Ints, Ints, Ints]:
    """Return where two hills of a component meet, also at a corner.

    Returns
    -------
    first, second, level : int32 arrays
        Two hills, the first number is lower; and the lower of the two pixels.
    """
    found = np.empty((3, _meet(height, labels, hill, np.empty((3, 0), np.int32))), dtype=np.int32)
    _meet(height, labels, hill, found)
    return found[0], found[1], found[2]


@kept(f"void({PLANE}, {PLANE})")
def _down_and_up(labels: Ints, rows: Ints) -> None:
    """Count the rows to the nearest background of the same column."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            above = rows[y - 1, x] if y else 0
            rows[y, x] = above + 1 if labels[y, x] else 0
    for y in range(height - 1, -1, -1):
        for x in range(width):
            below = rows[y + 1, x] if y < height - 1 else 0
            rows[y, x] = min(rows[y, x], below + 1)


@inlined
def _squared(x: int, other: int, rows: Ints) -> int:
    """Return the squared distance to the background that another column knows of."""
    across, down = x - other, int(rows[other])
    return across * across + down * down


@kept(f"void({PLANE}, float32[:, ::1])")
def _along(rows: Ints, distance: Floats) -> None:
    """Take the nearest along each row, exactly (Meijster et al. 2000, second phase)."""
    height, width = rows.shape
    line = np.zeros(width + 2, dtype=np.int32)  # background beyond both ends
    best, begins = np.empty(width + 2, dtype=np.int64), np.empty(width + 2, dtype=np.int64)
    for y in range(height):
        line[1:-1] = rows[y]
        q, best[0], begins[0] = 0, 0, 0
        for u in range(1, width + 2):
            while q >= 0 and _squared(begins[q], best[q], line) > _squared(begins[q], u, line):
                q -= 1
            if q < 0:
                q, best[0] = 0, u
                continue
            i = best[q]
            begin = 1 + (_squared(0, u, line) - _squared(0, i, line)) // (2 * (u - i))
            if begin < width + 2:
                q += 1
                best[q], begins[q] = u, begin
        for u in range(width + 1, 0, -1):
            if u <= width:
                distance[y, u - 1] = np.sqrt(_squared(u, best[q], line))
            if u == begins[q]:
                q -= 1


@kept(f"void({PLANE}, int32[::1])")
def _step_up(height: Ints, up: Ints) -> None:
    """Find the highest neighbour of each pixel, which may be itself; -1 in the background."""
    rows, columns = height.shape
    for y in range(rows):
        for x in range(columns):
            up[y * columns + x] = -1
            if height[y, x] < 0:
                continue
            best = np.int32(-1)
            # of equal heights the first in reading order, so no path is closed
            for down, right in ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)):
                v, u = y + down, x + right
                if 0 <= v < rows and 0 <= u < columns and height[v, u] > best:
                    best, up[y * columns + x] = height[v, u], v * columns + u


@kept("void(int32[::1])")
def _climb(top: Ints) -> None:
    """Replace the next step of each pixel by where all steps end."""
    for here in range(len(top)):
        end = top[here]
        if end < 0:
            continue
        while top[end] != end:
            end = top[end]
        way = here
        while top[way] != end:
            further = top[way]
            top[way] = end
            way = further


@kept("int64(int32[::1], int32[::1])")
def _name(top: Ints, tops: Ints) -> int:
    """Count the tops; if there is room for their places, put the number of each at its pixels."""
    count = 0
    for here in range(len(top)):
        if top[here] == here:
            if len(tops):
                tops[count] = here
                top[here] = -2 - count  # no place; so it can be told from one
            count += 1
    if len(tops):
        for here in range(len(top)):
            if top[here] >= 0:
                top[here] = top[top[here]]
        for here in range(len(top)):
            if top[here] < -1:
                top[here] = -2 - top[here]
    return count


@kept(f"int64({PLANE}, {PLANE}, {PLANE}, {PLANE})")
def _meet(height: Ints, labels: Ints, hill: Ints, found: Ints) -> int:
    """Write down the meetings, if there is room for them, and return how many there are."""
    rows, columns = height.shape
    room, count = found.shape[1], 0
    for y in range(rows):
        for x in range(columns):
            if hill[y, x] < 0:
                continue
            for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
                v, u = y + down, x + right
                if v == rows or u < 0 or u == columns or hill[v, u] < 0:
                    continue
                if hill[v, u] == hill[y, x] or labels[v, u] != labels[y, x]:
                    continue
                if room:
                    found[0, count] = min(hill[y, x], hill[v, u])
                    found[1, count] = max(hill[y, x], hill[v, u])
                    found[2, count] = min(height[y, x], height[v, u])
                count += 1
    return count
