"""Images that stay where they are: the compute process asks the program for the regions it needs.

::

    compute process                                  program
    image[:, y, x]   --- ("read", run, ...) ------>  a thread of the run reads this region
       (waits)                                       of the array, and nothing else
    its pixels       <-- ("pixels", run, ...) -----

The array of an image layer may be anything that can be indexed: zarr, dask, HDF5, a file behind a
network. It is opened and known in the program only, so it cannot travel; its pixels can.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.lazyplane import slice_of
from napari_unet.errors import InputError, in_short

__all__ = ["Index", "Reader", "Remote", "Served", "asking", "read"]

MOST_PIXELS = 1 << 21
"""Larger regions are read in blocks, so that no file is ever in memory as a whole."""

Index: TypeAlias = tuple[slice, ...]
Ask: TypeAlias = Callable[[int, Index], Any]


class Served:
    """An argument of `Host.run` that arrives as a `Remote`: the program reads it, part by part.

    Parameters
    ----------
    array : LazyPlane
        What is read, by a thread of its own; or anything with its attributes.
    name : str
        What to call it when it cannot be read: "layer 'embryo'".
    """

    def __init__(self, array: Any, name: str) -> None:
        self.array = array
        self.name = name

    def ticket(self, number: int) -> tuple[Callable[..., Remote], tuple[Any, ...]]:
        """Return how the compute process makes the other end, as `object.__reduce__` does."""
        array = self.array
        return Remote, (number, array.shape, np.dtype(array.dtype), array.chunk)


def read(array: Any, index: Index, name: str) -> NDArray[Any]:
    """Read a region of any array.

    Raises
    ------
    InputError
        If that fails in whatever way, with the name of the array and the pixels that were wanted.
    """
    try:
        pixels = np.asarray(array[index])
    except Exception as error:  # file formats raise anything
        raise InputError(
            f"{_place(index, name)} could not be read ({in_short(error)}); check "
            f"that its file is complete and can still be reached."
        ) from error
    if pixels.dtype.kind not in "iufb":
        raise InputError(
            f"{_place(index, name)} were read as {pixels.dtype}; convert the image to real numbers."
        )
    return pixels


def _place(index: Index, name: str) -> str:
    y, x = index[-2:]
    if y.stop is None:
        return f"The pixels of {name}"
    return (
        f"The pixels of {name} in rows {y.start} to {y.stop - 1} and columns {x.start} to "
        f"{x.stop - 1}"
    )


class Reader:
    """Reads what a run asks for, in one thread of its own, because no read can be interrupted.

    Parameters
    ----------
    served : sequence of Served
        The arrays, by number.
    answer : callable
        Takes the number of the request and the pixels, or the `InputError`; called in the thread.
    """

    def __init__(self, served: Sequence[Served], answer: Callable[[int, object], object]) -> None:
        self._served = served
        self._answer = answer
        self._requests: queue.SimpleQueue[tuple[int, int, Index] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def request(self, number: int, which: int, index: Index) -> None:
        """Read a region as soon as what was requested before is read."""
        self._requests.put((number, which, index))
        if self._thread is None:
            # a daemon: one that hangs in a dead network must not keep the program from ending
            self._thread = threading.Thread(target=self._work, name="reader", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Read no more; does not wait for a read that has begun."""
        self._requests.put(None)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            number, which, index = request
            answer: object
            try:
                answer = read(self._served[which].array, index, self._served[which].name)
            except InputError as error:
                answer = error
            self._answer(number, answer)


class Remote:
    """A served array in the compute process: indexed with one slice per axis, or made an array."""

    def __init__(
        self, number: int, shape: tuple[int, ...], dtype: np.dtype[Any], chunk: tuple[int, int]
    ) -> None:
        self._number = number
        self._chunk = chunk
        self.shape = shape
        self.ndim = len(shape)
        self.dtype = dtype

    def __getitem__(self, index: Index) -> NDArray[Any]:
        channels, rows, columns = (
            range(n)[span] for span, n in zip(index, self.shape, strict=True)
        )
        out = np.empty((len(channels), len(rows), len(columns)), dtype=self.dtype)
        for y, x in self._blocks(len(channels), rows, columns):
            part = (slice(None), _positions(rows, y), _positions(columns, x))
            pixels = _ask(self._number, (slice_of(channels), slice_of(y), slice_of(x)))
            if pixels.shape != out[part].shape:
                raise InputError(
                    f"An image gave pixels of shape {pixels.shape} where {out[part].shape} were "
                    f"asked for; its file is damaged, or the array does not know its own shape."
                )
            out[part] = pixels
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[(slice(None),) * self.ndim], dtype=dtype, copy=copy)

    def _blocks(self, channels: int, rows: range, columns: range) -> Iterator[tuple[range, range]]:
        """Cut a region that is large, where the pieces end in which it is stored."""
        room = MOST_PIXELS // max(channels, 1)
        height, width = (max(r.stop - r.start, 1) for r in (rows, columns))
        if height * width > room:
            width = min(width, _rounded(room, self._chunk[1]))
            height = _rounded(room // width, self._chunk[0])
            if height * width > room:  # tall pieces
                width = _rounded(room // height, self._chunk[1])
        yield from product(_cut(rows, height), _cut(columns, width))


def _rounded(n: int, unit: int) -> int:
    """Return a multiple of the unit, the largest that is not above n if there is one."""
    return max(n // unit, 1) * unit


def _cut(places: range, side: int) -> Iterator[range]:
    if places.stop - places.start <= side:
        yield places
        return
    start = places.start
    while start < places.stop:
        piece = range(start, min((start // side + 1) * side, places.stop), places.step)
        yield piece
        start = piece[-1] + places.step


def _positions(places: range, piece: range) -> slice:
    first = (piece.start - places.start) // places.step
    return slice(first, first + len(piece))


def _nobody(number: int, index: Index) -> Any:
    raise InputError(f"Array {number} is read only while the program runs its function ({index}).")


_ask: Ask = _nobody


@contextmanager
def asking(ask: Ask) -> Iterator[None]:
    """Let every `Remote` of this process ask so for its pixels."""
    global _ask
    before, _ask = _ask, ask
    try:
        yield
    finally:
        _ask = before
