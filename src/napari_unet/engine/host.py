"""Run the engine's generators in a child process, and stream their events from it.

Torch lives only there: painting stays smooth, a stop is certain even inside a long computation,
GPU memory comes back, and a crash or the system's out-of-memory killer cannot take the program
and the painted labels with it::

    with Host() as host:
        for event in host.run(train, annotations, config, stop=stop):
            ...
"""

from __future__ import annotations

import builtins
import itertools
import pickle
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any, Self, TypeVar, cast

from napari_unet.engine.process.channel import EventUnpickler
from napari_unet.engine.process.lazy import Reader, Served
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.engine.process.sender import Sender, with_mail
from napari_unet.engine.process.shared_memory import Request, Ticket
from napari_unet.engine.process.spawned import ChildProcess
from napari_unet.errors import JobError

__all__ = ["STOP_GRACE_SECONDS", "WARM_UP", "Host"]

E = TypeVar("E")

STOP_GRACE_SECONDS = 0.7
"""How long a generator may take to stop by itself before its process is killed."""

WARM_UP = (
    "napari_unet.engine.training",
    "napari_unet.engine.inference",
    "napari_unet.engine.process.warm",
)
"""What the child imports while nothing runs yet, so that the first job starts at once."""

_POLL_SECONDS = 0.05
"""How often it is looked whether a run is to stop."""


class Host:
    """One child process, kept warm, that runs one generator at a time.

    Parameters
    ----------
    warm_up : sequence of str
        Modules the child imports as soon as it is started. If one cannot be imported, the next
        `run` raises a `JobError` that says so.

    Notes
    -----
    `run` is meant for a worker thread and `close` for the main thread; `close` may come in the
    middle of a run. A host that is garbage collected, or left open at exit, ends its child; a
    child whose program was killed ends itself.
    """

    def __init__(self, warm_up: Sequence[str] = WARM_UP) -> None:
        self._warm_up = tuple(warm_up)
        self._turn = threading.Lock()
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._numbers = itertools.count(1)
        self._child: ChildProcess | None = None
        self._end_child: Callable[[], object] = lambda: None
        # At exit: a run that is found unfinished when Python takes modules down starts no child.
        weakref.finalize(self, self._closing.set)

    def start(self) -> None:
        """Start the child if there is none, and return at once: it imports torch by itself.

        Raises
        ------
        JobError
            If the host is closed, or the system refuses to start a process.
        """
        self._living_child()

    def run(
        self,
        function: Callable[..., Iterator[E]],
        /,
        *args: Any,
        stop: threading.Event | None = None,
        **kwargs: Any,
    ) -> Generator[E, None, None]:
        """Yield the events of ``function(*args, **kwargs)``, a generator run in the child.

        Closing this generator, or setting ``stop`` from any thread, closes the generator in the
        child; where that takes longer than `STOP_GRACE_SECONDS`, the child is killed and a new
        one is started. Either takes less than a second, except while arrays are being copied for
        the child (a second or two per GB). After ``stop`` this generator just ends.

        Parameters
        ----------
        function : generator function of a module
            Pickled by reference. The warnings it raises are raised again here.
        *args, **kwargs
            Pickled when the first event is asked for. Arrays cross once, through shared memory,
            and are read-only in the child; a `SharedArray` arrives as a writable array; a
            `Served` array stays here, and a thread reads the regions that the function indexes.
            What is put into a `Mailbox` among them, before or during the run, is in the child's
            mailbox a moment later.
        stop : threading.Event, optional
            Looked at every 50 ms, also while no event comes: in Python no thread can close a
            generator in which another one waits.

        Raises
        ------
        UNetError
            As the function raised it; a `DeviceError` also if memory ran out.
        JobError
            If the function raised anything else, with its traceback as a note; if the child
            died; if another run is not over yet; if the host is closed, or was meanwhile.
        """
        if not self._turn.acquire(blocking=False):
            raise JobError("Another computation is still running; stop it or wait for its end.")
        try:
            child = self._living_child()
            with closing(Sender(_mailbox_among(args, kwargs))) as sender:
                call = (with_mail, (sender.begin(), function, *args), kwargs)
                with closing(Request(call)) as request:
                    if not self._halted(stop):
                        run = _Run(child, next(self._numbers), sender, request.served)
                        yield from self._stream(run, request, stop)
            if self._closing.is_set():
                raise JobError("The compute process was closed while a computation was running.")
        finally:
            self._turn.release()

    def close(self) -> None:
        """Stop what runs and end the child, within about a second; nothing can be run after.

        A run that is stopped so raises a `JobError` in its own thread.
        """
        self._closing.set()
        # The run sees this at its next poll and stops its generator from its own thread; it holds
        # its turn for longer only if nobody asks it for the next event.
        if self._turn.acquire(timeout=STOP_GRACE_SECONDS + 4 * _POLL_SECONDS):
            self._turn.release()
        with self._starting:
            self._end_child()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _living_child(self) -> ChildProcess:
        with self._starting:
            if self._closing.is_set():
                raise JobError("The compute process was closed and runs nothing any more.")
            if self._child is None or not self._child.alive():
                self._end_child()
                self._child = ChildProcess(self._warm_up)
                # Also runs when self is garbage, and at exit.
                self._end_child = weakref.finalize(self, self._child.end)
            return self._child

    def _halted(self, stop: threading.Event | None) -> bool:
        return self._closing.is_set() or (stop is not None and stop.is_set())

    def _stream(
        self, run: _Run, request: Request, stop: threading.Event | None
    ) -> Generator[Any, None, None]:
        run.start(request.ticket)
        try:
            while not (run.over or self._halted(stop)):
                run.sender.check()
                for event in run.messages(_POLL_SECONDS):
                    yield event
                    run.order("ack")
        finally:
            if not run.over and not run.stop():
                with suppress(JobError):  # closed meanwhile
                    self._living_child()  # importing torch again before the next job asks for it
            run.close()


