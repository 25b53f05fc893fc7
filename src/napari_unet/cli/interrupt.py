"""What Ctrl-C does while a command or a script trains, and other ways to stop a command.

In a training the first Ctrl-C finishes early, or where its state is kept, stops after a step; the
next stops at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from napari_unet.cli.output import remark

if TYPE_CHECKING:
    from napari_unet.engine.process.mailbox import Mailbox

__all__ = ["finishing_at_ctrl_c", "stopping_between", "stopping_when_told"]

E = TypeVar("E")

TELLING = ("SIGTERM", "SIGHUP")
"""What a batch system sends before it kills, and a terminal that closes; Windows lacks one."""


@contextmanager
def finishing_at_ctrl_c(mailbox: Mailbox | None) -> Iterator[None]:
    """Let the first Ctrl-C put `Finish` into a mailbox; from then on it interrupts as always.

    Parameters
    ----------
    mailbox : Mailbox, optional
        That of the training in this context; without one, Ctrl-C interrupts at once.
    """
    from napari_unet.engine.process.mailbox import Finish

    before = signal.getsignal(signal.SIGINT)
    # in the background of a shell script, Ctrl-C is for others
    if mailbox is None or before is not signal.default_int_handler:
        yield
        return

    def finish() -> None:
        mailbox.put(Finish())
        remark("\nFinishing: the model is fitted to what is painted. Ctrl-C again stops at once.")

    def interrupted(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        # not here: the training may be reading the mailbox, or writing a line, at this moment
        Thread(target=finish).start()

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def stopping_between(events: Iterable[E]) -> Iterator[Iterator[E]]:
    """Let Ctrl-C, and what ends a program, interrupt where an event was handled.

    There a training is between two steps, and its state is saved when it is closed. The next Ctrl-C
    interrupts at once. Where Ctrl-C has another meaning, it keeps that.
    """
    before = signal.getsignal(signal.SIGINT)
    numbers = _ending() + [signal.SIGINT] * (before is signal.default_int_handler)
    taken = {number: signal.getsignal(number) for number in numbers}
    told = False

    def interrupted(number: int, _: object) -> None:
        nonlocal told
        told = True
        if number == signal.SIGINT:
            signal.signal(number, before)
            # not here: a line may be written at this moment
            text = "\nStopping after this step. Ctrl-C again stops at once."
            Thread(target=remark, args=(text,)).start()

    def handled() -> Iterator[E]:
        for event in events:
            yield event
            if told:
                raise KeyboardInterrupt

    for number in taken:
        signal.signal(number, interrupted)
    try:
        yield handled()
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


def _ending() -> list[signal.Signals]:
    """Return what ends this program by default; what is ignored, as by nohup, stays ignored."""
    numbers = [getattr(signal, name) for name in TELLING if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]


@contextmanager
def stopping_when_told() -> Iterator[None]:
    """Let what ends a program do what Ctrl-C does: locks are given back, and jobs cancelled."""
    taken = _ending()
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
