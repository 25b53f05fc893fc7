"""Send what is put into a mailbox to a run, however long it takes to make it."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any

from napari_unet.engine.process.mailbox import Mailbox, mailbox_of_this_run

__all__ = ["Sender", "with_mail"]

POLL_SECONDS = 0.05
"""How often a mailbox is emptied."""


class Sender:
    """Takes what is put into a mailbox in a thread of its own, and sends it from there.

    What is put there may be a function that reads an image, and no read can be interrupted.

    Parameters
    ----------
    mailbox : Mailbox or None
        Of a run, if it has one.
    """

    def __init__(self, mailbox: Mailbox | None) -> None:
        self._mailbox = mailbox
        self._send: Callable[[bytes], object] | None = None
        self._held: list[bytes] = []
        self._sending = threading.Lock()
        self._looked, self._over = threading.Event(), threading.Event()
        self._error: Exception | None = None
        # a daemon: a read that hangs in a dead network must not keep the program from ending
        self._thread = threading.Thread(target=self._work, name="sender", daemon=True)

    def begin(self) -> list[bytes]:
        """Return, pickled, what is in the mailbox already, as far as that is not slow to make."""
        if self._mailbox is None:
            return []
        self._thread.start()
        self._looked.wait(POLL_SECONDS)
        with self._sending:
            first, self._held = self._held, []
        return first

    def send_with(self, send: Callable[[bytes], object]) -> None:
        """Send all that comes after; ``send`` takes one pickled message, also in the thread."""
        with self._sending:
            self._send = send
            for data in self._held:
                send(data)

    def check(self) -> None:
        """Raise what a message raised that could not be made."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Send nothing more, not even what is being read: it would reach the next run."""
        with self._sending:
            self._over.set()
        if self._thread.ident is not None:  # it was started
            # or it might take what is put into the mailbox for that run
            self._thread.join(POLL_SECONDS)

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                for message in [] if self._mailbox is None else self._mailbox.take():
                    self._pass_on(pickle.dumps(message, protocol=5))
                self._looked.set()
                self._over.wait(POLL_SECONDS)
        except Exception as error:  # noqa: BLE001 (a message may do anything; raised by the run)
            self._error = error

    def _pass_on(self, data: bytes) -> None:
        with self._sending:
            if self._over.is_set():
                return
            if self._send is None:
                self._held.append(data)
            else:
                self._send(data)


def with_mail(
    first: Sequence[bytes],
    function: Callable[..., Iterator[Any]],
    *args: Any,
    **kwargs: Any,
) -> Generator[Any, None, None]:
    """Run a generator in the compute process with messages in its mailbox from the first moment."""
    for data in first:
        # unpickled by whoever takes it: that may map shared memory, or fail
        mailbox_of_this_run().put(partial(pickle.loads, data))
    yield from function(*args, **kwargs)
