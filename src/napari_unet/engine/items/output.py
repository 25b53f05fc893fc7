"""Write the results of an item: labels, probabilities and a table, plane by plane or in blocks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.core.cellclasses import class_title
from napari_unet.core.measure import ObjectSums
from napari_unet.engine.files import write_labels, write_probabilities
from napari_unet.engine.formats.imagefile import ImageFile
from napari_unet.engine.formats.omezarr import create_labels, finish
from napari_unet.engine.items.link import LinkedPlanes
from napari_unet.engine.items.order import Order
from napari_unet.engine.items.plan import CHALLENGE
from napari_unet.engine.items.scratch import (
    LabelPlanes,
    Planes,
    ProbabilityPlanes,
    plane_of,
)
from napari_unet.engine.measurements import physical, write_table
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.tracks import write_challenge, write_points

__all__ = ["write_result"]

Columns = dict[str, NDArray[Any]]
Labels = LabelPlanes | LinkedPlanes


def write_result(
    kind: str, path: Path, segmenter: Segmenter, order: Order, image: ImageFile, labels: Labels
) -> None:
    """Write one kind of result from the scratch folder.

    Raises
    ------
    InputError, OSError
        If it cannot be written, or the image not be read.
    """
    if kind == "objects":
        write_table(path, _tables(segmenter, labels, image))
        return
    if kind in ("tracks", CHALLENGE[0]):
        _write_tracks(kind, path, labels)
        return
    planes = labels if kind == "labels" else ProbabilityPlanes(segmenter, order, image)
    if order.format == "ome-zarr":
        _write_zarr(path, planes, image)
        return
    pixels = _in_one_piece(planes, order.scratch / f"{kind}.zarr") if order.is_large else planes
    write = write_labels if kind == "labels" else write_probabilities
    axes = f"{image.plane_axes}YX"
    write(path, pixels, axes=axes, plane_shape=image.plane_shape, **_sizes(image))


def _write_tracks(kind: str, path: Path, labels: Labels) -> None:
    assert isinstance(labels, LinkedPlanes)
    links = labels.links
    if kind == "tracks":
        write_points(path, links.tracks, links.points)
        return
    shutil.rmtree(path, ignore_errors=True)  # of a run that was broken off
    write_challenge(path, labels.array, links.tracks, links.points)


def _in_one_piece(planes: Planes, path: Path) -> Any:
    """Put blocks together on disk, so that any part can be read."""
    chunks = (*(1 for _ in planes.shape[:-2]), 1024, 1024)
    form: dict[str, Any] = {"shape": planes.shape, "chunks": chunks, "dtype": planes.dtype}
    whole = zarr.create_array(path, overwrite=True, **form)
    _fill(whole, planes)
    return whole


def _fill(out: Any, planes: Planes) -> None:
    for at in np.ndindex(planes.shape[:-2]):
        for box, values in planes.blocks(at):
            out[(*at, *box)] = values


def _write_zarr(path: Path, planes: Planes, image: ImageFile) -> None:
    """Write planes as OME-Zarr, with the axes of the image."""
    channels = planes.shape[: planes.ndim - image.data.ndim + 1]
    shape = (*channels, *image.plane_shape, *planes.shape[-2:])
    axes = "C" * len(channels) + f"{image.plane_axes}YX"
    out = create_labels(path, shape, axes=axes, dtype=planes.dtype, **_sizes(image))
    _fill(out, planes)
    finish(path)


def _tables(segmenter: Segmenter, labels: Labels, image: ImageFile) -> Iterator[Columns]:
    """Measure plane by plane, in blocks."""
    for plane, before in enumerate(labels.before[:-1]):
        pixels = plane_of(image, plane)
        sums = ObjectSums(pixels.shape[0], labels.shape[-2:])
        for (y, x), found in labels.blocks((plane,) if labels.ndim == 3 else ()):
            local = np.where(found > 0, found - np.uint32(before), np.uint32(0))
            sums.add(local, np.asarray(pixels[:, y, x]), (y.start, x.start))
        columns = physical(sums.table(), image.pixel_size, image.unit)
        if segmenter.cell_classes > 1:
            own = labels.within(plane, columns["label"])
            columns = _with_class(columns, segmenter, labels.classes(plane), own)
        yield _named(segmenter, columns, image, plane, before)


def _with_class(
    columns: Columns,
    segmenter: Segmenter,
    classes: NDArray[np.uint8] | None,
    own: NDArray[np.integer],
) -> Columns:
    """Say the class of every cell, by its own number in the plane; "" where that is not known."""
    names = segmenter.class_names
    titles = ["", *(class_title(names, n) for n in range(1, segmenter.n_classes))]
    told = np.zeros(len(own), np.uint8) if classes is None else classes[own - 1]
    return {"label": columns["label"], "class": np.array(titles)[told], **columns}


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


def _sizes(image: ImageFile) -> dict[str, Any]:
    return {
        "pixel_size": image.pixel_size,
        "unit": image.unit,
        "plane_spacing": image.plane_spacing,
    }
