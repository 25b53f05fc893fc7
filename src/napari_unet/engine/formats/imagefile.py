"""Image files that are opened, not read: any size, any of the formats, in one order of axes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import UnidentifiedImageError

from napari_unet.engine.formats.axisview import AxisView
from napari_unet.engine.formats.cellposefile import is_cellpose, read_cellpose
from napari_unet.engine.formats.picturefile import Picture
from napari_unet.engine.formats.pluginfile import open_with_plugin
from napari_unet.engine.formats.source import PixelSize, Source
from napari_unet.engine.formats.tiff import DAMAGED, is_tiff, open_tiff
from napari_unet.engine.formats.zarrfile import is_zarr, open_zarr
from napari_unet.errors import InputError

__all__ = ["SUFFIXES", "ImageFile", "explained", "open_image", "open_source"]

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
"""What is read here, so that no plugin is asked to make something of damaged files."""

MOST_CHANNELS = 10
"""Up to so many values behind long rows and columns are channels rather than pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image in a file, of which nothing but the description is read.

    Attributes
    ----------
    path : Path
        The file, or the folder of zarr.
    data : array
        (C, Y, X), or (C, Z, Y, X) of more than one plane; read where it is indexed.
    plane_axes : str
        A letter for each axis that Z stands for, the slowest first: "Z", "T", "TZ"; "" for one
        plane, Q where the file does not say.
    plane_shape : tuple of int
        The sizes of those axes.
    pixel_size : PixelSize
        How large a pixel is, and how far apart the planes of Z are, as far as is known.
    """

    path: Path
    data: Any
    plane_axes: str
    plane_shape: tuple[int, ...]
    pixel_size: PixelSize

    @property
    def pixel_width(self) -> float:
        """Side in micrometres of a square pixel of the same area; 0 where not known."""
        return self.pixel_size.width


def open_image(path: str | os.PathLike[str]) -> ImageFile:
    """Open an image without reading it: TIFF, OME-Zarr, zarr, PNG, JPEG and BMP.

    TIFF in a rare compression is read at once. Any other file is opened by an installed reader of
    napari, if there is one.

    Parameters
    ----------
    path : path
        The file, or the folder of zarr.

    Raises
    ------
    InputError
        If there is no such file, or it is cut short, damaged, or not one image.
    """
    path = Path(path)
    source = open_source(path)
    axes, data = source.axes, source.data
    if "Y" not in axes or "X" not in axes:
        raise InputError(f"{path} has shape {tuple(data.shape)}, which is not a picture.")
    if 0 in data.shape:
        raise InputError(f"{path} has shape {tuple(data.shape)}: it has no pixels.")
    _check_channels_last(path, axes, tuple(data.shape))
    channels = [i for i, axis in enumerate(axes) if axis in "CS"]
    planes = [i for i, axis in enumerate(axes) if axis not in "CSYX" and data.shape[i] > 1]
    groups = [channels, *([planes] if planes else []), [axes.index("Y")], [axes.index("X")]]
    view: Any = AxisView(data, groups, str(path), source.limits, keep=not planes)
    if type(data) is np.ndarray:
        view = np.asarray(view)
    return ImageFile(
        path=path,
        data=view,
        plane_axes="".join(axes[i] for i in planes).replace("I", "Q"),
        plane_shape=tuple(data.shape[i] for i in planes),
        pixel_size=source.size,
    )


def _check_channels_last(path: Path, axes: str, shape: tuple[int, ...]) -> None:
    """Raise InputError where a file that names no axes has what looks like channels behind X."""
    if not {*axes[:-2]} & {*"QI"} or not axes.endswith("YX"):
        return
    if shape[-1] <= MOST_CHANNELS and min(shape[-3:-1]) > 4 * MOST_CHANNELS:
        raise InputError(
            f"{path} has shape {shape} and does not say what its axes are: its planes would be "
            f"{shape[-1]} pixels wide. If these are channels, save it with their axis named, as "
            f"OME-TIFF or from Fiji, or with the channels first."
        )


def open_source(path: Path, palette: bool = False) -> Source:
    """Open a file with its axes as it has them; `palette` asks for the numbers of labels.

    Raises
    ------
    InputError
        If there is no such file, or it is cut short, damaged, or not one image.
    """
    with explained(path):
        if is_zarr(path):
            return open_zarr(path)
        if is_tiff(path):
            return open_tiff(path)
        if is_cellpose(path):
            return _open_cellpose(path, palette)
        return _open_other(path, palette)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Make an `InputError` of whatever is raised while a file is opened or read."""
    if path.name.startswith("._"):
        raise InputError(f"{path} is a companion file of macOS, not an image.")
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.") from error
    except (OSError, *DAMAGED) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read as an image: {reason}.") from error
    except MemoryError as error:
        raise InputError(f"{path} is too large for the memory of this computer.") from error


def _open_cellpose(path: Path, palette: bool) -> Source:
    if not palette:
        raise InputError(f"{path} holds labels of Cellpose and no image; give the image beside it.")
    return Source(*read_cellpose(path))


def _open_other(path: Path, palette: bool) -> Source:
    try:
        picture = Picture(path, palette)
    except UnidentifiedImageError as error:
        if path.suffix.lower() in SUFFIXES:
            raise InputError(
                f"{path} cannot be read as an image: it is damaged, or none. Copy or export it "
                f"again."
            ) from error
        source = open_with_plugin(path)
        if source is None:
            kind, it, how = ("an image", "it", "")
            if palette:
                kind, it, how = ("labels", "them", " with one number in each pixel")
            raise InputError(
                f"{path} cannot be read as {kind}; save {it} as TIFF or OME-Zarr{how}, or install "
                f"a napari plugin that opens such files."
            ) from error
        return source
    return Source(picture, picture.axes)
