"""What is to be made of one image of a batch, decided before its pixels are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from napari_unet.core.config import PredictConfig
from napari_unet.engine.blocks import LARGE, is_large
from napari_unet.engine.formats.imagefile import ImageFile
from napari_unet.engine.items.item import SUFFIX, BatchOptions, Item
from napari_unet.engine.items.manifest import wanted
from napari_unet.errors import InputError

__all__ = ["Order", "linked_shape", "place_order"]

LARGEST_TIFF = 2**31
"""Bytes of labels beyond which OME-Zarr is the automatic format, as it is for large planes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made of one image, as plain values that any machine understands.

    Attributes
    ----------
    item : Item
        The image and its name.
    config : PredictConfig
        How to segment.
    options : BatchOptions
        What to write.
    format : {"tiff", "ome-zarr"}
        Of labels and probabilities.
    fingerprint, made_by, settings : str, str, dict
        As in `napari_unet.engine.items.manifest.Record`.
    spatial : tuple of int
        (Y, X) or (Z, Y, X).
    pixel_width : float
        In micrometres; 0 where not known.
    """

    item: Item
    config: PredictConfig
    options: BatchOptions
    format: str
    fingerprint: str
    made_by: str
    settings: dict[str, Any]
    spatial: tuple[int, ...]
    pixel_width: float

    @property
    def pixels(self) -> int:
        """How many there are, all planes together."""
        return prod(self.spatial)

    @property
    def planes(self) -> int:
        """How many there are."""
        return self.spatial[0] if len(self.spatial) == 3 else 1

    def spacing(self, image: ImageFile) -> float:
        """Return the distance of its planes in pixels: as configured, as the image says, or 1."""
        return self.config.spacing or image.pixel_size.z_in_pixels or 1.0

    @property
    def is_large(self) -> bool:
        """Whether its planes are too large for memory."""
        return is_large(self.spatial[-2:])

    @property
    def scratch(self) -> Path:
        """Where what is done so far is kept; of other pixels or settings it is another folder."""
        made_from = f"{self.fingerprint} {self.made_by} {self.options.probabilities}"
        return self.item.kept(".scratch") / hashlib.sha256(made_from.encode()).hexdigest()[:16]

    @property
    def in_3d(self) -> bool:
        """Whether its cells are found along all three axes."""
        return self.options.link == "volume" and self.planes > 1

    def outputs(self) -> dict[str, Path]:
        """Return where each kind of result is to lie."""
        picture = SUFFIX[self.format]
        return {
            kind: self.item.output(kind, picture if picture in suffixes else suffixes[0])
            for kind, suffixes in wanted(self.options).items()
        }


def place_order(
    item: Item,
    config: PredictConfig,
    options: BatchOptions,
    made_by: str,
    settings: dict[str, Any],
) -> Order:
    """Look at an image without reading its pixels, and decide what is made of it.

    Raises
    ------
    InputError, OSError
        If it cannot be read.
    """
    seen = item.fingerprint()
    image = item.open()
    spatial = tuple(image.data.shape[1:])
    if options.link:
        linked_shape(image)
    if options.link == "volume":
        _check_volume(image, spatial)
    form = options.format
    if form == "auto":
        huge = 4 * prod(spatial) > LARGEST_TIFF or is_large(spatial[-2:])
        form = "ome-zarr" if huge or item.image.is_dir() else "tiff"
    return Order(
        item=item,
        config=config,
        options=options,
        format=form,
        fingerprint=seen,
        made_by=made_by,
        settings=settings,
        spatial=spatial,
        pixel_width=image.pixel_width,
    )


def linked_shape(image: ImageFile) -> tuple[int, ...]:
    """Return the axes of planes to link along: a single plane is a stack of one.

    Raises
    ------
    InputError
        If the axes of the planes are not such that objects, or tracks, lie along them.
    """
    if not image.plane_shape:
        return (1,)
    if len(image.plane_shape) == 1 or image.plane_axes == "TZ":
        return image.plane_shape
    raise InputError(
        f"{image.path} has planes along {image.plane_axes}; planes can be linked along one axis, "
        f"or along T and Z in this order. Do not link them (no --link; Link planes: no in the "
        f"dock), or save the image with fewer axes."
    )


def _check_volume(image: ImageFile, spatial: tuple[int, ...]) -> None:
    """Raise an `InputError` if an image has no depth, or too large planes to be cut across."""
    if image.plane_axes == "T":
        raise InputError(
            f"{image.path} has planes along T, and no depth; link them into tracks (--link tracks)."
        )
    if is_large(spatial[-2:]):
        raise InputError(
            f"{image.path} has planes of {spatial[-2]} x {spatial[-1]} pixels, and cells are found "
            f"along all three axes where a plane has at most {LARGE:,}. Find them plane by plane "
            f"(--link objects; Link planes: 3D objects in the dock)."
        )
