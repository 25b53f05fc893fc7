"""Notice what changes in a labels layer, by whatever means, and where."""

from __future__ import annotations

import math
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.viewer.field import Box
from napari_unet.viewer.stack import PlaneIndex, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Edit", "Edits", "painted_spans"]

DELAY = 25
"""Milliseconds from a change until it is looked for: strokes come as many small changes."""
TURN_SECONDS = 0.004
BAND_PIXELS = 2**18
"""Pixels that are compared without a break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Pixels of a labels layer changed.

    Attributes
    ----------
    plane : tuple of int
        Index of the plane they lie in.
    box : (slice, slice)
        The smallest box (Y, X) that holds them.
    """

    plane: PlaneIndex
    box: Box


class Edits:
    """Follows the pixels of a labels layer; for the main thread, until `close`.

    ``changed`` is emitted with an `Edit` within about a tenth of a second after pixels were
    painted, filled, erased, undone, redone, set by `data_setitem`, replaced with ``layer.data`` or
    written in place before a refresh. It comes when the pixels do differ from what was last told,
    so it may be trusted not to come for a mere change of colours or of the shown plane.

    What was last told is kept as a copy of each plane that was shown or painted on; a row of zeros
    takes no memory. The copy of the plane shown at the beginning is made at the beginning. Of any
    other plane nobody knows what was there before it was looked at first, so what is then painted
    on it counts as changed. What is written in place into a plane that was never looked at is
    noticed when that plane is shown, or painted on, or at `flush`, which looks at known planes.

    Parameters
    ----------
    layer : Labels
        Whose pixels are followed.
    viewer : napari viewer
        That shows it; it is not kept alive.
    """

    changed = Signal(object)

    def __init__(self, layer: Labels, viewer: ViewerModel) -> None:
        self._layer, self._viewer = layer, weakref.ref(viewer)
        self._told: dict[PlaneIndex, NDArray[Any]] = {}
        self._pending: OrderedDict[PlaneIndex, Box] = OrderedDict()
        self._comparing: Iterator[Edit | None] = iter(())
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._take_turn)
        self._shown = self._shown_plane()
        if self._shown is not None:
            self._told[self._shown] = np.array(finest(layer)[self._shown])
        for emitter, handler in self._handlers():
            emitter.connect(handler)

    def flush(self) -> None:
        """Compare everything that is known now, and tell what changed before this returns."""
        self._timer.stop()
        self._look_at_known_planes()
        self._go_on(math.inf)

    def close(self) -> None:
        """Follow the layer no more; what was not told yet never will be."""
        for emitter, handler in self._handlers():
            emitter.disconnect(handler)
        self._timer.stop()
        self._pending.clear()
        self._comparing = iter(())
        self.changed.disconnect()

    def _handlers(self) -> list[tuple[Any, Any]]:
        events = self._layer.events
        return [
            (events.labels_update, self._on_part),
            (events.paint, self._on_paint),
            (events.set_data, self._on_refresh),
            (events.data, self._on_data),
        ]

    def _on_part(self, event: Any) -> None:
        """Look at the part of the slice that napari draws anew, at every move of the brush."""
        viewer = self._viewer_that_shows()
        if viewer is None:
            return
        spans = [slice(i, i + 1) for i in self._point(viewer)]
        displayed = self._displayed(viewer)
        for axis, start, n in zip(displayed, event.offset, event.data.shape, strict=False):
            spans[axis] = slice(start, start + n)
        self._look_at(spans)

    def _on_paint(self, event: Any) -> None:
        """Look at what an entry of napari's history covers: in any view, on any plane."""
        for spans in painted_spans(event):
            self._look_at(spans)

    def _on_refresh(self, _: object = None) -> None:
        """Look at the shown plane; at all known ones, unless it is just another that is shown."""
        before, self._shown = self._shown, self._shown_plane()
        if self._shown == before:
            self._look_at_known_planes()
        if self._shown is not None:
            self._look_at_plane(self._shown, first=True)

    def _on_data(self, _: object = None) -> None:
        """Look at every plane of the new data."""
        leading = finest(self._layer).shape[:-2]
        self._pending.clear()
        for plane in np.ndindex(leading):
            self._look_at_plane(plane)
        self._told = {plane: told for plane, told in self._told.items() if plane in self._pending}

    def _look_at_known_planes(self) -> None:
        for plane in self._told:
            self._look_at_plane(plane)

    def _look_at_plane(self, plane: PlaneIndex, *, first: bool = False) -> None:
        spans = [*(slice(i, i + 1) for i in plane), slice(0, None), slice(0, None)]
        self._look_at(spans, first=first)

    def _look_at(self, spans: Sequence[slice], *, first: bool = True) -> None:
        """Compare pixels soon; before all others, or after them."""
        shape = finest(self._layer).shape
        *leading, y, x = (slice(*span.indices(n)[:2]) for span, n in zip(spans, shape, strict=True))
        for plane in product(*(range(span.start, span.stop) for span in leading)):
            self._pending[plane] = _hull(self._pending.get(plane), (y, x))
            if first:
                self._pending.move_to_end(plane, last=False)
        if not self._timer.isActive():
            self._timer.start(DELAY)

    def _take_turn(self) -> None:
        if self._go_on(time.monotonic() + TURN_SECONDS):
            self._timer.start(0)

    def _go_on(self, deadline: float) -> bool:
        """Compare until a time; return whether more is left."""
        while True:
            for edit in self._comparing:
                if edit is not None:
                    self.changed.emit(edit)
                if time.monotonic() >= deadline:
                    return True
            if not self._pending:
                return False
            self._comparing = self._compare(*self._pending.popitem(last=False))

    def _compare(self, plane: PlaneIndex, box: Box) -> Iterator[Edit | None]:
        """Compare a box of a plane with what was told, band by band; yield what is to be told."""
        data = finest(self._layer)
        told = self._told.get(plane)
        found: Box | None = None
        if told is None or told.shape != data.shape[-2:] or told.dtype != data.dtype:
            y, x = data.shape[-2:]
            found = None if told is None else (slice(0, y), slice(0, x))
            told = self._told[plane] = np.zeros((y, x), dtype=data.dtype)
        rows, columns = box
        step = max(1, BAND_PIXELS // max(columns.stop - columns.start, 1))
        for start in range(rows.start, rows.stop, step):
            band = (slice(start, min(start + step, rows.stop)), columns)
            now = np.asarray(data[(*plane, *band)])
            differs = now != told[band]
            if differs.any():
                found = _hull(found, _extent(differs, start, columns.start))
                np.copyto(told[band], now, where=differs)
            yield None
        if found is not None:
            yield Edit(plane=plane, box=found)

    def _shown_plane(self) -> PlaneIndex | None:
        """Return the plane that is shown, if Y and X are."""
        viewer, ndim = self._viewer_that_shows(), self._layer.ndim
        if viewer is None or set(self._displayed(viewer)) != {ndim - 2, ndim - 1}:
            return None
        return tuple(self._point(viewer)[:-2])

    def _viewer_that_shows(self) -> ViewerModel | None:
        viewer = self._viewer()
        return viewer if viewer is not None and self._layer in viewer.layers else None

    def _displayed(self, viewer: ViewerModel) -> list[int]:
        """Return the axes of the layer that are shown, as napari orders them."""
        extra = viewer.dims.ndim - self._layer.ndim
        order = [axis - extra for axis in viewer.dims.order if axis >= extra]
        return order[-viewer.dims.ndisplay :]

    def _point(self, viewer: ViewerModel) -> list[int]:
        """Return the pixel of the layer at the point of the sliders."""
        layer = self._layer
        point = np.rint(layer.world_to_data(viewer.dims.point[-layer.ndim :])).astype(int)
        highest = np.array(finest(layer).shape) - 1
        return [int(i) for i in np.clip(point, 0, highest)]


def painted_spans(event: Any) -> Iterator[list[slice]]:
    """Yield what each part of a stroke covers on every axis, from napari's event of painting."""
    for atom in event.value:  # of either kind, it begins with the index of what was painted
        yield [_span(index) for index in atom[0]]


def _span(index: Any) -> slice:
    """Return what an index of one axis covers."""
    if isinstance(index, slice):
        return index
    values = np.asarray(index)
    return slice(int(values.min()), int(values.max()) + 1) if values.size else slice(0, 0)


def _extent(mask: NDArray[np.bool_], top: int, left: int) -> Box:
    """Return the box around what is True in a mask that begins at (top, left)."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(top + int(rows[0]), top + int(rows[-1]) + 1),
        slice(left + int(columns[0]), left + int(columns[-1]) + 1),
    )


def _hull(one: Box | None, other: Box) -> Box:
    """Return the box around two boxes."""
    if one is None:
        return other
    (y, x), (v, u) = one, other
    return (
        slice(min(y.start, v.start), max(y.stop, v.stop)),
        slice(min(x.start, u.start), max(x.stop, u.stop)),
    )
