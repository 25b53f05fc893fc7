"""Save what the user did while the program runs, so that a crash costs seconds of work."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.notifications import show_warning
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_unet.engine.saving.folders import default_root
from napari_unet.engine.saving.labels import Corner
from napari_unet.engine.saving.saver import Present, Saver
from napari_unet.engine.saving.session import SavedLabels, SavedSession
from napari_unet.viewer.layers import labels_layers
from napari_unet.viewer.saving.changes import Changes
from napari_unet.viewer.saving.savedlayers import saved_labels
from napari_unet.viewer.saving.savedregions import DrawnRegions
from napari_unet.viewer.stack import finest

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["Autosave"]

Pieces = Iterator[tuple[str, Corner, NDArray[Any]]]

QUIET_SECONDS = 3.0
"""From the last stroke until it is saved."""
LONGEST_SECONDS = 20.0
"""From a stroke until it is saved although more strokes follow."""

COPY_SECONDS, BREATH_SECONDS = 0.005, 0.05
"""How long pieces are copied on the main thread without a break, and the break."""

MOST_WAITING = 256 << 20
"""Bytes that may wait to be written before no more are copied."""


class _Messenger(QObject):
    """Carries a sentence from the thread to the main thread."""

    troubled = Signal(str)


class Autosave:
    """Saves labels, regions, models and curves of a session; for the main thread, until `close`.

    Labels layers are saved once somebody paints on them or the program notes something with them;
    others, like those loaded from a file and only looked at, are not copied. Pixels are copied on
    the main thread, a few milliseconds at a time, and written in a thread.

    Parameters
    ----------
    session : Session
        Whose viewer, model and record are saved.
    root : path, optional
        Where sessions are saved, each in a folder of its own that is made when there is something
        to save; by default `default_root`.
    """

    def __init__(self, session: Session, root: Path | None = None) -> None:
        self._session = session
        self._viewer = weakref.ref(session.viewer)
        self._messenger = _Messenger()
        self._messenger.troubled.connect(show_warning)
        self._saver = Saver(root or default_root(), self._messenger.troubled.emit)
        self._this = SavedSession.of_this_process()
        self._changes: dict[Layer, Changes] = {}
        self._regions = DrawnRegions(session.viewer, session.regions)
        self._folders: dict[Layer, tuple[str, object]] = {}
        self._numbers = count()
        self._taken_away: list[SavedLabels | None] = []
        self._round: Pieces | None = None
        self._waits_since: float | None = None
        self._noted = self._closed = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_time)
        for emitter, handler in self._handlers():
            emitter.connect(handler)
        self._follow_layers()

    @property
    def folder(self) -> Path | None:
        """Where this session is saved; None before there was something to save."""
        return self._saver.folder

    def save_now(self, seconds: float = 30.0) -> bool:
        """Save everything, and wait until it is written; return whether it is.

        Parameters
        ----------
        seconds : float
            How long to wait.
        """
        self._timer.stop()
        self._put(self._round or iter(()))
        self._put(self._begin_round(flush=True))
        self._round = self._waits_since = None
        self._note()
        return self._saver.wait(seconds)

    def close(self, *, clean: bool = True) -> None:
        """Save what is due, follow nothing more, and end the thread.

        Parameters
        ----------
        clean : bool
            Whether all is well, so that nothing is offered back.
        """
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        for emitter, handler in self._handlers():
            emitter.disconnect(handler)
        self._put(self._begin_round(everything=False, flush=True))
        if clean:
            self._this = replace(self._this, state="closed")
        self._note()
        for changes in self._changes.values():
            changes.leave()
        self._regions.leave()
        self._saver.close()
        self._messenger.troubled.disconnect(show_warning)

    def _handlers(self) -> list[tuple[Any, Any]]:
        session, viewer = self._session, self._viewer()
        jobs = session.jobs
        found: list[tuple[Any, Any]] = [
            (jobs.done, self._save_soon),
            (jobs.stopped, self._save_soon),
            (jobs.failed, self._save_soon),
            (session.history.changed, self._save_soon),
            (session.segmenter_changed, self._on_segmenter),
            (self._regions.noticed, self._on_noticed),
        ]
        if viewer is not None:
            events = viewer.layers.events
            found += [(events.inserted, self._follow_layers), (events.removed, self._on_removed)]
        return found

    def _follow_layers(self, _: object = None) -> None:
        viewer = self._viewer()
        for layer in [] if viewer is None else labels_layers(viewer):
            if layer not in self._changes:
                changes = self._changes[layer] = Changes(layer, viewer)
                changes.noticed.connect(self._on_noticed)
                if changes.worth_saving:
                    self._on_noticed()

    def _on_removed(self, event: Any) -> None:
        changes = self._changes.pop(event.value, None)
        if changes is not None:
            self._put(self._pieces(changes, everything=False, flush=True))
            self._taken_away.append(self._describe(changes))
            changes.leave()
            self._folders.pop(event.value, None)
            self._on_noticed()

    def _on_noticed(self) -> None:
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        self._save_in(min(QUIET_SECONDS, self._waits_since + LONGEST_SECONDS - now))

    def _on_segmenter(self) -> None:
        if self._session.jobs.state == "idle":
            self._save_soon()
        else:
            self._on_noticed()  # a training gives a better model every few seconds

    def _save_soon(self, *_: object) -> None:
        self._save_in(0.0)

    def _save_in(self, seconds: float) -> None:
        if not self._closed and self._round is None:
            self._timer.start(max(0, round(1000 * seconds)))
        elif self._waits_since is None:
            self._waits_since = time.monotonic()  # seen to at the end of the round

    def _on_time(self) -> None:
        """Copy pieces for a few milliseconds, and go on after a break."""
        begins = self._round is None
        if self._round is None:
            self._round, self._waits_since = self._begin_round(), None
        if self._saver.waiting_bytes < MOST_WAITING:
            until = time.perf_counter() + COPY_SECONDS
            if self._put(self._round, until):
                self._round = None
        if begins or self._round is None:
            self._note()
        if self._round is not None:
            self._timer.start(round(1000 * BREATH_SECONDS))
        elif self._waits_since is not None:
            self._on_noticed()

    def _put(self, pieces: Pieces, until: float = math.inf) -> bool:
        """Have pieces written, at least one; return whether that was all before a time."""
        for piece in pieces:
            self._saver.put(*piece)
            if time.perf_counter() >= until:
                return False
        return True

    def _begin_round(self, *, everything: bool = True, flush: bool = False) -> Pieces:
        rounds = [
            self._pieces(changes, everything=everything, flush=flush)
            for changes in self._changes.values()
            if changes.worth_saving
        ]
        return (piece for pieces in rounds for piece in pieces)

    def _pieces(self, changes: Changes, *, everything: bool, flush: bool) -> Pieces:
        folder = self._folder(changes.layer)
        due = changes.begin(everything=everything, flush=flush)
        return ((folder, *piece) for piece in due)

    def _folder(self, layer: Labels) -> str:
        """Return the name of a layer's folder: another one if it is given data of other size."""
        data = finest(layer)
        kind = (tuple(data.shape), np.dtype(data.dtype))
        if layer not in self._folders or self._folders[layer][1] != kind:
            self._folders[layer] = f"labels-{next(self._numbers)}", kind
        return self._folders[layer][0]

    def _note(self) -> None:
        """Have everything else written."""
        described = [self._describe(changes) for changes in self._changes.values()]
        # napari may have taken the layers away because it closes
        self._taken_away = self._taken_away if self._closed else []
        labels = tuple(saved for saved in (*described, *self._taken_away) if saved is not None)
        self._this = replace(self._this, labels=labels, regions=self._regions.saved())
        model = self._session.segmenter
        if labels or self._this.regions or model is not None or self._noted:
            self._noted = True
            earlier = self._session.history
            history = tuple((v.segmenter, v.time.isoformat(), v.summary) for v in earlier)
            record = asdict(self._session.record)
            self._saver.note(
                Present(session=self._this, model=model, history=history, record=record)
            )

    def _describe(self, changes: Changes) -> SavedLabels | None:
        viewer = self._viewer()
        if viewer is None or not changes.worth_saving:
            return None
        saved = saved_labels(viewer, changes.layer, self._folder(changes.layer))
        return replace(saved, partial=not changes.in_memory)
