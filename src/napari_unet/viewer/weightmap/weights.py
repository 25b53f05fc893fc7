"""Show the boundary weight map of what is painted, while it is painted."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from psygnal import Signal

from napari_unet.core.annotation import first_cell
from napari_unet.core.boundary import around
from napari_unet.core.coarseness import are_filled, choose_factor
from napari_unet.core.diameters import diameters, typical_diameter
from napari_unet.core.resolution import coarse_pixels, coarse_shape
from napari_unet.core.tiles import within
from napari_unet.engine.process import tasks
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.errors import InputError
from napari_unet.viewer.background import Background
from napari_unet.viewer.edits import Edit, Edits
from napari_unet.viewer.field import Box, shown_field
from napari_unet.viewer.notes import meaning_of
from napari_unet.viewer.painted import check_same_grid
from napari_unet.viewer.regions import RegionMasks
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest
from napari_unet.viewer.weightmap.boxes import Boxes

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LiveWeights"]

TILE = 512
"""Side in pixels of what is computed at once."""

MOST_PLANES = 50


class LiveWeights:
    """A layer that shows, and goes on showing, what a mistake costs at each pixel.

    The cost is that of the default recipe before classes are balanced: 1 plus the border term, and
    0 where nothing is labelled. The plane in view is computed, what is in view of it first; after
    an edit only what is around it. For the main thread; the work is done in the background.

    Parameters
    ----------
    background : Background
        Computes.
    viewer : napari viewer
        Gets the layer.
    image : Image
        What the labels are painted on.
    labels : Labels
        What is painted.
    regions : Shapes, optional
        Training regions: what is unpainted outside is not labelled.
    w0, sigma : float
        Height, and width in network pixels, of the border term.
    factor : int
        Working resolution; 0 for what a new model would choose.

    Attributes
    ----------
    layer : Image
        Shows the map; it is called unfinished until the first plane is computed.
    factor : int
        Working resolution of the map.

    Raises
    ------
    InputError
        If the layers do not fit, or the labels are classes.
    DeviceError
        If the machine has not enough shared memory.
    """

    closed = Signal()  # by `close`, or because a layer was removed or cannot be followed any more

    def __init__(
        self,
        background: Background,
        viewer: ViewerModel,
        image: Image,
        labels: Labels,
        regions: Shapes | None,
        *,
        w0: float,
        sigma: float,
        factor: int = 0,
    ) -> None:
        self._stack = ImageStack.of(image)
        check_same_grid(image, labels, self._stack)
        self._meaning = meaning_of(labels)
        if self._meaning == "classes":
            raise InputError(
                f"Layer {labels.name!r} holds classes; boundary weights separate cells, and there "
                f"are none for classes."
            )
        self._background, self._viewer = background, viewer
        self._image, self._labels = image, labels
        self._masks: RegionMasks | None = None
        self._follow(regions)
        shown = shown_field(viewer, image).plane
        others = islice(self._stack.indices(), MOST_PLANES)
        self._chosen = factor or self._choose_factor([shown, *others])
        self.factor = self._chosen or 1
        self._w0, self._sigma = w0, sigma
        self._buffer = SharedArray.create((TILE, TILE), np.float32)
        self._left: dict[PlaneIndex, Boxes] = {}
        self._asked: tuple[PlaneIndex, Box] | None = None
        self._lost_before = False
        self._open, self._complete = True, False
        self._result = Result(viewer, image, "weights", np.float32)
        self.layer = self._result.layer
        self._edits = Edits(labels, viewer)
        self._edits.changed.connect(self._on_edit)
        for emitter, handler in self._handlers():
            emitter.connect(handler)
        self.set_weights(w0, sigma)

    def set_weights(self, w0: float, sigma: float) -> None:
        """Show the map of another height and width, what is in view first."""
        self._w0, self._sigma = w0, sigma
        self.layer.contrast_limits = (0.0, 1.0 + w0)
        self._renew()

    def set_regions(self, regions: Shapes | None) -> None:
        """Follow other training regions, or none."""
        if self._open and regions is not self._regions:
            self._follow(regions)
            self._renew()

    def remove(self) -> None:
        """Take the layer away, and close."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.close()

    def close(self) -> None:
        """Follow the labels no more; the layer stays."""
        if not self._open:
            return
        self._open, self._asked = False, None
        for emitter, handler in self._handlers():
            emitter.disconnect(handler)
        self._edits.close()
        self._follow(None)
        self._background.cancel(self)
        self._buffer.close()
        self._result.finish(complete=self._complete)
        self.closed.emit()

    def _handlers(self) -> list[tuple[Any, Any]]:
        dims = self._viewer.dims.events
        return [
            (self._viewer.layers.events.removed, self._on_removed),
            (self._labels.events.metadata, self._on_metadata),
            (dims.current_step, self._go_on),
            (dims.order, self._go_on),
            (dims.ndisplay, self._go_on),
        ]

    @property
    def _fits(self) -> bool:
        """Whether image and labels still have the pixels, and planes, that the map is made for."""
        of_labels = tuple(finest(self._labels).shape)
        return self._stack.is_of(self._image) and of_labels == self._stack.shape

    def _on_edit(self, edit: Edit) -> None:
        if not self._fits:
            self.close()
            return
        if not self._chosen:
            self._chosen = self._choose_factor([edit.plane])
            if self._chosen > 1:
                self.factor = self._chosen
                self._left.clear()
        if edit.plane in self._left:
            self._left[edit.plane].add(self._around(edit.box))
        self._go_on()

    def _on_removed(self, event: Any) -> None:
        if event.value in (self.layer, self._image, self._labels):
            self.close()
        elif event.value is self._regions:
            self.set_regions(None)

    def _on_metadata(self, _: object = None) -> None:
        if meaning_of(self._labels) == self._meaning:
            return
        self._meaning = meaning_of(self._labels)
        if self._meaning == "classes":
            self.close()
        else:
            self._renew()

    def _follow(self, regions: Shapes | None) -> None:
        if self._masks is not None:
            self._masks.close()
        self._regions, self._masks = regions, None
        if regions is not None:
            self._masks = RegionMasks(regions, self._image)
            self._masks.changed.connect(self._renew)

    def _renew(self, _: object = None) -> None:
        """Compute the shown plane anew, and the others when they are shown."""
        if not self._fits:
            self.close()
            return
        plane = shown_field(self._viewer, self._image).plane
        self._left = {plane: self._left[plane]} if plane in self._left else {}
        if plane in self._left:
            self._left[plane].renew()
        self._go_on()

    def _go_on(self, _: object = None) -> None:
        """Ask for the next box of the shown plane, unless an answer is still to come."""
        if not self._open or self._asked is not None:
            return
        if not self._fits:
            self.close()
            return
        field = shown_field(self._viewer, self._image)
        if field.plane not in self._left:
            side = TILE // self.factor * self.factor
            self._left[field.plane] = Boxes(self._stack.plane_shape, side, field.box)
        box = self._left[field.plane].take(field.box)
        if box is not None:
            self._ask(field.plane, box)
        elif not self._complete:
            self._complete = True
            self._result.finish(complete=True)

    def _ask(self, plane: PlaneIndex, box: Box) -> None:
        self._asked = asked = (plane, box)
        near = self._around(box)
        region = None if self._masks is None else self._masks.mask(plane)
        self._background.ask(
            self,
            tasks.weigh_box,
            np.array(finest(self._labels)[(*plane, *near)]),
            self._meaning,
            None if region is None else region[near],
            within(box, near),
            self.factor,
            self._buffer,
            self._w0,
            self._sigma,
            on_event=partial(self._on_weighed, asked),
            on_lost=partial(self._on_lost, asked),
        )

    def _on_lost(self, asked: tuple[PlaneIndex, Box]) -> None:
        """Take the box up again, and ask once more; what fails twice waits for the next edit."""
        if asked is not self._asked:
            return
        plane, box = asked
        self._asked = None
        if plane in self._left:
            self._left[plane].add(box)
        self._lost_before = not self._lost_before
        if self._lost_before:
            self._go_on()

    def _on_weighed(self, answered: tuple[PlaneIndex, Box], _: int) -> None:
        if answered is not self._asked:
            return
        self._asked, self._lost_before = None, False
        if not self._result.shown:
            self.close()
            return
        plane, (y, x) = answered
        weights = self._buffer.array[: y.stop - y.start, : x.stop - x.start]
        left = self._left.get(plane)
        self._result.write(plane, (y, x), weights, now=not left)
        self._go_on()

    def _around(self, box: Box) -> Box:
        """Return the pixels that count for the weights of a box, and the other way round."""
        f, shape = self.factor, self._stack.plane_shape
        near = around(coarse_pixels(box, f), coarse_shape(shape, f), w0=self._w0, sigma=self._sigma)
        y, x = (
            slice(span.start * f, min(span.stop * f, n))
            for span, n in zip(near, shape, strict=True)
        )
        return y, x

    def _choose_factor(self, planes: Iterable[PlaneIndex]) -> int:
        """Return the working resolution that fits the first plane with cells; 0 without any."""
        for plane in planes:
            labels = np.asarray(finest(self._labels)[plane])
            cells = np.where(labels >= first_cell(self._meaning), labels, 0)
            if cells.any():
                size = typical_diameter(diameters(cells))
                return choose_factor(size, filled=are_filled([cells]))
        return 0
