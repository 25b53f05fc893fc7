"""An array with its axes in another order and several of them as one; nothing is read for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import EllipsisType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.lazyplane import chunk_side, slice_of
from napari_unet.errors import InputError, in_short

__all__ = ["AxisView"]

Index: TypeAlias = int | slice | EllipsisType
Place: TypeAlias = tuple[Index, ...]


class AxisView:
    """A view of an array, each axis of which stands for one axis of the array, or for several.

    ::

        stored   (T, C, Z, Y, X)                 axes = [[1], [0, 2], [3], [4]]
        seen     (C, T * Z, Y, X)                of 4 Z, view[:, 5] is stored[1, :, 1]

    Parameters
    ----------
    data : array
        Anything with a shape and a dtype that can be indexed with numbers and slices at once, and
        assigned to if the view is: zarr, dask, HDF5, a memory map.
    axes : sequence of sequences of int
        The axes of ``data`` that each axis of the view stands for, the slowest first; none is an
        axis of length 1. What is in none of them must have length 1.
    name : str
        What to call it when it cannot be read: its file.
    limits : mapping of int to int
        Axes of ``data`` that end before their end: colours without their alpha.
    keep : bool
        Of what can only be read as a whole, because it is stored in a single piece: keep it after
        the first time.

    Attributes
    ----------
    chunks : tuple of int or None
        Sides of the pieces it is stored in; None where not known.
    """

    def __init__(
        self,
        data: Any,
        axes: Sequence[Sequence[int]],
        name: str,
        limits: Mapping[int, int] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self.data = data
        self.name = name
        self._sizes = [(limits or {}).get(axis, n) for axis, n in enumerate(data.shape)]
        # of an axis of length 1 there is nothing to choose
        self._axes = [[axis for axis in group if self._sizes[axis] > 1] for group in axes]
        # rows, columns, and whatever else is one axis of the data is read many at once
        self._direct = {i: group[0] for i, group in enumerate(self._axes) if len(group) == 1}
        self.shape: tuple[int, ...] = tuple(math.prod(self._size(group)) for group in self._axes)
        self.ndim, self.size = len(self.shape), math.prod(self.shape)
        self.dtype: np.dtype[Any] = np.dtype(data.dtype).newbyteorder("=")
        self.chunks: tuple[int, ...] | None = None
        if getattr(data, "chunks", None) is not None:
            self.chunks = tuple(
                chunk_side(data, group[0]) if len(group) == 1 else 1 for group in self._axes
            )
        sides = zip(self.shape[-2:], (self.chunks or (0, 0))[-2:], strict=True)
        self._keep = keep and all(side <= chunk for side, chunk in sides)
        self._kept: NDArray[Any] | None = None

    def __getitem__(self, index: Index | Place) -> NDArray[Any]:
        if not self._keep:
            return self._get(index)
        if self._kept is None:
            self._kept = self._get(())
        return self._kept[index]

    def _get(self, index: Index | Place) -> NDArray[Any]:
        spans, kept = self._spans(index)
        out = np.empty([len(span) for span in spans], dtype=self.dtype)
        order = np.argsort(np.argsort(list(self._direct.values())))
        for here, there in self._pieces(spans):
            pixels = self._read(there)
            if pixels.size != out[here].size:
                raise InputError(
                    f"{self.name} gave pixels of shape {pixels.shape} where {out[here].shape} "
                    f"were asked for; it is damaged."
                )
            out[here] = pixels.transpose(order)
        return out.reshape([out.shape[axis] for axis in kept])

    def __setitem__(self, index: Index | Place, values: Any) -> None:
        spans, kept = self._spans(index)
        lengths = [len(span) for span in spans]
        shape = [n if axis in kept else 1 for axis, n in enumerate(lengths)]
        values = np.broadcast_to(values, [lengths[axis] for axis in kept]).reshape(shape)
        order = np.argsort(list(self._direct.values()))
        for here, there in self._pieces(spans):
            self.data[there] = values[here].transpose(order)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[()], dtype=dtype, copy=copy)

    def _size(self, group: Sequence[int]) -> list[int]:
        return [self._sizes[axis] for axis in group]

    def _spans(self, index: Index | Place) -> tuple[list[range], list[int]]:
        """Return the places on each axis, and which axes the result keeps."""
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis in given:
            at = given.index(Ellipsis)
            given = (*given[:at], *[slice(None)] * (self.ndim - len(given) + 1), *given[at + 1 :])
        if len(given) > self.ndim:
            raise IndexError(f"{len(given)} indices for {self.ndim} axes")
        spans, kept = [], []
        for axis, n in enumerate(self.shape):
            where = given[axis] if axis < len(given) else slice(None)
            if isinstance(where, slice):
                spans.append(range(n)[where])
                kept.append(axis)
            elif not isinstance(where, EllipsisType):
                place = range(n)[where]
                spans.append(range(place, place + 1))
        return spans, kept

    def _pieces(self, spans: Sequence[range]) -> Iterator[tuple[Place, Place]]:
        """Yield where a piece is in the result, and where in the data."""
        looped = [axis for axis in range(self.ndim) if axis not in self._direct]
        for at in product(*(range(len(spans[axis])) for axis in looped)):
            here: list[Index] = [slice(None)] * self.ndim
            there: list[Index] = [0] * len(self._sizes)
            for axis, stored in self._direct.items():
                there[stored] = slice_of(spans[axis])
            for axis, i in zip(looped, at, strict=True):
                here[axis] = i
                group = self._axes[axis]
                places = np.unravel_index(spans[axis][i], self._size(group)) if group else ()
                for stored, place in zip(group, places, strict=True):
                    there[stored] = int(place)
            yield tuple(here), tuple(there)

    def _read(self, there: Place) -> NDArray[Any]:
        try:
            return np.asarray(self.data[there])
        except MemoryError:  # no fault of the file
            raise
        except Exception as error:  # file formats raise anything
            raise InputError(
                f"The pixels of {self.name} could not be read ({in_short(error)}); "
                f"check that it is complete and can still be reached."
            ) from error
