"""The compute process: runs one generator at a time and streams what it yields to `host`.

The main thread imports torch and computes. A second thread takes the orders, so that a stop, or
the end of the program that started this process, is noticed in the middle of a computation.

=============================  ===============================================================
order                          answer
=============================  ===============================================================
``("run", run, ticket)``       ``("event", run, bytes)`` and ``("warning", run, ...)``, then one
                               ``("ended", run)`` or ``("failed", run, bytes)``; or just
                               ``("broken", run, bytes)`` to be replaced: an import or a GPU failed
``("stop", run)``              the same ``("ended", run)``, as soon as the generator is closed
``("ack", run)``               none: one more event may be sent
``("tell", run, bytes)``       none: a message for the generator's mailbox
``("pixels", run, n, array)``  none: the answer to our ``("read", run, n, ...)`` of a `Served` array
end of file                    none: the program is gone, and this process leaves at once
=============================  ===============================================================
"""

from __future__ import annotations

import faulthandler
import gc
import itertools
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, TextIO

from napari_unet.engine.process.channel import EventPickler, receive, send
from napari_unet.engine.process.lazy import Index, asking
from napari_unet.engine.process.mailbox import mailbox_of_this_run
from napari_unet.engine.process.shared_memory import Request, Ticket
from napari_unet.errors import (
    DeviceError,
    JobError,
    LostDeviceError,
    UNetError,
    first_line,
    gpu_failure,
    is_out_of_memory,
)

__all__ = ["MAX_UNHANDLED_EVENTS", "main"]

MAX_UNHANDLED_EVENTS = 32
"""The generator waits while so many of its events have not been handled by the program."""

POLITENESS = 10
"""Where there are few cores, the hand that paints comes first (on Windows see `spawned`)."""


def main(warm_up: Sequence[str]) -> None:
    """Import the named modules, then run what is ordered until the program closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which then tells us
    if os.name == "posix":
        os.nice(POLITENESS)
    orders, answers = _take_pipes()
    if sys.stderr is not None:
        faulthandler.enable()
    desk = _Desk(answers)
    threading.Thread(target=desk.listen, args=(orders,), daemon=True).start()
    failure = _import(warm_up)
    gc.freeze()  # what was imported stays; collecting after a run need not walk through it
    while True:
        run, ticket = desk.next_run()
        if failure is not None:
            desk.answer("broken", run, _packed(_as_unet_error(failure)))
        else:
            _serve(desk, run, ticket)
            _give_memory_back()


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes to private descriptors, so that a stray print or input cannot touch them."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.dup2(2, 1)
    except OSError:  # a Windows program without a console has no standard error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = sys.stderr
    return orders, answers


def _import(modules: Sequence[str]) -> Exception | None:
    try:
        for module in modules:
            import_module(module)
    except Exception as error:  # noqa: BLE001 (the job boundary: told to the next job)
        return error
    return None


class _Desk:
    """Where the two threads meet: orders in, answers out."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._writing = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Ticket]] = deque()
        self._last_stopped = 0  # runs are numbered 1, 2, ...
        self._unhandled = 0
        self._reads = itertools.count()
        self._read: dict[tuple[int, int], Any] = {}

    def listen(self, orders: BinaryIO) -> None:
        """Take orders until the program is gone; runs in the second thread."""
        with suppress(EOFError, OSError):
            while True:
                self._take(*receive(orders))
        os._exit(0)  # from this thread nothing gentler ends a computation

    def _take(self, order: str, run: int, *contents: Any) -> None:
        with self._changed:
            if order == "run":
                mailbox_of_this_run().clear()
                self._waiting.append((run, *contents))
            elif order == "tell":
                # unpickled by whoever takes it: that may map shared memory, or fail
                mailbox_of_this_run().put(partial(pickle.loads, *contents))
            elif order == "pixels":
                self._read[run, contents[0]] = contents[1]
            elif order == "ack":
                self._unhandled -= 1
            elif order == "stop":
                self._last_stopped = run
                if any(run == waiting for waiting, _ in self._waiting):
                    # torch is still being imported: no need to wait for it, or to kill it
                    self._waiting.clear()
                    self.answer("ended", run)
            self._changed.notify_all()

    def next_run(self) -> tuple[int, Ticket]:
        """Wait for an order to run something."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            self._unhandled = 0
            self._read.clear()
            return self._waiting.popleft()

    def stopped(self, run: int) -> bool:
        """Whether this run was told to stop."""
        return run <= self._last_stopped

    def send_event(self, run: int, event: bytes) -> bool:
        """Wait for the program to keep up, then send; False if the run was stopped instead."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.stopped(run) or self._unhandled < MAX_UNHANDLED_EVENTS
            )
            if self.stopped(run):
                return False
            self._unhandled += 1
        self.answer("event", run, event)
        return True

    def read(self, run: int, which: int, index: Index) -> Any:
        """Ask the program for a region of an array, and wait for it.

        Raises
        ------
        InputError
            If the program cannot read it.
        GeneratorExit
            If the run is stopped meanwhile: as if its generator were closed where it waits.
        """
        number = next(self._reads)
        self.answer("read", run, number, which, index)
        with self._changed:
            self._changed.wait_for(lambda: self.stopped(run) or (run, number) in self._read)
            if self.stopped(run):
                raise GeneratorExit
            content = self._read.pop((run, number))
        if isinstance(content, UNetError):
            raise content
        return content

    def answer(self, *message: object) -> None:
        """Send a message; any thread may."""
        with self._writing:
            send(self._answers, message)


