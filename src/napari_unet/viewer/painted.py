"""Copies of what is painted: made on the main thread, completed by a worker with the image."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation, Meaning
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.notes import meaning_of
from napari_unet.viewer.placement import TOLERANCE, farthest_pixel
from napari_unet.viewer.reading import read_planes
from napari_unet.viewer.regions import region_mask, region_masks
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest, pixel_size

__all__ = ["Painted", "check_same_grid", "painted"]


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
