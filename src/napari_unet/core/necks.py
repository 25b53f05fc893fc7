"""Cut components where they are narrow: climb to the middles of their bulges, join shallow ones.

Every pixel points to the neighbour that lies deepest inside, and with that to the top of a hill of
the smoothed distance to the outline. Two hills are one where the saddle between them is hardly
narrower than the lower of the two. All of it is decided by integers in one fixed order, equal ones
by their place in reading order, so a component is cut alike whatever else is in the image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["smoothing_reach", "split_necks"]

PER_PIXEL = 256
"""Steps per pixel in which the smoothed distance is counted."""

PER_DEPTH = 4096
"""Steps per unit of depth, that is of the logarithm of a width."""

Integers = NDArray[np.integer]


def split_necks(labels: Integers, depth: float, *, smooth: float = 1.0) -> Integers:
    """Cut components at their necks.

    The depth of a neck is the logarithm of how many times narrower it is than the narrower of the
    two bulges it joins, so large and small cells are judged alike. Bulges are the maxima of the
    distance to the outline; the cut is the watershed of that distance.

    Parameters
    ----------
    labels : integer array
        (Y, X) components, no two of which touch; 0 is background.
    depth : float
        Necks at least this deep are cut: 0.2 is a neck of 0.82 times the width of the bulge.
    smooth : float
        Standard deviation in pixels of the smoothing of the distance, against ragged outlines.

    Returns
    -------
    integer array
        (Y, X), same background.
    """
    height = _heights(labels, smooth)
    inside = np.flatnonzero(height >= 0)
    if not len(inside):
        return labels
    place = np.zeros(height.size, dtype=np.int32)
    place[inside] = np.arange(len(inside), dtype=np.int32)
    top = _climb(height, inside, place)
    tops = np.flatnonzero(top == np.arange(len(inside)))
    hill = np.zeros(len(inside), dtype=np.int32)
    hill[tops] = np.arange(len(tops))
    hill = hill[top]
    level = height.ravel()[inside]
    edges = _saddles(height, labels, inside, place, hill)
    owner = _join(level[tops], *edges, max(round(depth * PER_DEPTH), 1))
    pieces = np.zeros(height.size, dtype=np.int32)
    pieces[inside] = owner[hill] + 1
    return pieces.reshape(height.shape)


def smoothing_reach(smooth: float) -> int:
    """Return how far, in pixels, the smoothing of `split_necks` looks."""
    return int(4 * smooth + 0.5)


def _heights(labels: Integers, smooth: float) -> Integers:
    """Return the logarithm of the width at each pixel in `PER_DEPTH`, -1 in the background."""
    width = ndimage.gaussian_filter(_distance_to_outline(labels), smooth, truncate=4.0)
    step = (width * PER_PIXEL).astype(np.int32)
    # from a table: equal steps have equal logarithms, wherever they lie
    size = 1 << int(step.max(initial=0) + 1).bit_length()
    table = np.round(PER_DEPTH * np.log1p(np.arange(size) / PER_PIXEL)).astype(np.int32)
    heights: Integers = np.where(labels > 0, table[step], np.int32(-1))
    return heights


def _distance_to_outline(labels: Integers) -> NDArray[np.float32]:
    inside = np.pad(labels > 0, 1)  # the image border is an outline too
    nearest = ndimage.distance_transform_edt(inside, return_distances=False, return_indices=True)
    distance = np.empty(labels.shape, dtype=np.float32)
    across = np.arange(1, labels.shape[1] + 1)
    for row in range(labels.shape[0]):  # the distances of SciPy take three times the memory
        y, x = nearest[:, row + 1, 1:-1]
        distance[row] = np.sqrt((y - row - 1) ** 2 + (x - across) ** 2)
    return distance


def _climb(height: Integers, inside: Integers, place: Integers) -> Integers:
    """Return for each pixel inside the one (both by their place) that climbing ends at."""
    columns = height.shape[1]
    padded = np.pad(height, 1, constant_values=-1).ravel()
    wide = columns + 2
    # y (columns + 2) + x, one row and one column further on
    at = inside + 2 * (inside // columns) + wide + 1
    best = padded[at - wide]
    step = np.full(len(inside), -columns, dtype=np.int32)
    # of equal heights the first in reading order, so no path is closed
    for there, move in ((-1, -1), (0, 0), (1, 1), (wide, columns)):
        other = padded[at + there]
        higher = other > best
        best[higher] = other[higher]
        step[higher] = move
    top: Integers = place[inside + step]
    while True:
        further = top[top]
        if (further == top).all():
            return top
        top = further


def _saddles(
    height: Integers, labels: Integers, inside: Integers, place: Integers, hill: Integers
) -> tuple[Integers, Integers, Integers]:
    """Return which hills meet, also at a corner, and how high: each pair once, highest first."""
    flat, components, columns = height.ravel(), labels.ravel(), height.shape[1]
    column = inside % columns
    first, second, level = [], [], []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        step = down * columns + right
        near = inside[(column + right >= 0) & (column + right < columns)]
        near = near[: np.searchsorted(near, height.size - step)]
        near = near[components[near + step] == components[near]]
        one, other = hill[place[near]], hill[place[near + step]]
        differ = one != other
        near, one, other = near[differ], one[differ], other[differ]
        first.append(np.minimum(one, other))
        second.append(np.maximum(one, other))
        level.append(np.minimum(flat[near], flat[near + step]))
    hills = int(hill.max()) + 1
    pair = np.concatenate(first).astype(np.int64) * hills + np.concatenate(second)
    saddle = np.concatenate(level)
    # hills are numbered in reading order of their tops, so equal saddles have one order too
    order = np.lexsort((pair, -saddle))
    pair, saddle = pair[order], saddle[order]
    _, once = np.unique(pair, return_index=True)
    once.sort()
    return pair[once] // hills, pair[once] % hills, saddle[once]


def _join(
    tops: Integers, first: Integers, second: Integers, saddles: Integers, depth: int
) -> Integers:
    """Return the hill that each hill belongs to; the lower of two joins the higher."""
    owner = list(range(len(tops)))
    height = tops.tolist()

    def root(hill: int) -> int:
        while owner[hill] != hill:
            owner[hill] = owner[owner[hill]]
            hill = owner[hill]
        return hill

    for one, other, saddle in zip(first.tolist(), second.tolist(), saddles.tolist(), strict=True):
        low, high = sorted((root(one), root(other)), key=lambda hill: (height[hill], -hill))
        if low != high and height[low] - saddle < depth:
            owner[low] = high
    return np.array([root(hill) for hill in range(len(owner))], dtype=np.int32)
