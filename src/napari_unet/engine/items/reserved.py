"""Arrays in files that have all of their room on the disk from the start."""

from __future__ import annotations

import errno
import os
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["reserved_array"]

UNKNOWN = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What disks answer that cannot reserve room."""

PIECE = bytes(1 << 20)
"""Zeros that are written at a time."""


def reserved_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Make a file of numbers that may be anything, and return it as an array that is on disk.

    A file that is only mapped gets its room where it is written to. On a full disk that is no
    error but a signal, SIGBUS, which kills the program. Asking for the room first makes it one.

    Raises
    ------
    OSError
        If the disk is full, or cannot be written to; nothing is left of the file.
    """
    try:
        with path.open("wb") as file:
            _reserve(file, max(1, prod(shape) * np.dtype(dtype).itemsize))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return np.memmap(path, dtype, "r+", shape=shape)


def _reserve(file: BinaryIO, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise
        else:
            return
    for start in range(0, size, len(PIECE)):
        file.write(PIECE[: size - start])
