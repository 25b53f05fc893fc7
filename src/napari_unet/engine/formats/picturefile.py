"""PNG, JPEG and BMP files, and what else Pillow reads, with the numbers that are in them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageMode, UnidentifiedImageError

from napari_unet.errors import InputError

__all__ = ["Picture", "open_picture"]

GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "F")
"""What Pillow calls pictures without colours."""

_opening = threading.Lock()


def open_picture(path: Path) -> Image.Image:
    """Open a file with Pillow, also one that is larger than Pillow expects of a picture.

    Beyond 89 megapixels it warns, and beyond 179 it refuses, as a web server wants it; microscopes
    make larger ones.

    Raises
    ------
    UnidentifiedImageError
        If it is none that Pillow can read.
    """
    with _opening:
        most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = most


class Picture:
    """A picture in a file: opened it is described, and decoded wherever it is indexed.

    Parameters
    ----------
    path : Path
        The file.
    palette : bool
        Whether the indices of a palette are the numbers wanted, not its colours.

    Attributes
    ----------
    shape, dtype, chunks
        As of an array that is stored in a single piece.
    axes : str
        A letter for each axis; S of the samples of colours.

    Raises
    ------
    InputError
        If it is an animation, has colours or alpha of 16 bits, or is a JPEG of which the exact
        numbers are wanted.
    UnidentifiedImageError
        If it is none that Pillow can read.
    """

    def __init__(self, path: Path, palette: bool) -> None:
        self._path = path
        with open_picture(path) as image:
            _check(image, path, palette)
            self._grey = image.mode in GREY or (palette and image.mode == "P")
            self.shape: tuple[int, ...] = (image.height, image.width, *([] if self._grey else [3]))
            kind = ImageMode.getmode(image.mode).typestr if self._grey else "u1"
        self.dtype: np.dtype[Any] = np.dtype(kind)
        self.axes = "YXS"[: len(self.shape)]
        self.chunks = self.shape

    def __getitem__(self, index: Any) -> NDArray[Any]:
        pixels: NDArray[Any] = self._decoded()[index]
        return pixels

    def _decoded(self) -> NDArray[Any]:
        with open_picture(self._path) as image:
            if most := _most(image):
                whole = np.array(image)
                top = 255 if image.mode == "L" else 65535
                return (whole.astype(np.float64) * most / top).round().astype(whole.dtype)
            if image.mode in ("LA", "La"):
                return np.array(image)[..., 0]
            if self._grey or image.mode == "RGB":
                return np.array(image)
            return np.array(image.convert("RGB"))


def _check(image: Image.Image, path: Path, palette: bool) -> None:
    """Raise what `Picture` does where the numbers in a file cannot all be read."""
    if isinstance(image, ImageFile.StubImageFile):
        raise UnidentifiedImageError(f"{path} has a kind that Pillow knows, but cannot read")
    if getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{path} is an animation; save its pictures as a TIFF stack.")
    if palette and image.format == "JPEG":
        raise InputError(f"{path} is a JPEG, which changes numbers; save labels as TIFF or PNG.")
    if cut := _cut_samples(image, path):
        raise InputError(
            f"{path} has 16 bits for each of {cut}, of which only 8 can be read; save it as "
            f"TIFF, or as grey of 16 bits without alpha."
        )


def _most(image: Image.Image) -> int:
    """Return the largest number of grey, where Pillow spreads the numbers up to 255 or 65 535."""
    kind, said = _stored(image)
    if image.format == "PNG":
        return {"L;2": 3, "L;4": 15}.get(kind, 0)
    grey = image.format == "PPM" and image.mode in ("L", "I")
    return said if grey and said not in (255, 65535) else 0


def _cut_samples(image: Image.Image, path: Path) -> str:
    """Return the samples in a file, such as RGB, that have more bits than Pillow has for them."""
    if image.mode.startswith(("I", "F")):
        return ""
    kind, said = _stored(image)
    samples, _, bits = kind.partition(";")
    if image.format == "JPEG2000":
        return image.mode if _bits_in_jpeg2000(path) > 8 else ""
    return samples if bits.startswith("16") or said > 255 else ""


def _stored(image: Image.Image) -> tuple[str, int]:
    """Return how the numbers lie in a file, such as "RGB;16B", and the largest, if it says so."""
    # before it is read, a tile says it
    for tile in getattr(image, "tile", ()):
        named = isinstance(tile[3], tuple) and image.format == "PPM"
        kind, said = tile[3][:2] if named else (tile[3], 0)
        return str(kind), int(said)
    return "", 0


def _bits_in_jpeg2000(path: Path) -> int:
    """Return the bits of a sample, which follow the first two markers; 0 if they are not there."""
    with path.open("rb") as file:
        _, markers, header = file.read(4096).partition(b"\xff\x4f\xff\x51")
    return (header[38] & 0x7F) + 1 if markers and len(header) > 38 else 0
