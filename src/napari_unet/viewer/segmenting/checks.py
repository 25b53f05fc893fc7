"""Whether an image can be segmented into layers here: its channels, and memory for its result."""

from __future__ import annotations

from math import prod

import numpy as np
import psutil
from napari.layers import Image

from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError
from napari_unet.viewer.stack import ImageStack

__all__ = ["check_fits", "check_room"]

LARGEST_PLANE = 2**26
"""Pixels of a plane, of an image that is not in memory, up to which its result is a layer."""

PER_PIXEL = 48
"""Bytes per pixel that the cells of a plane take: 36 to find them, the rest to show them."""


def check_fits(segmenter: Segmenter, image: Image) -> None:
    """Raise an `InputError` if an image has other channels than the model knows."""
    stack = ImageStack.of(image)
    if not stack.fits(segmenter.in_channels):
        raise InputError(
            f"The model was trained on {segmenter.in_channels} channel(s) and cannot be used on "
            f"{image.name!r} ({stack.describe()}); train a new model there (New model)."
        )


def check_room(image: Image, *, whole: bool) -> None:
    """Raise an `InputError` if a plane, or of an image on disk all of them, is too large here."""
    stack, free = ImageStack.of(image), psutil.virtual_memory().available
    plane = prod(stack.plane_shape)
    too_large = plane * PER_PIXEL > free
    if not stack.in_memory:
        result = prod(stack.shape) * np.dtype(np.uint32).itemsize
        too_large = too_large or plane > LARGEST_PLANE or (whole and result > free / 2)
    if too_large:
        raise InputError(
            f"The segmentation of {image.name!r} ({stack.describe()}) is too large for a layer. "
            f"Open Batch in the dock and choose files in a folder beside Results."
        )
