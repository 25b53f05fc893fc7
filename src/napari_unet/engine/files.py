"""Images and labels as files: read and write them whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import whole_numbers
from napari_unet.engine.formats.axisview import AxisView
from napari_unet.engine.formats.imagefile import explained, open_source
from napari_unet.engine.formats.maskfolder import image_of_masks, read_masks
from napari_unet.engine.formats.source import UNKNOWN, AnyPath, PixelSize
from napari_unet.engine.formats.tiff import is_tiff, read_tiff
from napari_unet.engine.formats.tiffwriter import pieces, write_tiff
from napari_unet.errors import InputError

__all__ = [
    "plane_axes",
    "read_image",
    "read_labels",
    "write_labels",
    "write_probabilities",
]

Array = NDArray[Any]


def read_image(path: AnyPath) -> Array:
    """Read a whole image that `open_image` can open, in the dtype it is stored in.

    The axes come from the file's OME, ImageJ or tifffile metadata: C and the samples S of colour
    pixels become channels, Y and X stay, and everything else (T, Z, ...) becomes one axis of
    planes, in the file's order. Where the metadata is silent about the axes of an array of more
    than two, a last axis of 1, 3 or 4 holds the samples of pixels and every other axis is
    planes. Alpha is dropped.

    Returns
    -------
    array
        (C, Y, X), or (C, Z, Y, X) of more than one plane.

    Raises
    ------
    InputError
        If there is no such file, or it is cut short, damaged, or not a picture.
    """
    pixels, axes = _read(Path(path), palette=False)
    return _channels_first(pixels, axes, Path(path))


def plane_axes(path: AnyPath) -> str:
    """Return a letter for each axis of planes in a file of labels, the slowest first.

    Raises
    ------
    InputError
        As for `read_labels`, but for what is wrong with its pixels.
    """
    path = Path(path)
    if image_of_masks(path) is not None:
        return ""
    source = open_source(path, palette=True)
    sizes = zip(source.axes, source.data.shape, strict=True)
    return "".join(axis for axis, n in sizes if axis not in "CSYX" and n > 1)


def read_labels(path: AnyPath, *, planes: str = "") -> NDArray[np.integer]:
    """Read labels; the numbers of a palette PNG are its indices, and grey colour counts as grey.

    Masks in a file ``_seg.npy`` of Cellpose are read without running what else it may hold. A
    folder of masks with one cell each is read as one.

    Parameters
    ----------
    path : path
        The file, or the folder of zarr or of masks.
    planes : str, optional
        A letter for each axis of planes in the order that they have elsewhere, as in the image
        ("ZT"). Labels with the same axes in another order ("TZ") are returned in this one.

    Returns
    -------
    integer array
        (Y, X), or (Z, Y, X) of more than one plane.

    Raises
    ------
    InputError
        As for `read_image`, and if the values are not whole numbers or the file has channels.
    """
    path = Path(path)
    if image_of_masks(path) is not None:
        return read_masks(path, read_labels)
    pixels, axes = _read(path, palette=True)
    if "SYX" in axes:
        axes = axes.replace("S", "Q")
    channels = _channels_first(pixels, axes, path, planes)
    if len(channels) > 1 and not ("S" in axes and (channels == channels[0]).all()):
        raise InputError(
            f"{path} has {len(channels)} channels, but labels are one number per pixel; "
            f"save them as a single channel."
        )
    return whole_numbers(channels[0], f"{path}: ")


def write_labels(
    path: AnyPath,
    labels: Any,
    *,
    axes: str = "",
    plane_shape: tuple[int, ...] = (),
    pixel_size: PixelSize = UNKNOWN,
) -> None:
    """Write labels as an OME-TIFF, plane by plane, whole or not at all.

    uint16, or uint32 above 65 535; compressed with zlib; a BigTIFF where 4 GB may not do.

    Parameters
    ----------
    path : path
        The file to make or replace.
    labels : integer array
        (Y, X) or (Z, Y, X), NumPy or zarr.
    axes : str, optional
        The letters of the axes in the file: "TYX", "TZYX".
    plane_shape : tuple of int, optional
        The sizes of all but Y and X, where several of them are the Z of the labels.
    pixel_size : PixelSize, optional
        As an `ImageFile` has it.

    Raises
    ------
    InputError
        If the labels are not such numbers, or the file cannot be written.
    """
    labels = labels if hasattr(labels, "shape") else np.asarray(labels)
    if np.dtype(labels.dtype).kind not in "iub" or labels.ndim not in (2, 3) or 0 in labels.shape:
        raise InputError(
            f"Labels of shape {labels.shape} and dtype {labels.dtype} cannot be written to {path}; "
            f"give whole numbers of shape (Y, X) or (Z, Y, X)."
        )
    limits = [(int(piece.min()), int(piece.max())) for piece in pieces(labels)]
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    if low < 0 or high > 2**32 - 1:
        raise InputError(f"The labels for {path} run from {low} to {high}; use 0 to 4294967295.")
    dtype = np.uint16 if high <= 65535 else np.uint32
    write_tiff(
        Path(path), labels, axes or "ZYX"[-labels.ndim :], dtype, shape=plane_shape, size=pixel_size
    )


def write_probabilities(
    path: AnyPath,
    probabilities: Any,
    *,
    axes: str = "",
    plane_shape: tuple[int, ...] = (),
    pixel_size: PixelSize = UNKNOWN,
) -> None:
    """Write (K, Y, X) or (K, Z, Y, X) probabilities as `write_labels` does, in float32.

    ``axes`` and ``plane_shape`` are without the first axis.
    """
    axes = "C" + (axes or "ZYX"[1 - probabilities.ndim :])
    shape = (probabilities.shape[0], *plane_shape) if plane_shape else ()
    write_tiff(Path(path), probabilities, axes, np.float32, shape=shape, size=pixel_size)


def _read(path: Path, palette: bool) -> tuple[Array, str]:
    with explained(path):
        if path.is_file() and is_tiff(path):
            pixels, axes = read_tiff(path)
        else:
            source = open_source(path, palette)
            axes, each = source.axes, [[axis] for axis in range(len(source.axes))]
            pixels = np.asarray(AxisView(source.data, each, str(path), source.limits))
    if 0 in pixels.shape:
        raise InputError(f"{path} has shape {pixels.shape}: it has no pixels.")
    return pixels, axes


def _channels_first(pixels: Array, axes: str, path: Path, order: str = "") -> Array:
    """Return (C, Y, X) or (C, Z, Y, X) of an array whose axes have letters."""
    if "Y" not in axes or "X" not in axes:
        raise InputError(f"{path} has shape {pixels.shape}, which is not a picture.")
    channels = [i for i, axis in enumerate(axes) if axis in "CS"]
    planes = [i for i, axis in enumerate(axes) if axis not in "CSYX"]
    if sorted(axes[i] for i in planes if pixels.shape[i] > 1) == sorted(order):
        planes.sort(key=lambda i: order.find(axes[i]))
    pixels = pixels.transpose(*channels, *planes, axes.index("Y"), axes.index("X"))
    height, width = pixels.shape[-2:]
    counts = pixels.shape[: len(channels)], pixels.shape[len(channels) : -2]
    n_channels, n_planes = (int(np.prod(count)) for count in counts)
    shape = (n_channels, height, width) if n_planes == 1 else (n_channels, n_planes, height, width)
    return pixels.reshape(shape)
