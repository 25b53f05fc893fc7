"""How good is a segmentation: its scores, and the paper that defined each.

Every function takes ``(truth, predicted)`` in this order: two arrays of one shape, boolean or
integer. In a label array 0 is background and every other value is one region, whatever its
number; a mask is foreground wherever it is not 0. Different shapes, or values that are neither
integers nor booleans, raise `InputError`. No input gives NaN: each docstring names its value where
there is nothing to compare. `iou`, `pixel_error` and `warping_error` compare foregrounds,
`seg_score` and `average_precision` objects, `class_iou` classes, the others which pixels are
joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from napari_unet.core.classcomparison import compare_classes
from napari_unet.core.overlaps import (
    Counts,
    Overlaps,
    comparable,
    comparable_planes,
    overlaps,
    overlaps_inside_objects,
)
from napari_unet.core.touching import touching_cells
from napari_unet.core.warping import left_after_warping
from napari_unet.errors import InputError

__all__ = [
    "IOU_RANGE",
    "SplitMerge",
    "adapted_rand_error",
    "average_precision",
    "class_iou",
    "foreground_information_score",
    "foreground_rand_score",
    "iou",
    "pixel_error",
    "rand_error",
    "seg_score",
    "touching_cells",
    "variation_of_information",
    "warping_error",
]

IOU_RANGE: Final = tuple(percent / 100 for percent in range(50, 100, 5))
"""Thresholds 0.5, 0.55, ..., 0.95; the mean of `average_precision` over them is AP@0.5:0.95."""


class SplitMerge(NamedTuple):
    """A score whose parts count splits and merges apart; 0 to 1, best 1.

    ``split`` falls where true objects are cut up, ``merge`` where they run together; ``score`` is
    their harmonic mean.
    """

    score: float
    split: float
    merge: float


def iou(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Intersection over union of two masks of any shape (Jaccard, New Phytologist 11, 1912).

    Returns
    -------
    float
        0 to 1, best 1. Two empty foregrounds agree: 1.
    """
    first, second = comparable(truth, predicted)
    union = np.count_nonzero(np.logical_or(first, second))
    return np.count_nonzero(np.logical_and(first, second)) / union if union else 1.0


def class_iou(truth: ArrayLike, predicted: ArrayLike) -> dict[int, float]:
    """`iou` of every class of pixels, where the truth is labelled.

    Parameters
    ----------
    truth, predicted : array of int
        Classes 1, 2, ... of any shape; where the truth is 0, nothing is compared.

    Returns
    -------
    dict of int to float
        0 to 1, best 1, of every class that is true or predicted somewhere.
    """
    return {one.label: one.iou for one in compare_classes(truth, predicted)}


def pixel_error(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Fraction of pixels that are foreground in only one of two masks of any shape.

    As in the ISBI 2012 challenge (Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015).

    Returns
    -------
    float
        0 to 1, best 0. No pixels at all: 0.
    """
    first, second = comparable(truth, predicted)
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
    table = overlaps(truth, predicted)
    scores = table.seg()
    return float(scores.mean() if scores.size else table.predicted_sizes.size == 1)


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
    pairs = overlaps(truth, predicted).among_objects()
    scores = np.array([_precision(pairs, at) for at in np.atleast_1d(thresholds)])
    return scores if thresholds.ndim else float(scores[0])


def _precision(pairs: Overlaps, threshold: float) -> float:
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
    table = overlaps(truth, predicted)
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
    table = overlaps(truth, predicted)
    inside = table.truth > 0
    predicted_sizes = np.bincount(table.predicted[inside], table.shared[inside]).astype(np.int64)
    joined = _pairs(table.truth_sizes[1:]) + _pairs(predicted_sizes)
    return 1.0 - 2 * _pairs(table.shared[inside]) / joined if joined else 0.0


def foreground_rand_score(truth: ArrayLike, predicted: ArrayLike) -> SplitMerge:
    """V_rand of the ISBI 2012 challenge: how well pairs of pixels inside true objects agree.

    Of two pixels drawn with replacement: ``split`` is how probably the prediction joins what the
    truth joins, ``merge`` the other way round. As in the challenge's scripts, each pixel of
    predicted background is a region of its own. The challenge first thins predicted borders to one
    pixel, and takes the best threshold; neither is done here. Labels of any shape
    (Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015).

    Returns
    -------
    SplitMerge
        0 to 1, best 1. A truth without objects: 1.
    """
    table = overlaps_inside_objects(truth, predicted)
    joined, in_truth, in_predicted = (
        float(np.square(sizes, dtype=np.float64).sum())
        for sizes in (table.shared, table.truth_sizes, table.predicted_sizes)
    )
    if in_truth == 0:
        return SplitMerge(1.0, 1.0, 1.0)
    score = 2 * joined / (in_truth + in_predicted)
    return SplitMerge(score, joined / in_truth, joined / in_predicted)


def foreground_information_score(truth: ArrayLike, predicted: ArrayLike) -> SplitMerge:
    """V_info of the ISBI 2012 challenge: the share of information that agrees in true objects.

    Of the entropies H of the regions and their mutual information I, ``split`` is
    ``I / H(predicted)`` and ``merge`` is ``I / H(truth)``; 1 where H is 0. Pixels count as in
    `foreground_rand_score`. Labels of any shape (Arganda-Carreras et al., as there).

    Returns
    -------
    SplitMerge
        0 to 1, best 1. A truth without objects: 1. A single true object that is cut up at all: 0,
        because such a truth holds no information.
    """
    table = overlaps_inside_objects(truth, predicted)
    cut, run_together = _open_bits(table)
    in_truth, in_predicted = _entropy(table.truth_sizes), _entropy(table.predicted_sizes)
    return SplitMerge(
        _rest(cut + run_together, in_truth + in_predicted),
        _rest(cut, in_predicted),
        _rest(run_together, in_truth),
    )


def variation_of_information(truth: ArrayLike, predicted: ArrayLike) -> tuple[float, float]:
    """Bits each label array leaves open about the other; their sum is the variation of information.

    Background counts as one more region. Labels of any shape (Meilă, J. Multivar. Anal. 98, 2007).

    Returns
    -------
    split, merge : float
        ``H(predicted | truth)``, bits lost where regions are cut up, and ``H(truth | predicted)``,
        lost where they run together. 0 to log2(pixels), best 0. No pixels at all: 0.
    """
    table = overlaps(truth, predicted)
    pixels = max(int(table.shared.sum()), 1)
    split, merge = _open_bits(table)
    return split / pixels, merge / pixels


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
    first, second = comparable_planes(truth, predicted)
    return left_after_warping(first != 0, second != 0) / max(first.size, 1)


def _open_bits(table: Overlaps) -> tuple[float, float]:
    """Bits that the truth leaves open about the prediction, and the other way round."""
    split = table.shared @ np.log2(table.truth_sizes[table.truth] / table.shared)
    merge = table.shared @ np.log2(table.predicted_sizes[table.predicted] / table.shared)
    return float(split), float(merge)


def _entropy(sizes: Counts) -> float:
    """Bits needed to name the region of every pixel."""
    sizes = sizes[sizes > 0]
    return float(sizes @ np.log2(sizes.sum() / sizes))


def _rest(wrong: float, whole: float) -> float:
    """Return the part of the whole that is not wrong; 1 of nothing."""
    return max(1 - wrong / whole, 0.0) if whole else 1.0


def _pairs(sizes: Counts) -> int:
    """Ordered pairs of pixels within regions; Python integers, which cannot overflow."""
    return sum(size * (size - 1) for size in sizes.tolist())
