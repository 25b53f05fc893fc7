"""Watch a network learn: what it makes of the field in view, while it is trained."""

from __future__ import annotations

import itertools
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils import CyclicLabelColormap
from napari.utils.colormaps import label_colormap
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray

from napari_unet.core.normalise import grey_statistics
from napari_unet.core.tiles import lengths, within
from napari_unet.engine.events import Previewed
from napari_unet.engine.process.mailbox import Look, Mailbox
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import UNetError
from napari_unet.viewer.cellclasses import class_colours, name_classes
from napari_unet.viewer.colours import are_given, given_colours
from napari_unet.viewer.field import Box, Field, View
from napari_unet.viewer.segmenting.results import Result, hide
from napari_unet.viewer.stack import ImageStack, PlaneIndex

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Preview"]

_log = logging.getLogger(__name__)

UNREADABLE = (OSError, ValueError, LookupError, RuntimeError, MemoryError, UNetError)
"""What reading a lazy image, or asking for shared memory, may raise."""

CELLS = "#23b5f5"
"""Not the colour of label 1, which is that of painted background."""

LINE = "black"
"""Between cells that touch; at half opacity it is dark on any image."""


class Preview:
    """Asks for the field in view, and shows what comes back; for the main thread.

    Only the pixels are read in another thread, which also makes the memory for what comes back.

    Parameters
    ----------
    viewer : napari viewer
        Whose camera and sliders say what is in view.
    image : Image
        What is looked at.
    mailbox : Mailbox
        Of the training.
    every : float
        Seconds between two previews of one field.
    """

    def __init__(
        self, viewer: ViewerModel, image: Image, mailbox: Mailbox, *, every: float
    ) -> None:
        self._viewer, self._image, self._mailbox = viewer, image, mailbox
        self._every = every
        self._stack = ImageStack.of(image)
        self._model: Segmenter | None = None
        self._numbers = itertools.count(1)
        self._asked: tuple[int, Field] | None = None
        self._sharing = threading.Lock()  # of these two, between the two threads
        self._outs: dict[int, SharedArray] = {}
        self._closed = False
        self._statistics: dict[PlaneIndex, NDArray[np.float32]] = {}
        # made at the click: a new layer takes napari a third of a second, too long for a stroke
        self._result = Result(viewer, image, "preview", np.uint8)
        self._result.finish(complete=True)
        self._empty, self._unreadable = True, False
        self._view: View | None = None

    def begin(self, model: Segmenter) -> None:
        """Follow the user, from now on.

        Parameters
        ----------
        model : Segmenter
            Of the kind that is trained: its classes, working resolution and depth count.
        """
        self._model = model
        if model.kind == "cells":
            self._result.layer.colormap = _colours(model)
        elif are_given(self._result.layer):
            self._result.layer.colormap = label_colormap()
        name_classes(self._result.layer, model.class_names)
        self._view = View(self._viewer, self._image)
        self._view.changed.connect(self._ask)
        if self._view.intact:
            self._ask(self._view.field)

    def close(self) -> None:
        """Follow the user no more; what is shown stays."""
        if self._view is not None:
            self._view.close()
        if self._empty and self._result.layer in self._viewer.layers:
            self._viewer.layers.remove(self._result.layer)
        with self._sharing:
            self._closed = True
            self._forget(list(self._outs))

    def show(self, event: Previewed) -> None:
        """Show a preview, unless the user looks elsewhere by now."""
        with self._sharing:
            # newer ones were taken, so those are never written
            self._forget([key for key in self._outs if key < event.key])
            out = self._outs.get(event.key)
        if self._asked is None or event.key != self._asked[0] or out is None:
            return
        field = self._asked[1]
        if not self._result.shown:
            return  # the user deleted it
        if self._empty:
            self._empty = False
            hide(self._viewer, self._image, "segmentation")  # two at once cannot be read
        self._result.write(field.plane, field.box, out.array, now=True)

    def _forget(self, keys: list[int]) -> None:
        for key in keys:
            self._outs.pop(key).close()

    def _ask(self, field: Field) -> None:
        # given other data, the image is no longer what is trained on
        if not self._unreadable and self._stack.is_of(self._image):
            key = next(self._numbers)
            self._asked = (key, field)
            self._mailbox.put(partial(self._look, key, field))

    def _look(self, key: int, field: Field) -> Look | None:
        """Read the pixels; called in the thread that sends them."""
        try:
            return self._read(key, field)
        except UNREADABLE as error:
            self._unreadable = True  # a training does not end for want of a preview
            _log.warning("There is no preview of %r any more: %s", self._image.name, error)
            return None

    def _read(self, key: int, field: Field) -> Look | None:
        box = self._with_context(field.box)
        plane: Any = self._stack.lazy_plane(field.plane)
        if field.plane not in self._statistics:
            self._statistics[field.plane] = grey_statistics(plane)
        y, x = within(field.box, box)
        assert self._model is not None  # as for `_with_context`
        used = slice(0, self._model.in_channels)  # one, of grey that is stored as colour
        pixels = np.asarray(plane[used, box[0], box[1]])
        with self._sharing:
            if self._closed:
                return None
            out = SharedArray.create(lengths((y, x)), np.uint8)
            self._outs[key] = out
        return Look(
            key=key,
            pixels=pixels,
            statistics=self._statistics[field.plane][used],
            inner=(y, x),
            out=out,
            every=self._every,
        )

    def _with_context(self, box: Box) -> Box:
        """Grow a box by what the network needs to see around it."""
        assert self._model is not None  # fields are asked for after `begin`
        depth = self._model.depth
        factor = self._model.downsample * max((1, *self._model.coarser_factors))  # the coarsest
        margin, grid = factor * (6 * 2**depth + 4), factor * 2**depth
        # the crop lies on the same pooling grids as the whole plane
        y, x = (
            slice(
                max((span.start - margin) // grid, 0) * grid,
                min(-(-(span.stop + margin) // grid) * grid, n),
            )
            for span, n in zip(box, self._stack.plane_shape, strict=True)
        )
        return y, x


def _colours(model: Segmenter) -> CyclicLabelColormap:
    """Return the colours of background, of the classes of cells, and of the lines between them."""
    kinds = transform_color([CELLS]) if model.cell_classes == 1 else class_colours(model)
    return given_colours(np.vstack([transform_color("transparent"), kinds, transform_color(LINE)]))
