"""What annotations must hold before anything is learned from them, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation, first_cell
from napari_unet.core.cellclasses import ModelKind
from napari_unet.core.diameters import diameters
from napari_unet.core.given import is_path, told
from napari_unet.core.summary import Summary, summarise
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = [
    "check_channels",
    "check_classes",
    "check_labelled",
    "class_names",
    "listed",
    "object_diameters",
    "painted_cells",
]


def listed(annotations: Iterable[Annotation]) -> list[Annotation]:
    """Return annotations as a list.

    Raises
    ------
    InputError
        If something else is given, such as paths, or one annotation alone.
    """
    given: Any = annotations
    some = isinstance(given, Iterable) and not is_path(given)
    found = list(given) if some else []
    strange = [one for one in found if not isinstance(one, Annotation)] if some else [given]
    if strange:
        raise InputError(
            f"What to train on is {told(strange[0])}; give a list of Annotation(image, labels)."
        )
    return found


def check_labelled(annotations: Sequence[Annotation]) -> Summary:
    """Check that at least two classes are painted; return what is.

    Raises
    ------
    InputError
        If not.
    """
    if not annotations:
        raise InputError("There is nothing to train on; give at least one image with labels.")
    summary = summarise(list(annotations))
    if summary.classes and summary.unlabelled < summary.total:
        if sum(n > 0 for n in summary.classes) < 2:
            raise InputError(
                f"Only one class is painted ({summary}); paint at least two classes, also some "
                f"background."
            )
        return summary
    if summary.unlabelled == summary.total:
        raise InputError("Nothing is painted yet; paint a few cells and some background.")
    if summary.objects == 0:
        raise InputError(f"No cell is painted yet ({summary}); paint a few cells.")
    if summary.background == 0:
        number = 1 if any(a.meaning == "scribbles" for a in annotations) else 0
        raise InputError(
            f"No background is painted yet ({summary}); paint some background with label {number}, "
            f"or draw a training region around cells that are all painted."
        )
    return summary


def check_channels(counts: Iterable[int], segmenter: Segmenter | None) -> None:
    """Check that all planes have the same number of channels, that of the model to continue.

    Raises
    ------
    InputError
        If not.
    """
    channels = set(counts)
    if len(channels) > 1:
        raise InputError(
            f"The images have different numbers of channels ({sorted(channels)}); train on images "
            f"of one kind."
        )
    (count,) = channels
    if segmenter is not None and segmenter.in_channels != count:
        raise InputError(
            f"The model to continue was trained on {segmenter.in_channels} channel(s), these "
            f"images have {count}; start a new model."
        )


def check_classes(count: int, kind: ModelKind, known_kind: ModelKind, known_count: int) -> None:
    """Check that a network has an output for each of ``count`` classes.

    Raises
    ------
    InputError
        If it has fewer, or knows cells and not classes, or the other way round.
    """
    if known_kind != kind or known_count < count:
        classes = "cells" if known_kind == "cells" else f"{known_count} classes"
        painted = "cells" if kind == "cells" else f"{count} classes"
        raise InputError(
            f"The model to continue knows {classes}, but {painted} are painted; start a new model."
        )


def class_names(
    summary: Summary, planes: Sequence[Annotation], kind: ModelKind, segmenter: Segmenter | None
) -> tuple[int, tuple[str, ...]]:
    """Return how many outputs the network has, and what its classes are called.

    A model to continue keeps its own; one of cells of a single class can learn more.

    Parameters
    ----------
    summary : Summary
        What is labelled.
    planes, kind
        What is learned from, and what.
    segmenter : Segmenter or None
        The model to continue.

    Raises
    ------
    InputError
        If more classes are painted than it has, or others.
    """
    if kind == "classes":
        count = max([2, *(int(plane.labels.max()) for plane in planes)])
        if segmenter is not None:
            check_classes(count, kind, segmenter.kind, segmenter.n_classes)
            count = segmenter.n_classes
        names = summary.names or (segmenter.class_names if segmenter is not None else ())
        return count, names and (*names, *[""] * (count - len(names)))
    # a single class is no more than a cell
    names = summary.names if len(summary.names) > 1 else ()
    if segmenter is None:
        return max(len(names), 1) + 1, names
    check_classes(2, kind, segmenter.kind, segmenter.n_classes)
    if segmenter.cell_classes == 1:
        return max(len(names), 1) + 1, names
    painted = [name for name, n in zip(summary.names, summary.kinds, strict=True) if n]
    strange = [name for name in painted if name not in segmenter.class_names]
    if strange:
        raise InputError(
            f"The model to continue knows cells of the classes {', '.join(segmenter.class_names)}, "
            f"but {', '.join(strange)} is painted; start a new model."
        )
    return segmenter.n_classes, segmenter.class_names


def painted_cells(plane: Annotation) -> NDArray[np.integer]:
    """Return the painted cells of one plane, and 0 elsewhere."""
    return np.where(plane.labels >= first_cell(plane.meaning), plane.labels, 0)


def object_diameters(plane: Annotation) -> NDArray[np.float64]:
    """Return the diameters in image pixels of the painted objects of one plane."""
    if plane.meaning != "classes":
        return diameters(painted_cells(plane))
    # of classes, objects are the connected pieces of every class but the largest one
    counts = np.bincount(plane.labels.ravel().astype(np.uint8))  # classes are at most 254
    counts[0] = 0
    return diameters(np.where(plane.labels == counts.argmax(), 0, plane.labels))
