"""What goes wrong with one image of a batch: what is tried again, and what is said."""

from __future__ import annotations

import errno
import logging
import re
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from napari_unet.errors import (
    DeviceError,
    InputError,
    JobError,
    UNetError,
    gpu_failure,
    is_out_of_memory,
)

__all__ = ["again", "attempt", "complete", "is_disk_full"]

R = TypeVar("R")
Y = TypeVar("Y")

PAUSE = 1.0
"""Seconds before the second attempt."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system answers where there is no room, or none for a file of this size."""

SHORT = re.compile(r"^\d+ requested and \d+ written$")
"""What NumPy says of a full disk, without a number of the error."""

REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""What the system answers where a right is missing."""

TRANSIENT = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
"""What a network share answers when it was away for a moment."""

_log = logging.getLogger(__name__)


def attempt(unit: Callable[..., Generator[Y, None, R]], *arguments: Any) -> Generator[Y, None, R]:
    """Run a unit of work, once more if a disk or network share was away for a moment.

    Raises
    ------
    UNetError
        Whatever goes wrong: what it was, and what to do.
    """
    try:
        try:
            return (yield from unit(*arguments))
        except (UNetError, OSError) as error:
            if getattr(_system_error(error), "errno", None) not in TRANSIENT:
                raise
        time.sleep(PAUSE)
        return (yield from unit(*arguments))
    except Exception as error:
        raise _in_words(error) from error


def complete(unit: Callable[..., Generator[Any, None, R]], *arguments: Any) -> tuple[R, float]:
    """Run a unit of work to its end, as `attempt` does; return what it returns, and seconds."""
    began = time.perf_counter()
    steps = attempt(unit, *arguments)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: R = end.value
            return result, time.perf_counter() - began


def again(function: Callable[..., R], *arguments: Any) -> R:
    """Call a function as `attempt` runs a unit of work."""

    def unit() -> Generator[None, None, R]:
        yield from ()
        return function(*arguments)

    return complete(unit)[0]


def is_disk_full(error: BaseException) -> bool:
    """Whether it was raised because a disk is full, or no more may be written to it."""
    cause = _system_error(error)
    return cause is not None and (cause.errno in FULL or bool(SHORT.search(str(cause))))


def _in_words(error: Exception) -> UNetError:
    """Return the error a user is told."""
    cause = _system_error(error)
    if cause is not None and is_disk_full(cause):
        where = f" ({cause.filename})" if cause.filename else ""
        return DeviceError(
            f"The disk is full{where}, or takes no file of this size (FAT32: none above 4 GB). "
            f"Nothing half-written was left; free some space or choose another disk, and run the "
            f"batch again."
        )
    if cause is not None and cause.errno == errno.ENAMETOOLONG:
        name = f"{cause.filename}: " if cause.filename else ""
        return InputError(f"{name}File name too long. Give the image a shorter name.")
    if isinstance(error, UNetError):
        return error
    if is_out_of_memory(error):
        return DeviceError(
            "Memory does not suffice for this image. Close other programs, or set a smaller tile "
            "size."
        )
    if (told := gpu_failure(error)) is not None:
        return told
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        if error.errno in REFUSED:
            return InputError(
                f"{name}{error.strerror}. Change the permissions of the file or folder, or choose "
                f"another folder."
            )
        return InputError(f"{name}{error.strerror or error}. Check the disk or network share.")
    _log.error("an image of a batch failed", exc_info=error)
    return JobError(f"Unexpected {type(error).__name__}: {error}. The log has the details.")


def _system_error(error: BaseException) -> OSError | None:
    """Return the error of the system behind an error, if there is one."""
    cause = error.__cause__
    return next((e for e in (error, cause) if isinstance(e, OSError)), None)
