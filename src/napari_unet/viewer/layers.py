"""Which layers are images, labels and results; what labels mean; copies for the engine."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation, Meaning
from napari_unet.core.linking import Kind
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.placement import TOLERANCE, farthest_pixel
from napari_unet.viewer.planes import zeros
from napari_unet.viewer.reading import read_planes
from napari_unet.viewer.regions import region_mask, region_masks
from napari_unet.viewer.stack import (
    ImageStack,
    PlaneIndex,
    finest,
    pixel_size,
    spatial_metadata,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = [
    "METADATA",
    "Meaning",
    "Painted",
    "ResultKind",
    "check_same_grid",
    "entry",
    "image_layers",
    "is_linked",
    "is_outdated",
    "is_result",
    "labels_layers",
    "last_linked",
    "likely_labels",
    "link",
    "mark_result",
    "meaning_of",
    "new_scribbles",
    "note",
    "note_outdated",
    "painted",
    "set_meaning",
]

METADATA = "napari_unet"
"""Key of our entry in ``layer.metadata``."""

L = TypeVar("L", bound="Layer")

_links = count()  # orders links, so that the last one is known

ResultKind = Literal[
    "segmentation", "probability", "weights", "preview", "uncertainty", "errors", "tracks"
]


def entry(layer: Layer) -> dict[str, Any]:
    """Return what is noted with a layer; `note` changes it, and so that listeners are told."""
    noted: dict[str, Any] = layer.metadata.get(METADATA, {})
    return noted


def note(layer: Layer, **values: Any) -> None:
    """Note something with a layer, beside what is noted already; napari's duplicates copy it."""
    layer.metadata = dict(layer.metadata) | {METADATA: entry(layer) | values}


def image_layers(viewer: ViewerModel) -> list[Image]:
    """Return the layers that can be trained on and segmented (not our own results)."""
    return [layer for layer in viewer.layers if isinstance(layer, Image) and not is_result(layer)]


def labels_layers(viewer: ViewerModel) -> list[Labels]:
    """Return the layers that can be trained from (not our own results)."""
    return [layer for layer in viewer.layers if isinstance(layer, Labels) and not is_result(layer)]


def likely_labels(viewer: ViewerModel, image: Image | None) -> Labels | None:
    """Return the labels layer that belongs to an image, if only one can.

    One that was made for another open image, or trained on with it, does not: of several fields,
    all of one size, each would seem to have what is painted on the first.
    """
    if image is None:
        return None
    shape = ImageStack.of(image).shape
    others = [other for other in image_layers(viewer) if other is not image]
    fitting = [
        layer
        for layer in labels_layers(viewer)
        if tuple(finest(layer).shape) == shape
        and not any(is_linked(layer, other) for other in others)
    ]
    ours = [layer for layer in fitting if entry(layer).get("image") == _identity(image)]
    for candidates in (ours, fitting):
        if len(candidates) == 1:
            return candidates[0]
    return None


def mark_result(layer: Layer, kind: ResultKind, image: Image) -> None:
    """Write into a layer that it shows what we computed for an image."""
    identities = {"image": _identity(image), "shown_in": _identity(layer)}
    note(layer, result=kind, **identities, planes=None, outdated=False)


def note_outdated(layer: Layer) -> None:
    """Note with a result that what it is about has changed since."""
    if not is_outdated(layer):
        note(layer, outdated=True)


def is_outdated(layer: Layer) -> bool:
    """Whether what a result is about has changed since."""
    return bool(entry(layer).get("outdated"))


def note_linked_planes(layer: Labels, into: Kind) -> None:
    """Note with a result that its objects keep their numbers through the planes."""
    note(layer, planes=into)


def linked_planes(layer: Labels) -> Kind | None:
    """Return what the planes of a result are linked into, if they are."""
    into: Kind | None = entry(layer).get("planes")
    return into


def is_result(layer: Layer, kind: ResultKind | None = None, image: Image | None = None) -> bool:
    """Whether we show something in a layer: of a kind, for an image.

    A duplicate of such a layer is the user's own: it can be corrected and trained from.
    """
    noted = entry(layer)
    return (
        noted.get("shown_in") == _identity(layer)
        and (kind is None or noted.get("result") == kind)
        and (image is None or noted.get("image") == _identity(image))
    )


def meaning_of(layer: Labels) -> Meaning:
    """Return what the numbers of a labels layer say; "instances" unless told otherwise."""
    meaning: Meaning = entry(layer).get("meaning", "instances")
    return meaning


def set_meaning(layer: Labels, meaning: Meaning) -> None:
    """Keep what the numbers of a labels layer say with the layer; doubts may be raised anew."""
    note(layer, meaning=meaning, answered=())


def link(layer: Layer, image: Image) -> None:
    """Remember with labels, or with training regions, which image they are drawn on."""
    note(layer, image=_identity(image), drawn_in=_identity(layer), linked=next(_links))


