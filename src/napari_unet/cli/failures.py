"""What a command says that failed, and its exit code."""

from __future__ import annotations

from napari_unet.errors import (
    DeviceError,
    InputError,
    ModelFileError,
    UNetError,
    gpu_failure,
    is_out_of_memory,
)

__all__ = ["failure"]


def failure(error: Exception) -> tuple[str, int] | None:
    """Return what to say of an error and the exit code; None of a mistake in the program."""
    if isinstance(error, UNetError):
        return str(error), _exit_code(error)
    if is_out_of_memory(error):
        return "Out of memory. Close other programs, or use a machine with more.", 4
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}. Check the disk and the permissions.", 4
    lost = gpu_failure(error)
    return None if lost is None else (str(lost), 4)


def _exit_code(error: UNetError) -> int:
    from napari_unet.engine.items.errors import is_disk_full

    if isinstance(error, DeviceError) or is_disk_full(error):
        return 4
    return 3 if isinstance(error, InputError | ModelFileError) else 1
