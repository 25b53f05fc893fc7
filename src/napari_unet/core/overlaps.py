"""How regions of two label arrays overlap: what every score and comparison counts.

In a label array 0 is background and every other value is one region, whatever its number. Time
follows the pixels, memory the pixels and the pairs of regions that meet, not all pairs.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csr_array

from napari_unet.core.given import check_array
from napari_unet.core.lookup import look_up, named, row_bands
from napari_unet.errors import InputError

__all__ = [
    "Counts",
    "Numbered",
    "Overlaps",
    "comparable",
    "comparable_planes",
    "numbered",
    "overlaps",
    "overlaps_inside_objects",
]

Counts: TypeAlias = NDArray[np.int64]

PIXELS = 1 << 22
"""Whose pairs are counted together; of more, a volume, counting takes ten times their memory."""


def comparable(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as arrays, or `InputError` if they cannot be compared pixel by pixel."""
    check_array("truth", truth)
    check_array("prediction", predicted)
    first, second = np.asarray(truth), np.asarray(predicted)
    for name, array in (("truth", first), ("predicted", second)):
        if array.dtype.kind not in "biu":
            raise InputError(f"{name} holds {array.dtype} values: pass integer labels or a mask.")
    if first.shape != second.shape:
        raise InputError(
            f"truth has shape {first.shape} and predicted has shape {second.shape}: "
            "pass two arrays of the same image."
        )
    return first, second


def comparable_planes(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as (Y, X) arrays, or `InputError` if they are not."""
    first, second = comparable(truth, predicted)
    if first.ndim != 2:
        raise InputError(
            f"the labels or masks have shape {first.shape}: pass one 2D plane at a time."
        )
    return first, second


class Numbered(NamedTuple):
    """Labels whose regions are numbered without gaps, in the order of their ids.

    Attributes
    ----------
    numbers : int64 array
        In the shape of the labels; 0 is background.
    ids : integer array
        The label of each number; ``ids[0]`` is 0, even without a pixel of background.
    """

    numbers: Counts
    ids: NDArray[Any]


def numbered(labels: NDArray[Any]) -> Numbered:
    """Number the regions of labels, whose ids may be huge or negative."""
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    most = int(labels.max(initial=0))
    if labels.ndim and most <= labels.size and labels.min(initial=0) >= 0:
        known = named(labels, most)
        objects = np.flatnonzero(known).astype(labels.dtype)
        numbers = look_up(np.cumsum(known, dtype=np.int64), labels)
    else:  # a table of them would be larger than the labels: sort those, which takes longer
        found = np.unique(labels)
        objects = found[found != 0]
        numbers = np.where(labels == 0, 0, np.searchsorted(objects, labels) + 1)
    return Numbered(numbers, np.concatenate([np.zeros(1, labels.dtype), objects]))


class Overlaps(NamedTuple):
    """Which region of the truth shares how many pixels with which predicted region.

    Regions go by their numbers; 0 is the background. Region ``truth[i]`` shares ``shared[i] > 0``
    pixels with region ``predicted[i]``.
    """

    truth: Counts
    predicted: Counts
    shared: Counts
    truth_sizes: Counts
    predicted_sizes: Counts

    @classmethod
    def between(cls, truth: Numbered, predicted: Numbered) -> Overlaps:
        """Count the shared pixels of two label arrays of one shape."""
        shape = truth.ids.size, predicted.ids.size
        table = csr_array(shape, dtype=np.int64)
        first, second = truth.numbers.ravel(), predicted.numbers.ravel()
        for band in row_bands(first, PIXELS):
            table += _shared(first[band], second[band], shape)
        pairs = table.tocoo()
        sizes = (np.asarray(table.sum(axis=axis)) for axis in (1, 0))
        return cls(pairs.row.astype(np.int64), pairs.col.astype(np.int64), pairs.data, *sizes)

    def among_objects(self) -> Overlaps:
        """Only the pairs without background; the sizes stay those of whole regions."""
        keep = (self.truth > 0) & (self.predicted > 0)
        pairs = self.truth[keep], self.predicted[keep], self.shared[keep]
        return Overlaps(*pairs, self.truth_sizes, self.predicted_sizes)

    def jaccard(self) -> NDArray[np.float64]:
        """Intersection over union of every pair."""
        sizes = self.truth_sizes[self.truth] + self.predicted_sizes[self.predicted]
        return np.asarray(self.shared / (sizes - self.shared))

    def seg(self) -> NDArray[np.float64]:
        """SEG of every object of the truth, see `napari_unet.core.metrics.seg_score`."""
        pairs = self.among_objects()
        matched = 2 * pairs.shared > pairs.truth_sizes[pairs.truth]
        scores = np.zeros(self.truth_sizes.size - 1)
        scores[pairs.truth[matched] - 1] = pairs.jaccard()[matched]
        return scores


def _shared(rows: Counts, columns: Counts, shape: tuple[int, int]) -> csr_array:
    """Count how often a row and a column meet."""
    if shape[0] * shape[1] > rows.size:
        return coo_array((np.ones(rows.size, np.int64), (rows, columns)), shape=shape).tocsr()
    # all pairs are few: counted without sorting, which is three times as fast
    counts = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return csr_array(counts.reshape(shape))


def overlaps(truth: ArrayLike, predicted: ArrayLike) -> Overlaps:
    """Overlaps of two label arrays, or `InputError` if they cannot be compared."""
    first, second = comparable(truth, predicted)
    return Overlaps.between(numbered(first), numbered(second))


def overlaps_inside_objects(truth: ArrayLike, predicted: ArrayLike) -> Overlaps:
    """`overlaps` inside true objects only, each pixel of predicted background a region there."""
    first, second = comparable(truth, predicted)
    inside = first != 0
    regions = numbered(second[inside])
    alone = regions.numbers == 0
    regions.numbers[alone] = regions.ids.size + np.arange(np.count_nonzero(alone))
    return Overlaps.between(numbered(first[inside]), numbered(regions.numbers))