def is_linked(layer: Layer, image: Image) -> bool:
    """Whether a layer was made for an image, or was trained on with it.

    A duplicate of such a layer was not, nor was one of a result.
    """
    noted = entry(layer)
    return bool(
        noted.get("image") == _identity(image) and noted.get("drawn_in") == _identity(layer)
    )


def last_linked(layers: Iterable[L], image: Image) -> L | None:
    """Return the layer that was made for an image last, or trained on with it last."""
    linked = (layer for layer in layers if is_linked(layer, image))
    return max(linked, key=lambda layer: int(entry(layer)["linked"]), default=None)


def new_scribbles(viewer: ViewerModel, image: Image, meaning: Meaning = "scribbles") -> Labels:
    """Add an empty labels layer over an image, ready to paint background (1) and cells (2, ...).

    Of another meaning, the numbers say something else.

    Raises
    ------
    DeviceError
        If there is no memory for labels of all planes.
    """
    stack = ImageStack.of(image)
    remedy = "Open fewer planes of it, or open labels that are stored as zarr, and paint on those."
    layer = Labels(
        zeros(stack.shape, np.uint16, what=f"Labels on layer {image.name!r}", remedy=remedy),
        name=f"{image.name} scribbles",
        metadata={METADATA: {"meaning": meaning}},
        **spatial_metadata(image, stack),
    )
    link(layer, image)
    layer.selected_label = 2
    layer.brush_size = max(3, min(stack.plane_shape) // 60)
    viewer.add_layer(layer)
    layer.mode = "paint"
    return layer


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """A copy of what is painted, with the image it is painted on.

    Attributes
    ----------
    name : str
        Of the image layer.
    stack : ImageStack
        The image; it is read by `annotations`, so that a lazy one is read in a worker thread.
    meaning : Meaning
        What the numbers say.
    planes : list of (index, labels, region)
        The planes with labels or a training region: copies, for the user paints on.
    classes : dict
        The class of every label that has one.
    pixel_size : float
        Width of a pixel in micrometres; 0 when unknown.
    """

    name: str
    stack: ImageStack
    meaning: Meaning
    planes: list[tuple[PlaneIndex, NDArray[Any], NDArray[np.bool_] | None]]
    classes: dict[int, str] = field(default_factory=dict)
    pixel_size: float = 0.0

    def annotations(self, stop: threading.Event) -> list[Annotation]:
        """Read the image, until ``stop`` is set; for a worker thread.

        Raises
        ------
        InputError
            If a plane cannot be read.
        """
        indices = [index for index, _, _ in self.planes]
        images = read_planes(self.stack, indices, self.name, stop)
        return [
            Annotation(image, labels, self.meaning, region, self.classes, self.pixel_size)
            for image, (_, labels, region) in zip(images, self.planes, strict=False)
        ]


def painted(image: Image, labels: Labels, regions: Shapes | None = None) -> Painted:
    """Copy what is painted, ready to leave the main thread.

    Parameters
    ----------
    image, labels : layers
        Of equal shape (channels aside).
    regions : Shapes layer, optional
        Training regions: unpainted pixels inside are background, outside not labelled.

    Raises
    ------
    InputError
        If the labels do not lie on the image, or nothing is painted.
    """
    stack, data = ImageStack.of(image), finest(labels)
    check_same_grid(image, labels, stack)
    masks = None if regions is None else region_masks(regions, image)
    planes = []
    for index in stack.indices():
        plane, region = np.asarray(data[index]), region_mask(masks, index, stack)
        if plane.any() or (region is not None and region.any()):
            planes.append((index, plane.copy(), region))
    if not planes:
        raise InputError(
            f"Nothing is painted in layer {labels.name!r} yet: paint a few cells, and some "
            f"background."
        )
    classes, width = classes_of(labels), pixel_size(image).width
    return Painted(image.name, stack, meaning_of(labels), planes, classes, width)


def check_same_grid(image: Image, labels: Labels, stack: ImageStack) -> None:
    """Raise an `InputError` if labels do not lie on the pixels of an image."""
    shape = tuple(finest(labels).shape)
    if shape != stack.shape:
        raise InputError(
            f"Labels layer {labels.name!r} has shape {shape}, image layer {image.name!r} has "
            f"{stack.shape} ({stack.describe()}); choose or make labels of this image."
        )
    away = farthest_pixel(image, labels, stack)
    if away > TOLERANCE:
        raise InputError(
            f"Labels layer {labels.name!r} does not lie on image layer {image.name!r}, but up to "
            f"{away:,.3g} px away. Right-click the image > Copy scale and transforms > Copy all to "
            f"clipboard; right-click the labels > Apply scale/transforms from Clipboard. Or press "
            f"New beside Labels."
        )


def _identity(layer: Layer) -> str:
    # not the layer itself: napari copies metadata deeply when it duplicates a layer
    return str(layer.unique_id)
