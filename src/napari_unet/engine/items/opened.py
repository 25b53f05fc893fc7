"""Images of a batch that are open in the program, and are read from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.formats.imagefile import ImageFile
from napari_unet.engine.formats.source import PixelSize
from napari_unet.engine.items.item import Item

__all__ = ["OpenItem"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenItem(Item):
    """An image that is no file; ``image`` is only what it is called.

    Attributes
    ----------
    planes : tuple of array
        Its planes (C, Y, X); in the compute process each is a `Remote`.
    file : str
        What it was opened from, as a whole path; "" where that is no file.
    plane_axes, plane_shape, pixel_size
        As of an `ImageFile`.
    """

    planes: tuple[Any, ...]
    file: str
    plane_axes: str
    plane_shape: tuple[int, ...]
    pixel_size: PixelSize

    @property
    def source(self) -> str:
        """The file, or what the image is called."""
        return self.file or str(self.image)

    def open(self) -> ImageFile:
        """Return what reads the planes."""
        return ImageFile(
            path=self.image,
            data=self.planes[0] if len(self.planes) == 1 else _Planes(self.planes),
            plane_axes=self.plane_axes,
            plane_shape=self.plane_shape,
            pixel_size=self.pixel_size,
        )

    def __reduce__(self) -> tuple[type[Item], tuple[Any, ...]]:
        # events carry it back to the program, which has the planes
        return Item, (self.image, self.name, self.folder, self.seen)


class _Planes:
    """Planes as one array (C, Z, Y, X), of which one plane is read at a time."""

    def __init__(self, planes: tuple[Any, ...]) -> None:
        self._planes = planes
        channels, y, x = planes[0].shape
        self.shape = (channels, len(planes), y, x)
        self.ndim = 4
        self.dtype: np.dtype[Any] = np.dtype(planes[0].dtype)

    def __getitem__(self, index: tuple[slice, int, slice, slice]) -> NDArray[Any]:
        channels, plane, y, x = index
        pixels: NDArray[Any] = self._planes[plane][channels, y, x]
        return pixels
