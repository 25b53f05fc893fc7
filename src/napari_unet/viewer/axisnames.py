"""Names that the user gives to the sliders: napari keeps them apart from those of the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.layers import Image, Labels

from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.notes import belongs_to, is_result
from napari_unet.viewer.stack import finest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from napari.utils.events import Event

__all__ = ["AxisNames"]


class AxisNames:
    """Gives images the names that are written beside the sliders, between `follow` and `leave`.

    Whether planes are channels, or time points, is read from the names of the axes of a layer. A
    name is for the image that is meant, and for others, open or opened later, that have as many
    planes there and say nothing of them: napari has one slider for all, and what stands beside it
    already cannot be written again. Labels and results take the name of their image.

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
        self._written: dict[tuple[int, int, int], str] = {}  # by `_place`
        self._writing: tuple[object, int] | None = None
        self._along: WeakSet[Image] = WeakSet()  # get the same name, letter by letter

    def follow(self) -> None:
        """Notice names that are written from now on."""
        self._before = self._viewer.dims.axis_labels
        self._viewer.dims.events.axis_labels.connect(self._on_names)
        self._viewer.layers.events.inserted.connect(self._on_inserted)

    def leave(self) -> None:
        """Notice them no more."""
        self._viewer.dims.events.axis_labels.disconnect(self._on_names)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)

    def _on_names(self, _: object = None) -> None:
        """Take what is new and no layer says; napari shows there what layers say, too."""
        before, now = self._before, self._viewer.dims.axis_labels
        self._before = now
        image, said = self._image(), self._viewer.layers.axis_labels
        if image is None or not len(before) == len(now) == len(said):
            return
        for axis in range(-image.ndim, -2):
            if now[axis] not in (before[axis], said[axis]):
                self._name(image, axis, now[axis])

    def _name(self, image: Image, axis: int, name: str) -> None:
        """Name an axis of an image, and of those that are like it."""
        if self._writing != (image.unique_id, axis):
            self._writing = (image.unique_id, axis)
            self._along.clear()
        place = _place(image, axis)
        self._written[place] = name
        for other in image_layers(self._viewer):
            alike = axis >= -other.ndim and _place(other, axis) == place
            if other is not image and alike and _is_unnamed(other, axis):
                self._along.add(other)
        for one in (*self._along, image):
            # napari shows beside the slider what the uppermost layer says
            for layer in (*_drawn_on(self._viewer, one, axis), one):
                _rename(layer, axis, name)

    def _on_inserted(self, event: Event) -> None:
        """Name the axes of an image that is opened as those of the ones that are like it."""
        layer = event.value
        if isinstance(layer, Image) and not is_result(layer):
            for axis in range(-layer.ndim, -2):
                name = self._written.get(_place(layer, axis))
                if name is not None and _is_unnamed(layer, axis):
                    _rename(layer, axis, name)


def _place(layer: Image | Labels, axis: int) -> tuple[int, int, int]:
    """Return how many axes there are, which is meant, and how many planes it counts."""
    return layer.ndim, axis, int(finest(layer).shape[layer.ndim + axis])


def _drawn_on(viewer: ViewerModel, image: Image, axis: int) -> list[Layer]:
    """Return what is drawn on an image, or found in it, and has the same axis."""
    layers = [layer for layer in viewer.layers if axis >= -layer.ndim]
    return [one for one in layers if belongs_to(one, image) or _says_the_same(one, image, axis)]


def _says_the_same(layer: Layer, image: Image, axis: int) -> bool:
    """Whether labels may be of an image: both say the same of an axis."""
    return (
        isinstance(layer, Labels)
        and _place(layer, axis) == _place(image, axis)
        and layer.axis_labels[axis] == image.axis_labels[axis]
    )


def _is_unnamed(layer: Image, axis: int) -> bool:
    """Whether a layer says nothing of an axis: napari then calls it by its number."""
    return bool(layer.axis_labels[axis] == str(axis))


def _rename(layer: Layer, axis: int, name: str) -> None:
    names = list(layer.axis_labels)
    names[axis] = name
    layer.axis_labels = names
