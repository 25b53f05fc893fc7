"""Score a plane or a volume of a segmentation in a process beside the viewer.

Importing this loads no scipy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Meaning

if TYPE_CHECKING:
    from napari_unet.core.classcomparison import ClassScore
    from napari_unet.core.comparison import ObjectScore

__all__ = ["Agreement", "score_classes", "score_plane", "score_volume"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well the cells of a plane, or of a volume, agree with the truth.

    Attributes
    ----------
    seg, average_precision, iou : float
        0 to 1, best 1: see `napari_unet.metrics`; the precision is that at 0.5.
    objects : tuple of ObjectScore
        What became of every true object, then of every predicted one.
    doubt : str
        A sentence, if the numbers of the truth do not seem to tell cells apart.
    """

    seg: float
    average_precision: float
    iou: float
    objects: tuple[ObjectScore, ...]
    doubt: str = ""


def score_plane(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    meaning: Meaning,
    errors: NDArray[np.uint8],
) -> Iterator[Agreement | None]:
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
    yield _score(truth, predicted, meaning, errors)


def score_volume(
    truth: Sequence[Any], predicted: Sequence[Any], meaning: Meaning, errors: NDArray[np.uint8]
) -> Iterator[float | Agreement | None]:
    """Compare the objects of a volume, each of which has one number through all planes.

    Parameters
    ----------
    truth, predicted : sequence of array
        (1, Y, X) labels of each plane, read one after the other.
    meaning : {"scribbles", "instances"}
        As of `score_plane`.
    errors : uint8 array
        (Z, Y, X), as there.

    Yields
    ------
    float, Agreement or None
        The share of the planes that are read, and at last the scores, or None if the truth has no
        cell.
    """
    true, found = (np.zeros(errors.shape, planes[0].dtype) for planes in (truth, predicted))
    for z, planes in enumerate(zip(truth, predicted, strict=True)):
        true[z], found[z] = (np.asarray(plane[:, :, :])[0] for plane in planes)
        yield (z + 1) / len(true)
    yield _score(true, found, meaning, errors)


def score_classes(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], errors: NDArray[np.uint8]
) -> Iterator[tuple[ClassScore, ...] | None]:
    """Compare the classes of a plane with its truth; yield None if the truth has none there.

    Parameters
    ----------
    truth, predicted : integer array
        (Y, X) classes 1, 2, ... of the same pixels; where the truth is 0 nothing is compared.
    errors : uint8 array
        (Y, X), shared with the program; receives 1 where the class is wrong.
    """
    from napari_unet.core.classcomparison import compare_classes, wrong_classes

    errors[...] = wrong_classes(truth, predicted)
    yield tuple(compare_classes(truth, predicted)) or None


def _score(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    meaning: Meaning,
    errors: NDArray[np.uint8],
) -> Agreement | None:
    from napari_unet.core import comparison, metrics
    from napari_unet.core.unnumbered import seems_unnumbered

    if meaning == "scribbles":
        predicted = _where_labelled(truth, predicted)
        truth = np.where(truth > 1, truth, 0)
    if not truth.any():
        return None
    errors[...] = comparison.error_map(truth, predicted)
    return Agreement(
        metrics.seg_score(truth, predicted),
        metrics.average_precision(truth, predicted),
        metrics.iou(truth, predicted),
        tuple(comparison.compare_objects(truth, predicted)),
        seems_unnumbered(truth),
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
