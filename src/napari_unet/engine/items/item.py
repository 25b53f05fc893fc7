"""An image of a batch, what is to be written of it, and where.

Results lie in the output folder, at the place that the image has in what was given::

    OUT/day1/a_labels.tif            or a_labels.ome.zarr
    OUT/day1/a_probabilities.tif     or a_probabilities.ome.zarr
    OUT/day1/a_objects.csv           or a_objects.parquet
    OUT/day1/a_volumes.csv           where planes are linked into 3D objects, likewise
    OUT/day1/a_tracks.csv, a_RES/    where planes are linked into tracks
    OUT/.live-unet/day1/a.json       the record, see `napari_unet.engine.items.manifest`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from napari_unet.core.config import check_fields
from napari_unet.engine.formats.imagefile import ImageFile, open_image
from napari_unet.engine.items.stamps import fingerprint, summed_image

__all__ = ["CHALLENGE", "RECORDS", "SUFFIX", "BatchOptions", "Item", "Link", "Outlines"]

RECORDS = ".live-unet"
"""Folder in the output folder for what the batch remembers."""

SUFFIX = {"tiff": ".tif", "ome-zarr": ".ome.zarr"}

CHALLENGE = ("RES", "")
"""Ending and suffix of the folder of tracks, where programs of the challenge look for it."""

Link: TypeAlias = Literal["", "objects", "volume", "tracks"]
"""What to link planes to, see `BatchOptions`."""

Outlines: TypeAlias = Literal["", "imagej", "geojson"]
"""Which outlines to write, see there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What a batch writes. Frozen and validated; illegal values raise `InputError`.

    Attributes
    ----------
    format : {"auto", "tiff", "ome-zarr"}
        Of labels and probabilities; "auto" is TIFF, but OME-Zarr where the image is one, where a
        plane has more than 67 megapixels, or where the labels take more than 2 GiB.
    probabilities : bool
        Also write the probability of cells, or of every class.
    measure : {"", "csv", "parquet"}
        Also write a table of the objects in every plane, and of linked 3D objects as wholes.
    outlines : {"", "imagej", "geojson"}
        Also write the outlines of the objects, as ROIs of ImageJ or as GeoJSON for QuPath.
    link : {"", "objects", "volume", "tracks"}
        Link the planes of a stack, so that an object keeps its number: into 3D objects; into those
        that are found along all three axes; or into tracks, which are also written as a table and
        as the Cell Tracking Challenge has them.
    overwrite : bool
        Make all results again, and replace what others made or changed.
    """

    format: Literal["auto", "tiff", "ome-zarr"] = "auto"
    probabilities: bool = False
    measure: Literal["", "csv", "parquet"] = ""
    outlines: Outlines = ""
    link: Link = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class Item:
    """An image of a batch.

    Attributes
    ----------
    image : Path
        A file, or a folder of OME-Zarr.
    name : Path
        Of its results, without suffix, inside the output folder.
    folder : Path
        The output folder.
    seen : str
        What tells the image from others, where it is no file.
    clash : str
        Why it cannot be segmented, where another image would become the same result.
    """

    image: Path
    name: Path
    folder: Path
    seen: str = ""
    clash: str = ""

    @property
    def source(self) -> str:
        """The whole path of the image, which tells it from others of its name."""
        return str(self.image.absolute())

    def fingerprint(self) -> str:
        """Return what tells the image, as it is now, from others; without reading it all."""
        return self.seen or fingerprint(self.image)

    def image_sum(self) -> str:
        """Return the `summed_image` of the image, which takes long; "" where it is no file."""
        return "" if self.seen else summed_image(self.image)

    def open(self) -> ImageFile:
        """Open the image, without reading its pixels."""
        return open_image(self.image)

    def output(self, what: str, suffix: str) -> Path:
        """Return the path of a result: NAME_what.suffix."""
        return self.folder / self.name.with_name(f"{self.name.name}_{what}{suffix}")

    def kept(self, suffix: str) -> Path:
        """Return the path of what is remembered of it: its record, lock or scratch folder."""
        return self.folder / RECORDS / self.name.with_name(self.name.name + suffix)
