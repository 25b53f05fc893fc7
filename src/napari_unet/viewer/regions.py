"""Training regions: a Shapes layer that says where everything is labelled."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer
from skimage.draw import polygon2mask

from napari_unet.viewer.stack import ImageStack, PlaneIndex, spatial_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LOOK", "Masks", "RegionMasks", "new_regions", "region_mask", "region_masks"]

AREAS = ("rectangle", "polygon", "ellipse")
LOOK = {"edge_color": "#ffd60a", "face_color": "transparent"}
"""Of the layers that are made here."""

SETTLED_MS = 200
"""Milliseconds after a shape was last moved until it is looked at."""

Masks = dict[PlaneIndex, NDArray[np.bool_]]
Outlines = list[tuple[str, NDArray[np.floating]]]
"""Kind and corners (N, ndim of the image) of every shape that has an inside."""


def new_regions(viewer: ViewerModel, image: Image) -> Shapes:
    """Add an empty Shapes layer over an image, ready to draw rectangles."""
    stack = ImageStack.of(image)
    layer = Shapes(
        ndim=len(stack.shape),
        name=f"{image.name} training regions",
        edge_width=max(1, min(stack.plane_shape) // 200),
        **LOOK,
        **spatial_metadata(image, stack),
    )
    viewer.add_layer(layer)
    layer.mode = "add_rectangle"
    return layer


class RegionMasks:
    """The masks of training regions, made anew when the shapes did change; until `close`.

    For the main thread. ``changed`` is emitted with the list of planes on which something else is
    covered now.

    Parameters
    ----------
    regions, image : layers
        The shapes, and what they lie on.
    masks : dict, optional
        What `region_masks` returned a moment ago.
    """

    changed = Signal(list)

    def __init__(self, regions: Shapes, image: Image, masks: Masks | None = None) -> None:
        self._regions, self._image = regions, image
        self._stack = ImageStack.of(image)
        self._outlines = _outlines(regions, image)
        self._masks = region_masks(regions, image) if masks is None else masks
        # napari tells of new data at every move of the mouse, and also when a slider is moved
        self._settled = QTimer()
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLED_MS)
        self._settled.timeout.connect(self._look)
        regions.events.set_data.connect(self._on_data)

    def mask(self, plane: PlaneIndex) -> NDArray[np.bool_]:
        """Return what is covered on a plane: a bool array (Y, X)."""
        return self._masks.get(plane, np.broadcast_to(np.False_, self._stack.plane_shape))

    def flush(self) -> None:
        """Look at what was drawn up to now, and tell before this returns."""
        if self._settled.isActive():
            self._settled.stop()
            self._look()

    def close(self) -> None:
        """Follow the shapes no more."""
        self._settled.stop()
        self._regions.events.set_data.disconnect(self._on_data)
        self.changed.disconnect()

    def _on_data(self, _: object = None) -> None:
        self._settled.start()

    def _look(self) -> None:
        if not self._stack.is_of(self._image):
            return
        outlines = _outlines(self._regions, self._image)
        if _are_equal(outlines, self._outlines):
            return
        before, flat = self._masks, self._regions.ndim == 2
        # filling a shape takes tens of milliseconds, so planes on which none changed keep theirs
        earlier = {} if flat else _by_plane(self._outlines, self._stack, flat=False)
        self._masks = _fill(outlines, self._stack, flat=flat, earlier=earlier, masks=before)
        self._outlines = outlines
        same: dict[tuple[int, int], bool] = {}  # a flat shape is one mask for all planes
        planes = []
        for plane in sorted({*before, *self._masks}):
            pair = before.get(plane), self._masks.get(plane)
            key = id(pair[0]), id(pair[1])
            if key not in same:
                same[key] = _cover_the_same(*pair)
            if not same[key]:
                planes.append(plane)
        if planes:
            self.changed.emit(planes)


def region_masks(regions: Shapes, image: Image) -> Masks:
    """Return, for every plane of an image with a region on it, where it is covered.

    A shape drawn on a stack belongs to its plane, a flat one to every plane. Lines have no inside.
    Planes may share one array.
    """
    return _fill(_outlines(regions, image), ImageStack.of(image), flat=regions.ndim == 2)


def region_mask(
    masks: Masks | None, index: PlaneIndex, stack: ImageStack
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


def _outlines(regions: Shapes, image: Image) -> Outlines:
    """Return the shapes that have an inside, in the data coordinates of the image."""
    origin = _to_image(regions, image, np.zeros(regions.ndim))
    axes = [_to_image(regions, image, unit) - origin for unit in np.eye(regions.ndim)]
    return [
        (str(kind), np.asarray(vertices) @ np.array(axes) + origin)
        for vertices, kind in zip(regions.data, regions.shape_type, strict=True)
        if kind in AREAS
    ]


def _by_plane(outlines: Outlines, stack: ImageStack, *, flat: bool) -> dict[PlaneIndex, Outlines]:
    """Return the shapes of every plane; flat ones stand under ()."""
    found: dict[PlaneIndex, Outlines] = {}
    for kind, corners in outlines:
        plane = () if flat else stack.on_leading_axes(corners[0])
        found.setdefault(plane, []).append((kind, corners))
    return found


def _fill(
    outlines: Outlines,
    stack: ImageStack,
    *,
    flat: bool,
    earlier: Mapping[PlaneIndex, Outlines] = MappingProxyType({}),
    masks: Mapping[PlaneIndex, NDArray[np.bool_]] = MappingProxyType({}),
) -> Masks:
    """Return what is covered of the planes that shapes lie on; flat ones lie on all.

    Planes whose shapes are what they were earlier keep their masks.
    """
    filled: Masks = {}
    for plane, shapes in _by_plane(outlines, stack, flat=flat).items():
        if plane in masks and _are_equal(shapes, earlier.get(plane, [])):
            filled[plane] = masks[plane]
        else:
            filled[plane] = _covered(shapes, stack.plane_shape)
    return dict.fromkeys(stack.indices(), filled[()]) if flat and filled else filled


def _covered(outlines: Outlines, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    for kind, corners in outlines:
        outline = corners[:, -2:] if kind != "ellipse" else _ellipse(corners[:, -2:])
        low, high = (
            np.clip(edge, 0, shape).astype(int)
            for edge in (np.floor(outline.min(axis=0)), np.ceil(outline.max(axis=0)) + 1)
        )
        if np.all(low < high):  # rasterising costs by the area that is looked at
            box = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
            mask[box] |= polygon2mask(tuple(high - low), outline - low)
    return mask


def _are_equal(one: Outlines, other: Outlines) -> bool:
    return len(one) == len(other) and all(
        kind == as_kind and np.array_equal(corners, as_corners)
        for (kind, corners), (as_kind, as_corners) in zip(one, other, strict=True)
    )


def _cover_the_same(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> bool:
    if one is None or other is None:
        mask = other if one is None else one
        return mask is None or not mask.any()
    return one is other or np.array_equal(one, other)


def _to_image(regions: Shapes, image: Image, vertex: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a vertex in the data coordinates of the image; world axes count from the last."""
    world = np.asarray(regions.data_to_world(vertex))
    n = min(len(world), image.ndim)
    padded = np.zeros(image.ndim)
    padded[image.ndim - n :] = world[len(world) - n :]
    position: NDArray[np.floating] = np.asarray(image.world_to_data(padded))
    return position
