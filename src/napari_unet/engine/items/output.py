"""Write the results of an item: labels, probabilities and tables, plane by plane or in blocks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_unet.engine.files import write_labels, write_probabilities
from napari_unet.engine.formats.imagefile import ImageFile
from napari_unet.engine.formats.omezarr import begin_zarr, finish_zarr
from napari_unet.engine.items.item import CHALLENGE
from napari_unet.engine.items.link import LinkedPlanes
from napari_unet.engine.items.order import Order
from napari_unet.engine.items.outlining import outlined_planes
from napari_unet.engine.items.scratch import LabelPlanes, Planes, ProbabilityPlanes
from napari_unet.engine.items.tables import object_tables, volume_table
from napari_unet.engine.measurements import write_table
from napari_unet.engine.outlinefile import write_outlines
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.tracks import write_challenge, write_points

__all__ = ["write_result"]

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
        write_table(path, object_tables(segmenter, labels, image))
        return
    if kind == "outlines":
        write_outlines(path, outlined_planes(segmenter, labels, image))
        return
    if kind == "volumes":
        assert isinstance(labels, LinkedPlanes)
        write_table(path, [volume_table(segmenter, order, labels, image)])
        return
    if kind in ("tracks", CHALLENGE[0]):
        _write_tracks(kind, path, labels)
        return
    planes = labels if kind == "labels" else ProbabilityPlanes(segmenter, order, image)
    if order.format == "ome-zarr":
        # of cells of any class there is one probability, that of a cell
        known = segmenter.output_names if segmenter.kind == "classes" else ["cell"]
        _write_zarr(path, planes, image, () if kind == "labels" else known)
        return
    pixels = _in_one_piece(planes, order.scratch / f"{kind}.zarr") if order.is_large else planes
    write = write_labels if kind == "labels" else write_probabilities
    axes = f"{image.plane_axes}YX"
    write(path, pixels, axes=axes, plane_shape=image.plane_shape, pixel_size=image.pixel_size)


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


def _write_zarr(path: Path, planes: Planes, image: ImageFile, names: Sequence[str]) -> None:
    """Write planes as OME-Zarr, with the axes of the image; channels have names."""
    channels = [len(names)] if names else []
    shape = (*channels, *image.plane_shape, *planes.shape[-2:])
    axes = "C" * len(channels) + f"{image.plane_axes}YX"
    size, dtype = image.pixel_size, planes.dtype
    out = begin_zarr(path, shape, axes=axes, pixel_size=size, dtype=dtype, channels=names)
    _fill(out, planes)
    finish_zarr(path)
