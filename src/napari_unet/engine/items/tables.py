"""The tables of an item: its objects in every plane, and its linked objects as wholes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import class_name
from napari_unet.core.measure import ObjectSums
from napari_unet.core.measure3d import VolumeSums
from napari_unet.engine.formats.imagefile import ImageFile
from napari_unet.engine.items.link import LinkedPlanes
from napari_unet.engine.items.order import Order
from napari_unet.engine.items.scratch import LabelPlanes, plane_of
from napari_unet.engine.measurements import physical
from napari_unet.engine.segmenter import Segmenter

__all__ = ["classes_in", "object_tables", "place_of", "volume_table"]

Columns = dict[str, NDArray[Any]]
Labels = LabelPlanes | LinkedPlanes


def object_tables(segmenter: Segmenter, labels: Labels, image: ImageFile) -> Iterator[Columns]:
    """Measure the objects of every plane, in blocks; yield a table for each plane."""
    for plane, before in enumerate(labels.before[:-1]):
        pixels = plane_of(image, plane)
        sums = ObjectSums(pixels.shape[0], labels.shape[-2:])
        for (y, x), found in labels.blocks(place_of(labels, plane)):
            local = np.where(found > 0, found - np.uint32(before), np.uint32(0))
            sums.add(local, np.asarray(pixels[:, y, x]), (y.start, x.start))
        columns = physical(sums.table(), image.pixel_size)
        if segmenter.cell_classes > 1:
            told = classes_in(labels, plane, columns["label"])
            columns = _with_class(columns, segmenter, told)
        yield _named(segmenter, columns, image, plane, before)


def volume_table(
    segmenter: Segmenter, order: Order, labels: LinkedPlanes, image: ImageFile
) -> Columns:
    """Measure the linked objects of all planes, each as a whole."""
    times, deep = (1, 1, *image.plane_shape)[-2:]
    count = len(labels.links.tracks)
    height, width = labels.shape[-2:]
    sums = VolumeSums(image.data.shape[0], (times, deep, height, width), count)
    votes = np.zeros((count + 1, segmenter.n_classes), np.int64)
    for plane in range(order.planes):
        pixels = plane_of(image, plane)
        ((_, found),) = labels.blocks(place_of(labels, plane))
        sums.add(found, np.asarray(pixels), plane)
        if segmenter.cell_classes > 1:
            numbers, area = np.unique(found[found > 0], return_counts=True)
            votes[numbers, classes_in(labels, plane, numbers)] += area
    along_z = image.plane_axes.endswith("Z")
    size = image.pixel_size if along_z else replace(image.pixel_size, z=None)
    columns = physical(sums.table(), size)
    if segmenter.cell_classes > 1:
        votes[:, 0] = 0  # pieces of no known class do not outvote the others
        columns = _with_class(columns, segmenter, votes[columns["label"]].argmax(axis=1))
    if len(image.plane_shape) > 1:
        columns = {"label": columns["label"], "t": columns["first_plane"] // deep, **columns}
    return columns


def place_of(labels: Labels, plane: int) -> tuple[int, ...]:
    """Return the place of a plane, as labels want it."""
    return (plane,) if labels.ndim == 3 else ()


def classes_in(labels: Labels, plane: int, numbers: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the class of objects of a plane; 0 where that is not known."""
    classes = labels.classes(plane)
    if classes is None:
        return np.zeros(len(numbers), np.uint8)
    told: NDArray[np.uint8] = classes[labels.within(plane, numbers) - 1]
    return told


def _with_class(columns: Columns, segmenter: Segmenter, told: NDArray[np.integer]) -> Columns:
    """Say the class of every object; "" where that is not known."""
    names = segmenter.class_names
    written = ["", *(class_name(names, n) for n in range(1, segmenter.n_classes))]
    return {"label": columns["label"], "class": np.array(written)[told], **columns}


def _named(
    segmenter: Segmenter, columns: Columns, image: ImageFile, plane: int, before: int
) -> Columns:
    """Number objects through all planes, and say in which they lie; classes have no place."""
    label = columns.pop("label")
    if segmenter.kind == "classes":
        columns = {name: c for name, c in columns.items() if not name.startswith(("cen", "tou"))}
        first = {"class": label}
    else:
        first = {"label": label + before}
    first["plane"] = np.full(len(label), plane)
    if len(image.plane_shape) > 1:
        places = np.unravel_index(plane, image.plane_shape)
        for axis, place in zip(image.plane_axes.lower(), places, strict=True):
            first[axis] = np.full(len(label), place)
    return first | columns