def _serve(desk: _Desk, run: int, ticket: Ticket) -> None:
    """Run one generator to its end, its failure, or the order to stop."""
    try:
        with _relayed_warnings(desk, run), asking(partial(desk.read, run)):
            _stream(desk, run, ticket)
    except Exception as error:  # noqa: BLE001 (the job boundary: raised again in the program)
        told = _as_unet_error(error)
        how = "broken" if isinstance(told, LostDeviceError) else "failed"
        desk.answer(how, run, _packed(told))
    else:
        desk.answer("ended", run)


def _stream(desk: _Desk, run: int, ticket: Ticket) -> None:
    function, args, kwargs = Request.load(ticket)
    pickler = EventPickler()
    with closing(function(*args, **kwargs)) as events:
        while not desk.stopped(run):
            try:
                event = next(events)
            except (StopIteration, GeneratorExit):
                return
            if not desk.send_event(run, pickler.dumps(event)):
                return


@contextmanager
def _relayed_warnings(desk: _Desk, run: int) -> Iterator[None]:
    def relay(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001 (the signature of warnings.showwarning)
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        builtin = category.__name__ if category.__module__ == "builtins" else "UserWarning"
        desk.answer("warning", run, (str(message), builtin, filename, lineno))

    # Entering this also forgets which warnings were shown, so that every run warns afresh.
    with warnings.catch_warnings():
        warnings.showwarning = relay
        yield


def _as_unet_error(error: Exception) -> UNetError:
    """Translate what a generator raised; the traceback travels as a note."""
    if isinstance(error, UNetError):
        return error
    told: UNetError
    if is_out_of_memory(error):
        told = DeviceError(
            f"Out of memory ({first_line(error)}). Choose a smaller tile size or network, close "
            "other programs, or compute on the CPU; your painted labels are untouched."
        )
    else:
        told = gpu_failure(error) or JobError(f"{type(error).__name__}: {error}")
    told.add_note("".join(traceback.format_exception(error)))
    return told


def _packed(error: UNetError) -> bytes:
    """Pickle an error, or where its arguments do not survive that, its words."""
    try:
        data = pickle.dumps(error)
        pickle.loads(data)  # noqa: S301 (made on the line above)
    except Exception:  # noqa: BLE001 (the job boundary: an error class can do anything here)
        return pickle.dumps(JobError(f"{type(error).__name__}: {error}"))
    return data


def _give_memory_back() -> None:
    """Let go of the run's arrays and of the memory that torch keeps on the GPU."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