class _Run:
    """One run, as the program sees it."""

    def __init__(
        self, child: ChildProcess, number: int, sender: Sender, served: Sequence[Served]
    ) -> None:
        self._child = child
        self._number = number
        self.sender = sender
        self._reader = Reader(served, partial(self.order, "pixels"))
        self._unpickler = EventUnpickler()
        self.over = False

    def start(self, ticket: Ticket) -> None:
        """Begin, and send what is put into the mailbox from now on."""
        self.order("run", ticket)
        self.sender.send_with(partial(self.order, "tell"))

    def close(self) -> None:
        """Read nothing more; called when the run is over."""
        self._reader.close()

    def order(self, order: str, *rest: object) -> None:
        """Tell the child something about this run."""
        self._child.order(order, self._number, *rest)

    def messages(self, timeout: float) -> Iterator[Any]:
        """Wait for one message: yield the event, repeat the warning, or raise the error in it."""
        try:
            message = self._child.receive(timeout)
        except EOFError:
            self.over = True
            raise JobError(self._child.obituary()) from None
        match message:
            case ("event", self._number, data):
                yield self._unpickler.loads(data)
            case ("read", self._number, *request):
                self._reader.request(*request)
            case ("warning", self._number, (text, category, filename, lineno)):
                warnings.warn_explicit(text, getattr(builtins, category), filename, lineno)
            case ("failed" | "broken" as how, self._number, data):
                self.over = True
                if how == "broken":
                    self._child.end()
                raise cast(Exception, pickle.loads(data))  # noqa: S301 (from our own child)
            case ("ended", self._number):
                self.over = True

    def stop(self) -> bool:
        """Stop the generator in the child, or kill the child; return whether the child lives.

        A generator that fails while it is closed still raises its error here: that may be the
        only word about a file that was not written.
        """
        self._reader.close()
        self.order("stop")
        deadline = time.monotonic() + STOP_GRACE_SECONDS
        try:
            while not self.over and (left := deadline - time.monotonic()) > 0:
                # A warning that was made an error has been raised by now, or is too late.
                with suppress(Warning):
                    for _ in self.messages(min(left, _POLL_SECONDS)):
                        pass
        except JobError:
            if self._child.alive():
                raise
        finally:
            if not self.over:
                self._child.end()
                self.over = True
        return self._child.alive()


def _mailbox_among(args: Sequence[object], kwargs: dict[str, object]) -> Mailbox | None:
    return next((arg for arg in (*args, *kwargs.values()) if isinstance(arg, Mailbox)), None)
