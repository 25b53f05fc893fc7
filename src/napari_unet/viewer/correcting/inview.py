"""What the user sees of an image, and so can correct: nothing is changed out of sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_unet.errors import InputError
from napari_unet.viewer.correcting.accept import shown_result
from napari_unet.viewer.field import Field, shown_field
from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.stack import ImageStack, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["about_cover", "about_side_view", "field_to_correct", "seen_result"]

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
    if from_the_side := about_side_view(viewer, image):
        raise InputError(from_the_side)
    point = np.asarray(image.world_to_data(dims.point[-image.ndim :]))
    if not _is_within(np.delete(point[:-2], _channel_axis(stack)), stack.leading):
        raise InputError(
            f"The sliders are beyond the planes of layer {image.name!r} ({stack.describe()}): "
            f"move them back until you see it."
        )
    return shown_field(viewer, image)


def about_side_view(viewer: ViewerModel, image: Image) -> str:
    """Say that a 2D view shows other axes than those of the planes of an image; else ""."""
    dims = viewer.dims
    if dims.ndisplay != 2 or {*dims.displayed} == {dims.ndim - 2, dims.ndim - 1}:
        return ""
    return (
        f"The view shows other axes than Y and X of layer {image.name!r}: press the button "
        f"that rolls the axes, below the layer list, until they are back."
    )


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
    if covered := about_cover(viewer, image, field, under=(image, result)):
        raise InputError(covered)
    return result


def about_cover(viewer: ViewerModel, image: Image, field: Field, *, under: Sequence[Layer]) -> str:
    """Say which other image is seen instead of a field of an image, if one is; else "".

    Parameters
    ----------
    viewer : napari viewer
        In its grid no layer lies over another one, and in 3D one shines through the other.
    image : Image
        What should be seen.
    field : Field
        Its plane, and the pixels of it.
    under : sequence of Layer
        What the other one lies over: the image, and perhaps what was found in it.
    """
    if viewer.canvas.grid.enabled or viewer.dims.ndisplay != 2:
        return ""
    above = 1 + max(viewer.layers.index(layer) for layer in under)
    for other in reversed(image_layers(viewer)):  # the uppermost is what is seen
        if viewer.layers.index(other) >= above and _covers(viewer, other, image, field):
            return (
                f"You are looking at layer {other.name!r}, not at {image.name!r}: choose it as "
                f"Image, or hide it."
            )
    return ""


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
