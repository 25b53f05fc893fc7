"""The layers that can be trained on: images, labels that belong to them, and new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels

from napari_unet.viewer.notes import (
    METADATA,
    Meaning,
    belongs_to,
    is_linked,
    is_result,
    last_linked,
    link,
)
from napari_unet.viewer.planes import zeros
from napari_unet.viewer.stack import ImageStack, finest, spatial_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["image_layers", "labels_layers", "likely_labels", "new_scribbles", "set_visible"]


def image_layers(viewer: ViewerModel) -> list[Image]:
    """Return the layers that can be trained on and segmented (not our own results)."""
    return [layer for layer in viewer.layers if isinstance(layer, Image) and not is_result(layer)]


def labels_layers(viewer: ViewerModel) -> list[Labels]:
    """Return the layers that can be trained from (not our own results)."""
    return [layer for layer in viewer.layers if isinstance(layer, Labels) and not is_result(layer)]


def likely_labels(viewer: ViewerModel, image: Image | None) -> Labels | None:
    """Return the labels layer that belongs to an image, if one does.

    The last that was made for it, or trained on with it; or else the only one that can. One that
    was made for another open image, or trained on with it, does not: of several fields, all of one
    size, each would seem to have what is painted on the first.
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
    if (linked := last_linked(fitting, image)) is not None:
        return linked
    ours = [layer for layer in fitting if belongs_to(layer, image)]
    for candidates in (ours, fitting):
        if len(candidates) == 1:
            return candidates[0]
    return None


def set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide a layer; the tool in the user's hand stays, or comes back with the layer.

    Napari's own switch takes it away where it is set to what it is.
    """
    if layer.visible != visible:
        layer.visible = visible


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
