"""Locks that keep two processes, on one machine or several, from making the same results."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from napari_unet.engine.liveness import is_alive

__all__ = ["ItemLocks"]

TOUCHED, SILENT = 30.0, 900.0
"""Seconds between signs of life, and after which another machine's lock is taken over."""


class ItemLocks:
    """The locks that this process holds: files that name it.

    A thread touches them, so that other machines see that it lives. A lock whose process is gone
    is taken over; of another machine, one that was not touched for a quarter of an hour.
    """

    def __init__(self) -> None:
        process = psutil.Process()
        self._mine = {
            "pid": process.pid,
            "created": process.create_time(),
            "node": platform.node(),
        }
        self._held: set[Path] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="item locks", daemon=True)

    def __enter__(self) -> ItemLocks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for path in list(self._held):
            self.give_back(path)

    def take(self, path: Path) -> str:
        """Take a lock; return "" or, if another process has it, which.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(10):
            try:
                _create(path, json.dumps(self._mine))
            except FileExistsError:
                if (owner := _living_owner(path)) is not None:
                    return owner
                _set_aside(path)
            else:
                self._held.add(path)
                return ""
        return "another process"

    def give_back(self, path: Path) -> None:
        """Give a lock back; one that is not held is left alone."""
        if path in self._held:
            self._held.discard(path)
            with contextlib.suppress(OSError):  # it will be found to be nobody's
                path.unlink()

    def _keep_alive(self) -> None:
        while not self._ended.wait(TOUCHED):
            for path in list(self._held):
                with contextlib.suppress(OSError):
                    os.utime(path)


def _create(path: Path, text: str) -> None:
    """Write a file that must not be there; on a full disk none is left.

    It is there with its text at once: a process that is killed meanwhile leaves no lock of which
    nobody knows whose it is.
    """
    written = _aside(path)
    try:
        _write_new(written, text)
        path.hardlink_to(written)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links; of another lack, this tells again
        _write_new(path, text)
    finally:
        with contextlib.suppress(OSError):
            written.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    file = path.open("x", encoding="utf-8")
    try:
        with file:
            file.write(text)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _living_owner(path: Path) -> str | None:
    """Return whose a lock is; None if that process is gone, or the lock is."""
    try:
        silent = time.time() - path.stat().st_mtime
        owner: dict[str, Any] = json.loads(path.read_bytes())
        pid, node = int(owner["pid"]), str(owner["node"])
        created = float(owner["created"])
    except OSError:
        return None
    except (ValueError, TypeError, KeyError):
        # it may be written at this moment
        return "another process" if silent < TOUCHED else None
    if node != platform.node():
        return f"process {pid} on {node}" if silent < SILENT else None
    return f"process {pid}" if is_alive(pid, created) else None


def _set_aside(path: Path) -> None:
    """Remove a lock of nobody; of several processes that try, one succeeds."""
    aside = _aside(path)
    with contextlib.suppress(OSError):
        path.replace(aside)
        if _living_owner(aside) is not None:  # another process was quicker, and this is its new one
            aside.replace(path)
        else:
            aside.unlink()


def _aside(path: Path) -> Path:
    """Return a name beside a lock that nothing else has, on any machine."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}")
