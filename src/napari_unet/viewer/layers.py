"""Which layers are images, labels and results; what labels mean; copies for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation, Meaning
from napari_unet.core.doubt import Doubt, doubt
from napari_unet.engine import tasks
from napari_unet.errors import InputError
from napari_unet.viewer.background import Background
from napari_unet.viewer.regions import region_mask, region_masks
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest, spatial_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = [
    "METADATA",
    "Meaning",
    "Painted",
    "ResultKind",
    "answer",
    "ask_doubt",
    "check_same_grid",
    "doubt_about",
    "forget_doubt",
    "fullest_plane",
    "image_layers",
    "is_linked",
    "is_result",
    "labels_layers",
    "last_linked",
    "likely_labels",
    "link",
    "mark_result",
    "meaning_of",
    "new_scribbles",
    "painted",
    "set_meaning",
]

METADATA = "napari_unet"
"""Key of our entry in ``layer.metadata``."""

L = TypeVar("L", bound="Layer")

MOST_PLANES = 50
DOUBT = "doubt"

_links = count()  # orders links, so that the last one is known

ResultKind = Literal["segmentation", "probability", "weights", "preview", "uncertainty"]


def image_layers(viewer: ViewerModel) -> list[Image]:
    """Return the layers that can be trained on and segmented (not our own results)."""
    return [layer for layer in viewer.layers if isinstance(layer, Image) and not is_result(layer)]


def labels_layers(viewer: ViewerModel) -> list[Labels]:
    """Return the layers that can be trained from (not our own results)."""
    return [layer for layer in viewer.layers if isinstance(layer, Labels) and not is_result(layer)]


def likely_labels(viewer: ViewerModel, image: Image | None) -> Labels | None:
    """Return the labels layer that belongs to an image, if only one can."""
    if image is None:
        return None
    shape = ImageStack.of(image).shape
    fitting = [layer for layer in labels_layers(viewer) if tuple(finest(layer).shape) == shape]
    ours = [layer for layer in fitting if _entry(layer).get("image") == _identity(image)]
    for candidates in (ours, fitting):
        if len(candidates) == 1:
            return candidates[0]
    return None


def mark_result(layer: Layer, kind: ResultKind, image: Image) -> None:
    """Write into a layer that it shows what we computed for an image."""
    _note(layer, result=kind, image=_identity(image), shown_in=_identity(layer))


def is_result(layer: Layer, kind: ResultKind | None = None, image: Image | None = None) -> bool:
    """Whether we show something in a layer: of a kind, for an image.

    A duplicate of such a layer is the user's own: it can be corrected and trained from.
    """
    entry = _entry(layer)
    return (
        entry.get("shown_in") == _identity(layer)
        and (kind is None or entry.get("result") == kind)
        and (image is None or entry.get("image") == _identity(image))
    )


def meaning_of(layer: Labels) -> Meaning:
    """Return what the numbers of a labels layer say; "instances" unless told otherwise."""
    meaning: Meaning = _entry(layer).get("meaning", "instances")
    return meaning


def set_meaning(layer: Labels, meaning: Meaning) -> None:
    """Keep what the numbers of a labels layer say with the layer; doubts may be raised anew."""
    _note(layer, meaning=meaning, answered=())


def doubt_about(layer: Labels, *, has_regions: bool = False) -> Doubt | None:
    """Return the question that a labels layer raises about its meaning, if any.

    It is judged by the plane with most painted pixels, of the first fifty that have any.
    """
    fullest = None
    for fullest in fullest_plane(layer):  # noqa: B007 (the last one counts)
        pass
    return None if fullest is None else doubt(fullest, *_how(layer, has_regions))


def fullest_plane(layer: Labels) -> Iterator[NDArray[Any] | None]:
    """Yield, after every plane, that with most painted pixels so far, of fifty that have any."""
    data = finest(layer)
    fullest, most, left = None, 0, MOST_PLANES
    for index in np.ndindex(data.shape[:-2]):
        plane = np.asarray(data[index])
        painted = int(np.count_nonzero(plane))
        if painted > most:
            fullest, most = plane, painted
        left -= painted > 0
        yield fullest
        if not left:
            return


def ask_doubt(
    background: Background,
    layer: Labels,
    plane: NDArray[Any],
    has_regions: bool,
    on_doubt: Callable[[Doubt | None], object],
) -> None:
    """Look for a doubt in the background: it takes too long to paint meanwhile.

    Parameters
    ----------
    background : Background
        Looks.
    layer : Labels
        Whose meaning is judged.
    plane : integer array
        (Y, X), the fullest one.
    has_regions : bool
        Whether training regions say what is finished.
    on_doubt : callable
        Told the question, or None.
    """
    background.ask(DOUBT, tasks.find_doubt, plane, *_how(layer, has_regions), on_event=on_doubt)


def forget_doubt(background: Background) -> None:
    """Wait for no answer any more."""
    background.cancel(DOUBT)


def _how(layer: Labels, has_regions: bool) -> tuple[Meaning, bool, tuple[str, ...]]:
    """Return what `napari_unet.core.doubt.doubt` has to know beside the pixels."""
    return meaning_of(layer), has_regions, tuple(_entry(layer).get("answered", ()))


def answer(layer: Labels, doubt: Doubt, *, yes: bool) -> None:
    """Remember an answer with the layer.

    Raises
    ------
    InputError
        If after this answer nothing can be learned from the labels as they are.
    """
    meaning = doubt.yes if yes else doubt.no
    if meaning is None:
        raise InputError(doubt.remedy)
    _note(layer, meaning=meaning, answered=(*_entry(layer).get("answered", ()), doubt.key))


def link(layer: Layer, image: Image) -> None:
    """Remember with labels, or with training regions, which image they are drawn on."""
    _note(layer, image=_identity(image), drawn_in=_identity(layer), linked=next(_links))


def is_linked(layer: Layer, image: Image) -> bool:
    """Whether a layer was made for an image, or was trained on with it.

    A duplicate of such a layer was not, nor was one of a result.
    """
    entry = _entry(layer)
    return bool(
        entry.get("image") == _identity(image) and entry.get("drawn_in") == _identity(layer)
    )


def last_linked(layers: Iterable[L], image: Image) -> L | None:
    """Return the layer that was made for an image last, or trained on with it last."""
    linked = (layer for layer in layers if is_linked(layer, image))
    return max(linked, key=lambda layer: int(_entry(layer)["linked"]), default=None)


def new_scribbles(viewer: ViewerModel, image: Image) -> Labels:
    """Add an empty labels layer over an image, ready to paint background (1) and cells (2, ...)."""
    stack = ImageStack.of(image)
    layer = Labels(
        np.zeros(stack.shape, dtype=np.uint16),
        name=f"{image.name} scribbles",
        metadata={METADATA: {"meaning": "scribbles"}},
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
    stack : ImageStack
        The image; it is read by `annotations`, so that a lazy one is read in a worker thread.
    meaning : Meaning
        What the numbers say.
    planes : list of (index, labels, region)
        The planes with labels or a training region: copies, for the user paints on.
    """

    stack: ImageStack
    meaning: Meaning
    planes: list[tuple[PlaneIndex, NDArray[Any], NDArray[np.bool_] | None]]

    def annotations(self) -> list[Annotation]:
        """Read the image; for a worker thread."""
        return [
            Annotation(self.stack.plane(index), labels, self.meaning, region)
            for index, labels, region in self.planes
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
        If the shapes differ, or nothing is painted.
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
    return Painted(stack, meaning_of(labels), planes)


def check_same_grid(image: Image, labels: Labels, stack: ImageStack) -> None:
    """Raise an `InputError` if labels do not lie on the pixels of an image."""
    shape = tuple(finest(labels).shape)
    if shape != stack.shape:
        raise InputError(
            f"Labels layer {labels.name!r} has shape {shape}, image layer {image.name!r} has "
            f"{stack.shape} ({stack.describe()}); choose or make labels of this image."
        )


def _entry(layer: Layer) -> dict[str, Any]:
    entry: dict[str, Any] = layer.metadata.get(METADATA, {})
    return entry


def _note(layer: Layer, **values: Any) -> None:
    layer.metadata = dict(layer.metadata) | {METADATA: _entry(layer) | values}


def _identity(layer: Layer) -> str:
    # not the layer itself: napari copies metadata deeply when it duplicates a layer
    return str(layer.unique_id)
