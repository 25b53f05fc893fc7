"""The size of a pixel in the metadata of TIFF files: OME and ImageJ."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from napari_unet.engine.formats.source import UNKNOWN, PixelSize, length_unit

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
    if not units["Y"] or units["Y"] != units["X"]:
        return UNKNOWN
    z = sizes["Z"] if units["Z"] == units["Y"] else 0.0
    return PixelSize.of(sizes["Y"], sizes["X"], units["Y"], z)


def _imagej(tif: tifffile.TiffFile) -> PixelSize:
    metadata, tags = tif.imagej_metadata or {}, tif.pages.first.tags
    unit = length_unit(metadata.get("unit"))
    if not unit or "XResolution" not in tags or "YResolution" not in tags:
        return UNKNOWN
    # pixels per unit, as fractions
    (y, per_y), (x, per_x) = tags["YResolution"].value, tags["XResolution"].value
    if not y or not x:
        return UNKNOWN
    return PixelSize.of(per_y / y, per_x / x, unit, _number(metadata.get("spacing")))


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
