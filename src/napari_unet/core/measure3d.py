"""Measure objects that go through planes: size, place and brightness, plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.measure import ObjectSums

__all__ = ["VolumeSums"]

Array = NDArray[Any]


class VolumeSums:
    """What is known of 3D objects after some of their planes.

    Parameters
    ----------
    channels : int
        Of the image.
    shape : (int, int, int, int)
        Volumes, and planes, rows and columns of each. No two volumes share a number.
    objects : int
        Their numbers are 1 ... this.
    """

    def __init__(self, channels: int, shape: tuple[int, int, int, int], objects: int) -> None:
        self._sums = ObjectSums(channels, shape[2:])
        self._planes, self._deep = shape[0] * shape[1], shape[1]
        self._first = np.full(objects + 1, self._planes)
        self._last = np.full(objects + 1, -1)
        self._depth = np.zeros(objects + 1)

    def add(self, labels: NDArray[np.integer], image: Array, plane: int) -> None:
        """Add a plane: its labels (Y, X), its pixels (C, Y, X), and its number through all."""
        self._sums.add(labels, image, (0, 0))
        area = np.bincount(labels.ravel(), minlength=len(self._depth))
        self._depth += area * float(plane % self._deep)
        here = area > 0
        self._first[here] = np.minimum(self._first[here], plane)
        self._last[here] = plane

    def table(self) -> dict[str, Array]:
        """Return the columns: a row for every object, in the order of the numbers.

        label, first_plane, last_plane (through all volumes), volume (voxels), centroid_z,
        centroid_y, centroid_x (voxels), touches_border (has a voxel at a side of the volume, or
        in its first or last plane, if there are several), and the brightness as
        `ObjectSums.table` has it.
        """
        columns = self._sums.table()
        label, volume = columns.pop("label"), columns.pop("area")
        first, last = self._first[label], self._last[label]
        edge = columns["touches_border"]
        if self._deep > 1:
            edge = edge | (first % self._deep == 0) | (last % self._deep == self._deep - 1)
        return {
            "label": label,
            "first_plane": first,
            "last_plane": last,
            "volume": volume,
            "centroid_z": self._depth[label] / volume,
            **columns,
            "touches_border": edge,
        }
