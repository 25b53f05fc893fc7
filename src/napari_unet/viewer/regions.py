"""Training regions: a Shapes layer that says where everything is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_unet.viewer.stack import ImageStack, PlaneIndex, spatial_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["new_regions", "region_mask", "region_masks"]

AREAS = ("rectangle", "polygon", "ellipse")
COLOUR = "#ffd60a"


def new_regions(viewer: ViewerModel, image: Image) -> Shapes:
    """Add an empty Shapes layer over an image, ready to draw rectangles."""
    stack = ImageStack.of(image)
    layer = Shapes(
        ndim=len(stack.shape),
        name=f"{image.name} training regions",
        edge_color=COLOUR,
        face_color="transparent",
        edge_width=max(1, min(stack.plane_shape) // 200),
        **spatial_metadata(image, stack),
    )
    viewer.add_layer(layer)
    layer.mode = "add_rectangle"
    return layer


def region_masks(regions: Shapes, image: Image) -> dict[PlaneIndex, NDArray[np.bool_]]:
    """Return, for every plane of an image with a region on it, where it is covered.

    A shape drawn on a stack belongs to its plane, a flat one to every plane. Lines have no inside.
    """
    stack = ImageStack.of(image)
    masks: dict[PlaneIndex, NDArray[np.bool_]] = {}
    for vertices, kind in zip(regions.data, regions.shape_type, strict=True):
        if kind not in AREAS:
            continue
        corners = np.array([_to_image(regions, image, vertex) for vertex in vertices])
        outline = corners[:, -2:] if kind != "ellipse" else _ellipse(corners[:, -2:])
        inside = polygon2mask(stack.plane_shape, outline)
        flat = regions.ndim == 2
        for index in stack.indices() if flat else [stack.on_leading_axes(corners[0])]:
            masks[index] = masks[index] | inside if index in masks else inside
    return masks


def region_mask(
    masks: dict[PlaneIndex, NDArray[np.bool_]] | None, index: PlaneIndex, stack: ImageStack
) -> NDArray[np.bool_] | None:
    """Return the mask of a plane: None without training regions, nowhere where none is drawn."""
    if masks is None:
        return None
    return masks.get(index, np.broadcast_to(np.False_, stack.plane_shape))


def _ellipse(corners: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return points on an ellipse, of which napari holds the corners of the box around it."""
    along, across = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    points: NDArray[np.floating] = (
        corners.mean(axis=0) + along * np.cos(angle) + across * np.sin(angle)
    )
    return points


def _to_image(regions: Shapes, image: Image, vertex: Sequence[float]) -> NDArray[np.floating]:
    """Return a vertex in the data coordinates of the image; world axes count from the last."""
    world = np.asarray(regions.data_to_world(vertex))
    n = min(len(world), image.ndim)
    padded = np.zeros(image.ndim)
    padded[image.ndim - n :] = world[len(world) - n :]
    position: NDArray[np.floating] = np.asarray(image.world_to_data(padded))
    return position
