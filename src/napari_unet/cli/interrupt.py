"""What Ctrl-C does while a command or a script trains, and other ways to stop a command.

In a training the first Ctrl-C finishes early, and the next stops at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from napari_unet.cli.output import remark

if TYPE_CHECKING:
    from napari_unet.engine.process.mailbox import Mailbox

__all__ = ["finishing_at_ctrl_c", "stopping_when_told"]

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
def stopping_when_told() -> Iterator[None]:
    """Let what ends a program do what Ctrl-C does: locks are given back, and jobs cancelled."""
    numbers = [getattr(signal, name) for name in TELLING if hasattr(signal, name)]
    # what is ignored, as by nohup, stays ignored
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
