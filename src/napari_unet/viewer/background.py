"""Small computations beside the viewer: in a process without torch, the newest of a kind wins.

A job (`napari_unet.viewer.jobs`) is what the user started and waits for. This is for what follows
painting and sliders by itself, also while a job runs: it has no progress bar, is never waited for,
and a question that is asked again before it was answered is answered once.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_unet.engine.host import Host
from napari_unet.errors import JobError, UNetError

__all__ = ["Background"]

E = TypeVar("E")

_log = logging.getLogger(__name__)

FAILED = "A computation in the background failed"


@dataclass(slots=True, eq=False)
class _Question:
    key: Hashable
    function: Callable[..., Iterator[Any]]
    args: tuple[Any, ...]
    on_event: Callable[[Any], object]
    on_lost: Callable[[], object] | None
    dropped: threading.Event = field(default_factory=threading.Event)


class _Messenger(QObject):
    """Carries a call from the thread to the main thread."""

    told = Signal(object)


class Background:
    """Answers questions one after the other, in the order they were asked; for the main thread.

    Parameters
    ----------
    host : Host
        The process that computes; its child is started by `start`, or by the first question.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._changed = threading.Condition()
        # by key: those whose answer may still come, and of these the ones that are not begun
        self._asked: dict[Hashable, _Question] = {}
        self._waiting: OrderedDict[Hashable, _Question] = OrderedDict()
        self._running: _Question | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self._messenger = _Messenger()
        self._messenger.told.connect(_call)

    @property
    def busy(self) -> bool:
        """Whether a question is not answered yet."""
        with self._changed:
            return self._running is not None or bool(self._waiting)

    def start(self) -> None:
        """Start the process now, so that the first answer does not wait for it."""
        self._host.start()

    def ask(
        self,
        key: Hashable,
        function: Callable[..., Iterator[E]],
        *args: Any,
        on_event: Callable[[E], object],
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        """Run a generator in the process; hand its events to ``on_event`` on the main thread.

        Parameters
        ----------
        key : hashable
            What the question is about. A question with the same key that waits is forgotten, and
            one that runs is stopped after its next event; of both no further event is handed out.
        function : generator function of a module that needs no torch
            As for `Host.run`; yields at least twice a second.
        *args
            Its arguments.
        on_event : callable
            Called with every event.
        on_lost : callable, optional
            Called if no further event comes because something failed, of which the user was told.
        """
        question = _Question(key, function, args, on_event, on_lost)
        with self._changed:
            if self._closed:
                return
            self._drop(key)
            self._asked[key] = self._waiting[key] = question
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._answer_all, name="background", daemon=True
                )
                self._thread.start()

    def cancel(self, key: Hashable) -> None:
        """Forget the question with that key."""
        with self._changed:
            self._drop(key)

    def close(self) -> None:
        """Forget every question and end the process; may be called twice."""
        if self._closed:
            return
        with self._changed:
            self._closed = True
            for key in list(self._asked):
                self._drop(key)
            self._changed.notify_all()
        self._host.close()
        if self._thread is not None:
            self._thread.join(2.0)
        self._messenger.told.disconnect(_call)

    def _drop(self, key: Hashable) -> None:
        self._waiting.pop(key, None)
        if (asked := self._asked.pop(key, None)) is not None:
            asked.dropped.set()

    def _answer_all(self) -> None:
        while (question := self._next()) is not None:
            try:
                self._answer(question)
            except Exception as error:  # noqa: BLE001 (no other thread would answer the next one)
                self._tell(question, partial(_lose, question, error))
            finally:
                with self._changed:
                    self._running = None
                # only after what it said before, which may be dropped until it is heard
                self._messenger.told.emit(partial(self._end, question))

    def _next(self) -> _Question | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                return None
            _, self._running = self._waiting.popitem(last=False)
            return self._running

    def _answer(self, question: _Question) -> None:
        events = self._host.run(question.function, *question.args, stop=question.dropped)
        with closing(events):
            for event in events:
                self._tell(question, partial(question.on_event, event))

    def _end(self, question: _Question) -> None:
        with self._changed:
            if self._asked.get(question.key) is question:
                del self._asked[question.key]

    def _tell(self, question: _Question, call: Callable[[], object]) -> None:
        def unless_dropped() -> None:
            if not question.dropped.is_set():
                call()

        self._messenger.told.emit(unless_dropped)


def _call(call: Callable[[], object]) -> None:
    call()


def _lose(question: _Question, error: Exception) -> None:
    """Tell the user, and then whoever asked."""
    expected = isinstance(error, UNetError)
    if not expected or isinstance(error, JobError):
        _log.error(FAILED, exc_info=error)
    unexpected = f"{FAILED}: {type(error).__name__}: {error}. The log has the details."
    show_error(str(error) if expected else unexpected)
    if question.on_lost is not None:
        question.on_lost()
