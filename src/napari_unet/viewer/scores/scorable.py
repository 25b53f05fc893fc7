"""What can be scored: labels that may be the truth, and planes that are segmented."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from napari_unet.errors import InputError
from napari_unet.viewer.correcting.picking import first_cell
from napari_unet.viewer.layers import check_same_grid, is_result, labels_layers, meaning_of
from napari_unet.viewer.segmenting.results import UNFINISHED
from napari_unet.viewer.session import SEGMENTING, Session
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = [
    "check_labelled",
    "check_truth",
    "is_segmented",
    "is_written",
    "possible_truths",
    "segmentation_of",
]


def possible_truths(viewer: ViewerModel, image: Image | None) -> list[Labels]:
    """Return the labels layers with the size of an image; results of ours are not the truth."""
    fitting: list[Labels] = []
    if image is not None:
        with suppress(InputError):  # what cannot be segmented cannot be scored
            shape = ImageStack.of(image).shape
            every = labels_layers(viewer)
            fitting = [layer for layer in every if tuple(finest(layer).shape) == shape]
    return fitting


def check_truth(image: Image, truth: Labels) -> None:
    """Raise an `InputError` if labels cannot be the truth about the cells of an image."""
    check_same_grid(image, truth, ImageStack.of(image))
    if meaning_of(truth) == "classes":
        raise InputError(
            f"Labels layer {truth.name!r} holds classes, and only cells can be scored: choose "
            f"labels of cells, or set their meaning to scribbles or instances."
        )


def check_labelled(truth: Labels, plane: PlaneIndex) -> None:
    """Raise an `InputError` if labels hold no cell in a plane."""
    meaning = meaning_of(truth)
    if np.max(finest(truth)[plane]) < first_cell(meaning):
        raise InputError(
            f"Labels layer {truth.name!r} holds no cell in this plane (its meaning is {meaning}): "
            f"choose other labels, or go to a plane in which cells are labelled."
        )


def segmentation_of(session: Session, image: Image, plane: PlaneIndex | None) -> Labels:
    """Return the layer with the cells of an image that were segmented.

    Parameters
    ----------
    session : Session
        Segments.
    image : Image
        Was segmented.
    plane : tuple of int, optional
        The plane that must be segmented.

    Raises
    ------
    InputError
        If there is none, if it is written now, or if it holds classes.
    """
    shape = ImageStack.of(image).shape
    for layer in session.viewer.layers:
        ours = isinstance(layer, Labels) and is_result(layer, "segmentation", image)
        if not ours or layer.data.shape != shape:
            continue
        if is_written(session, layer):
            raise InputError(
                f"Layer {image.name!r} is being segmented: wait until that has ended, then press "
                f"Score again."
            )
        _check_cells(session, image, plane)
        if plane is None or is_segmented(session, image, layer, plane):
            return layer
    raise InputError(
        f"Layer {image.name!r} is not segmented here: press Segment first, and then Score."
    )


def is_written(session: Session, segmentation: Labels) -> bool:
    """Whether a job writes a segmentation."""
    running = session.jobs.state != "idle" and session.title == SEGMENTING
    return running and UNFINISHED in segmentation.name


def is_segmented(session: Session, image: Image, segmentation: Labels, plane: PlaneIndex) -> bool:
    """Whether the cells of a plane are found; without any, that is known only of what is kept."""
    highest = int(segmentation.data[plane].max(initial=0))
    if UNFINISHED in segmentation.name and highest == 1:
        return False  # while tiles come in, all of the foreground is 1
    return highest > 0 or session.kept.get(image, plane) is not None


def _check_cells(session: Session, image: Image, plane: PlaneIndex | None) -> None:
    kept = session.kept.planes(image)
    known = session.kept.get(image, plane if plane in kept else kept[0]) if kept else None
    model = (known or session).segmenter
    if model is not None and model.kind == "classes":
        raise InputError(
            f"The segmentation of layer {image.name!r} tells classes of pixels apart, and only "
            f"cells can be scored: segment with a model of cells first."
        )
