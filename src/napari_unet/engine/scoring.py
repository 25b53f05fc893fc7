"""Score a plane of a segmentation in a process beside the viewer; importing this loads no scipy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Meaning

if TYPE_CHECKING:
    from napari_unet.core.comparison import ObjectScore

__all__ = ["PlaneScore", "score_plane"]


@dataclass(frozen=True, slots=True)
class PlaneScore:
    """How well the cells of a plane agree with the truth.

    Attributes
    ----------
    seg, average_precision, iou : float
        0 to 1, best 1: see `napari_unet.metrics`; the precision is that at 0.5.
    objects : tuple of ObjectScore
        What became of every true object, then of every predicted one.
    """

    seg: float
    average_precision: float
    iou: float
    objects: tuple[ObjectScore, ...]


def score_plane(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    meaning: Meaning,
    errors: NDArray[np.uint8],
) -> Iterator[PlaneScore | None]:
    """Compare a plane with its truth; yield the scores, or None if the truth has no cell there.

    Parameters
    ----------
    truth, predicted : integer array
        (Y, X) labels of the same pixels; predicted 0 is background.
    meaning : {"scribbles", "instances"}
        Of the truth. Of scribbles only the labelled pixels count: a predicted object that lies
        mostly outside of them, and covers no true cell by half, is left out, and others are cut.
    errors : uint8 array
        (Y, X), shared with the program; receives `napari_unet.core.comparison.error_map`.
    """
    from napari_unet.core import comparison, metrics

    if meaning == "scribbles":
        predicted = _where_labelled(truth, predicted)
        truth = np.where(truth > 1, truth, 0)
    if not truth.any():
        yield None
        return
    truth, predicted = _narrow(truth), _narrow(predicted)
    errors[...] = comparison.error_map(truth, predicted)
    yield PlaneScore(
        metrics.seg_score(truth, predicted),
        metrics.average_precision(truth, predicted),
        metrics.iou(truth, predicted),
        tuple(comparison.compare_objects(truth, predicted)),
    )


def _where_labelled(
    scribbles: NDArray[np.integer], predicted: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Keep of the predicted objects what can be judged by scribbles (see `score_plane`)."""
    from napari_unet.core.overlaps import numbered, overlaps

    labelled = scribbles > 0
    objects = numbered(predicted)
    sizes = np.bincount(objects.numbers.ravel(), minlength=objects.ids.size)
    inside = np.bincount(objects.numbers[labelled], minlength=objects.ids.size)
    judged = 2 * inside >= sizes
    pairs = overlaps(np.where(scribbles > 1, scribbles, 0), objects.numbers).among_objects()
    judged[pairs.predicted[2 * pairs.shared >= pairs.truth_sizes[pairs.truth]]] = True
    return np.where(labelled & judged[objects.numbers], predicted, 0)


def _narrow(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels in a dtype that is quicker to sort, where their numbers allow it."""
    if labels.min(initial=0) < 0:
        return labels
    return labels.astype(np.min_scalar_type(labels.max(initial=0)))
