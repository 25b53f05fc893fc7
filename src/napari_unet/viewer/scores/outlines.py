"""Labels as outlines while errors are shown: their colours would be taken for errors."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.layers import Labels

from napari_unet.viewer.layers import labels_layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

__all__ = ["Outlines"]

WIDTH = 1
"""Of an outline, in pixels."""


class Outlines:
    """Outlines the labels of the user while one layer of errors is seen, and fills them again.

    They can be painted on all the while, which hidden ones cannot. What the user outlined, or
    changes meanwhile, stays.

    Parameters
    ----------
    viewer : napari viewer
        Has the layers.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._errors: Labels | None = None
        self._outlined: WeakSet[Labels] = WeakSet()

    def follow(self, errors: Labels) -> None:
        """Outline labels whenever these errors are seen, until `leave`."""
        self.leave()
        self._errors = errors
        errors.events.visible.connect(self._renew)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._renew()

    def leave(self) -> None:
        """Fill the labels again, and follow nothing any more."""
        if self._errors is not None:
            self._errors.events.visible.disconnect(self._renew)
            self._viewer.layers.events.removed.disconnect(self._on_removed)
            self._errors = None
        self._fill()

    def _renew(self, _: object = None) -> None:
        if self._errors is None or not self._errors.visible:
            self._fill()
            return
        for layer in labels_layers(self._viewer):
            if not layer.contour:
                layer.contour = WIDTH
                self._outlined.add(layer)

    def _fill(self) -> None:
        for layer in self._outlined:
            if layer.contour == WIDTH:
                layer.contour = 0
        self._outlined.clear()

    def _on_removed(self, event: Event) -> None:
        if event.value is self._errors:
            self.leave()
