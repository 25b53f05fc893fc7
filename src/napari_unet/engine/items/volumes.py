"""The units of work of a volume of a batch: its planes, then sections across them and its cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import foreground as cells_in
from napari_unet.core.cellclasses import object_classes
from napari_unet.engine.cells import useful_axes
from napari_unet.engine.formats.imagefile import ImageFile
from napari_unet.engine.inference import predict
from napari_unet.engine.items.order import Order
from napari_unet.engine.items.reserved import reserved_array
from napari_unet.engine.items.scratch import (
    Steps,
    is_kept,
    keep_plane,
    keep_section,
    kept_section,
    note_of,
    opened,
    plane_of,
)
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.volume import finding_cells, predicting_sections

__all__ = ["find_volumes", "predict_section", "sections_share"]

ACROSS = 0.9
"""Of the work on a volume whose planes are predicted, what the sections across them take."""

AS_PIXELS = (
    "A file does not say how far apart its planes are: they count as one pixel apart. If they are "
    "not, give their distance in pixels (--spacing; spacing in the Settings of the dock)."
)


def sections_share(segmenter: Segmenter, order: Order) -> float:
    """Return the share of the planes alone, of all that the network does for a volume."""
    spacing = order.spacing(opened(order))
    across = len(useful_axes(segmenter, order.config, spacing)) - 1
    return 1 / (1 + across * spacing)


def predict_section(segmenter: Segmenter, order: Order, plane: int) -> Steps:
    """Predict one plane into the scratch folder."""
    if kept_section(order, plane) is not None:
        return None
    pixels = np.asarray(plane_of(opened(order), plane))
    values = np.empty((segmenter.n_classes, *pixels.shape[1:]), np.float32)
    for event in predict(segmenter, pixels, values, order.config):
        yield event.index / event.total, note_of(order, event.oddity, event.note)
    keep_section(order, plane, values)
    return None


def find_volumes(segmenter: Segmenter, order: Order) -> Steps:
    """Predict the other sections of an item whose planes are predicted, and find the cells."""
    image = opened(order)
    deep = image.plane_shape[-1]
    if not (order.config.spacing or image.pixel_size.z_in_pixels):
        yield 0.0, AS_PIXELS
    volumes = [range(first, first + deep) for first in range(0, order.planes, deep)]
    for done, planes in enumerate(volumes):
        if all(is_kept(order, plane) for plane in planes):
            continue
        for share, note in _find_volume(segmenter, order, image, planes):
            yield (done + share) / len(volumes), note
    return None


def _find_volume(segmenter: Segmenter, order: Order, image: ImageFile, planes: range) -> Steps:
    shape = (len(planes), *order.spatial[-2:])
    path = order.scratch / "foreground.dat"
    foreground = reserved_array(path, np.float32, shape)
    for whole, plane in zip(foreground, planes, strict=True):
        whole[...] = cells_in(_section(order, plane))
    volume, spacing = _Volume(image, planes), order.spacing(image)
    _, *across = useful_axes(segmenter, order.config, spacing)
    for share in predicting_sections(segmenter, volume, foreground, spacing, order.config, across):
        yield ACROSS * share, ""
    foreground /= 1 + len(across)
    for z, cells in finding_cells(segmenter, foreground, spacing, order.config):
        classes: Sequence[int] = ()
        if segmenter.cell_classes > 1:
            classes = object_classes(_section(order, planes[z]), cells)[1:].tolist()
        kept = foreground[z : z + 1] if order.options.probabilities else None
        keep_plane(order, planes[z], cells, kept, classes)
        yield ACROSS + (1 - ACROSS) * (z + 1) / len(planes), ""
    return None


def _section(order: Order, plane: int) -> NDArray[Any]:
    """Read what is kept of a plane; a volume may have more planes than files may be open."""
    values = kept_section(order, plane)
    assert values is not None
    return np.asarray(values)


class _Volume:
    """Planes of an image as one array (C, Z, Y, X), read where it is indexed with four slices."""

    def __init__(self, image: ImageFile, planes: range) -> None:
        self._image, self._planes = image, planes
        channels, _, *plane = image.data.shape
        self.shape = (channels, len(planes), *plane)
        self.dtype: np.dtype[Any] = np.dtype(image.data.dtype)

    def __getitem__(self, index: tuple[slice, slice, slice, slice]) -> NDArray[Any]:
        channels, deep, y, x = index
        # planes that are kept once they were read would all be in memory: each is opened anew
        parts = [plane_of(self._image, plane)[channels, y, x] for plane in self._planes[deep]]
        return np.stack(parts, axis=1)
