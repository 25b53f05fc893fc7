"""A thread worker for generators that loses neither errors nor warnings, and cleans up.

Napari's own generator worker (superqt's) swallows every `RuntimeError`, torch's out-of-memory error
among them, and then never finishes; it never closes the generator when it is told to quit; and it
lets events pile up without limit while the main thread is busy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

from napari.qt.threading import GeneratorWorkerSignals, WorkerBase

__all__ = ["EventWorker", "Events"]

E = TypeVar("E")

Events: TypeAlias = Callable[[threading.Event], Iterator[E]]
"""Given an event that is set when the job shall stop, returns the generator."""

_MAX_UNHANDLED_EVENTS = 32


class EventWorker(WorkerBase):  # type: ignore[misc]
    """Iterates a generator in a thread, and closes it there before ``finished``, whatever happens.

    Signals are those of napari's generator workers, but for ``errored``: ``yielded``, ``aborted``,
    ``returned``, ``warned``, ``finished``. At most 32 events wait to be handled by the main thread;
    then the generator waits.

    Parameters
    ----------
    events : callable
        Given a `threading.Event` that is set by `quit`, returns the generator. Called in the
        thread. A generator that may wait for long looks at it: `Host.run` takes it as ``stop``.

    Attributes
    ----------
    error : Exception or None
        What the generator raised.
    """

    def __init__(self, events: Events[Any]) -> None:
        super().__init__(SignalsClass=GeneratorWorkerSignals)
        self._events: Events[Any] | None = events
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._room = threading.Semaphore(_MAX_UNHANDLED_EVENTS)
        self.error: Exception | None = None
        self.yielded.connect(self._handled)

    def quit(self) -> None:
        """Ask the generator to stop; safe from any thread, at any time, more than once."""
        super().quit()
        self._stop.set()
        self._room.release()  # wakes a worker that waits for the main thread

    def wait(self, seconds: float) -> bool:
        """Wait until the generator is closed; return whether it is."""
        return self._ended.wait(seconds)

    def work(self) -> None:
        """Emit every event. Called by Qt, in the thread."""
        try:
            if not self.abort_requested:
                self._emit_events()
            if self.abort_requested:
                self.aborted.emit()
        except Exception as error:  # noqa: BLE001 (whoever hears of the end asks for it)
            # not raised: what napari connects to `errored` fails with PySide6, which gives it the
            # error as an argument
            self.error = error
        finally:
            self._events = None  # napari's task list keeps the worker, and the images with it
            self._ended.set()

    def _emit_events(self) -> None:
        assert self._events is not None  # a worker runs once
        events = self._events(self._stop)
        try:
            for event in events:
                self._room.acquire()
                if self.abort_requested:
                    break
                self.yielded.emit(event)
        finally:
            if (close := getattr(events, "close", None)) is not None:
                close()

    def _handled(self) -> None:
        self._room.release()
