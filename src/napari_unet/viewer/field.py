"""The part of an image that the viewer shows: which plane, and which pixels of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.viewer.stack import ImageStack, PlaneIndex, shown_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Box", "Field", "View", "shown_field", "whole_plane"]

SETTLED_MS = 100
"""Milliseconds after the last move until it is looked at: a pan is a hundred moves."""

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
    whole = whole_plane(viewer, image)
    if viewer.dims.ndisplay != 2:
        return whole
    # napari keeps the corners in pixels of the level it draws
    scale = image.downsample_factors[image.data_level] if image.multiscale else np.ones(image.ndim)
    low, high = image.corner_pixels * scale, (image.corner_pixels + 1) * scale
    box = []
    for axis, side in zip((image.ndim - 2, image.ndim - 1), whole.box, strict=True):
        n = side.stop
        start = int(np.clip(np.floor(low[0, axis]), 0, n))
        stop = int(np.clip(np.ceil(high[1, axis]), 0, n))
        box.append(slice(start, stop))
    y, x = box
    # corners that coincide: nothing was drawn yet, or the camera looks past the image
    if y.stop - y.start < 2 or x.stop - x.start < 2:
        return whole
    return Field(plane=whole.plane, box=(y, x))


def whole_plane(viewer: ViewerModel, image: Image) -> Field:
    """Return all of the plane of an image that the viewer shows, wherever the camera looks."""
    y, x = ImageStack.of(image).plane_shape
    return Field(plane=shown_plane(viewer, image), box=(slice(0, y), slice(0, x)))


class View:
    """Follows what of an image is in view; for the main thread, until `close`.

    Should the image be removed, given other data or understood otherwise, it stays looked at where
    it was last.

    Parameters
    ----------
    viewer : napari viewer
        Whose camera and sliders are followed.
    image : Image
        What is looked at.

    Attributes
    ----------
    field : Field
        What of the image is in view.
    """

    changed = Signal(object)  # with the new field

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._viewer, self._image, self._stack = viewer, image, ImageStack.of(image)
        self.field = shown_field(viewer, image)
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLED_MS)
        self._timer.timeout.connect(self.look)
        for emitter in self._moves():
            emitter.connect(self._on_move)

    @property
    def intact(self) -> bool:
        """Whether the image is still open, with the data that it had, understood as it was."""
        return self._image in self._viewer.layers and self._stack.is_of(self._image)

    def look(self) -> None:
        """See what is in view now."""
        if not self.intact:
            return
        field = shown_field(self._viewer, self._image)
        if field != self.field:
            self.field = field
            self.changed.emit(field)

    def close(self) -> None:
        """Follow no longer; may be called twice."""
        self._timer.stop()
        for emitter in self._moves():
            emitter.disconnect(self._on_move)

    def _moves(self) -> tuple[Any, ...]:
        camera, dims = self._viewer.scene.camera.events, self._viewer.dims.events
        return (camera.center, camera.zoom, dims.current_step, dims.ndisplay)

    def _on_move(self, _: object = None) -> None:
        self._timer.start()
