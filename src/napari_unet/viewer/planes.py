"""Memory for the pixels of whole stacks, or only for those of their planes that are written."""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unet.errors import DeviceError

__all__ = ["Pixels", "Planes", "zeros"]


def zeros(shape: tuple[int, ...], dtype: DTypeLike, *, what: str, remedy: str) -> NDArray[Any]:
    """Return an array of zeros.

    Raises
    ------
    DeviceError
        If the system does not promise that much memory: what would need how much, and a remedy.
    """
    try:
        return np.zeros(shape, dtype=dtype)
    except MemoryError as error:
        size = prod(shape) * np.dtype(dtype).itemsize / 1e9
        raise DeviceError(
            f"{what} would need {size:,.1f} GB of memory, more than there is. {remedy}"
        ) from error


class Planes:
    """Stands in for an array of zeros that is too large for the computer, in a layer of napari.

    Only planes that were written take memory. It is read with numbers and slices, as napari does,
    and written one plane at a time.

    Parameters
    ----------
    shape : tuple of int
        (*leading, Y, X).
    dtype : dtype
        Of the pixels.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape, self.ndim, self.size = shape, len(shape), prod(shape)
        self.dtype = np.dtype(dtype)
        self._planes: dict[tuple[int, ...], NDArray[Any]] = {}

    def __getitem__(self, index: Any) -> NDArray[Any]:
        leading, within = self._split(index)
        spans = [span for span in leading if isinstance(span, range)]
        part = np.broadcast_to(np.False_, self.shape[-2:])[within].shape
        found = np.zeros((*map(len, spans), *part), dtype=self.dtype)
        for plane, pixels in self._planes.items():
            pairs = list(zip(plane, leading, strict=True))
            if all(i in at if isinstance(at, range) else i == at for i, at in pairs):
                place = tuple(at.index(i) for i, at in pairs if isinstance(at, range))
                found[place] = pixels[within]
        return found

    def __setitem__(self, index: Any, values: Any) -> None:
        leading, within = self._split(index)
        plane = tuple(at for at in leading if not isinstance(at, range))
        if len(plane) < len(leading):
            raise IndexError(f"Planes are written one at a time, and {index} is more than one.")
        if plane not in self._planes:
            self._planes[plane] = np.zeros(self.shape[-2:], dtype=self.dtype)
        self._planes[plane][within] = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[...], dtype=dtype, copy=copy)

    def max(self, initial: int = 0) -> Any:
        """Return the largest value, at least ``initial``."""
        return max((plane.max() for plane in self._planes.values()), default=initial)

    def astype(self, dtype: DTypeLike) -> Planes:
        """Return a copy with pixels of another type."""
        copy = Planes(self.shape, dtype)
        copy._planes = {plane: pixels.astype(dtype) for plane, pixels in self._planes.items()}
        return copy

    def _split(self, index: Any) -> tuple[list[int | range], tuple[Any, ...]]:
        """Return what an index takes of every leading axis, and what of Y and X."""
        given = list(index) if isinstance(index, tuple) else [index]
        at = next((i for i, one in enumerate(given) if one is Ellipsis), len(given))
        rest = given[at + 1 :]
        every = given[:at] + [slice(None)] * (self.ndim - at - len(rest)) + rest
        return [range(n)[i] for n, i in zip(self.shape, every[:-2], strict=False)], (*every[-2:],)


Pixels: TypeAlias = NDArray[Any] | Planes
"""What a layer of a result shows."""
