"""Saved labels: in pieces, each complete or not there, with the versions before.

::

    labels-0/3-0-1024.npz     pixels of plane 3 from row 0 and column 1024
    labels-0/3-0-1024.1.npz   the same, one save earlier
    labels-0/3-0-1024.2.npz   two saves earlier

So a stroke writes what it touched and not a whole stack, and pieces in which nobody painted are
never written.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unet.engine.atomic import write_atomically

__all__ = [
    "SIDE",
    "Corner",
    "ReadLabels",
    "corners",
    "read_labels",
    "region_of",
    "rotate",
    "versions",
    "write_piece",
    "write_rotating",
]

SIDE = 1024
"""Height and width of a piece in pixels: copied in a millisecond or two."""

KEPT_VERSIONS = 3
"""Of every piece, the newest among them."""

DAMAGE = (
    OSError,
    ValueError,  # among others: numpy refuses the header
    KeyError,
    IndexError,
    EOFError,
    NotImplementedError,  # a compression that does not exist
    RuntimeError,  # a damaged entry may look encrypted,
    MemoryError,  # or huge
    zipfile.BadZipFile,
    zlib.error,
)


class Corner(NamedTuple):
    """Where a piece begins: index of its plane, and its first row and column."""

    plane: tuple[int, ...]
    y: int
    x: int

    @property
    def name(self) -> str:
        """Of its file, without the ending."""
        return "-".join(str(n) for n in (*self.plane, self.y, self.x))


class ReadLabels(NamedTuple):
    """Labels as they were, how many pieces are of an older save, and how many are lost."""

    pixels: NDArray[Any]
    older: int
    lost: int


def write_rotating(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file as `write_atomically` does, and keep the two versions before.

    Raises
    ------
    OSError
        If it cannot be written; the newest version is then still there.
    """

    def then_rotate(file: BinaryIO) -> None:
        write(file)
        file.flush()
        os.fsync(file.fileno())  # only a version that is safe on the disk moves the others
        rotate(path)

    write_atomically(path, then_rotate)


def rotate(path: Path) -> None:
    """Make room for a new version of a file: it becomes the first of the older ones."""
    names = versions(path)
    if path.exists():  # otherwise it was moved by a save that got no further
        for newer, older in reversed(list(pairwise(names))):
            if newer.exists():
                newer.replace(older)


def versions(path: Path) -> list[Path]:
    """Return the names of a file and of its older versions, newest first."""
    older = [path.with_name(f"{path.stem}.{n}{path.suffix}") for n in range(1, KEPT_VERSIONS)]
    return [path, *older]


def corners(shape: tuple[int, ...]) -> Iterator[Corner]:
    """Yield where the pieces of labels of a shape begin."""
    *leading, height, width = shape
    for plane in np.ndindex(*leading):
        for y, x in product(range(0, height, SIDE), range(0, width, SIDE)):
            yield Corner(plane, y, x)


def region_of(corner: Corner) -> tuple[int | slice, ...]:
    """Return the index of a piece in the labels."""
    return (*corner.plane, slice(corner.y, corner.y + SIDE), slice(corner.x, corner.x + SIDE))


def write_piece(folder: Path, corner: Corner, pixels: NDArray[Any]) -> None:
    """Write a piece of labels as a compressed npz file, keeping older versions.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    content = io.BytesIO()
    # the quickest compression: labels shrink well anyway, and the user is painting
    with (
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("pixels.npy", "w") as file,
    ):
        np.lib.format.write_array(file, pixels, allow_pickle=False)
    write_rotating(folder / f"{corner.name}.npz", lambda file: file.write(content.getbuffer()))


def read_labels(
    folder: Path, shape: tuple[int, ...], dtype: DTypeLike, parts: int = 0
) -> ReadLabels:
    """Put the pieces of labels together, each in its newest version that is whole.

    Parameters
    ----------
    folder : Path
        With the pieces.
    shape, dtype : tuple of int, dtype
        Of the labels.
    parts : int
        How many pieces there should at least be.
    """
    pixels = np.zeros(shape, dtype)
    names = {path.name.split(".")[0] for path in folder.glob("*.npz")}
    found = older = 0
    for name in names:
        for age, path in enumerate(versions(folder / f"{name}.npz")):
            if _put(path, name, pixels):
                found, older = found + 1, older + (age > 0)
                break
    return ReadLabels(pixels, older, max(parts, len(names)) - found)


def _put(path: Path, name: str, labels: NDArray[Any]) -> bool:
    """Copy a piece into labels; whether it is whole and fits."""
    try:
        *plane, y, x = (int(n) for n in name.split("-"))
        place = labels[region_of(Corner(tuple(plane), y, x))]
        with zipfile.ZipFile(path) as archive:
            content = archive.read("pixels.npy")  # checked as a whole before any of it is trusted
        pixels = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        if (pixels.shape, pixels.dtype) != (place.shape, place.dtype):
            return False
    except DAMAGE:
        return False
    place[...] = pixels
    return True
