"""Cut components where they are narrow: climb to the middles of their bulges, join shallow ones.

Every pixel points to the neighbour that lies deepest inside, and with that to the top of a hill of
the smoothed distance to the outline. Two hills are one where the saddle between them is hardly
narrower than the lower of the two. All of it is decided by integers in one fixed order, equal ones
by their place in reading order, so a component is cut alike whatever else is in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.lookup import look_up, row_bands

__all__ = ["Bulges", "smoothing_reach"]

PER_PIXEL = 256
"""Steps per pixel in which the smoothed distance is counted."""

PER_DEPTH = 4096
"""Steps per unit of depth, that is of the logarithm of a width."""

Integers = NDArray[np.integer]
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Bulges:
    """Where components can be cut; that is found once, however deep the necks must be.

    Bulges are the maxima of the distance to the outline; a cut is the watershed of that distance.

    Attributes
    ----------
    hill : int32 array
        (Y, X): the hill of each pixel; -1 in the background.
    tops : int32 array
        How high each hill is.
    saddles : three integer arrays
        Which two hills meet, and how high.
    """

    hill: Ints
    tops: Ints
    saddles: tuple[Integers, Integers, Integers]

    @classmethod
    def of(cls, labels: Integers, smooth: float) -> Bulges:
        """Find those of components.

        Parameters
        ----------
        labels : integer array
            (Y, X) components, no two of which touch; 0 is background.
        smooth : float
            Standard deviation in pixels of the smoothing of the distance, against ragged outlines.
        """
        # compiled when it is first needed
        from napari_unet.core.necks_numba import find_hills, meetings

        components = np.ascontiguousarray(labels, dtype=np.int32)
        height = _heights(components, smooth)
        hill, tops = find_hills(height)
        saddles = _highest(*meetings(height, components, hill), len(tops))
        return cls(hill, height.ravel()[tops], saddles)

    def cut(self, depth: float) -> Integers:
        """Return the components cut at their necks.

        The depth of a neck is the logarithm of how many times narrower it is than the narrower of
        the two bulges it joins, so large and small cells are judged alike.

        Parameters
        ----------
        depth : float
            Necks at least this deep are cut: 0.2 is a neck of 0.82 times the width of the bulge.

        Returns
        -------
        integer array
            (Y, X), same background.
        """
        owner = _join(self.tops, *self.saddles, max(round(depth * PER_DEPTH), 1))
        return look_up(np.append(owner + 1, np.int32(0)), self.hill)  # the background is hill -1


def smoothing_reach(smooth: float) -> int:
    """Return how far, in pixels, the smoothing of `Bulges` looks."""
    return int(4 * smooth + 0.5)


def _heights(labels: Ints, smooth: float) -> Ints:
    """Return the logarithm of the width at each pixel in `PER_DEPTH`, -1 in the background."""
    from napari_unet.core.necks_numba import distance_to_outline

    width = distance_to_outline(labels)
    ndimage.gaussian_filter(width, smooth, output=width, radius=smoothing_reach(smooth))
    width *= PER_PIXEL
    # from a table: equal steps have equal logarithms, wherever they lie
    size = 1 << (int(width.max(initial=0)) + 1).bit_length()
    table = np.round(PER_DEPTH * np.log1p(np.arange(size) / PER_PIXEL)).astype(np.int32)
    height = np.empty(labels.shape, dtype=np.int32)
    for rows in row_bands(labels):
        height[rows] = np.where(labels[rows] == 0, -1, table[width[rows].astype(np.int32)])
    return height


def _highest(
    first: Integers, second: Integers, level: Integers, hills: int
) -> tuple[Integers, Integers, Integers]:
    """Return which hills meet, and how high their saddle is: each pair once, highest first."""
    pair = first.astype(np.int64) * hills + second
    # hills are numbered in reading order of their tops, so equal saddles have one order too
    order = np.lexsort((pair, -level))
    pair, level = pair[order], level[order]
    _, once = np.unique(pair, return_index=True)
    once.sort()
    return pair[once] // hills, pair[once] % hills, level[once]


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
