"""The pieces of objects in one plane, and how those of two planes overlap.

Pixels are counted in runs of equal labels along a row, of which there are far fewer than pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Meeting", "Pieces", "meeting"]

Numbers = NDArray[np.int64]


class Pieces(NamedTuple):
    """What one plane holds of objects: one piece for every label that is not 0.

    Pieces are numbered 1 ... n by their first pixel, so that the labels themselves do not matter.

    Attributes
    ----------
    plane : uint32 array
        The number of each pixel's piece; 0 is background.
    sizes : int64 array
        Pixels of every piece; ``sizes[0]`` is 0.
    centroids : (n + 1, axes) float64 array
        In pixels; the first row is 0.
    """

    plane: NDArray[np.uint32]
    sizes: Numbers
    centroids: NDArray[np.float64]

    @classmethod
    def of(cls, labels: NDArray[Any]) -> Pieces:
        """Find the pieces of a plane, or of a volume."""
        width = labels.shape[-1]
        begins = np.ones(labels.shape, bool)
        begins[..., 1:] = labels[..., 1:] != labels[..., :-1]
        inside = labels != 0
        starts = np.flatnonzero(begins)
        lengths = np.diff(starts, append=labels.size)
        values = labels.ravel()[starts]
        starts, lengths, values = (part[values != 0] for part in (starts, lengths, values))
        _, first, which = np.unique(values, return_index=True, return_inverse=True)
        rank = np.empty(first.size, np.int64)
        rank[np.argsort(first)] = np.arange(1, first.size + 1)
        numbers = rank[which.ravel()]
        plane = np.zeros(labels.shape, np.uint32)
        plane[inside] = np.repeat(numbers, lengths)
        n = first.size + 1
        sizes = np.bincount(numbers, lengths, minlength=n).astype(np.int64)
        rows = np.unravel_index(starts // width, labels.shape[:-1])
        middles = (*rows, starts % width + (lengths - 1) / 2)
        sums = [np.bincount(numbers, lengths * middle, minlength=n) for middle in middles]
        return cls(plane, sizes, np.stack(sums, axis=1) / np.maximum(sizes, 1)[:, None])

    def renumbered(self, ids: NDArray[np.integer]) -> NDArray[np.uint32]:
        """Return the plane with the id of each piece; ``ids[0]`` is that of the background."""
        found: NDArray[np.uint32] = ids.astype(np.uint32)[self.plane]
        return found

    def without(self, pieces: NDArray[np.bool_]) -> Pieces:
        """Clear the pixels of some pieces; the others keep their numbers."""
        kept = np.where(pieces, 0, np.arange(self.sizes.size))
        return self._replace(plane=self.renumbered(kept))


class Meeting(NamedTuple):
    """Pairs of pieces of two planes that overlap.

    Attributes
    ----------
    before, now : int64 array
        Numbers of the pieces, rising.
    shared : int64 array
        Pixels that both hold.
    size_before, size_now : int64 array
        Pixels of either piece.
    """

    before: Numbers
    now: Numbers
    shared: Numbers
    size_before: Numbers
    size_now: Numbers

    @property
    def share(self) -> NDArray[np.float64]:
        """What share of the smaller piece lies in the other."""
        return np.asarray(self.shared / np.minimum(self.size_before, self.size_now))

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union."""
        return np.asarray(self.shared / (self.size_before + self.size_now - self.shared))

    @property
    def joint_iou(self) -> NDArray[np.float64]:
        """Intersection over union of the piece before and all of its partners together."""
        shared, sizes = (np.bincount(self.before, of) for of in (self.shared, self.size_now))
        together = shared[self.before]
        return np.asarray(together / (self.size_before + sizes[self.before] - together))

    def where(self, keep: NDArray[Any]) -> Meeting:
        """Return some of the pairs."""
        return Meeting(*(part[keep] for part in self))

    def behind(self, pieces: int) -> Meeting:
        """Count the pieces before from a higher number on."""
        return self._replace(before=self.before + pieces)


def meeting(before: Pieces, now: Pieces) -> Meeting:
    """Count how the pieces of two planes of one shape overlap."""
    both = (before.plane != 0) & (now.plane != 0)
    pairs = before.plane[both].astype(np.uint64) << np.uint64(32) | now.plane[both]
    starts = np.flatnonzero(np.diff(pairs, prepend=np.uint64(0)))
    lengths = np.diff(starts, append=pairs.size)
    codes, which = np.unique(pairs[starts], return_inverse=True)
    shared = np.bincount(which.ravel(), lengths, minlength=codes.size).astype(np.int64)
    one = (codes >> np.uint64(32)).astype(np.int64)
    other = (codes & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return Meeting(one, other, shared, before.sizes[one], now.sizes[other])
