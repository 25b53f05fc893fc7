"""The outlines of the objects of an item, plane by plane."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from napari_unet.core.cellclasses import class_name, class_title
from napari_unet.core.outlines import Outline, outlines
from napari_unet.engine.formats.imagefile import ImageFile
from napari_unet.engine.items.link import LinkedPlanes
from napari_unet.engine.items.scratch import LabelPlanes
from napari_unet.engine.items.tables import classes_in, place_of
from napari_unet.engine.outlinefile import OutlinedPlane, place_along
from napari_unet.engine.segmenter import Segmenter

__all__ = ["outlined_planes"]

Labels = LabelPlanes | LinkedPlanes


def outlined_planes(
    segmenter: Segmenter, labels: Labels, image: ImageFile
) -> Iterator[OutlinedPlane]:
    """Outline the objects of every plane, in blocks; of a model of classes, the classes."""
    for plane in range(len(labels.before) - 1):
        found = outlines(partial(labels.blocks, place_of(labels, plane)))
        at = np.unravel_index(plane, image.plane_shape) if image.plane_shape else ()
        place = place_along(image.plane_axes, [int(n) for n in at])
        yield OutlinedPlane(objects=_with_classes(segmenter, labels, plane, found), place=place)


def _with_classes(
    segmenter: Segmenter, labels: Labels, plane: int, found: Iterator[Outline]
) -> Iterator[tuple[Outline, str]]:
    """Say the class of every object, where it has one."""
    names = segmenter.class_names
    if segmenter.kind == "classes":
        yield from ((outline, class_title(names, outline.label)) for outline in found)
        return
    if segmenter.cell_classes == 1:
        yield from ((outline, "") for outline in found)
        return
    objects = list(found)
    numbers = np.array([outline.label for outline in objects], np.int64) - labels.before[plane]
    for outline, number in zip(objects, classes_in(labels, plane, numbers), strict=True):
        yield outline, class_name(names, int(number)) if number else ""
