"""The size of a pixel, in space and time, in the metadata of TIFF files: OME and ImageJ."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from napari_unet.engine.formats.source import UNKNOWN, PixelSize, length_unit, seconds_in

if TYPE_CHECKING:
    import tifffile

__all__ = ["tiff_pixel_size"]


def tiff_pixel_size(tif: tifffile.TiffFile) -> PixelSize:
    """Return how large a pixel is; the dots per inch of other files mean a printer, no object."""
    if tif.ome_metadata:
        return _ome(tif.ome_metadata)
    if tif.imagej_metadata:
        return _imagej(tif)
    return UNKNOWN


def _ome(text: str) -> PixelSize:
    try:
        pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
    except ElementTree.ParseError:
        return UNKNOWN
    if pixels is None:
        return UNKNOWN
    sizes = {axis: _number(pixels.get(f"PhysicalSize{axis}")) for axis in "XYZ"}
    units = {axis: length_unit(pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "XYZ"}
    second = seconds_in(pixels.get("TimeIncrementUnit", "s"))
    frame = _number(pixels.get("TimeIncrement")) * second
    if not units["Y"] or units["Y"] != units["X"]:
        return PixelSize.of(0, 0, "", frame=frame)
    z = sizes["Z"] if units["Z"] == units["Y"] else 0.0
    return PixelSize.of(sizes["Y"], sizes["X"], units["Y"], z, frame)


def _imagej(tif: tifffile.TiffFile) -> PixelSize:
    metadata, tags = tif.imagej_metadata or {}, tif.pages.first.tags
    frame = _number(metadata.get("finterval")) * seconds_in(metadata.get("tunit", "s"))
    unit = length_unit(metadata.get("unit"))
    # pixels per unit, as fractions
    y, x = (
        tags[f"{axis}Resolution"].value if f"{axis}Resolution" in tags else (0, 1) for axis in "YX"
    )
    if not unit or not y[0] or not x[0]:
        return PixelSize.of(0, 0, "", frame=frame)
    sides = y[1] / y[0], x[1] / x[0]
    return PixelSize.of(*sides, unit, _number(metadata.get("spacing")), frame)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
