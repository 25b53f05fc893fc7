"""How well classes of pixels agree with the truth, class by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.core.overlaps import Overlaps, comparable, numbered

__all__ = [
    "ClassScore",
    "compare_classes",
    "mean_iou",
    "together",
    "wrong_classes",
    "wrong_share",
]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well the pixels of one class were found.

    Attributes
    ----------
    label : int
        The number of the class.
    true, predicted, shared : int
        How many pixels are of that class, were given it, and both; at least one is.
    """

    label: int
    true: int
    predicted: int
    shared: int

    @property
    def iou(self) -> float:
        """Intersection over union of its true and its predicted pixels, 0 to 1."""
        return self.shared / (self.true + self.predicted - self.shared)


def compare_classes(truth: ArrayLike, predicted: ArrayLike) -> list[ClassScore]:
    """Score every class that a labelled pixel has or was given, by rising numbers.

    Parameters
    ----------
    truth : integer array
        Classes 1, 2, ... of any shape; 0 is not labelled, and those pixels are left out.
    predicted : integer array
        Classes of the same pixels.

    Raises
    ------
    InputError
        If the arrays cannot be compared pixel by pixel.
    """
    first, second = comparable(truth, predicted)
    true, found = numbered(first), numbered(_where_labelled(first, second))
    pairs = Overlaps.between(true, found).among_objects()
    true_ids, found_ids = true.ids.tolist(), found.ids.tolist()
    of_truth = dict(zip(true_ids, pairs.truth_sizes.tolist(), strict=True))
    of_found = dict(zip(found_ids, pairs.predicted_sizes.tolist(), strict=True))
    both = zip(pairs.truth.tolist(), pairs.predicted.tolist(), pairs.shared.tolist(), strict=True)
    shared = {true_ids[t]: n for t, p, n in both if true_ids[t] == found_ids[p]}
    scores = []
    for label in sorted({*true_ids, *found_ids} - {0}):
        n_true, n_found, n = (sizes.get(label, 0) for sizes in (of_truth, of_found, shared))
        scores.append(ClassScore(label, n_true, n_found, n))
    return scores


def together(parts: Iterable[Sequence[ClassScore]]) -> list[ClassScore]:
    """Return the scores of all pixels of several planes."""
    sums: dict[int, ClassScore] = {}
    for one in (one for part in parts for one in part):
        so_far = sums.get(one.label, ClassScore(one.label, 0, 0, 0))
        sums[one.label] = ClassScore(
            one.label,
            so_far.true + one.true,
            so_far.predicted + one.predicted,
            so_far.shared + one.shared,
        )
    return [sums[label] for label in sorted(sums)]


def mean_iou(classes: Sequence[ClassScore]) -> float:
    """Return the mean intersection over union of the classes, of which there are some."""
    return fmean(one.iou for one in classes)


def wrong_share(classes: Sequence[ClassScore]) -> float:
    """Return the share of the labelled pixels, of which there are some, with a wrong class."""
    return 1 - sum(one.shared for one in classes) / sum(one.true for one in classes)


def wrong_classes(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.bool_]:
    """Mark the labelled pixels that were given another class than the true one.

    Parameters
    ----------
    truth, predicted : integer array
        As for `compare_classes`.
    """
    first, second = comparable(truth, predicted)
    wrong: NDArray[np.bool_] = (first != 0) & (first != second)
    return wrong


def _where_labelled(truth: NDArray[Any], predicted: NDArray[Any]) -> NDArray[Any]:
    return np.where(truth != 0, predicted, np.zeros(1, predicted.dtype))
