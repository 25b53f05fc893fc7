"""What a model is trained on: images, each with what is painted on it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Shapes

from napari_unet.errors import InputError
from napari_unet.viewer.layers import image_layers, labels_layers, last_linked
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
    """Return every open image with the labels that were made for it, or trained on with it, last.

    Labels that are empty, or no longer lie on the pixels of their image, do not count.
    """
    shapes = [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    sources = []
    for image in image_layers(viewer):
        with suppress(InputError):  # what cannot be trained on is not
            shape = ImageStack.of(image).shape
            fitting = [one for one in labels_layers(viewer) if tuple(finest(one).shape) == shape]
            labels = last_linked((one for one in fitting if _any(one)), image)
            if labels is not None:
                sources.append(Source(image, labels, last_linked(shapes, image)))
    return sources


def _any(labels: Labels) -> bool:
    data = finest(labels)
    return any(np.any(data[index]) for index in np.ndindex(data.shape[:-2]))
