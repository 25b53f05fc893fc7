"""TIFF files with the meaning of their axes; one that is cut short is refused, never half read."""

from __future__ import annotations

import hashlib
import math
import struct
import uuid
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from napari_unet.engine.atomic import write_atomically
from napari_unet.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_tiff", "read_tiff", "write_tiff"]

Array = NDArray[Any]
Page: TypeAlias = tifffile.TiffPage | tifffile.TiffFrame

LARGEST_CLASSIC = 2**32 - 2**25
"""Bytes of pixels beyond which a file must be a BigTIFF, should they not shrink at all."""

DESCRIPTION = 270
"""Tag of the image description, which holds the axes."""

DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What the readers of image files raise on bytes that make no sense."""


def is_tiff(path: Path) -> bool:
    """Tell by the first four bytes, not by the name, whether a file is a TIFF or BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(path: Path) -> tuple[Array, str]:
    """Return the pixels of a TIFF file and one letter per axis, without axes of length 1.

    Letters are those of `tifffile`: Y, X, C channels, S samples of a colour pixel, Z, T, and so
    on; Q and I are axes the file says nothing about. Alpha is dropped.

    Raises
    ------
    InputError
        If the file is cut short, holds more than one image, or cannot be decoded.
    OSError
        If the file cannot be opened.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            _check_complete(tif, path)
            series = _only_series(tif, path)
            return _named_axes(tif, series, _decode(tif, series, path))
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{path} cannot be read as a TIFF file: {error}.") from error


def write_tiff(path: Path, pixels: Array, axes: str) -> None:
    """Write a zlib-compressed OME-TIFF, whole or not at all; `axes` is one letter per axis.

    Equal pixels give equal files.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    pixels = np.ascontiguousarray(pixels)
    identity = uuid.UUID(bytes=hashlib.sha256(pixels.data).digest()[:16])
    try:
        write_atomically(
            path,
            lambda file: tifffile.imwrite(
                file,
                pixels,
                ome=True,
                bigtiff=pixels.nbytes > LARGEST_CLASSIC,
                compression="zlib",
                photometric="minisblack",
                metadata={"axes": axes, "UUID": str(identity)},
            ),
        )
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def _check_complete(tif: tifffile.TiffFile, path: Path) -> None:
    """Compare the pages a file declares with those that are there in full."""
    size, first = tif.filehandle.size, tif.pages.first
    pages, goes_on = _pages(tif)
    found = sum(_is_complete(page, size) for page in pages)
    declared, least = max(_declared_pages(tif), len(pages)), ""
    if len(pages) == 1 < declared and first.is_contiguous:
        # one directory for all pages, which follow each other without any
        found = min((size - first.dataoffsets[0]) // max(first.nbytes, 1), declared)
    if goes_on and declared == len(pages):
        declared, least = declared + 1, "at least "
    if found < declared:
        raise InputError(
            f"{path} is cut short: it declares {least}{declared} pages, found {found}. "
            f"Copy or export it again."
        )
    tags, _ = _directory(tif, first.offset)
    if DESCRIPTION in tags and DESCRIPTION not in first.tags:
        raise InputError(
            f"{path} is cut short: the description of its {found} pages is missing. "
            f"Copy or export it again."
        )


def _pages(tif: tifffile.TiffFile) -> tuple[list[Page], bool]:
    """Return the pages that can be read, and whether the file names a further one."""
    pages: list[Page] = []
    try:
        pages.extend(tif.pages)
    except tifffile.TiffFileError:
        return pages, True
    _, further = _directory(tif, pages[-1].offset)
    # some programs let the last page point back to an earlier one
    return pages, further not in {0, *(page.offset for page in pages)}


def _directory(tif: tifffile.TiffFile, offset: int) -> tuple[set[int], int]:
    """Return the tags a page's directory lists, readable or not, and where the next page is."""
    file, tiff = tif.filehandle, tif.tiff
    file.seek(offset)
    (count,) = struct.unpack(tiff.tagnoformat, file.read(tiff.tagnosize))
    entries = file.read(count * tiff.tagsize)
    starts = range(0, len(entries), tiff.tagsize)
    tags = {struct.unpack_from(tiff.byteorder + "H", entries, start)[0] for start in starts}
    (further,) = struct.unpack(tiff.offsetformat, file.read(tiff.offsetsize))
    return tags, further


def _is_complete(page: Page, size: int) -> bool:
    spans = zip(page.dataoffsets, page.databytecounts, strict=False)
    return all(offset + count <= size for offset, count in spans)


def _declared_pages(tif: tifffile.TiffFile) -> int:
    """Return the number of pages the description speaks of, 0 if it does not."""
    if tif.imagej_metadata:
        return int(tif.imagej_metadata.get("images", 0))
    shaped = tif.shaped_metadata or ()
    if len(shaped) != 1:
        return 0
    pixels, page = math.prod(shaped[0]["shape"]), math.prod(tif.pages.first.shape)
    return pixels // page if page and pixels % page == 0 else 0


def _only_series(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    """Return the one image of a file; thumbnails and a slide's extra pictures do not count."""
    several = [series for series in tif.series if not series.keyframe.is_reduced]
    if len(several) > 1 and not (tif.is_svs or tif.is_ndpi or tif.is_scn or tif.is_bif):
        shapes = ", ".join(" x ".join(map(str, series.shape)) for series in several)
        raise InputError(f"{path} holds {len(several)} images ({shapes}); save each as a file.")
    series = (several or tif.series)[0]
    found = sum(page is not None for page in series.pages)
    if found < len(series.pages):
        raise InputError(
            f"{path} is incomplete: it declares {len(series.pages)} pages, found {found}. "
            f"If the others are in files of their own, keep them in the same folder."
        )
    return series


def _decode(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> Array:
    shape: tuple[int, ...] = series.get_shape(squeeze=False)
    try:
        return np.asarray(series.asarray()).reshape(shape)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    # Pillow brings its own decoders for the commonest compressions, of plain pages
    plain = series.axes.endswith(("YX", "YXS")) and tif.pages.first.photometric != 0
    with Image.open(path) as image:
        pages = np.stack([np.array(page) for page in ImageSequence.Iterator(image)])
    if plain and pages.size == math.prod(shape) and pages.dtype == series.dtype:
        return pages.reshape(shape)
    compression = tifffile.COMPRESSION(tif.pages.first.compression).name
    raise InputError(
        f"{path} is compressed with {compression}, which this installation cannot decode; "
        f"run 'pip install imagecodecs', or save it with zlib compression."
    )


def _named_axes(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, pixels: Array
) -> tuple[Array, str]:
    axes: str = series.get_axes(squeeze=False)
    kept = [i for i, axis in enumerate(axes) if pixels.shape[i] > 1 or axis in "YX"]
    pixels, axes = pixels.reshape([pixels.shape[i] for i in kept]), "".join(axes[i] for i in kept)
    shaped = tif.shaped_metadata
    if shaped and "axes" not in shaped[0] and "SYX" in axes:
        # tifffile and napari save any stack of three or four planes as if it were colour
        return pixels, axes.replace("S", "Q")
    silent = pixels.ndim > 2 and set(axes[:-2]) <= {"Q", "I"}
    if silent and pixels.shape[-1] in (3, 4) and min(pixels.shape[-3:-1]) > 4:
        axes = axes[:-3] + "YXS"
    extra = tuple(series.keyframe.extrasamples)
    if "S" in axes and extra and set(extra) <= {1, 2}:
        samples = axes.index("S")
        pixels = pixels.take(range(pixels.shape[samples] - len(extra)), axis=samples)
    return pixels, axes
