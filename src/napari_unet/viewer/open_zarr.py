"""Open OME-Zarr in napari as it is meant: labels as labels, pyramids and sizes as such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import zarr

from napari_unet.engine.formats.findfiles import relative_name
from napari_unet.engine.formats.ngff import Multiscale, multiscale, ome_attributes
from napari_unet.engine.formats.zarrfile import is_zarr, open_group

__all__ = ["get_reader", "read"]

Paths = str | Sequence[str]
LayerData = tuple[Any, dict[str, Any], str]


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return what reads a folder, or None if it is not one OME-Zarr image: npe2 asks so."""
    if not isinstance(path, str) or not is_zarr(Path(path)):
        return None
    return read if _opened(Path(path))[1] is not None else None


def read(path: Paths) -> list[LayerData]:
    """Return one layer of all resolutions, of which napari loads what it shows.

    Channels become the first axis, as the dock wants them.
    """
    folder = Path(path if isinstance(path, str) else path[0])
    group, image = _opened(folder)
    if image is None:
        return []
    order = sorted(range(len(image.axes)), key=lambda axis: image.axes[axis] != "C")
    levels = [da.from_zarr(group[name]).transpose(order) for name in image.paths]
    scale, units = list(image.scale), [unit or "pixel" for unit in image.units]
    if image.size.frame is not None:
        time = image.axes.index("T")
        scale[time], units[time] = image.size.frame, "second"
    shown = {
        "name": relative_name(folder, folder).name,
        "multiscale": True,
        "scale": [scale[axis] for axis in order],
        "units": [units[axis] for axis in order],
        "axis_labels": [image.axes[axis].lower() for axis in order],
    }
    return [(levels, shown, "labels" if image.is_labels else "image")]


def _opened(folder: Path) -> tuple[Any, Multiscale | None]:
    group = open_group(folder)
    if isinstance(group, zarr.Array):
        return group, None
    return group, multiscale(ome_attributes(group.attrs), folder)
