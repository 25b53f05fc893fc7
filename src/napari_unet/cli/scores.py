"""The scores that ``napari-unet evaluate`` prints: of cells, of 3D objects, of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from napari_unet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Labels = NDArray[np.integer]

__all__ = ["Part", "Scores", "cell_scores", "class_scores", "means", "split"]

Part: TypeAlias = "tuple[Labels, Labels]"
"""The truth and the prediction of a plane, a volume or an image that is compared by itself."""

Scores: TypeAlias = dict[str, float]


def split(truth: Labels, predicted: Labels, ndim: int) -> list[Part]:
    """Return what is compared by itself: planes (Y, X), volumes (Z, Y, X), or with 0 all of it.

    Raises
    ------
    InputError
        If the shapes differ, numbers are negative, or planes are to be compared as volumes.
    """
    if truth.shape != predicted.shape:
        raise InputError(
            f"the truth has shape {truth.shape}, the prediction {predicted.shape}; "
            f"they must be labels of the same image."
        )
    for name, labels in (("truth", truth), ("prediction", predicted)):
        if (least := labels.min(initial=0)) < 0:
            raise InputError(
                f"the {name} holds {least}, and labels start at 0: set the negative ones to 0, or "
                f"they count as objects."
            )
    if truth.ndim < ndim:
        raise InputError(
            f"the labels have shape {truth.shape}, and objects in 3D have planes (Z, Y, X): score "
            f"it without --in-3d."
        )
    shape = truth.shape[-ndim:]
    return list(zip(truth.reshape(-1, *shape), predicted.reshape(-1, *shape), strict=True))


def cell_scores(truth: Labels, predicted: Labels) -> Scores:
    """Return the scores of the cells of a plane, or of the objects of a volume."""
    from napari_unet.core import metrics

    precisions = metrics.average_precision(truth, predicted, metrics.IOU_RANGE)
    split, merge = metrics.variation_of_information(truth, predicted)
    scores = {
        "SEG": metrics.seg_score(truth, predicted),
        "AP@0.5": float(precisions[0]),
        "AP@0.5:0.95": float(precisions.mean()),
        "IoU": metrics.iou(truth, predicted),
        "pixel error": metrics.pixel_error(truth, predicted),
    }
    if truth.ndim == 2:  # the challenge defines it in planes
        scores["warping error"] = metrics.warping_error(truth, predicted)
    return scores | {
        "Rand error": metrics.rand_error(truth, predicted),
        "adapted Rand error": metrics.adapted_rand_error(truth, predicted),
        "VI split": split,
        "VI merge": merge,
        "V_rand": metrics.foreground_rand_score(truth, predicted).score,
        "V_info": metrics.foreground_information_score(truth, predicted).score,
    }


def class_scores(truth: Labels, predicted: Labels) -> Scores:
    """Return the scores of classes of the pixels of an image, be it a plane or a stack.

    Raises
    ------
    InputError
        If the truth labels no pixel.
    """
    from napari_unet.core.classcomparison import compare_classes, mean_iou, wrong_share

    classes = compare_classes(truth, predicted)
    if not classes:
        raise InputError("the truth has no class but 0, and 0 is not labelled: number them from 1.")
    return {
        "mean IoU": mean_iou(classes),
        "pixel error": wrong_share(classes),
        **{f"IoU of {one.label}": one.iou for one in classes},
    }


def means(table: Iterable[Mapping[str, float]]) -> Scores:
    """Return the mean of each score, over those rows that have it."""
    columns: dict[str, list[float]] = {}
    for row in table:
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    return {key: sum(values) / len(values) for key, values in columns.items()}
