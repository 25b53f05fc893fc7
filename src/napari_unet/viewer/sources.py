"""What a model is trained on: images, each with what is painted on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Shapes

from napari_unet.viewer.layers import image_layers, is_linked, labels_layers
from napari_unet.viewer.stack import ImageStack, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Source", "painted_sources"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image and what is painted on it: labels, and perhaps a Shapes layer of regions."""

    image: Image
    labels: Labels
    regions: Shapes | None = None


def painted_sources(viewer: ViewerModel) -> list[Source]:
    """Return every open image with labels that were made for it, or were trained on with it.

    Labels that are empty, or no longer lie on the pixels of their image, do not count.
    """
    shapes = [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    sources = []
    for image in image_layers(viewer):
        regions = next((layer for layer in shapes if is_linked(layer, image)), None)
        shape = ImageStack.of(image).shape
        sources += [
            Source(image, labels, regions)
            for labels in labels_layers(viewer)
            if is_linked(labels, image) and tuple(finest(labels).shape) == shape and _any(labels)
        ]
    return sources


def _any(labels: Labels) -> bool:
    data = finest(labels)
    return any(np.any(data[index]) for index in np.ndindex(data.shape[:-2]))
