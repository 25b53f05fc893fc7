"""Run a generator of events beside the viewer, one at a time, and end it in exactly one way.

::

    idle -- start --> running -- the generator ends ----------> done
                        |        the generator raises --------> failed
                        +------- stop, or the window closes --> stopped

The generator runs in a thread (`EventWorker`), where it mostly waits for the compute process behind
`napari_unet.engine.host.Host.run`; everything in this module happens on the main thread.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from napari.qt.threading import create_worker
from napari.utils import progress
from napari.utils.notifications import show_error, show_warning
from napari.viewer import current_viewer
from psygnal import EmitLoopError, Signal

from napari_unet.errors import JobError, UNetError
from napari_unet.viewer.worker import Events, EventWorker

if TYPE_CHECKING:
    import threading

    from napari.components import ViewerModel

__all__ = ["Jobs"]

E = TypeVar("E")

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0
_PROGRESS_SECONDS = 0.5
_FOR_PROGRAMMERS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


class Jobs:
    """The jobs of one viewer, for the main thread: at most one runs.

    Every job that was started ends in exactly one of the signals ``done``, ``stopped`` and
    ``failed``, on the main thread, and ``state`` is "idle" before it is emitted. After `stop` no
    further event is handed out. Failures and warnings are also shown as napari's notifications.

    Parameters
    ----------
    viewer : napari viewer
        When its window is gone, `close` is called.
    """

    started = Signal(str)
    event = Signal(object)
    done = Signal()
    stopped = Signal()
    failed = Signal(Exception)

    def __init__(self, viewer: ViewerModel) -> None:
        self._job: _Job | None = None
        self._closed = False
        self._viewer = weakref.ref(viewer)
        window = getattr(viewer, "window", None)  # a ViewerModel has none
        if window is not None:
            window.main_menu.window().destroyed.connect(self.close)

    @property
    def state(self) -> Literal["idle", "running"]:
        """Whether a job runs."""
        return "idle" if self._job is None else "running"

    def start(
        self,
        title: str,
        events: Events[E],
        *,
        on_event: Callable[[E], object],
        fraction: Callable[[E], float | None] | None = None,
    ) -> None:
        """Run a generator in a thread and return at once.

        Parameters
        ----------
        title : str
            Names the job for the user: "Training".
        events : callable
            Given a `threading.Event`, returns the generator: ``lambda stop: host.run(train,
            annotations, config, stop=stop)``. Called in the thread, so copy what the user can
            change before. With `Host.run` a stop takes less than a second at every moment; a
            generator that ignores the event stops after its next yield.
        on_event : callable
            Called with every event on the main thread, before the signal ``event``. If it raises,
            the job is stopped and fails with that error.
        fraction : callable, optional
            The share 0 ... 1 that is done at an event, or None to leave the progress bar. Without
            it the bar only shows that something runs.

        Raises
        ------
        JobError
            If a job is running, or the viewer is closed.
        """
        self.require_idle(title)
        self._job = job = _Job(self, title, events, on_event)
        job.bar = _Bar(title, fraction)
        if self._job is job:
            job.start()
            self.started.emit(title)
        else:  # napari handles events while it makes a bar, and one of them closed the viewer
            job.bar.close()

    def make_worker(self, events: Events[Any]) -> EventWorker:
        """Return a worker, which napari tells to quit when it closes the viewer's window.

        `create_worker` makes napari ask before it closes a busy window; but it takes the window in
        front for the busy one, and a job that starts by itself may belong to another.
        """
        if current_viewer() is not self._viewer():
            return EventWorker(events)
        worker: EventWorker = create_worker(events, _worker_class=EventWorker, _ignore_errors=True)
        return worker

    def require_idle(self, title: str) -> None:
        """Raise the `JobError` that `start` would raise; for work that has to come before it."""
        if self._closed:
            raise JobError(f"{title} cannot start: its viewer is closed.")
        if self._job is not None:
            raise JobError(f"{self._job.title} is still running; stop it or wait for its end.")

    def stop(self) -> None:
        """Ask the running job to stop, and return at once; ``stopped`` follows."""
        if self._job is not None:
            self._job.worker.quit()

    def close(self) -> None:
        """Stop, wait up to two seconds, and let go of everything; nothing can be started after.

        Called when the viewer's window is destroyed. The worker never waits for the main thread
        once it is told to quit, so waiting for it here cannot lock up.
        """
        self._closed = True
        job = self._job
        if job is not None:
            job.worker.quit()
            if job.worker.is_running:
                job.worker.wait(_CLOSE_SECONDS)
            self.conclude(job)
        for signal in (self.started, self.event, self.done, self.stopped, self.failed):
            signal.disconnect()

    def conclude(self, job: _Job) -> None:
        """Take leave of a job that has ended; does nothing for one that was concluded before."""
        if job is not self._job:
            return
        self._job = None
        if job.bar is not None:
            job.bar.close()
        error = job.error or job.worker.error
        if error is not None:
            _report(job.title, error, show=not self._closed)
            self.failed.emit(error)
        elif job.worker.abort_requested:
            self.stopped.emit()
        else:
            self.done.emit()


class _Job:
    """One job, as seen from the main thread."""

    # Qt holds the methods connected below weakly, and PySide6 crashes when a signal that was
    # queued finds its object gone: a job closed early stays until its last signal, `finished`.
    _waiting_for_end: ClassVar[set[_Job]] = set()

    def __init__(
        self, jobs: Jobs, title: str, events: Events[Any], on_event: Callable[[Any], object]
    ) -> None:
        self.title = title
        self.error: Exception | None = None
        self.bar: _Bar | None = None
        self._jobs = jobs
        self._on_event = on_event
        self._warned: set[str] = set()
        self.worker = jobs.make_worker(_Task(title, events))
        self.worker.yielded.connect(self._handle_event)
        self.worker.warned.connect(self._handle_warning)
        self.worker.finished.connect(self._handle_end)

    def start(self) -> None:
        """Start the thread."""
        self._waiting_for_end.add(self)
        self.worker.start()

    def _handle_event(self, event: object) -> None:
        if self.worker.abort_requested:
            return
        try:
            self._on_event(event)
            self._jobs.event.emit(event)
            if self.bar is not None:
                self.bar.show(event)
        except EmitLoopError as error:  # psygnal's wrapping of what a listener raised
            self._fail(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        except Exception as error:  # noqa: BLE001 (the job boundary: told by `failed`)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.worker.quit()

    def _handle_warning(self, warning: tuple[Any, ...]) -> None:
        message, category, filename, lineno = warning[:4]
        text = str(message)
        if issubclass(category, _FOR_PROGRAMMERS):
            _log.warning("%s:%s: %s: %s", filename, lineno, category.__name__, text)
        elif text not in self._warned:
            self._warned.add(text)
            show_warning(text)

    def _handle_end(self) -> None:
        self._waiting_for_end.discard(self)
        self._jobs.conclude(self)


class _Task:
    """The generator of a job under its title, which is what napari's task list prints.

    The list keeps it until the viewer is closed, so it lets go of what it was given.
    """

    def __init__(self, title: str, events: Events[Any]) -> None:
        self._title = title
        self._events: Events[Any] | None = events

    def __call__(self, stop: threading.Event) -> Iterator[Any]:
        events, self._events = self._events, None
        assert events is not None  # a worker runs once
        return events(stop)

    def __repr__(self) -> str:
        return self._title


class _Bar:
    """A bar in napari's activity dock: in per cent, or without an end."""

    def __init__(self, title: str, fraction: Callable[[Any], float | None] | None) -> None:
        self._fraction = fraction
        self._showing = False
        self._next = 0.0
        self._bar = progress(desc=title, total=100 if fraction else 0)

    def show(self, event: object) -> None:
        """Move on, at most twice a second."""
        share = None if self._fraction is None else self._fraction(event)
        # napari handles events in every update: without the guard one event would be handled
        # inside the other, ever deeper
        if share is None or self._showing or time.monotonic() < self._next:
            return
        self._showing = True
        try:
            self._bar.update(max(0, round(100 * share) - self._bar.n))
        finally:
            self._showing = False
            self._next = time.monotonic() + _PROGRESS_SECONDS

    def close(self) -> None:
        """Take the bar away; may be called twice."""
        self._bar.close()


def _report(title: str, error: Exception, *, show: bool) -> None:
    """Tell the user in one sentence, and the log the traceback if it is not a matter of input."""
    expected = isinstance(error, UNetError)
    if not expected or hasattr(error, "__notes__"):
        _log.error("%s failed", title, exc_info=error)
    if show and expected:
        show_error(str(error))
    elif show:
        show_error(f"{title} failed: {type(error).__name__}: {error}. The log has the details.")
