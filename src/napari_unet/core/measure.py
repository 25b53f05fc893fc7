"""Measure the objects of a plane: size, place and brightness, block by block if it is large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.overlaps import numbered
from napari_unet.errors import InputError

__all__ = ["ObjectSums", "measure_objects"]

Array = NDArray[Any]

BAND = 256
"""Rows that are added at a time."""


def measure_objects(labels: NDArray[np.integer], image: Array) -> dict[str, Array]:
    """Measure the objects of one plane.

    Parameters
    ----------
    labels : integer array
        (Y, X): 0 background; each other number is an object.
    image : array
        (Y, X) or (C, Y, X), of the same plane.

    Returns
    -------
    dict of str to array
        Columns with a row for every object; see `ObjectSums.table`.

    Raises
    ------
    InputError
        If the labels are not such numbers, or the image is of another shape.
    """
    labels, image = np.asarray(labels), np.asarray(image)
    image = image[None] if image.ndim == 2 else image
    are_labels = labels.dtype.kind in "iub" and labels.min(initial=0) >= 0
    if labels.ndim != 2 or image.shape[1:] != labels.shape or not are_labels:
        raise InputError(
            f"The labels are {labels.dtype} values of shape {labels.shape}, the image has shape "
            f"{image.shape}; give whole numbers from 0 on, (Y, X), and an image (Y, X) or "
            f"(C, Y, X) of the same pixels."
        )
    sums = ObjectSums(len(image), labels.shape)
    if labels.max(initial=0) <= labels.size:
        sums.add(labels, image, (0, 0))
        return sums.table()
    # a table up to the highest number may be far larger than the plane
    regions = numbered(labels)
    sums.add(regions.numbers, image, (0, 0))
    table = sums.table()
    return table | {"label": regions.ids[table["label"]]}


class ObjectSums:
    """What is known of the objects of a plane after some of its blocks.

    Takes memory for the numbers up to the highest one, so it is best given the numbers within the
    plane, 1 ... n.

    Parameters
    ----------
    channels : int
        Of the image.
    shape : (int, int)
        Of the plane.
    """

    def __init__(self, channels: int, shape: Sequence[int]) -> None:
        self._channels, self._shape = channels, tuple(shape)
        self._area = np.zeros(0, np.int64)
        self._place = np.zeros((2, 0))
        self._edge = np.zeros(0, bool)
        self._finite = np.zeros((channels, 0), np.int64)
        self._sum = np.zeros((channels, 0))
        self._low, self._high = np.zeros((channels, 0)), np.zeros((channels, 0))

    def add(self, labels: NDArray[np.integer], image: Array, origin: Sequence[int]) -> None:
        """Add a block: its labels (Y, X), its pixels (C, Y, X), and where it lies in the plane."""
        for y in range(0, labels.shape[0], BAND):  # what is in the cache is counted faster
            band = slice(y, y + BAND)
            self._add(labels[band], image[:, band], (origin[0] + y, origin[1]))

    def table(self) -> dict[str, Array]:
        """Return the columns: a row for every object that has pixels, in the order of the numbers.

        label, area (pixels), centroid_y, centroid_x (pixels; the middle of the first one is 0),
        touches_border (has a pixel at the edge of the plane), and for every channel c
        intensity_mean_c, intensity_min_c, intensity_max_c over the pixels that are finite.
        """
        labels = np.flatnonzero(self._area)
        area = self._area[labels]
        columns: dict[str, Array] = {"label": labels, "area": area}
        columns["centroid_y"], columns["centroid_x"] = self._place[:, labels] / area
        columns["touches_border"] = self._edge[labels]
        for channel in range(self._channels):
            finite = self._finite[channel, labels]
            known = finite > 0
            mean = np.full(len(labels), np.nan)
            np.divide(self._sum[channel, labels], finite, out=mean, where=known)
            columns[f"intensity_mean_{channel}"] = mean
            for name, extremes in (("min", self._low), ("max", self._high)):
                values = np.where(known, extremes[channel, labels], np.nan)
                columns[f"intensity_{name}_{channel}"] = values
        return columns

    def _add(self, labels: NDArray[np.integer], image: Array, origin: Sequence[int]) -> None:
        at = np.flatnonzero(labels)
        if not len(at):
            return
        found = labels.reshape(-1)[at].astype(np.int64)
        first, count = int(found.min()), int(found.max()) + 1
        self._reserve(count)
        # the numbers in a block are close to each other, those of the plane may be many
        here, span = found - first, slice(first, count)
        length = count - first
        self._area[span] += np.bincount(here, minlength=length)
        for axis, places in enumerate(np.unravel_index(at, labels.shape)):
            places = places + origin[axis]
            self._place[axis, span] += np.bincount(here, places, minlength=length)
            outermost = (places == 0) | (places == self._shape[axis] - 1)
            self._edge[found[outermost]] = True
        for channel in range(self._channels):
            values = np.asarray(image[channel]).reshape(-1)[at].astype(np.float64)
            self._add_values(channel, found, values)

    def _add_values(self, channel: int, found: Array, values: Array) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            found, values = found[finite], values[finite]
        if not len(found):
            return
        first, count = int(found.min()), int(found.max()) + 1
        here, span = found - first, slice(first, count)
        self._finite[channel, span] += np.bincount(here, minlength=count - first)
        self._sum[channel, span] += np.bincount(here, values, minlength=count - first)
        np.minimum.at(self._low[channel], found, values)
        np.maximum.at(self._high[channel], found, values)

    def _reserve(self, count: int) -> None:
        """Make room for numbers below ``count``, and for as many again."""
        more = 2 * count - len(self._area)
        if count <= len(self._area):
            return
        self._area, self._edge = np.pad(self._area, (0, more)), np.pad(self._edge, (0, more))
        wide = ((0, 0), (0, more))
        self._place, self._finite = np.pad(self._place, wide), np.pad(self._finite, wide)
        self._sum = np.pad(self._sum, wide)
        self._low = np.pad(self._low, wide, constant_values=np.inf)
        self._high = np.pad(self._high, wide, constant_values=-np.inf)
