"""The compute process as the program sees it: a process, two pipes, and how it ended.

It is started with ``python -c``, never by forking and never through ``__main__``, so it behaves
alike on Linux, macOS and Windows, in scripts, notebooks and applications.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO, cast

from napari_unet.engine.process.channel import receive, send
from napari_unet.errors import JobError

__all__ = ["ChildProcess"]

_BOOT = (
    "import json, sys; sys.path[:], warm_up = json.loads(sys.argv[1]); "
    "from napari_unet.engine.process.child import main; main(warm_up)"
)


class ChildProcess:
    """A started compute process.

    A thread empties its pipe into a queue, because Windows cannot wait for a pipe with a time
    limit. The queue stays short: the child waits while its events are not acknowledged.

    Parameters
    ----------
    warm_up : sequence of str
        Modules it imports before it takes the first order.

    Raises
    ------
    JobError
        If the system refuses to start a process.
    """

    def __init__(self, warm_up: Sequence[str]) -> None:
        # -P: without it the folder the program was started in could shadow standard modules.
        setting = json.dumps([[str(path) for path in sys.path], warm_up])
        command = [sys.executable, "-P", "-c", _BOOT, setting]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Windows only; elsewhere the child lowers its own priority
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
                | getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
            )
        except OSError as error:
            raise JobError(
                f"The compute process could not be started ({error}); close other programs and "
                "try again."
            ) from error
        self._orders = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        self._writing = threading.Lock()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=_pump, args=(self._answers, self._inbox), name="compute-process", daemon=True
        )
        self._reader.start()

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def order(self, *order: object) -> None:
        """Send an order; that the process is dead is told by `receive`, not here."""
        with self._writing, suppress(OSError, ValueError):
            send(self._orders, order)

    def receive(self, timeout: float) -> Any:
        """Return the next message, or None if none comes in time.

        Raises
        ------
        EOFError
            If the process is dead and everything it said has been received.
        """
        silent = not self.alive()
        if silent:
            # Its last words reach the queue first; a grandchild may keep the pipe open for ever.
            self._reader.join(0.2)
        try:
            message = self._inbox.get(timeout=0 if silent else timeout)
        except queue.Empty:
            message = None
        if message is None and silent:
            raise EOFError
        return message

    def end(self) -> None:
        """Kill the process and free what belongs to it; may be called twice, from any thread."""
        self._process.kill()
        self._process.wait()
        self._reader.join(0.1)
        with suppress(OSError, ValueError):
            self._orders.close()
        if not self._reader.is_alive():
            self._answers.close()

    def obituary(self) -> str:
        """Say how the process ended and what to do, in one sentence."""
        return (
            f"The computation ended because its process {_end_in_words(self._process.poll())}; "
            "your painted labels are untouched, so start it again, with a smaller tile size or "
            "network if this happens twice."
        )


def _pump(answers: BinaryIO, inbox: queue.SimpleQueue[Any]) -> None:
    with suppress(EOFError, OSError, ValueError):
        while True:
            inbox.put(receive(answers))
    inbox.put(None)  # wakes whoever waits


def _end_in_words(code: int | None) -> str:
    if code is None:
        return "no longer answers"
    if code >= 0:
        return f"ended with exit code {code if code < 256 else hex(code)}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return "was killed (SIGKILL, most often because the computer ran out of memory)"
    return f"crashed ({name})"
