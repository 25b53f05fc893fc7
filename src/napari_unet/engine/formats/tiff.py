"""TIFF files with the meaning of their axes; one that is cut short is refused, never half read."""

from __future__ import annotations

import importlib.util
import math
import struct
import weakref
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import ImageSequence

from napari_unet.engine.formats.picturefile import open_picture
from napari_unet.engine.formats.rawpixels import RawPixels
from napari_unet.engine.formats.source import Source
from napari_unet.engine.formats.tiffseries import axes_and_shape, images_of, long_axes
from napari_unet.engine.formats.tiffsize import tiff_pixel_size
from napari_unet.errors import InputError, some_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_tiff", "open_tiff", "read_tiff"]

Array = NDArray[Any]
Page: TypeAlias = tifffile.TiffPage | tifffile.TiffFrame

LARGEST_PAGE = 2**27
"""Bytes up to which a compressed page is read whole, and not strip by strip for every tile."""

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
        with _opened(path) as tif:
            series = _only_series(tif, path)
            axes, limits = _named_axes(tif, series)
            pixels = _decode(tif, series, path)
    except InputError:
        raise
    except DAMAGED as error:
        raise _unreadable(path, error) from error
    for axis, n in limits.items():
        pixels = pixels.take(range(n), axis=axis)
    kept = [i for i, axis in enumerate(axes) if pixels.shape[i] > 1 or axis in "YX"]
    return pixels.reshape([pixels.shape[i] for i in kept]), "".join(axes[i] for i in kept)


def open_tiff(path: Path) -> Source:
    """Open a TIFF file and check that all of it is there, without reading its pixels.

    The file stays open as long as the array that is returned.

    Raises
    ------
    InputError, OSError
        As for `read_tiff`.
    """
    tif = _opened(path)
    try:
        series = _only_series(tif, path)
        axes, limits = _named_axes(tif, series)
        return Source(_lazy(tif, series, path), axes, limits, tiff_pixel_size(tif))
    except InputError:
        tif.close()
        raise
    except DAMAGED as error:
        tif.close()
        raise _unreadable(path, error) from error


def _opened(path: Path) -> tifffile.TiffFile:
    """Open a file; pages that a script wrote one by one are a stack, which tifffile keeps apart."""
    tif = tifffile.TiffFile(path)
    try:
        images = images_of(tif)
        kinds = {(*long_axes(image), image.dtype) for image in images}
        pages = len(kinds) == 1 and kinds.pop()[0] in ("YX", "YXS")
        apart = pages and tif.is_shaped and len(images) > 1
    except DAMAGED:
        apart = False
    if not apart:
        return tif
    tif.close()
    return tifffile.TiffFile(path, is_shaped=False)


def _unreadable(path: Path, error: Exception) -> InputError:
    """Return what to say; the error of a key that is missing is but the key, such as 0."""
    why = "" if isinstance(error, LookupError) else f" ({error})"
    return InputError(
        f"{path} cannot be read as a TIFF file{why}: it is damaged, or no image. Copy or export it "
        f"again."
    )


def _lazy(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> Any:
    """Return an array that reads the file when it is indexed."""
    page = series.keyframe
    _, shape = axes_and_shape(series)
    if series.dataoffset is not None and page.is_memmappable:
        tif.close()
        dtype = series.dtype.newbyteorder(tif.byteorder)
        return RawPixels(path, series.dataoffset, shape, dtype)
    try:
        page.decode(None, 0)
        known = not _is_packed(page) or importlib.util.find_spec("imagecodecs") is not None
    except ValueError:
        known = False
    if not known:
        # a compression that only Pillow knows: of whole pages
        pixels = _decode(tif, series, path)
        tif.close()
        return pixels
    by_page = page.nbytes <= LARGEST_PAGE
    store = series.aszarr(level=0, squeeze=False, chunkmode="page" if by_page else None)
    array = zarr.open_array(store, mode="r")
    weakref.finalize(array, tif.close)
    return array


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
    """Return the one image of a whole file; thumbnails, a slide's extra pictures do not count."""
    _check_complete(tif, path)
    images = images_of(tif)
    several = [series for series in images if not series.keyframe.is_reduced]
    if len(several) > 1 and not (tif.is_svs or tif.is_ndpi or tif.is_scn or tif.is_bif):
        shapes = some_of([" x ".join(map(str, long_axes(series)[1])) for series in several])
        raise InputError(f"{path} holds {len(several)} images ({shapes}); save each as a file.")
    series = (several or images)[0]
    found = sum(page is not None for page in series.pages)
    if found < len(series.pages):
        raise InputError(
            f"{path} is incomplete: it declares {len(series.pages)} pages, found {found}. "
            f"If the others are in files of their own, keep them in the same folder."
        )
    return series


def _decode(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> Array:
    _, shape = axes_and_shape(series)
    try:
        return np.asarray(series.asarray()).reshape(shape)
    except (NotImplementedError, ValueError) as error:
        if "imagecodecs" not in str(error):
            raise
    if _is_packed(series.keyframe):  # Pillow spreads their numbers
        raise InputError(
            f"{path} has pixels of {series.keyframe.bitspersample} bits, which this installation "
            f"cannot decode; run 'pip install imagecodecs', or save it with 8 or 16 bits."
        )
    # Pillow brings its own decoders for the commonest compressions, of plain pages
    plain = series.axes.endswith(("YX", "YXS")) and tif.pages.first.photometric != 0
    with open_picture(path) as image:
        pages = np.stack([np.array(page) for page in ImageSequence.Iterator(image)])
    if plain and pages.size == math.prod(shape) and pages.dtype == series.dtype:
        return pages.reshape(shape)
    compression = tifffile.COMPRESSION(tif.pages.first.compression).name
    raise InputError(
        f"{path} is compressed with {compression}, which this installation cannot decode; "
        f"run 'pip install imagecodecs', or save it with zlib compression."
    )


def _is_packed(page: tifffile.TiffPage) -> bool:
    """Whether pixels do not begin at bytes, as those of 12 bits; tifffile unpacks single bits."""
    # those of 5, 6 and 5 bits, which it unpacks too, are a tuple
    return page.bitspersample in {*range(2, 32)} - {8, 16, 24}


def _named_axes(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> tuple[str, dict[int, int]]:
    """Return a letter per axis, and which axis ends before its end: colours before their alpha."""
    axes, shape = axes_and_shape(series)
    # tifffile keeps what a script wrote there
    letters = [axis.upper() for axis in axes]
    kept = [i for i, axis in enumerate(letters) if shape[i] > 1 or axis in "YX"]
    axes = "".join(letters[i] for i in kept)
    shaped = tif.shaped_metadata
    silent = len(kept) > 2 and set(axes[:-2]) <= {"Q", "I"}
    if shaped and "axes" not in shaped[0] and "SYX" in axes:
        # tifffile and napari save any stack of three or four planes as if it were colour
        axes = axes.replace("S", "Q")
    elif silent and shape[kept[-1]] in (3, 4) and min(shape[i] for i in kept[-3:-1]) > 4:
        axes = axes[:-3] + "YXS"
    for i, axis in zip(kept, axes, strict=True):
        letters[i] = axis
    extra = tuple(series.keyframe.extrasamples)
    if "S" in axes and extra and set(extra) <= {1, 2}:
        samples = kept[axes.index("S")]
        return "".join(letters), {samples: shape[samples] - len(extra)}
    return "".join(letters), {}
