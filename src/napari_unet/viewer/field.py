"""The part of an image that the viewer shows: which plane, and which pixels of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_unet.viewer.stack import ImageStack, PlaneIndex, shown_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Box", "Field", "shown_field"]

Box = tuple[slice, slice]
"""Pixels of a plane, (Y, X)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What of an image is in view.

    Attributes
    ----------
    plane : tuple of int
        Index of the plane.
    box : (slice, slice)
        Its visible pixels (Y, X), never empty: the whole plane where the camera looks elsewhere.
    """

    plane: PlaneIndex
    box: Box


def shown_field(viewer: ViewerModel, image: Image) -> Field:
    """Return what of an image the viewer shows.

    In 3D, and before the first frame is drawn, that is taken to be the whole plane.
    """
    stack = ImageStack.of(image)
    whole = (slice(0, stack.plane_shape[0]), slice(0, stack.plane_shape[1]))
    plane = shown_plane(viewer, image)
    if viewer.dims.ndisplay != 2:
        return Field(plane=plane, box=whole)
    # napari keeps the corners in pixels of the level it draws
    scale = image.downsample_factors[image.data_level] if image.multiscale else np.ones(image.ndim)
    low, high = image.corner_pixels * scale, (image.corner_pixels + 1) * scale
    box = []
    for axis, n in zip((image.ndim - 2, image.ndim - 1), stack.plane_shape, strict=True):
        start = int(np.clip(np.floor(low[0, axis]), 0, n))
        stop = int(np.clip(np.ceil(high[1, axis]), 0, n))
        box.append(slice(start, stop))
    y, x = box
    # corners that coincide: nothing was drawn yet, or the camera looks past the image
    if y.stop - y.start < 2 or x.stop - x.start < 2:
        return Field(plane=plane, box=whole)
    return Field(plane=plane, box=(y, x))
