"""Move the view to a place of an image, in whatever plane it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_unet.core.uncertainty import cell_size
from napari_unet.errors import InputError
from napari_unet.viewer.stack import ImageStack, PlaneIndex, shown_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["check_flight", "look_at"]

CELLS_IN_VIEW = 8
"""Cell diameters across the shorter side of the view after a flight."""


def check_flight(viewer: ViewerModel, image: Image) -> None:
    """Raise an `InputError` if a place of an image cannot be flown to."""
    if image not in viewer.layers:
        raise InputError(f"Layer {image.name!r} is not open any more: choose another image.")
    if viewer.dims.ndisplay != 2:
        raise InputError("In 3D the view cannot move to a place: go back to the 2D view first.")


def look_at(
    viewer: ViewerModel,
    image: Image,
    plane: PlaneIndex,
    place: tuple[float, float],
    diameter: float,
) -> None:
    """Show a place of an image in the middle of a 2D view, not farther away than now.

    Parameters
    ----------
    viewer : napari viewer
        Is moved.
    image : Image
        One of its layers.
    plane : tuple of int
        Index of the plane.
    place : (float, float)
        (y, x) in pixels.
    diameter : float
        Of a cell, in pixels; 0 if it is not known.
    """
    stack = ImageStack.of(image)
    size = cell_size(diameter, stack.plane_shape)
    point: list[float] = [*plane, *place]
    if stack.channel_axis is not None and not stack.rgb:
        point.insert(stack.channel_axis, 0)
    world = np.asarray(image.data_to_world(point))
    first = viewer.dims.ndim - image.ndim
    if shown_plane(viewer, image) != plane:
        for axis in range(image.ndim - 2):
            if stack.rgb or axis != stack.channel_axis:
                viewer.dims.set_point(first + axis, world[axis])
    everywhere = np.asarray(viewer.dims.point, dtype=float)
    everywhere[first:] = world
    step = np.asarray(image.data_to_world([*point[:-1], point[-1] + 1])) - world
    camera = viewer.scene.camera
    camera.center = tuple(everywhere[list(viewer.dims.displayed)])
    closest = min(viewer.canvas.size) / (CELLS_IN_VIEW * size * float(np.linalg.norm(step)))
    camera.zoom = max(camera.zoom, closest)
