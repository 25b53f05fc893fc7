"""Link the planes of an item of a batch on disk, so that an object keeps its number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_unet.core.islands import Box
from napari_unet.core.linking import Kind, Links
from napari_unet.core.linkstack import link_into
from napari_unet.engine.cells import necks_in_3d
from napari_unet.engine.formats.imagefile import ImageFile
from napari_unet.engine.items.order import Order, linked_shape
from napari_unet.engine.items.scratch import LabelPlanes, Place, Planes
from napari_unet.engine.segmenter import Segmenter

__all__ = ["LinkedPlanes"]

CHUNK = 1024
"""Side of the pieces of a plane on disk, in pixels."""


class LinkedPlanes(Planes):
    """The labels of an item whose planes are linked; their place is () or (plane,).

    Attributes
    ----------
    array : zarr array
        (T, Y, X), (Z, Y, X) or (T, Z, Y, X) uint32.
    links : Links
        Where every object is in every plane.
    before : list of int
        As of `LabelPlanes`: zeros, since one number goes through all planes.
    """

    dtype = np.dtype(np.uint32)

    def __init__(
        self, segmenter: Segmenter, order: Order, image: ImageFile, labels: LabelPlanes
    ) -> None:
        super().__init__(labels.shape)
        self._plane_shape = linked_shape(image)
        shape = (*self._plane_shape, *labels.shape[-2:])
        chunks = (*(1 for _ in self._plane_shape), CHUNK, CHUNK)
        path = order.scratch / "linked.zarr"
        self.array: Any = zarr.create_array(
            path, shape=shape, chunks=chunks, dtype=self.dtype, overwrite=True
        )
        for place in np.ndindex(*labels.shape[:-2]):
            for box, numbers in labels.blocks(place):
                where: tuple[Any, ...] = (*self._at(place), *box)
                self.array[where] = numbers
        necks = necks_in_3d(segmenter, order.config, order.spacing(image))
        kind: Kind = "tracks" if order.options.link == "tracks" else "objects"
        self.links: Links = link_into(self.array, self.array, kind, necks)
        self.before, self._found = [0] * len(labels.before), labels

    def blocks(self, at: Place) -> Iterator[tuple[Box, NDArray[Any]]]:
        """Yield a plane, and where it lies: in one piece."""
        height, width = self.shape[-2:]
        yield (slice(0, height), slice(0, width)), np.asarray(self.array[self._at(at)])

    def classes(self, plane: int) -> NDArray[Any] | None:
        """Return the class of each object of a plane, as they were called before."""
        return self._found.classes(plane)

    def within(self, plane: int, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return what objects of a plane were called in it, from 1, before it was linked.

        Of an object with several pieces, that of its first pixel counts.
        """
        place = (plane,) if self.ndim > 2 else ()
        linked, first = np.unique(np.asarray(self.array[self._at(place)]), return_index=True)
        found = np.zeros(self.shape[-2:], np.uint32)
        for box, cells in self._found.blocks(place):
            found[box] = cells
        own = found.ravel()[first] - np.uint32(self._found.before[plane])
        return np.asarray(own[np.searchsorted(linked, numbers)])

    def _at(self, place: Place) -> Place:
        """Return the index of a plane into the axes of the image."""
        plane = place[0] if place else 0
        return tuple(int(i) for i in np.unravel_index(plane, self._plane_shape))
