"""Live mode: a network that goes on learning from what is painted, until it is switched off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.viewer.layers import meaning_of
from napari_unet.viewer.session import Session
from napari_unet.viewer.stack import finest

__all__ = ["Live", "missing"]

RETRY_MS = 700
"""Milliseconds after a stroke until it is looked at whether there is enough to begin."""


class Live:
    """The toggle: while it is on, a training without an end runs that takes new strokes in.

    Parameters
    ----------
    session : Session
        Trains.
    begin : callable
        Starts a live training of what is chosen; raises a `UNetError` if that cannot be.
    labels : callable
        Returns the chosen labels layer, or None.
    """

    changed = Signal(bool)

    def __init__(
        self,
        session: Session,
        begin: Callable[[], None],
        labels: Callable[[], Labels | None],
    ) -> None:
        self._session, self._begin, self._labels = session, begin, labels
        self._on = False
        self._timer = QTimer()
        self._timer.setInterval(RETRY_MS)
        self._timer.timeout.connect(self._try)
        self._waits_for = ""

    @property
    def on(self) -> bool:
        """Whether the toggle is on."""
        return self._on

    @property
    def waits_for(self) -> str:
        """What has to be painted before the training can begin; nothing once it runs."""
        return self._waits_for

    def set(self, on: bool) -> None:
        """Switch it; off, the running training comes to its end and its model is kept."""
        if on == self._on:
            return
        self._on, self._waits_for = on, ""
        session = self._session
        training = session.training
        if on and training is not None:
            training.follow_painting()
        elif training is not None:
            training.leave_painting()
            training.finish()
        if on:
            self._timer.start()
            self._try()
        else:
            self._timer.stop()
        self.changed.emit(on)

    def leave(self) -> None:
        """Switch off without a word to the training: something else ended it."""
        if self._on:
            self._on, self._waits_for = False, ""
            self._timer.stop()
            self.changed.emit(False)

    def _try(self) -> None:
        """Begin to train if nothing runs and enough is painted."""
        if self._session.jobs.state != "idle":
            return
        labels = self._labels()
        waits_for = "labels" if labels is None else missing(labels)
        if waits_for != self._waits_for:
            self._waits_for = waits_for
            self._session.told.emit()
        if not waits_for:
            self._begin()
            if self._session.training is None:
                self.leave()  # it could not begin, and the user was told why


def missing(labels: Labels) -> str:
    """Say what must be painted before a training can begin; "" if nothing is missing."""
    data = finest(labels)
    meaning = meaning_of(labels)
    found: set[int] = set()
    for index in np.ndindex(data.shape[:-2]):
        plane = np.asarray(data[index])
        if plane.any():
            low = np.minimum(plane, 3).astype(np.uint8)
            found |= set(np.flatnonzero(np.bincount(low.ravel(), minlength=4)).tolist())
    if meaning == "instances":
        return "" if found - {0} else "a few cells"
    if meaning == "classes":
        return "" if len(found - {0}) > 1 else "two classes"
    wanted = [] if found & {2, 3} else ["a few cells with label 2 and up"]
    wanted += [] if 1 in found else ["some background with label 1"]
    return " and ".join(wanted)
