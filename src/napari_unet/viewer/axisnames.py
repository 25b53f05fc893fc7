"""Names that the user gives to the sliders: napari keeps them apart from those of the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Image

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["AxisNames"]


class AxisNames:
    """Gives an image the names that are written beside the sliders, between `follow` and `leave`.

    Whether planes are channels, or time points, is read from the names of the axes of a layer.

    Parameters
    ----------
    viewer : napari viewer
        Has the sliders.
    image : callable
        Returns the image that is meant, if one is.
    """

    def __init__(self, viewer: ViewerModel, image: Callable[[], Image | None]) -> None:
        self._viewer, self._image = viewer, image
        self._before: tuple[str, ...] = ()

    def follow(self) -> None:
        """Notice names that are written from now on."""
        self._before = self._viewer.dims.axis_labels
        self._viewer.dims.events.axis_labels.connect(self._on_names)

    def leave(self) -> None:
        """Notice them no more."""
        self._viewer.dims.events.axis_labels.disconnect(self._on_names)

    def _on_names(self, _: object = None) -> None:
        """Take what is new and no layer says; napari shows there what layers say, too."""
        before, now = self._before, self._viewer.dims.axis_labels
        self._before = now
        image, said = self._image(), self._viewer.layers.axis_labels
        if image is None or not len(before) == len(now) == len(said):
            return
        names = list(image.axis_labels)
        for axis in range(-image.ndim, -2):
            if now[axis] not in (before[axis], said[axis]):
                names[axis] = now[axis]
        if names != list(image.axis_labels):
            image.axis_labels = names
