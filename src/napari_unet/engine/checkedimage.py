"""Whether an image can be segmented, and whether an array holds what is found; needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.core.given import CHANNELS_LAST, check_pixels, told
from napari_unet.engine.greycolour import COLOURS, GreyColour, is_grey
from napari_unet.engine.lazyplane import LazyPlane
from napari_unet.engine.segmenter import Segmenter, check_segmenter
from napari_unet.errors import InputError

__all__ = ["as_array", "check_out", "check_room", "checked_image"]

MOST_LAST = 4
"""Of a last axis as short as this, one takes it for red, green, blue and alpha."""


def as_array(image: Any) -> Any:
    """Return an array of NumPy's types as it is, and nested lists and tensors as one of NumPy."""
    check_pixels("image", image, "read_image")
    is_array = isinstance(getattr(image, "dtype", None), np.dtype)
    return image if is_array else np.asarray(image)


def checked_image(segmenter: Segmenter, image: Any) -> Any:
    """Return an image as (C, Y, X) or (C, Z, Y, X); `InputError` if the model cannot take it.

    Of grey that is stored as colour, a model of one channel is given one.
    """
    check_segmenter(segmenter)
    image = as_array(image)
    if len(image.shape) == 2:
        image = image[None] if isinstance(image, np.ndarray) else LazyPlane(image, {}, None)
    if len(image.shape) not in (3, 4) or 0 in image.shape:
        raise InputError(
            f"The image has shape {tuple(image.shape)}; give (Y, X), (C, Y, X) or (C, Z, Y, X) "
            f"with at least one pixel."
        )
    if np.dtype(image.dtype).kind not in "iufb":
        raise InputError(f"The image has dtype {image.dtype}; convert it to real numbers first.")
    if image.shape[0] == segmenter.in_channels:
        return image
    otherwise = (
        f"The model was trained on {segmenter.in_channels} channel(s), the image has "
        f"{image.shape[0]} (shape {tuple(image.shape)}, channels first); choose the channels the "
        f"model knows, or train a new one."
    )
    if len(image.shape) == 3 and image.shape[-1] <= MOST_LAST < image.shape[0]:
        raise InputError(f"{otherwise} {CHANNELS_LAST}")
    if segmenter.in_channels == 1 and image.shape[0] == COLOURS:
        if type(image) is not np.ndarray:
            return GreyColour(image, otherwise)
        if is_grey(image):
            return image[:1]
    raise InputError(otherwise)


def check_out(out: Any, image: Any, shape: tuple[int, ...]) -> None:
    """`InputError` unless classes, or probabilities of this shape, can be written into it."""
    if not isinstance(getattr(out, "dtype", None), np.dtype):
        raise InputError(f"out is {told(out)}; give an array of NumPy or zarr to write into.")
    if tuple(out.shape) not in (shape, shape[1:]):
        raise InputError(
            f"out has shape {tuple(out.shape)}; give {shape[1:]} for classes or {shape} for "
            f"probabilities."
        )
    if tuple(out.shape) == shape and out.dtype.kind != "f":
        raise InputError(
            f"out has dtype {out.dtype}, and probabilities are fractions; give an array of float32."
        )
    if not isinstance(out, np.ndarray):
        return
    if not out.flags.writeable:
        raise InputError("out is read-only; give an array that can be written into.")
    if isinstance(image, np.ndarray) and np.shares_memory(out, image):
        raise InputError("out is the memory of the image, which is still read; give a new array.")


def check_room(dtype: np.dtype[Any], objects: int) -> None:
    """`InputError` if an array of a dtype cannot hold so many cells."""
    if dtype.kind in "iu":
        most = int(np.iinfo(dtype).max)
    else:  # of fractions, up to where the next whole number is another one
        most = 1 if dtype.kind == "b" else int(2 ** (np.finfo(dtype).nmant + 1))
    if objects > most:
        raise InputError(
            f"{objects} cells were found, but labels of {dtype} can hold {most}; give an array of "
            f"uint32."
        )
