"""What tells files and folders from others, and from what they were: quickly, or for certain.

A stamp and a fingerprint hold times, which a copy does not have; a sum is that of all bytes, and
what has the same is the same. What is so large that to read it takes long has none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from napari_unet.engine.formats.tiffset import image_files

__all__ = ["fingerprint", "stamp", "summed", "summed_image"]

ENDS = 1 << 16
"""Bytes at both ends of a file that are compared."""

HIDDEN = (".zarray", ".zattrs", ".zgroup", ".zmetadata")
"""Hidden files of zarr itself; all others come from the system, when a folder is looked at."""

LARGEST = 2**33
"""Bytes up to which something is summed, and known again when it was copied."""


def fingerprint(path: Path) -> str:
    """Tell an image from others and from its later self: size, time, and the bytes at its ends.

    Of a folder: names, sizes and times of all files in it, but for those that the system hides. Of
    an image that lies in several files: all of them.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    for part in image_files(path):
        digest.update(str(stamp(part)).encode())
        if part.is_file():
            with part.open("rb") as file:
                digest.update(file.read(ENDS))
                file.seek(max(part.stat().st_size - ENDS, 0))
                digest.update(file.read(ENDS))
    return digest.hexdigest()


def stamp(path: Path) -> str | None:
    """Return size and time of a file, or a digest of those in a folder; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not path.is_dir():
        return _size_and_time(status)
    return _digest(f"{name} {_size_and_time(file.stat())}" for name, file in _listing(path, path))


def summed(path: Path) -> str:
    """Return a digest of all that a file holds, or a folder: names and files; "" if too large.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return _summed([path])


def summed_image(path: Path) -> str:
    """Return `summed` of an image, and of all files that it lies in; "" if one is not there."""
    parts = image_files(path)
    return _summed(parts) if all(part.exists() for part in parts) else ""


def _summed(paths: Sequence[Path]) -> str:
    files = [
        (name, file)
        for path in paths
        for name, file in ([*_listing(path, path)] if path.is_dir() else [("", path)])
    ]
    if sum(file.stat().st_size for _, file in files) > LARGEST:
        return ""
    return _digest(f"{name} {_read_through(Path(file))}" for name, file in files)


def _read_through(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(lines: Iterable[str]) -> str:
    text = "\n".join(sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _size_and_time(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"


def _listing(folder: Path, root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every file in a folder that is not hidden, or is zarr's, and its name there."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name not in HIDDEN:
                continue
            if entry.is_dir():
                yield from _listing(Path(entry.path), root)
            else:
                yield Path(entry.path).relative_to(root).as_posix(), entry
