"""Write OME-TIFF files piece by piece, whole or not at all."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import DTypeLike, NDArray

from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.formats.source import UNITS, UNKNOWN, PixelSize, with_known_axes
from napari_unet.errors import InputError

__all__ = ["pieces", "write_tiff"]

LARGEST_CLASSIC = 2**32 - 2**25
"""Bytes of pixels beyond which a file must be a BigTIFF, should they not shrink at all."""

LARGEST_PLANE, TILE = 2**26, 1024
"""Pixels beyond which a plane is written in tiles of this side, one of which is in memory."""


def write_tiff(
    path: Path,
    pixels: Any,
    axes: str,
    dtype: DTypeLike,
    *,
    shape: tuple[int, ...] = (),
    size: PixelSize = UNKNOWN,
) -> None:
    """Write a zlib-compressed OME-TIFF, whole or not at all.

    Only one plane at a time is in memory, or one tile of a large plane. Equal pixels give equal
    files.

    Parameters
    ----------
    path : Path
        The file to make or replace.
    pixels : array
        NumPy, or anything that can be indexed like it with numbers and slices.
    axes : str
        A letter for each axis in the file, the last two Y and X. OME knows T, Z and C besides;
        if there are others, all planes are Z.
    dtype : dtype
        What to write.
    shape : tuple of int, optional
        Of the axes but Y and X, where the pixels have fewer of them.
    size : PixelSize, optional
        How large a pixel is.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    dtype = np.dtype(dtype)
    shape = (*(shape or pixels.shape[:-2]), *pixels.shape[-2:])
    axes, shape = with_known_axes(axes, shape)
    digest = hashlib.sha256(f"{shape}{dtype}".encode())
    for piece in pieces(pixels):
        digest.update(np.ascontiguousarray(piece, dtype=dtype).data)
    identity = uuid.UUID(bytes=digest.digest()[:16])
    try:
        write_atomically(
            path,
            lambda file: tifffile.imwrite(
                file,
                (np.ascontiguousarray(piece, dtype=dtype) for piece in pieces(pixels, pad=True)),
                shape=shape,
                tile=(TILE, TILE) if _in_tiles(pixels) else None,
                dtype=dtype,
                ome=True,
                bigtiff=math.prod(shape) * dtype.itemsize > LARGEST_CLASSIC,
                compression="zlib",
                photometric="minisblack",
                metadata={"axes": axes, "UUID": str(identity), **_physical(size, axes)},
            ),
        )
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def pieces(pixels: Any, *, pad: bool = False) -> Iterator[NDArray[Any]]:
    """Yield the planes of an array, or the tiles of large ones, padded with zeros if wanted."""
    sides = (TILE, TILE) if _in_tiles(pixels) else pixels.shape[-2:]
    starts = [range(0, n, side) for n, side in zip(pixels.shape[-2:], sides, strict=True)]
    for at in np.ndindex(tuple(pixels.shape[:-2])):
        for y, x in product(*starts):
            piece = np.asarray(pixels[(*at, slice(y, y + sides[0]), slice(x, x + sides[1]))])
            missing = [(0, side - n) for side, n in zip(sides, piece.shape, strict=True)]
            yield np.pad(piece, missing) if pad else piece


def _in_tiles(pixels: Any) -> bool:
    return bool(math.prod(pixels.shape[-2:]) > LARGEST_PLANE)


def _physical(size: PixelSize, axes: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if size.frame and "T" in axes:
        fields = {"TimeIncrement": size.frame, "TimeIncrementUnit": "s"}
    if size.yx is None or not size.unit:
        return fields
    sizes = dict(zip("YX", size.yx, strict=True)) | ({"Z": size.z} if size.z else {})
    fields |= {f"PhysicalSize{axis}": side for axis, side in sizes.items()}
    return fields | {f"PhysicalSize{axis}Unit": UNITS[size.unit][0] for axis in sizes}
