"""Folders of zarr: OME-Zarr images and plates, and single arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from napari_unet.engine.formats.bloscchunks import reading_whole_chunks
from napari_unet.engine.formats.ngff import image_paths, multiscale, ome_attributes
from napari_unet.engine.formats.source import Source, silent_axes
from napari_unet.errors import InputError, first_line

__all__ = [
    "is_zarr",
    "open_group",
    "open_zarr",
    "outermost_zarr",
    "zarr_images",
    "zarr_levels",
]

MARKS = ("zarr.json", ".zgroup", ".zarray")
"""Files that make a folder one of zarr."""


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr array or group, or says so by its name.

    One that cannot be looked into is none, unless it says so.
    """
    named = path.suffix.lower() == ".zarr"
    try:
        return path.is_dir() and (named or any((path / mark).is_file() for mark in MARKS))
    except OSError:
        return False


def outermost_zarr(path: Path) -> Path:
    """Return the folder of zarr that a path lies in, the path itself if there is none."""
    zarrs = [parent for parent in path.parents if parent.suffix.lower() == ".zarr"]
    return zarrs[-1] if zarrs else path


def zarr_images(path: Path) -> list[Path]:
    """List the images in a folder of zarr: itself, or the fields of a plate, or the series.

    A part that cannot be read is listed, so that it is missed where it is opened.
    """
    try:
        opened = open_group(path)
    except (InputError, OSError):
        return [path]
    if isinstance(opened, zarr.Array):
        return [path]
    ome = ome_attributes(opened.attrs)
    if parts := image_paths(ome):
        return [image for part in parts for image in zarr_images(path / part)]
    if "bioformats2raw.layout" in ome:
        series = [part for part in path.iterdir() if part.name.isdecimal()]
        return sorted(series, key=lambda part: int(part.name)) or [path]
    return [path]


def open_zarr(path: Path) -> Source:
    """Open an image, the finest level of it, or a single array, without reading its pixels.

    Raises
    ------
    InputError
        If there is no such thing, or more than one.
    """
    opened = open_group(path)
    if isinstance(opened, zarr.Array):
        return Source(opened, _guessed(opened))
    image = multiscale(ome_attributes(opened.attrs), path)
    if image is not None:
        array = _array(opened, image.paths[0], path)
        if array.ndim != len(image.axes):
            raise InputError(
                f"{path} has metadata of {len(image.axes)} axes ({image.axes}), but its array has "
                f"shape {array.shape}; export it again."
            )
        return Source(array, image.axes, size=image.size)
    images = zarr_images(path)
    if images != [path]:
        inside = [image.relative_to(path).as_posix() for image in images]
        if len(images) == 1:
            return open_zarr(images[0])
        raise InputError(
            f"{path} holds {len(images)} images ({inside[0]} ... {inside[-1]}); name one of them."
        )
    arrays = sorted(opened.array_keys())
    if len(arrays) == 1:
        array = _array(opened, arrays[0], path)
        return Source(array, _guessed(array))
    raise InputError(
        f"{path} is a zarr group of {len(arrays)} arrays without OME-Zarr metadata; name one of "
        f"the arrays."
    )


def zarr_levels(path: Path) -> list[Any]:
    """Return the arrays of an image, the finest first.

    Raises
    ------
    InputError
        As `open_zarr`.
    """
    opened = open_group(path)
    image = (
        None if isinstance(opened, zarr.Array) else multiscale(ome_attributes(opened.attrs), path)
    )
    if image is None or isinstance(opened, zarr.Array):
        return [open_zarr(path).data]
    return [_array(opened, name, path) for name in image.paths]


def open_group(path: Path) -> zarr.Group | zarr.Array[Any]:
    """Open what a folder holds to read it.

    Raises
    ------
    InputError
        If it holds neither an array nor a group that can be read.
    """
    if not path.is_dir():
        raise InputError(f"There is no file {path}.")
    if not any((path / mark).is_file() for mark in MARKS):
        raise InputError(
            f"{path} is not a zarr folder: it has no {', '.join(MARKS)}. Copy or export it again."
        )
    try:
        found = zarr.open(path, mode="r")
        return reading_whole_chunks(found, path) if isinstance(found, zarr.Array) else found
    except Exception as error:  # of damaged metadata zarr raises anything
        raise _unreadable(path, error) from error


def _array(group: zarr.Group, name: str, path: Path) -> zarr.Array[Any]:
    try:
        found = group[name]
    except KeyError as error:
        raise InputError(
            f"{path} is incomplete: its metadata names the array {name}, which is not there. "
            f"Copy or export it again."
        ) from error
    except Exception as error:  # of damaged metadata zarr raises anything
        raise _unreadable(path / name, error) from error
    if not isinstance(found, zarr.Array):
        raise InputError(f"{path / name} is a zarr group where there should be an array.")
    return reading_whole_chunks(found, path / name)


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} cannot be read as zarr: {first_line(error)}. Copy or export it again."
    )


def _guessed(array: zarr.Array[Any]) -> str:
    """Return a letter per axis of an array that may name them."""
    names = getattr(array.metadata, "dimension_names", None) or ()
    letters = "".join(str(name).upper() for name in names)
    if len(letters) == array.ndim and "Y" in letters and "X" in letters:
        return letters
    return silent_axes(array.shape)
