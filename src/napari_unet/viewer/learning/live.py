"""Live mode: a network that goes on learning from what is painted, until it is switched off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_unet.core.annotation import Meaning
from napari_unet.errors import InputError
from napari_unet.viewer.learning.training import Training
from napari_unet.viewer.notes import meaning_of
from napari_unet.viewer.session import TRAINING, Session
from napari_unet.viewer.stack import ImageStack, finest

__all__ = ["Chosen", "Live", "missing"]

RETRY_MS = 700
"""Milliseconds after a stroke until it is looked at whether there is enough to begin."""

Chosen = tuple[Image | None, Labels | None, Shapes | None]
"""The chosen image, labels and training regions."""

NO_IMAGE = "on an image: open one, and choose it"
NO_LABELS = "in labels of the chosen image (New makes some)"


class Live:
    """The toggle: while it is on, a training without an end runs that takes new strokes in.

    When something else is chosen, or a layer that is trained on is taken away or given other data,
    the training comes to its end, and one of what is chosen then begins as soon as enough is
    painted. A training that is stopped or fails switches it off.

    Parameters
    ----------
    session : Session
        Trains.
    begin : callable
        Starts a live training of what is chosen; raises a `UNetError` if that cannot be.
    chosen : callable
        Returns the chosen layers.
    telling : callable, optional
        Returns what tells the user of such an error that is raised inside it.
    """

    changed = Signal(bool)

    def __init__(
        self,
        session: Session,
        begin: Callable[[], None],
        chosen: Callable[[], Chosen],
        telling: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._session, self._begin, self._chosen = session, begin, chosen
        self._telling = telling
        self._on = False
        self._timer = QTimer()
        self._timer.setInterval(RETRY_MS)
        self._timer.timeout.connect(self._try)
        self._waits_for = ""
        self._watched: Labels | None = None
        self._seen: tuple[Meaning, bool, str] | None = None
        session.jobs.stopped.connect(self._on_broken_off)
        session.jobs.failed.connect(self._on_broken_off)

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
        self._on = on
        training = self._session.training
        if on and training is not None:
            training.follow_painting()
        elif training is not None:
            training.finish()
        if on:
            self._timer.start()
        else:
            self._forget()
        self.changed.emit(on)
        if on:
            self._try()  # last: what cannot begin is off again

    def leave(self) -> None:
        """Switch off without a word to the training: something else ended it."""
        if self._on:
            self._on = False
            self._forget()
            self.changed.emit(False)

    def _on_broken_off(self, _: object = None) -> None:
        if self._session.closed:  # and with it whatever would show that this is off
            self._on = False
            self._forget()
        elif self._session.title == TRAINING:
            self.leave()

    def _forget(self) -> None:
        self._timer.stop()
        self._watch(None)
        self._waits_for = ""

    def _try(self) -> None:
        """Begin to train if nothing runs and enough is painted; end what does not fit any more."""
        session = self._session
        if session.closed:
            self._on_broken_off()
            return
        training = session.training
        if training is not None and not training.finishing and not self._holds(training):
            training.finish()
        if session.jobs.state != "idle":
            return
        waits_for = self._missing(*self._chosen())
        if waits_for != self._waits_for:
            self._waits_for = waits_for
            session.told.emit()
        if not waits_for:
            self._timer.stop()  # whoever begins may ask the user first, and Qt goes on meanwhile
            with self._telling():
                self._begin_or_leave()

    def _begin_or_leave(self) -> None:
        try:
            self._begin()
        finally:
            if self._session.training is None:
                self.leave()  # before the user is told why: what is told last can be read
            elif self._on:
                self._timer.start()

    def _holds(self, training: Training) -> bool:
        return training.chosen == self._chosen() and training.intact

    def _missing(self, image: Image | None, labels: Labels | None, regions: Shapes | None) -> str:
        """Say what must be painted; looks through the labels only after a change."""
        if image is None:
            return NO_IMAGE
        if labels is None or not _fits(image, labels):
            return NO_LABELS
        self._watch(labels)
        drawn = regions is not None and len(regions.data) > 0
        if self._seen is None or self._seen[:2] != (meaning_of(labels), drawn):
            self._seen = meaning_of(labels), drawn, missing(labels, drawn)
        return self._seen[2]

    def _watch(self, labels: Labels | None) -> None:
        """Notice changes of another layer than before."""
        if labels is self._watched:
            return
        for layer, connects in ((self._watched, False), (labels, True)):
            if layer is not None:
                events = layer.events
                for emitter in (events.paint, events.labels_update, events.set_data, events.data):
                    (emitter.connect if connects else emitter.disconnect)(self._on_edit)
        self._watched, self._seen = labels, None

    def _on_edit(self, _: object = None) -> None:
        self._seen = None


def missing(labels: Labels, has_regions: bool = False) -> str:
    """Say what must be painted before a training can begin; "" if nothing is missing.

    Parameters
    ----------
    labels : Labels
        Looked through up to the plane that suffices.
    has_regions : bool
        Whether training regions say where unpainted pixels are background.
    """
    meaning, planes = meaning_of(labels), _planes(labels)
    if meaning == "instances":
        return "" if any(plane.any() for plane in planes) else "a few cells"
    if meaning == "classes":
        return "" if _two_values(planes) else "two classes"
    cells, background = False, has_regions
    for plane in planes:
        cells = cells or bool((plane > 1).any())
        background = background or bool((plane == 1).any())
        if cells and background:
            return ""
    wanted = [] if cells else ["a few cells with label 2 and up"]
    wanted += [] if background else ["some background with label 1"]
    return " and ".join(wanted)


def _two_values(planes: Iterator[NDArray[Any]]) -> bool:
    first = 0
    for plane in planes:
        first = first or int(plane.max())
        if ((plane != 0) & (plane != first)).any():
            return True
    return False


def _planes(labels: Labels) -> Iterator[NDArray[Any]]:
    data = finest(labels)
    return (np.asarray(data[index]) for index in np.ndindex(data.shape[:-2]))


def _fits(image: Image, labels: Labels) -> bool:
    try:
        return tuple(finest(labels).shape) == ImageStack.of(image).shape
    except InputError:  # told to the user by whoever begins
        return True
