"""Write OME-Zarr 0.5: labels and probabilities of any size, with a pyramid, whole or not at all.

::

    begin_zarr("a.ome.zarr", ...)     a.ome.zarr.partial/0    written region by region, by as
                                                              many processes as there are chunks
    finish_zarr("a.ome.zarr")         a.ome.zarr.partial/1    half as wide, and so on
                                      a.ome.zarr.partial/2
                                      a.ome.zarr              renamed when it is complete
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray

from napari_unet.engine.formats.axisview import AxisView
from napari_unet.engine.formats.ngff import VERSION, coarser, multiscale_metadata
from napari_unet.engine.formats.source import UNKNOWN, AnyPath, PixelSize, with_known_axes
from napari_unet.engine.formats.zarrfile import is_zarr
from napari_unet.errors import InputError

__all__ = ["begin_zarr", "finish_zarr", "unfinished"]

CHUNK = 1024
"""Side of the chunks of a plane, and of the plane that is coarse enough."""


def unfinished(path: AnyPath) -> Path:
    """Return where something is written before it is complete."""
    path = Path(path)
    return path.with_name(f"{path.name}.partial")


def begin_zarr(
    path: AnyPath,
    shape: Sequence[int],
    *,
    axes: str,
    pixel_size: PixelSize = UNKNOWN,
    dtype: DTypeLike = np.uint32,
    channels: Sequence[str] = (),
) -> Any:
    """Begin an OME-Zarr image that `finish_zarr` completes; nothing is at ``path`` before.

    Parameters
    ----------
    path : path
        The folder to make or replace: ``NAME.ome.zarr``.
    shape : sequence of int
        The size of each axis.
    axes : str
        The letter of each axis: C if there are channels, then planes such as T and Z, Y, X.
    pixel_size : PixelSize, optional
        As an `ImageFile` has it.
    dtype : dtype
        Of integers for labels, of floats for probabilities.
    channels : sequence of str, optional
        What the probabilities are of.

    Returns
    -------
    array
        Of zeros, or of what an earlier attempt with the same arguments has written. All planes are
        one axis of it, as they are of the segmented image. It can be sent to other processes.

    Raises
    ------
    InputError
        If it cannot be written there.
    """
    path, axes, shape = Path(path), axes.upper(), tuple(int(n) for n in shape)
    if len(axes) != len(shape) or not axes.endswith("YX"):
        raise InputError(
            f"{path} cannot have the axes {axes!r} and the shape {shape}; give a letter for each "
            f"axis, the last two Y and X."
        )
    if path.exists() and not is_zarr(path):
        raise InputError(f"{path} exists and is not a zarr folder; choose another name.")
    axes, shape = with_known_axes(axes, shape)
    sides = (*[1] * (len(shape) - 2), CHUNK, CHUNK)
    # OME-Zarr has the axes in this order
    order = sorted(range(len(axes)), key=lambda axis: "TCZYX".index(axes[axis]))
    ome = _metadata("".join(axes[axis] for axis in order), dtype, channels, pixel_size)
    form = {
        "shape": [shape[axis] for axis in order],
        "chunks": [sides[axis] for axis in order],
        "dtype": dtype,
    }
    with _writing(path):
        array = _begun(unfinished(path), ome, form)
    planes = [order.index(axis) for axis, letter in enumerate(axes) if letter in "TZ"]
    if order == sorted(order) and len(planes) < 2:
        return array
    channel = [[order.index(0)]] if axes.startswith("C") else []
    return AxisView(array, [*channel, planes, [len(axes) - 2], [len(axes) - 1]], str(path))


def finish_zarr(path: AnyPath) -> None:
    """Build the pyramid of what `begin_zarr` began, and give it its name.

    What was there before is replaced. Each level is made of the one before it, chunk by chunk:
    labels of every second pixel, probabilities of the means of 2 x 2.

    Raises
    ------
    InputError
        If there is nothing to finish, or it cannot be written.
    """
    path = Path(path)
    if not unfinished(path).is_dir():
        raise InputError(f"There is no {unfinished(path)} to finish; begin it with begin_zarr.")
    with _writing(path):
        group = zarr.open_group(unfinished(path), mode="r+", zarr_format=3)
        ome: dict[str, Any] = dict(group.attrs["ome"])  # type: ignore[arg-type]
        is_labels = "image-label" in ome
        (image,) = ome["multiscales"]
        first = image["datasets"][0]
        fine: Any = group["0"]
        image["datasets"] = [first]
        while max(fine.shape[-2:]) > CHUNK:
            level = len(image["datasets"])
            fine = _halved(group, str(level), fine, is_labels)
            image["datasets"].append(coarser(first, level, is_labels=is_labels))
        group.attrs["ome"] = ome
        _rename(path)


def _metadata(
    axes: str, dtype: DTypeLike, channels: Sequence[str], size: PixelSize
) -> dict[str, Any]:
    is_labels = np.dtype(dtype).kind in "iub"
    ome: dict[str, Any] = {"version": VERSION}
    ome["multiscales"] = [multiscale_metadata(axes, size, is_labels=is_labels)]
    if is_labels:
        ome["image-label"] = {"version": VERSION}
    elif channels:
        window = {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0}
        ome["omero"] = {
            "channels": [
                {"label": name, "color": "FFFFFF", "active": True, "window": window}
                for name in channels
            ]
        }
    return ome


def _begun(folder: Path, ome: dict[str, Any], form: dict[str, Any]) -> zarr.Array[Any]:
    """Return the array of an earlier attempt that was to become the same, or a new one."""
    earlier = _earlier(folder, ome, form)
    if earlier is not None:
        return earlier
    _remove(folder)
    names = [axis["name"] for axis in ome["multiscales"][0]["axes"]]
    group = zarr.create_group(folder, zarr_format=3, attributes={"ome": ome})
    return group.create_array("0", **form, dimension_names=names, fill_value=0)


def _earlier(folder: Path, ome: dict[str, Any], form: dict[str, Any]) -> zarr.Array[Any] | None:
    try:
        group = zarr.open_group(folder, mode="r+", zarr_format=3)
        described: Any = group.attrs["ome"]
        # the pyramid may have been begun
        image = described["multiscales"][0]
        image["datasets"] = image["datasets"][:1]
        array = group["0"]
    except (OSError, LookupError, TypeError, ValueError):
        # it was interrupted before there was anything in it
        return None
    if described != ome or not isinstance(array, zarr.Array):
        return None
    found = {"shape": list(array.shape), "chunks": list(array.chunks), "dtype": array.dtype}
    return array if found == form | {"dtype": np.dtype(form["dtype"])} else None


def _halved(
    group: zarr.Group, name: str, fine: zarr.Array[Any], is_labels: bool
) -> zarr.Array[Any]:
    """Make the next level of the pyramid."""
    *lead, height, width = fine.shape
    shape = (*lead, -(-height // 2), -(-width // 2))
    coarse = group.create_array(
        name,
        shape=shape,
        chunks=fine.chunks,
        dtype=fine.dtype,
        dimension_names=fine.metadata.dimension_names,  # type: ignore[union-attr]
        fill_value=0,
        overwrite=True,
    )
    rows, columns = (
        [slice(start, min(start + side, n)) for start in range(0, n, side)]
        for side, n in zip(fine.chunks[-2:], shape[-2:], strict=True)
    )
    for at in np.ndindex(*lead):
        for y, x in product(rows, columns):
            pixels: Any = fine[
                (*at, slice(2 * y.start, 2 * y.stop), slice(2 * x.start, 2 * x.stop))
            ]
            coarse[(*at, y, x)] = pixels[::2, ::2] if is_labels else _means(pixels)
    return coarse


def _means(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of every 2 x 2 pixels, of those that are there at the edges."""
    odd = [(0, n % 2) for n in pixels.shape]
    y, x = (n + extra for n, (_, extra) in zip(pixels.shape, odd, strict=True))
    even = np.pad(pixels, odd, mode="edge")
    means: NDArray[Any] = even.reshape(y // 2, 2, x // 2, 2).mean(axis=(1, 3), dtype=np.float32)
    return means


def _rename(path: Path) -> None:
    """Put what is complete into the place of what was there."""
    old = path.with_name(f".{path.name}.old")
    _remove(old)
    if path.exists():
        path.rename(old)
    unfinished(path).rename(path)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error
