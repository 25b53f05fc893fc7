"""What became of every object: found, missed, invented, run together or cut up.

A pair is one true and one predicted object that overlap. The fate of an object is the first of
these that holds:

found
    Its pair has an intersection over union of at least 0.5, and neither of the two has another
    such pair. As many true objects are found as predicted ones, namely the hits of
    `napari_unet.metrics.average_precision`; but of two exact halves neither is found.
merged
    Of true objects: one predicted object covers more than half of it, and more than half of
    another one. Of predicted objects: it is the one that covers them.
split
    Of true objects: at least two predicted objects lie in it, each by more than half. Of predicted
    objects: it is one of these.
missed, spurious
    True objects and predicted objects that are left.

So a speck that is cut off from a cell is split, and the cell is found as long as the rest of it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.core.lookup import look_up, row_bands
from napari_unet.core.overlaps import Counts, Numbered, Overlaps, comparable, numbered
from napari_unet.errors import InputError

__all__ = ["ERRORS", "ERROR_COLOURS", "Fate", "ObjectScore", "compare_objects", "error_map"]

Fate: TypeAlias = Literal["found", "missed", "spurious", "merged", "split"]
Side: TypeAlias = Literal["truth", "predicted"]

ERROR_COLOURS: Final[dict[str, str]] = {
    "missed": "#d55e00",
    "spurious": "#56b4e9",
    "merged": "#f0e442",
    "split": "#009e73",
}
"""Orange, blue, yellow and green that colour-blind people tell apart (Okabe and Ito, 2008)."""

ERRORS: Final[tuple[str, ...]] = tuple(ERROR_COLOURS)
"""The kinds of error; the first is 1 in `error_map`, the last 4."""

_FATES: Final[tuple[Fate, ...]] = ("found", "missed", "spurious", "merged", "split")
_FOUND, _MISSED, _SPURIOUS, _MERGED, _SPLIT = range(5)

Codes: TypeAlias = NDArray[np.uint8]
"""Indices of fates, one per region; background is 0."""


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """What became of one object.

    Attributes
    ----------
    side : str
        Whether the object is of the truth or predicted.
    label : int
        Its number in the labels of that side.
    fate : str
        One of `Fate`; see the module.
    area : int
        Pixels; voxels of a volume.
    y, x : float
        Centroid, in pixels.
    partner : int
        The object of the other side with the largest intersection over union, 0 if none overlaps;
        of equals the lowest label.
    iou : float
        That intersection over union, 0 to 1.
    z : float
        Of the centroid of an object of a volume, in planes; 0 in a plane.
    """

    side: Side
    label: int
    fate: Fate
    area: int
    y: float
    x: float
    partner: int
    iou: float
    z: float = 0.0


def compare_objects(truth: ArrayLike, predicted: ArrayLike) -> list[ObjectScore]:
    """List what became of every true object, then of every predicted one, by rising labels.

    Parameters
    ----------
    truth, predicted : integer or boolean array
        (Y, X) or (Z, Y, X) labels, 0 background; any other label is one object, in one piece or
        several.

    Raises
    ------
    InputError
        If the arrays are not labels of one plane or volume.
    """
    first, second = (numbered(labels) for labels in _of_one_image(truth, predicted))
    pairs = Overlaps.between(first, second).among_objects()
    fates, iou = _fates(pairs), pairs.jaccard()
    partners = _best(pairs.truth, pairs.predicted, iou, first.ids.size)
    predicted_partners = _best(pairs.predicted, pairs.truth, iou, second.ids.size)
    return [
        *_scores("truth", first, fates.truth, partners, second.ids),
        *_scores("predicted", second, fates.predicted, predicted_partners, first.ids),
    ]


def error_map(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.uint8]:
    """Mark the pixels of objects that were not found.

    A pixel that a true and a predicted object claim with different errors shows the first of
    merged, split, missed, spurious. Outlines of found objects that are off are no error here; their
    intersection over union says how far.

    Parameters
    ----------
    truth, predicted : integer or boolean array
        Labels, as for `compare_objects`.

    Returns
    -------
    uint8 array
        In their shape: 0 right, 1 missed, 2 spurious, 3 merged, 4 split.

    Raises
    ------
    InputError
        If the arrays are not labels of one plane or volume.
    """
    first, second = (numbered(labels) for labels in _of_one_image(truth, predicted))
    fates = _fates(Overlaps.between(first, second).among_objects())
    weakest_first = np.array([_FOUND, _SPURIOUS, _MISSED, _SPLIT, _MERGED], np.uint8)
    strength = np.argsort(weakest_first).astype(np.uint8)
    of_truth, of_predicted = strength[fates.truth], strength[fates.predicted]
    strongest = look_up(of_truth, first.numbers)
    np.maximum(strongest, look_up(of_predicted, second.numbers), out=strongest)
    return weakest_first[strongest]


def _of_one_image(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as (Y, X) or (Z, Y, X) arrays, or `InputError` if they are not."""
    first, second = comparable(truth, predicted)
    if first.ndim not in (2, 3):
        raise InputError(
            f"the labels or masks have shape {first.shape}: pass one plane (Y, X) or volume "
            f"(Z, Y, X) at a time."
        )
    return first, second


