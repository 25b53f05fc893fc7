"""The metadata of OME-Zarr images, versions 0.1 to 0.5, in the words of this package."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.engine.formats.source import PixelSize, length_unit, seconds_in
from napari_unet.errors import InputError

__all__ = [
    "VERSION",
    "Multiscale",
    "coarser",
    "image_paths",
    "multiscale",
    "multiscale_metadata",
    "ome_attributes",
]

DAMAGED = (AttributeError, LookupError, TypeError, ValueError)
"""What is raised on JSON of an unexpected shape."""

VERSION = "0.5"
OLDEST_AXES = "TCZYX"
"""Axes of images from before version 0.3, which do not name them."""


@dataclass(frozen=True, slots=True)
class Multiscale:
    """One image in several resolutions.

    Attributes
    ----------
    paths : list of str
        Its arrays inside the group, the finest first.
    axes : str
        A letter for each axis, as in `Source`.
    size : PixelSize
        How large a pixel of the finest array is.
    scale : list of float
        Of the finest array, an entry for each axis.
    units : list of str
        Of each axis; "" where not known.
    is_labels : bool
        Whether the numbers are labels.
    """

    paths: list[str]
    axes: str
    size: PixelSize
    scale: list[float]
    units: list[str]
    is_labels: bool


def ome_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a group's attributes that OME-Zarr defines; 0.5 has it in a drawer."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def multiscale(ome: Mapping[str, Any], path: Path) -> Multiscale | None:
    """Understand the metadata of an image; None if it is none.

    Raises
    ------
    InputError
        If it makes no sense.
    """
    if "multiscales" not in ome:
        return None
    try:
        first = ome["multiscales"][0]
        paths = [str(dataset["path"]) for dataset in first["datasets"]]
        written = first.get("axes") or OLDEST_AXES.lower()
        named = [_axis(axis) for axis in written]
        # of the level, then of all levels
        steps = [first["datasets"][0], first]
        factors = [_scale(step, len(named)) for step in steps]
        scale = [math.prod(pair) for pair in zip(*factors, strict=True)]
        if not paths or "Y" not in dict(named) or "X" not in dict(named):
            raise ValueError("no Y and X")
    except DAMAGED as error:
        raise InputError(
            f"{path} has OME-Zarr metadata that cannot be understood ({type(error).__name__}: "
            f"{error}); export it again."
        ) from error
    axes, units = "".join(letter for letter, _ in named), [unit for _, unit in named]
    size = _pixel_size(axes, scale, units, scale[axes.find("T")] * _second(written, axes))
    return Multiscale(paths, axes, size, scale, units, "image-label" in ome)


def image_paths(ome: Mapping[str, Any]) -> list[str]:
    """List the parts of a plate or a well that its metadata names."""
    try:
        plate = [str(well["path"]) for well in ome.get("plate", {}).get("wells", [])]
        return plate or [str(image["path"]) for image in ome.get("well", {}).get("images", [])]
    except DAMAGED:
        return []


def multiscale_metadata(axes: str, size: PixelSize, *, is_labels: bool) -> dict[str, Any]:
    """Return the metadata of version 0.5 of a single array, "0"."""
    scale, known = [1.0] * len(axes), [*"YX"]
    if size.yx is not None:
        scale[-2:] = size.yx
    if "Z" in axes and size.z is not None:
        scale[axes.index("Z")] = size.z
        known.append("Z")
    if "T" in axes and size.frame is not None:
        scale[axes.index("T")] = size.frame
    described = []
    for axis in axes:
        kind = {"T": "time", "C": "channel"}.get(axis, "space")
        described.append({"name": axis.lower(), "type": kind})
        if size.unit and axis in known:
            described[-1]["unit"] = size.unit
        if axis == "T" and size.frame is not None:
            described[-1]["unit"] = "second"
    first = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    return {"axes": described, "datasets": [first], "type": "nearest" if is_labels else "mean"}


def coarser(dataset: Mapping[str, Any], level: int, *, is_labels: bool) -> dict[str, Any]:
    """Return the metadata of the array that is made of the first one by halving it so often."""
    *lead, y, x = dataset["coordinateTransformations"][0]["scale"]
    factor = 2**level
    transforms = [{"type": "scale", "scale": [*lead, y * factor, x * factor]}]
    if not is_labels:
        # a mean lies in the middle of its pixels; a sample lies where the first of them does
        middle = [side * (factor - 1) / 2 for side in (y, x)]
        transforms.append({"type": "translation", "translation": [0.0] * len(lead) + middle})
    return {"path": str(level), "coordinateTransformations": transforms}


def _axis(axis: Any) -> tuple[str, str]:
    """Return the letter and the unit of an axis, which was only a name in version 0.3."""
    if isinstance(axis, str):
        axis = {"name": axis}
    name, kind = str(axis["name"]).upper(), axis.get("type")
    letter = {"channel": "C", "time": "T"}.get(str(kind), name)
    # whatever else there may be is planes
    return letter if letter in {*"CTZYX"} else "Q", length_unit(axis.get("unit", ""))


def _second(written: Sequence[Any], axes: str) -> float:
    """Return how long the unit of time is; 0 where not known, or where there is no T."""
    time = written[axes.index("T")] if "T" in axes else ""
    return seconds_in(time.get("unit")) if isinstance(time, dict) else 0.0


def _scale(holder: Mapping[str, Any], n: int) -> list[float]:
    for transform in holder.get("coordinateTransformations", []):
        if transform["type"] == "scale":
            scale = [float(factor) for factor in transform["scale"]]
            if len(scale) != n:
                raise ValueError(f"{len(scale)} scales for {n} axes")
            return scale
    return [1.0] * n


def _pixel_size(axes: str, scale: Sequence[float], units: Sequence[str], frame: float) -> PixelSize:
    y, x, z = axes.index("Y"), axes.index("X"), axes.find("Z")
    unit = units[y] if units[y] == units[x] else ""
    if not unit and (scale[y], scale[x]) == (1.0, 1.0):
        return PixelSize.of(0, 0, "", frame=frame)
    depth = scale[z] if z >= 0 and units[z] == units[y] else math.nan
    return PixelSize.of(scale[y], scale[x], unit, depth, frame)
