"""What can be scored: labels that may be the truth, and what is segmented."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from napari_unet.core.annotation import first_cell
from napari_unet.errors import InputError
from napari_unet.viewer.layers import labels_layers
from napari_unet.viewer.notes import meaning_of
from napari_unet.viewer.painted import check_same_grid
from napari_unet.viewer.segmenting.results import UNFINISHED, segmentations
from napari_unet.viewer.session import SEGMENTING, Session
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = [
    "check_labelled",
    "check_truth",
    "has_classes",
    "is_segmented",
    "is_segmented_in_3d",
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
    """Raise an `InputError` if labels cannot be the truth about an image."""
    check_same_grid(image, truth, ImageStack.of(image))


def check_labelled(truth: Labels, plane: PlaneIndex) -> None:
    """Raise an `InputError` if labels hold nothing true in a plane."""
    meaning = meaning_of(truth)
    if np.max(finest(truth)[plane]) < first_cell(meaning):
        nothing = "class" if meaning == "classes" else "cell"
        raise InputError(
            f"Labels layer {truth.name!r} holds no {nothing} in this plane (its meaning is "
            f"{meaning}): choose other labels, or go to a plane in which there is one."
        )


def has_classes(session: Session, image: Image, truth: Labels, plane: PlaneIndex | None) -> bool:
    """Whether classes of pixels are compared; raise an `InputError` if one side has cells."""
    segmented = _tells_classes(session, image, plane)
    true = meaning_of(truth) == "classes"
    if true and not segmented:
        raise InputError(
            f"Labels layer {truth.name!r} holds classes, and the segmentation of layer "
            f"{image.name!r} holds cells: choose labels of cells. If these are cells, choose "
            f"them beside Labels, set Meaning to instances, and choose your own again."
        )
    if segmented and not true:
        raise InputError(
            f"The segmentation of layer {image.name!r} tells classes of pixels apart, and labels "
            f"layer {truth.name!r} holds cells: choose labels of classes. If these are classes, "
            f"choose them beside Labels, set Meaning to classes, and choose your own again."
        )
    return true


def segmentation_of(session: Session, image: Image, plane: PlaneIndex | None) -> Labels:
    """Return the layer with what was segmented of an image.

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
        If there is none, or if it is written now.
    """
    for layer in segmentations(session.viewer, image):
        if is_written(session, layer):
            raise InputError(
                f"Layer {image.name!r} is being segmented: wait until that has ended, then press "
                f"Score again."
            )
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


def is_segmented_in_3d(segmentation: Labels, volume: PlaneIndex) -> bool:
    """Whether a volume is segmented, and not only one plane of it."""
    if UNFINISHED in segmentation.name:
        return False
    n = int(segmentation.data.shape[-3])
    with_cells = (z for z in range(n) if segmentation.data[(*volume, z)].any())
    return len(list(islice(with_cells, 2))) == min(n, 2)


def _tells_classes(session: Session, image: Image, plane: PlaneIndex | None) -> bool:
    """Whether an image was segmented with a model of classes."""
    kept = session.kept.planes(image)
    known = session.kept.get(image, plane if plane in kept else kept[0]) if kept else None
    model = (known or session).segmenter
    return model is not None and model.kind == "classes"
