"""What a model is trained on: images, each with what is painted on it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Shapes

from napari_unet.errors import InputError
from napari_unet.viewer.imageregions import ImageRegions
from napari_unet.viewer.layers import image_layers, labels_layers
from napari_unet.viewer.notes import is_linked, last_linked, meaning_of
from napari_unet.viewer.stack import ImageStack, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Source", "check_alike", "painted_sources"]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image and what is painted on it: labels, and perhaps a Shapes layer of regions."""

    image: Image
    labels: Labels
    regions: Shapes | None = None


def check_alike(sources: Sequence[Source]) -> None:
    """Raise an `InputError` if no model could learn from all of them."""
    first = sources[0]
    for other in sources[1:]:
        # grey that is stored as colour goes together with images of one channel
        grey = all(ImageStack.of(source.image).fits(1) for source in (first, other))
        for says in (_kind,) if grey else (_kind, _channels):
            (mine, one), (theirs, another) = says(first), says(other)
            if one != another:
                raise InputError(
                    f"Layer {mine!r} {one}, and layer {theirs!r} {another}: one model cannot learn "
                    f"from both. Untick 'Also ... other painted images' to learn from the chosen "
                    f"one alone."
                )


def _kind(source: Source) -> tuple[str, str]:
    classes = meaning_of(source.labels) == "classes"
    return source.labels.name, f"holds {'classes' if classes else 'cells'}"


def _channels(source: Source) -> tuple[str, str]:
    count = ImageStack.of(source.image).channels
    return source.image.name, f"has {count} channel{'s' * (count != 1)}"


def painted_sources(viewer: ViewerModel, regions: ImageRegions) -> list[Source]:
    """Return every open image with the labels that were made for it, or trained on with it, last.

    Labels that are empty, or no longer lie on the pixels of their image, do not count.

    Parameters
    ----------
    viewer : napari viewer
        Has the layers.
    regions : ImageRegions
        Knows the training regions of each image.
    """
    sources = []
    for image in image_layers(viewer):
        with suppress(InputError):  # what cannot be trained on is not
            labels = _last_painted(labels_layers(viewer), image)
            if labels is not None:
                sources.append(Source(image, labels, regions.get(image)))
    return sources


def _last_painted(layers: list[Labels], image: Image) -> Labels | None:
    """Return the last of the labels that were made for an image on which something is painted.

    Whole stacks may be read for that, so of as few layers as possible.
    """
    shape = ImageStack.of(image).shape
    linked = [one for one in layers if tuple(finest(one).shape) == shape and is_linked(one, image)]
    while (newest := last_linked(linked, image)) is not None:
        if _any(newest):
            return newest
        linked.remove(newest)
    return None


def _any(labels: Labels) -> bool:
    data = finest(labels)
    return any(np.any(data[index]) for index in np.ndindex(data.shape[:-2]))
