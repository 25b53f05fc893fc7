"""Draw a plane larger or smaller, and bring back what was computed on it.

The network knows objects of the size it learned. A plane taken at another magnification is shown to
it as if it had been taken at that of the painted one. Both ways only the pixels that somebody asks
for are computed, each from its own place on the whole plane, so a plane that is resized in parts is
the same, bit by bit, as one that is resized at once.

Pixel ``k`` of ``m`` lies at ``(k + 1/2) n / m - 1/2`` of ``n``: the outer edges of both grids lie
on each other. Where pixels get larger, each is the mean of several places inside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.normalise import as_float32
from napari_unet.core.tiles import within

__all__ = ["MAGNIFICATIONS", "Resized", "resized_shape"]

MAGNIFICATIONS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
"""That are tried where it is not known."""

Floats = NDArray[np.float32]
Box = tuple[slice, ...]


class Resized:
    """A plane, larger or smaller; indexed like an array (C, Y', X') with three slices.

    Linear interpolation; beyond the centres of the outermost pixels these are held.

    Parameters
    ----------
    plane : array
        (C, Y, X), read region by region.
    magnification : float or (float, float)
        Pixels of the plane per pixel and side: 2 halves it; or of Y and of X.

    Attributes
    ----------
    shape : (int, int, int)
        (C, Y', X').
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, plane: Any, magnification: float | tuple[float, float]) -> None:
        self._plane = plane
        self._full: tuple[int, ...] = plane.shape[1:]
        self.shape: tuple[int, ...] = (plane.shape[0], *resized_shape(self._full, magnification))

    def __getitem__(self, index: tuple[slice, slice, slice]) -> Floats:
        channels, *spans = index
        box = tuple(slice(*span.indices(n)) for span, n in zip(spans, self.shape[1:], strict=True))
        source = _source(box, self.shape[1:], self._full)
        part = as_float32(self._plane[(channels, *source)])
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite stays so
            return _resampled(part, source, box, self.shape[1:], self._full)

    def needed(self, box: Box) -> Box:
        """Return the resized pixels that `back` needs for a box of the plane."""
        return _source(box, self._full, self.shape[1:])

    def back(self, values: Floats, region: Box, box: Box) -> Floats:
        """Bring back what was computed on the resized plane.

        Parameters
        ----------
        values : float32 array
            (K, *region), the pixels that are `needed`, or more.
        region : (slice, slice)
            Where they lie on the resized plane.
        box : (slice, slice)
            Of the plane.

        Returns
        -------
        float32 array
            (K, *box).
        """
        source = self.needed(box)
        part = values[(slice(None), *within(source, region))]
        return _resampled(part, source, box, self._full, self.shape[1:])


def resized_shape(
    shape: tuple[int, ...], magnification: float | tuple[float, float]
) -> tuple[int, ...]:
    """Return the shape (Y', X') of a plane (Y, X) whose pixels are so many times as large."""
    sides = np.broadcast_to(magnification, 2).tolist()
    return tuple(max(1, round(n / side)) for n, side in zip(shape, sides, strict=True))


def _places(span: slice, n: int, other: int) -> list[tuple[NDArray[np.intp], Floats]]:
    """Return for pixels of n what is averaged: pixels of the other grid, and shares of the next.

    In 64 bits: in 32, a plane of 16 000 pixels has steps of a thousandth of a pixel.
    """
    step = other / n
    inside = max(1, math.ceil(round(step, 6)))
    places = []
    for k in range(inside):
        at = (np.arange(span.start, span.stop) + (k + 0.5) / inside) * step - 0.5
        at = np.clip(at, 0, other - 1)
        low = np.minimum(at.astype(np.intp), max(other - 2, 0))
        places.append((low, (at - low).astype(np.float32)))
    return places


def _source(box: Box, shape: tuple[int, ...], other: tuple[int, ...]) -> Box:
    """Return the pixels of the other grid of which those of a box are made."""
    spans = []
    for span, n, m in zip(box, shape, other, strict=True):
        ends = [slice(span.start, span.start + 1), slice(span.stop - 1, span.stop)]
        low = [int(at[0]) for end in ends for at, _ in _places(end, n, m)]
        spans.append(slice(min(low), min(max(low) + 2, m)))
    return tuple(spans)


def _resampled(
    part: Floats, source: Box, box: Box, shape: tuple[int, ...], other: tuple[int, ...]
) -> Floats:
    """Compute a box of a grid from the part of the other grid that it is made of."""
    for axis in (1, 2):
        span, start, m = box[axis - 1], source[axis - 1].start, other[axis - 1]
        if shape[axis - 1] == m:
            # to interpolate would be to add nothing of the next pixel; but none of NaN is NaN
            here = slice(span.start - start, span.stop - start)
            part = part[:, here] if axis == 1 else part[:, :, here]
            continue
        places = _places(span, shape[axis - 1], m)
        total: Floats | None = None
        for low, share in places:  # a fixed order of additions: bit-equal for every box
            after = np.minimum(low + 1, m - 1)
            share = share[:, None] if axis == 1 else share
            mean = np.take(part, low - start, axis=axis) * (1 - share)
            mean += np.take(part, after - start, axis=axis) * share
            total = mean if total is None else total + mean
        assert total is not None
        part = total / np.float32(len(places)) if len(places) > 1 else total
    return part