class _Fates(NamedTuple):
    """The fates of the regions of both sides, by number."""

    truth: Codes
    predicted: Codes


class _Best(NamedTuple):
    """The best partner of every region: its number, 0 if there is none, and their overlap."""

    number: Counts
    iou: NDArray[np.float64]


def _fates(pairs: Overlaps) -> _Fates:
    """Judge all objects from the pairs that overlap (see the module)."""
    true, found = pairs.truth, pairs.predicted
    n_true, n_found = pairs.truth_sizes.size, pairs.predicted_sizes.size
    good = pairs.jaccard() >= 0.5
    good &= (_count(true, good, n_true) == 1)[true] & (_count(found, good, n_found) == 1)[found]
    covers = 2 * pairs.shared > pairs.truth_sizes[true]
    covers &= (_count(found, covers, n_found) > 1)[found]
    inside = 2 * pairs.shared > pairs.predicted_sizes[found]
    inside &= (_count(true, inside, n_true) > 1)[true]

    def judged(regions: Counts, n: int, otherwise: int) -> Codes:
        fates = np.full(n, otherwise, np.uint8)
        for which, fate in ((inside, _SPLIT), (covers, _MERGED), (good, _FOUND)):
            fates[regions[which]] = fate
        fates[0] = _FOUND
        return fates

    return _Fates(judged(true, n_true, _MISSED), judged(found, n_found, _SPURIOUS))


def _count(regions: Counts, which: NDArray[np.bool_], n: int) -> Counts:
    """Count the pairs of every region for which something holds."""
    return np.bincount(regions[which], minlength=n)


def _best(regions: Counts, others: Counts, iou: NDArray[np.float64], n: int) -> _Best:
    """Find the best partner of each of n regions."""
    best = _Best(np.zeros(n, np.int64), np.zeros(n))
    # numpy keeps the last of several values for one place
    worst_first = np.lexsort((-others, iou))
    best.number[regions[worst_first]] = others[worst_first]
    best.iou[regions[worst_first]] = iou[worst_first]
    return best


def _scores(
    side: Side, regions: Numbered, fates: Codes, best: _Best, partner_ids: NDArray[Any]
) -> list[ObjectScore]:
    """Describe every region but the background."""
    areas, centroids = _centroids(regions)
    columns_of = (regions.ids, fates, areas, partner_ids[best.number], best.iou, *centroids)
    table = zip(*(column[1:].tolist() for column in columns_of), strict=True)
    return [
        ObjectScore(side, int(label), _FATES[fate], area, y, x, int(partner), overlap, z)
        for label, fate, area, partner, overlap, z, y, x in table
    ]


def _centroids(regions: Numbered) -> tuple[Counts, NDArray[np.float64]]:
    """Return the pixels of every region, and the (3, n) mean of their Z, Y and X."""
    numbers, n = regions.numbers, regions.ids.size
    numbers = numbers if numbers.ndim == 3 else numbers[np.newaxis]
    areas, sums = np.zeros(n, np.int64), np.zeros((3, n))
    for band in row_bands(numbers):
        flat = numbers[band].ravel()
        areas += np.bincount(flat, minlength=n)
        for total, places in zip(sums, np.indices(numbers[band].shape), strict=True):
            total += np.bincount(flat, places.ravel(), minlength=n)
        sums[0] += band.start * np.bincount(flat, minlength=n)
    return areas, sums / np.maximum(areas, 1)
