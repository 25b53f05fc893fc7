"""How good is a segmentation: eight scores, and the paper that defined each.

Every function takes ``(truth, predicted)`` in this order: two arrays of one shape, boolean or
integer. In a label array 0 is background and every other value is one region, whatever its
number; a mask is foreground wherever it is not 0. Different shapes, or values that are neither
integers nor booleans, raise `InputError`. No input gives NaN: each docstring names its value where
there is nothing to compare. `iou`, `pixel_error` and `warping_error` compare foregrounds,
`seg_score` and `average_precision` objects, the other three every pair of pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from napari_unet.errors import InputError

__all__ = [
    "adapted_rand_error",
    "average_precision",
    "iou",
    "pixel_error",
    "rand_error",
    "seg_score",
    "variation_of_information",
    "warping_error",
]

Counts: TypeAlias = NDArray[np.int64]


def iou(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Intersection over union of two masks of any shape (Jaccard, New Phytologist 11, 1912).

    Returns
    -------
    float
        0 to 1, best 1. Two empty foregrounds agree: 1.
    """
    first, second = _arrays(truth, predicted)
    union = np.count_nonzero(np.logical_or(first, second))
    return np.count_nonzero(np.logical_and(first, second)) / union if union else 1.0


def pixel_error(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Fraction of pixels that are foreground in only one of two masks of any shape.

    As in the ISBI 2012 challenge (Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015).

    Returns
    -------
    float
        0 to 1, best 0. No pixels at all: 0.
    """
    first, second = _arrays(truth, predicted)
    return np.count_nonzero(np.logical_xor(first, second)) / max(first.size, 1)


def seg_score(truth: ArrayLike, predicted: ArrayLike) -> float:
    """SEG of the Cell Tracking Challenge: mean Jaccard index over the objects of the truth.

    A true object R is matched with the predicted object S that covers more than half of it,
    ``|R & S| > |R| / 2``; at most one can. An object without a match scores 0. Predicted objects
    that match nothing cost nothing here: `average_precision` counts those. Labels of any shape
    (Maška et al., Bioinformatics 30, 2014; Table 2 of Ronneberger et al. 2015).

    Returns
    -------
    float
        0 to 1, best 1. Without true objects: 1 if none is predicted either, else 0.
    """
    pairs = _overlaps(truth, predicted).among_objects()
    objects = pairs.truth_sizes.size - 1
    if objects == 0:
        return float(pairs.predicted_sizes.size == 1)
    matched = 2 * pairs.shared > pairs.truth_sizes[pairs.truth]
    return float(pairs.jaccard()[matched].sum() / objects)


@overload
def average_precision(truth: ArrayLike, predicted: ArrayLike, threshold: float = 0.5) -> float: ...
@overload
def average_precision(
    truth: ArrayLike, predicted: ArrayLike, threshold: Sequence[float] | NDArray[np.floating]
) -> NDArray[np.float64]: ...
def average_precision(
    truth: ArrayLike,
    predicted: ArrayLike,
    threshold: float | Sequence[float] | NDArray[np.floating] = 0.5,
) -> float | NDArray[np.float64]:
    """TP / (TP + FP + FN) of objects that overlap well enough.

    Objects are paired one to one so that the most pairs reach ``iou >= threshold``: pairs are TP,
    predicted objects left over FP, true ones FN. Labels of any shape (Data Science Bowl 2018,
    Caicedo et al., Nature Methods 16, 2019; StarDist, Schmidt et al., MICCAI 2018).

    Parameters
    ----------
    truth, predicted : array of int
        Labels, 0 background.
    threshold : float or sequence of float
        Least intersection over union of a pair, above 0 and up to 1; else `InputError`.

    Returns
    -------
    float, or float64 array with one value per threshold
        0 to 1, best 1. No objects in either: 1.
    """
    thresholds = np.asarray(threshold, dtype=np.float64)
    if thresholds.ndim > 1 or not np.all((thresholds > 0) & (thresholds <= 1)):
        raise InputError(f"threshold is {threshold!r}: give numbers above 0 and up to 1.")
    pairs = _overlaps(truth, predicted).among_objects()
    scores = np.array([_precision(pairs, at) for at in np.atleast_1d(thresholds)])
    return scores if thresholds.ndim else float(scores[0])


def _precision(pairs: _Overlaps, threshold: float) -> float:
    """`average_precision` at one threshold; as an optimal assignment, without its dense table."""
    good = pairs.jaccard() >= threshold
    edges = np.ones(np.count_nonzero(good), bool), (pairs.truth[good], pairs.predicted[good])
    graph = coo_array(edges, shape=(pairs.truth_sizes.size, pairs.predicted_sizes.size))
    matches = np.count_nonzero(maximum_bipartite_matching(graph.tocsr()) >= 0)
    objects = sum(graph.shape) - 2
    return matches / (objects - matches) if objects else 1.0


def rand_error(truth: ArrayLike, predicted: ArrayLike) -> float:
    """1 - Rand index: the fraction of pixel pairs that only one of two label arrays joins.

    Background counts as one more region. Labels of any shape (Rand, J. Am. Stat. Assoc. 66, 1971).

    Returns
    -------
    float
        0 to 1, best 0. Fewer than two pixels: 0.
    """
    table = _overlaps(truth, predicted)
    pixels = int(table.truth_sizes.sum())
    joined = _pairs(table.truth_sizes) + _pairs(table.predicted_sizes)
    return (joined - 2 * _pairs(table.shared)) / max(pixels * (pixels - 1), 1)


def adapted_rand_error(truth: ArrayLike, predicted: ArrayLike) -> float:
    """1 - F-score of pixel pairs, over the pixels inside true objects only.

    Precision: of the pairs joined in the prediction, those joined in the truth; recall the other
    way round. Predicted background inside a true object counts as one region, as in
    `skimage.metrics.adapted_rand_error`; the challenge's own scripts count each such pixel as a
    region. Labels of any shape (SNEMI3D; Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015).

    Returns
    -------
    float
        0 to 1, best 0. No two pixels joined by either, such as a truth without objects: 0.
    """
    table = _overlaps(truth, predicted)
    inside = table.truth > 0
    predicted_sizes = np.bincount(table.predicted[inside], table.shared[inside]).astype(np.int64)
    joined = _pairs(table.truth_sizes[1:]) + _pairs(predicted_sizes)
    return 1.0 - 2 * _pairs(table.shared[inside]) / joined if joined else 0.0


def variation_of_information(truth: ArrayLike, predicted: ArrayLike) -> tuple[float, float]:
    """Bits each label array leaves open about the other; their sum is the variation of information.

    Background counts as one more region. Labels of any shape (Meilă, J. Multivar. Anal. 98, 2007).

    Returns
    -------
    split, merge : float
        ``H(predicted | truth)``, bits lost where regions are cut up, and ``H(truth | predicted)``,
        lost where they run together. 0 to log2(pixels), best 0. No pixels at all: 0.
    """
    table = _overlaps(truth, predicted)
    pixels = max(int(table.shared.sum()), 1)
    split = table.shared @ np.log2(table.truth_sizes[table.truth] / table.shared)
    merge = table.shared @ np.log2(table.predicted_sizes[table.predicted] / table.shared)
    return float(split) / pixels, float(merge) / pixels


def warping_error(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Fraction of pixels still wrong after bending the truth without changing its topology.

    While a pixel of the truth differs from the prediction and is simple (flipping it splits,
    joins, makes and removes no object and no hole), it is flipped: shifted outlines cost nothing,
    splits, merges, missing objects and holes remain. Foreground is 4-connected, background
    8-connected and goes on outside the image, as in the ISBI 2012 challenge. Finding the best
    bending is intractable; this one is greedy, and the same on every run. Two 2D masks (else
    `InputError`); objects that touch are one (Jain et al., CVPR 2010).

    Returns
    -------
    float
        0 to `pixel_error`, best 0. No pixels at all: 0.
    """
    first, second = _arrays(truth, predicted)
    if first.ndim != 2:
        raise InputError(f"the masks have shape {first.shape}: pass one 2D plane at a time.")
    return _left_after_warping(first != 0, second != 0) / max(first.size, 1)


def _left_after_warping(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> int:
    """Pixels that differ once no simple pixel of the truth does.

    Two pixels of one sub-lattice (row and column parity) are never neighbours, so flipping all its
    simple ones at once equals one by one. A pixel that is not simple waits until a neighbour flips.
    """
    width = truth.shape[1] + 2
    source, target = np.pad(truth, 1).ravel(), np.pad(predicted, 1).ravel()
    around = np.array([1, 1 - width, -width, -width - 1, -1, width - 1, width, width + 1])
    queue = np.flatnonzero(source != target)
    lattices = itertools.cycle(range(4))
    while queue.size:
        on = queue // width % 2 * 2 + queue % width % 2 == next(lattices)
        here = queue[on]
        simple = here[_SIMPLE[source[here[:, None] + around] @ (1 << np.arange(8))]]
        source[simple] = target[simple]
        near = (simple[:, None] + around).ravel()
        queue = np.unique(np.concatenate([queue[~on], near[source[near] != target[near]]]))
    return int(np.count_nonzero(source != target))


def _simple_points() -> NDArray[np.bool_]:
    """Whether the centre of each of 256 neighbourhoods is simple: Yokoi's number for 4 is 1.

    Bit 0 is the neighbour to the right, the others follow around the centre; odd bits are corners
    (Yokoi et al., Computer Graphics and Image Processing 4, 1975).
    """
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    sides, corners = bits[:, ::2], bits[:, 1::2]
    return np.asarray(np.sum(sides - sides * corners * np.roll(sides, -1, axis=1), axis=1) == 1)


_SIMPLE = _simple_points()


class _Overlaps(NamedTuple):
    """Which region of the truth shares how many pixels with which predicted region.

    Regions are numbered in the order of their ids and 0 is the background, even without a pixel.
    Region ``truth[i]`` shares ``shared[i] > 0`` pixels with region ``predicted[i]``.
    """

    truth: Counts
    predicted: Counts
    shared: Counts
    truth_sizes: Counts
    predicted_sizes: Counts

    def among_objects(self) -> _Overlaps:
        """Only the pairs without background; the sizes stay those of whole regions."""
        keep = (self.truth > 0) & (self.predicted > 0)
        pairs = self.truth[keep], self.predicted[keep], self.shared[keep]
        return _Overlaps(*pairs, self.truth_sizes, self.predicted_sizes)

    def jaccard(self) -> NDArray[np.float64]:
        """Intersection over union of every pair."""
        sizes = self.truth_sizes[self.truth] + self.predicted_sizes[self.predicted]
        return np.asarray(self.shared / (sizes - self.shared))


def _overlaps(truth: ArrayLike, predicted: ArrayLike) -> _Overlaps:
    """Count shared pixels; memory follows the pairs of regions that meet, not all pairs."""
    rows, columns = (_numbered(labels) for labels in _arrays(truth, predicted))
    sizes = np.bincount(rows, minlength=1), np.bincount(columns, minlength=1)
    ones, shape = np.ones(rows.size, np.int64), (sizes[0].size, sizes[1].size)
    table = coo_array((ones, (rows, columns)), shape=shape).tocsr().tocoo()
    return _Overlaps(table.row.astype(np.int64), table.col.astype(np.int64), table.data, *sizes)


def _numbered(labels: NDArray[Any]) -> Counts:
    """Flat region numbers without gaps, background 0: ids may be huge or negative."""
    flat = labels.ravel()
    ids = np.unique(flat)
    return np.where(flat == 0, 0, np.searchsorted(ids[ids != 0], flat) + 1)


def _pairs(sizes: Counts) -> int:
    """Ordered pairs of pixels within regions; Python integers, which cannot overflow."""
    return sum(size * (size - 1) for size in sizes.tolist())


def _arrays(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as arrays, or `InputError` if they cannot be compared pixel by pixel."""
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
