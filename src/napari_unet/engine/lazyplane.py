"""One plane of any array as (C, Y, X), of which only what is asked for is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

__all__ = ["LazyPlane", "Readable", "chunk_side", "middle_plane", "plane_at", "slice_of"]

ROOM = 1 << 30
"""Bytes of planes that are kept whole; the one that was read last is kept in any case."""


class LazyPlane:
    """A plane of an array that is not in memory; nothing is read before it is indexed.

    One that is stored in a single piece is read whole at the first index, and kept; of many such
    planes, those that were read last.

    Parameters
    ----------
    data : array
        Anything with a shape and a dtype that can be indexed with numbers and slices at once:
        zarr, dask, HDF5.
    at : mapping of int to int
        Axes of ``data`` that are left out, and where on them the plane lies. Without them, and
        without the channels, two axes are left: Y and X.
    channel_axis : int or None
        The axis of ``data`` that holds channels, if any.
    channels : int
        How many of them are used; 0 for all.

    Attributes
    ----------
    shape : (int, int, int)
        (C, Y, X).
    chunk : (int, int)
        Y and X of the pieces it is stored in, which can only be read whole; 1 where not known.
    """

    def __init__(
        self, data: Any, at: Mapping[int, int], channel_axis: int | None, channels: int = 0
    ) -> None:
        self._data = data
        self._at = at
        self._channel_axis = channel_axis
        kept = [axis for axis in range(len(data.shape)) if axis not in at]
        self._axes = [axis for axis in kept if axis != channel_axis]
        self._moved = None if channel_axis is None else kept.index(channel_axis)
        y, x = self._axes
        n = 1 if channel_axis is None else channels or data.shape[channel_axis]
        self.shape: tuple[int, ...] = (n, data.shape[y], data.shape[x])
        self.ndim = 3
        self.dtype: np.dtype[Any] = np.dtype(data.dtype)
        self.chunk = (chunk_side(data, y), chunk_side(data, x))
        # no pixel can be read without all others: a region of it would cost as much as the plane
        self._in_one_piece = self.chunk[0] >= self.shape[1] and self.chunk[1] >= self.shape[2]

    def __getitem__(self, index: tuple[slice, slice, slice]) -> NDArray[Any]:
        if not self._in_one_piece:
            return self._read(*index)
        whole = _kept.get(self)
        if whole is None:
            whole = self._read(*(slice(0, n) for n in self.shape))
            _keep(self, whole)
        return whole[index]

    def _read(self, channels: slice, *spans: slice) -> NDArray[Any]:
        where: dict[int, int | slice] = {**self._at, **dict(zip(self._axes, spans, strict=True))}
        if self._channel_axis is not None:
            # an alpha channel is not read
            where[self._channel_axis] = slice(*channels.indices(self.shape[0]))
        pixels = np.asarray(self._data[tuple(where[axis] for axis in sorted(where))])
        if self._moved is None:
            return pixels[None][channels]
        return np.moveaxis(pixels, self._moved, 0)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        everything = slice(None)
        return np.array(self[everything, everything, everything], dtype=dtype, copy=copy)


_kept: WeakKeyDictionary[LazyPlane, NDArray[Any]] = WeakKeyDictionary()  # the newest is the last
_keeping = threading.Lock()


def _keep(plane: LazyPlane, whole: NDArray[Any]) -> None:
    """Keep a plane as long as it is there, and of the others what there is room for."""
    with _keeping:
        others = list(_kept.items())
        _kept[plane] = whole
        room = ROOM - whole.nbytes
        for other, pixels in reversed(others):
            room -= pixels.nbytes
            if room < 0:
                _kept.pop(other, None)


class Readable:
    """What a function reads, indexed with channels, rows and columns like an array (C, Y, X)."""

    def __init__(self, read: Callable[[tuple[slice, ...]], Any], shape: tuple[int, ...]) -> None:
        self._read, self.shape, self.ndim = read, shape, len(shape)

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        channels, *spans = index
        lengths = self.shape[1:]
        box = (slice(*s.indices(n)[:2]) for s, n in zip(spans, lengths, strict=True))
        return self._read(tuple(box))[channels]


def plane_at(image: Any, z: int) -> Any:
    """Return a plane (C, Y, X) of (C, Z, Y, X), of which nothing is read, or the only one."""
    if len(image.shape) == 3:
        return image
    return image[:, z] if isinstance(image, np.ndarray) else LazyPlane(image, {1: z}, 0)


def middle_plane(image: Any) -> Any:
    """Return the plane in the middle, as `plane_at` does."""
    return plane_at(image, image.shape[1] // 2)


def chunk_side(data: Any, axis: int) -> int:
    """Return the side of the pieces an array is stored in: zarr and HDF5 say it so, dask so."""
    chunks = getattr(data, "chunks", None)
    if chunks is None:
        return 1
    side = chunks[axis]
    return max(side) if isinstance(side, tuple) else int(side)


def slice_of(places: range) -> slice:
    """Return a slice of the same places that ends with the last of them."""
    last = places[-1] + 1 if places else places.start
    return slice(places.start, last, places.step)
