"""Grey that is stored as colour: of three equal channels, one says all.

Many programs save it so. A model of one channel takes it for what it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Annotation
from napari_unet.errors import InputError

__all__ = ["COLOURS", "GreyColour", "grey_plane", "is_grey"]

COLOURS = 3
"""Channels of a colour image."""


def is_grey(pixels: NDArray[Any]) -> bool:
    """Whether (C, ...) has three channels, and these are equal."""
    return len(pixels) == COLOURS and all(
        np.array_equal(pixels[0], one, equal_nan=True) for one in pixels[1:]
    )


def grey_plane(plane: Annotation) -> Annotation:
    """Return an annotation with one channel, if its image is such grey, or as it is."""
    return replace(plane, image=plane.image[:1]) if is_grey(plane.image) else plane


class GreyColour:
    """The first of the three channels of an image, which are compared wherever they are read.

    Parameters
    ----------
    image : array
        (C, Y, X) or (C, Z, Y, X), indexed with numbers and slices at once.
    otherwise : str
        The message of the `InputError` where they differ.
    """

    def __init__(self, image: Any, otherwise: str) -> None:
        self._image, self._otherwise = image, otherwise
        self.shape: tuple[int, ...] = (1, *image.shape[1:])
        self.ndim = len(self.shape)
        self.dtype: np.dtype[Any] = np.dtype(image.dtype)
        self.chunks = getattr(image, "chunks", None)

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        channels, *place = index
        pixels = np.asarray(self._image[(slice(None), *place)])
        if not is_grey(pixels):
            raise InputError(self._otherwise)
        first: NDArray[Any] = pixels[:1][channels]
        return first

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[(slice(None),) * self.ndim], dtype=dtype, copy=copy)
