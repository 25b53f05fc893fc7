"""What the user sees of an image, and so can correct: nothing is changed out of sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.viewer.correcting.accept import shown_result
from napari_unet.viewer.field import Field, shown_field
from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.stack import ImageStack, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["field_to_correct", "seen_result"]

OPAQUE = ("opaque", "translucent", "translucent_no_depth")
"""Ways of blending in which nothing below is seen, at full opacity."""


def field_to_correct(viewer: ViewerModel, image: Image) -> Field:
    """Return what of an image the viewer shows, if that is pixels of one of its planes.

    Raises
    ------
    InputError
        If it shows a volume, other axes than Y and X, or a place beyond the planes.
    """
    dims, stack = viewer.dims, ImageStack.of(image)
    if dims.ndisplay != 2:
        raise InputError("In 3D no single plane is in view: go back to the 2D view first.")
    if {*dims.displayed} != {dims.ndim - 2, dims.ndim - 1}:
        raise InputError(
            f"The view shows other axes than Y and X of layer {image.name!r}: press the button "
            f"that rolls the axes, below the layer list, until they are back."
        )
    point = np.asarray(image.world_to_data(dims.point[-image.ndim :]))
    if not _is_within(np.delete(point[:-2], _channel_axis(stack)), stack.leading):
        raise InputError(
            f"The sliders are beyond the planes of layer {image.name!r} ({stack.describe()}): "
            f"move them back until you see it."
        )
    return shown_field(viewer, image)


def seen_result(viewer: ViewerModel, image: Image, field: Field) -> Labels:
    """Return the layer whose predicted objects the user sees in a field of an image.

    Raises
    ------
    InputError
        If there is none, the cells of that plane have no numbers yet, the image is hidden, or
        another image lies over both.
    """
    result = shown_result(viewer, image, field.plane)
    if not image.visible:
        raise InputError(
            f"Layer {image.name!r} is hidden: show it, to see what you accept, or choose another "
            f"one as Image."
        )
    above = 1 + max(viewer.layers.index(image), viewer.layers.index(result))
    for other in image_layers(viewer):
        if viewer.layers.index(other) >= above and _covers(viewer, other, image, field):
            raise InputError(
                f"You are looking at layer {other.name!r}, not at {image.name!r}: choose it as "
                f"Image, or hide it."
            )
    return result


def _covers(viewer: ViewerModel, other: Image, image: Image, field: Field) -> bool:
    """Whether nothing of an image is seen under another one."""
    if not other.visible or other.opacity < 1 or other.blending not in OPAQUE:
        return False
    corners = [(y, x) for y in _ends(field.box[0]) for x in _ends(field.box[1])]
    return all(_reaches(viewer, other, image, corner) for corner in corners)


def _ends(pixels: slice) -> tuple[int, int]:
    return pixels.start, pixels.stop - 1


def _reaches(viewer: ViewerModel, other: Image, image: Image, pixel: tuple[int, int]) -> bool:
    """Whether another image has a pixel where an image has one in view."""
    point = np.array(image.world_to_data(viewer.dims.point[-image.ndim :]))
    point[-2:] = pixel
    world = np.array(viewer.dims.point)
    world[-image.ndim :] = image.data_to_world(point)
    place = np.asarray(other.world_to_data(world[-other.ndim :]))
    return _is_within(place, finest(other).shape[: other.ndim])


def _is_within(place: NDArray[np.floating], shape: tuple[int, ...]) -> bool:
    """Whether a place in the coordinates of pixels lies in one of them."""
    return bool(np.all((np.rint(place) >= 0) & (np.rint(place) < shape)))


def _channel_axis(stack: ImageStack) -> list[int]:
    """Return the axis of channels, if it is among those before Y and X."""
    return [] if stack.channel_axis is None or stack.rgb else [stack.channel_axis]
