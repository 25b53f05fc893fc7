"""Which pieces of a labels layer have to be saved, and copies of them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from itertools import chain, product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.engine.saving.labels import SIDE, Corner, corners, region_of
from napari_unet.viewer.edits import Edit, Edits, painted_spans
from napari_unet.viewer.notes import METADATA
from napari_unet.viewer.stack import finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Changes"]


class Changes:
    """Follows a labels layer from the moment on that there is work of the user in it.

    That is, when somebody paints on it, or the program has noted something with it. Then all its
    pieces are due once, because nobody knows what was done before, unless the data is no array in
    memory: reading all of that could take for ever. ``noticed`` is emitted when more becomes due.

    Parameters
    ----------
    layer : Labels
        The layer; not one of our results.
    viewer : napari viewer
        That shows it; it is not kept alive.
    """

    noticed = Signal()

    def __init__(self, layer: Labels, viewer: ViewerModel) -> None:
        self.layer = layer
        self._due: dict[Corner, None] = {}
        self._all_due = False
        self._edits: Edits | None = None
        self._viewer = weakref.ref(viewer)
        for emitter, handler in self._handlers():
            emitter.connect(handler)
        self._on_metadata()

    @property
    def worth_saving(self) -> bool:
        """Whether there is work of the user in the layer."""
        return self._edits is not None

    @property
    def in_memory(self) -> bool:
        """Whether the data is an array in memory."""
        return isinstance(finest(self.layer), np.ndarray)

    def begin(self, *, everything: bool, flush: bool) -> Iterator[tuple[Corner, NDArray[Any]]]:
        """Return the pieces that are due now; each is copied when it is asked for.

        Parameters
        ----------
        everything : bool
            Whether pieces are included that are due only because they were never looked at.
        flush : bool
            Whether to look for changes of the last moment, which takes long in a large stack.
        """
        if flush and self._edits is not None:
            self._edits.flush()
        shape = tuple(finest(self.layer).shape)
        due = chain(list(self._due), corners(shape) if everything and self._all_due else ())
        self._due.clear()
        self._all_due = self._all_due and not everything
        return self._copies(due, shape)

    def leave(self) -> None:
        """Follow the layer no more."""
        for emitter, handler in self._handlers():
            emitter.disconnect(handler)
        if self._edits is not None:
            self._edits.close()
        self.noticed.disconnect()

    def _handlers(self) -> list[tuple[Any, Any]]:
        events = self.layer.events
        return [
            (events.paint, self._on_paint),
            (events.metadata, self._on_metadata),
            (events.data, self._on_data),
            (events.features, self._on_features),
        ]

    def _on_paint(self, event: Any) -> None:
        if not self.worth_saving:
            self._follow()
            # this stroke is older than what `Edits` compares with
            for spans in painted_spans(event):
                self._mark(spans)
            self.noticed.emit()

    def _on_data(self, _: object) -> None:
        if self.worth_saving:
            self._all_due = self.in_memory
            self.noticed.emit()

    def _on_features(self, _: object) -> None:
        """Save the classes of the cells, too."""
        if self.worth_saving:
            self.noticed.emit()

    def _on_metadata(self, _: object = None) -> None:
        if METADATA not in self.layer.metadata:
            return
        if not self.worth_saving:
            self._follow()
        self.noticed.emit()

    def _follow(self) -> None:
        viewer = self._viewer()
        if viewer is not None:
            self._edits = Edits(self.layer, viewer)
            self._edits.changed.connect(self._on_edit)
            self._all_due = self.in_memory

    def _on_edit(self, edit: Edit) -> None:
        self._mark([*(slice(i, i + 1) for i in edit.plane), *edit.box])
        self.noticed.emit()

    def _mark(self, spans: Sequence[slice]) -> None:
        """Note that something changed in a box of the data."""
        *leading, rows, columns = spans
        for plane in product(*(range(span.start, span.stop) for span in leading)):
            for y in range(rows.start // SIDE * SIDE, rows.stop, SIDE):
                for x in range(columns.start // SIDE * SIDE, columns.stop, SIDE):
                    self._due[Corner(plane, y, x)] = None

    def _copies(
        self, due: Iterator[Corner], shape: tuple[int, ...]
    ) -> Iterator[tuple[Corner, NDArray[Any]]]:
        for corner in due:
            data = finest(self.layer)
            if tuple(data.shape) != shape:
                return  # other data came, and all of it is due in the next round
            yield corner, np.array(data[region_of(corner)])
