"""Write files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import os
import platform
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["unfinished", "write_atomically"]


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file beside ``path``, flush it to the disk, then rename it.

    Missing folders are made. On any failure the old file, if there was one, is still there and
    whole, and nothing else is left behind. Of several that write at once, the last one stays.

    Parameters
    ----------
    path : Path
        The file to make or replace.
    write : callable
        Is given the open binary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = unfinished(path)
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def unfinished(path: Path) -> Path:
    """Return where a file is written before it is complete: elsewhere for each who writes it.

    The number of a process does not tell: in the containers of a cluster all may have the same.
    """
    writer = f"{platform.node()} {os.getpid()} {threading.get_ident()}"
    return path.with_name(f".{path.name}.{zlib.crc32(writer.encode()):08x}.partial")
