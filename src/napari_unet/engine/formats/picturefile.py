"""PNG, JPEG and BMP files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from napari_unet.errors import InputError

__all__ = ["read_picture"]


def read_picture(path: Path, palette: bool = False) -> tuple[NDArray[Any], str]:
    """Return the pixels and a letter per axis; `palette` asks for the indices of one.

    Raises
    ------
    InputError
        If it is an animation, has colours or alpha of 16 bits, or is a JPEG of which the exact
        numbers are wanted.
    UnidentifiedImageError
        If it is none that Pillow can read.
    """
    with Image.open(path) as image:
        if isinstance(image, ImageFile.StubImageFile):
            raise UnidentifiedImageError(f"{path} has a kind that Pillow knows, but cannot read")
        if getattr(image, "n_frames", 1) > 1:
            raise InputError(f"{path} is an animation; save its pictures as a TIFF stack.")
        if palette and image.format == "JPEG":
            raise InputError(
                f"{path} is a JPEG, which changes numbers; save labels as TIFF or PNG."
            )
        if cut := _cut_samples(image):
            raise InputError(
                f"{path} has 16 bits for each of {cut}, of which only 8 can be read; save it as "
                f"TIFF, or as grey of 16 bits without alpha."
            )
        if image.mode in ("LA", "La"):
            pixels = np.array(image)[..., 0]
        elif image.mode in ("1", "L", "I", "I;16", "I;16B", "F", "RGB") or (
            palette and image.mode == "P"
        ):
            pixels = np.array(image)
        else:
            pixels = np.array(image.convert("RGB"))
    return pixels, "YXS" if pixels.ndim == 3 else "YX"


def _cut_samples(image: Image.Image) -> str:
    """Return the samples in a file, such as RGB, that have more bits than Pillow has for them."""
    if image.mode.startswith(("I", "F")):
        return ""
    # before it is read, a tile says how the numbers lie in the file, such as "RGB;16B"
    stored = [str(tile[3]).partition(";") for tile in getattr(image, "tile", ())]
    return next((samples for samples, _, bits in stored if bits.startswith("16")), "")
