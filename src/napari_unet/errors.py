"""What can go wrong, in four kinds a caller can tell apart.

::

    Exception
    └── UNetError            anything this package raises on purpose
        ├── InputError       what was given cannot be used (also a ValueError)
        ├── ModelFileError   a model file is missing, damaged or of another kind
        ├── DeviceError      the device is absent or ran out of memory
        │   └── LostDeviceError  it failed, and can be used no more in this process
        └── JobError         the work broke off, or its process died

None derives from `RuntimeError`: napari's stock generator worker swallows that type without a word.
Every message says what was wrong, the value seen, and what to do next.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

__all__ = [
    "DeviceError",
    "InputError",
    "JobError",
    "LostDeviceError",
    "ModelFileError",
    "UNetError",
    "first_line",
    "gpu_failure",
    "in_short",
    "is_out_of_memory",
    "some_of",
]

SHOWN = 5
"""Names in a message, before only their number is told."""

NO_MEMORY = (
    "bad_alloc",
    "can't allocate memory",
    "could not create a ",
    "failed to map segment",
    "not enough memory",
    "out of memory",
)
"""What torch's allocators (on Linux, Windows, GPUs), its library of convolutions, and Linux, where
it loads a library, say."""

GPU_FAILED = ("CUDA error", "CUDA driver error", "cuDNN error", "HIP error")
"""How torch begins to say so in versions that have no `AcceleratorError`."""


class UNetError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(UNetError, ValueError):
    """An image, a label layer or a setting cannot be used as it was given."""


class ModelFileError(UNetError):
    """A model file is missing, damaged, or from another program."""


class DeviceError(UNetError):
    """The requested device does not exist, or does not have enough memory."""


class LostDeviceError(DeviceError):
    """A GPU failed: in this process, whatever is asked of it next fails as well."""


class JobError(UNetError):
    """A job failed, or the process that ran it died."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, for a message; or else what it is called."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def in_short(error: BaseException) -> str:
    """Return what an error is called, and the first line of what it says, if it says anything."""
    name, said = type(error).__name__, first_line(error)
    return name if said == name else f"{name}: {said}"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory did not suffice, on whichever device."""
    # by its name: that of torch must be known where torch is not loaded
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # llvmlite hides behind an error of its own why it cannot be loaded
    causes = (error, error.__context__) if isinstance(error, OSError) else (error,)
    said = [str(e).lower() for e in causes if isinstance(e, RuntimeError | ImportError | OSError)]
    return any(words in one for one in said for words in NO_MEMORY)


def gpu_failure(error: BaseException) -> LostDeviceError | None:
    """Return what to tell where a GPU was lost, or cannot run this torch; None of other errors."""
    said = isinstance(error, RuntimeError) and str(error).startswith(GPU_FAILED)
    if not said and type(error).__name__ != "AcceleratorError":
        return None
    return LostDeviceError(
        f"The GPU failed ({first_line(error)}). Start again; if it fails again, choose "
        f"device='cpu', or install a torch build for this GPU."
    )


def some_of(names: Sequence[object]) -> str:
    """Return the first of some names for a message, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(map(str, names[:SHOWN])) + (f" and {more} more" if more > 0 else "")
