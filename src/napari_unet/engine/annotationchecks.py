"""What annotations must hold before anything is learned from them, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation, summarise
from napari_unet.core.instances import diameters
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = ["check_channels", "check_classes", "check_labelled", "class_count", "object_diameters"]

Kind = Literal["cells", "classes"]


def check_labelled(annotations: Sequence[Annotation]) -> None:
    """Check that at least two classes are painted.

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
        return
    if summary.unlabelled == summary.total:
        raise InputError("Nothing is painted yet; paint a few cells and some background.")
    if summary.objects == 0:
        raise InputError(f"No cell is painted yet ({summary}); paint a few cells.")
    if summary.background == 0:
        raise InputError(
            f"No background is painted yet ({summary}); paint some background with label 1, or "
            f"draw a training region around cells that are all painted."
        )


def check_channels(planes: Sequence[Annotation], segmenter: Segmenter | None) -> None:
    """Check that all planes have the same channels, those of the model to continue.

    Raises
    ------
    InputError
        If not.
    """
    channels = {plane.channels for plane in planes}
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


def check_classes(count: int, kind: Kind, known_kind: Kind, known_count: int) -> None:
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


def class_count(planes: Sequence[Annotation], kind: Kind, segmenter: Segmenter | None) -> int:
    """Return how many outputs the network has: those of the model to continue, if there is one.

    Raises
    ------
    InputError
        If more classes are painted than it has.
    """
    count = 2 if kind == "cells" else max(2, *(int(plane.labels.max()) for plane in planes), 2)
    if segmenter is None:
        return count
    check_classes(count, kind, segmenter.kind, segmenter.n_classes)
    return segmenter.n_classes


def object_diameters(plane: Annotation) -> NDArray[np.float64]:
    """Return the diameters in image pixels of the painted objects of one plane."""
    if plane.meaning == "instances":
        return diameters(plane.labels)
    if plane.meaning == "scribbles":
        return diameters(np.where(plane.labels > 1, plane.labels, 0))
    # of classes, objects are the connected pieces of every class but the largest one
    counts = np.bincount(plane.labels.ravel().astype(np.uint8))  # classes are at most 254
    counts[0] = 0
    return diameters(np.where(plane.labels == counts.argmax(), 0, plane.labels))
