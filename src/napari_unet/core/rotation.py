"""Turn a plane, and turn probabilities back: averaging over rotated versions of the input.

The paper's EM experiment averages the predictions of "7 rotated versions of the input data"
(section 4). The plane is turned as a whole about its centre, onto a canvas that holds all of it;
the corners of the canvas are filled by mirroring. Both ways only the pixels that somebody asks for
are computed, each from its own place on the whole plane, so a plane that is turned in parts is the
same, bit by bit, as one that is turned at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.normalise import as_float32
from napari_unet.core.tiles import lengths, within

__all__ = ["Rotated", "rotated_shape"]

Array = NDArray[Any]
Floats = NDArray[np.float32]
Box = tuple[slice, ...]

PIXELS = 1 << 20
"""That are turned together."""


class Rotated:
    """A plane, turned; indexed with channels, rows and columns like an array (C, Y', X').

    Linear interpolation; mirrored beyond the border of the plane.

    Parameters
    ----------
    plane : array
        (C, Y, X), read region by region.
    angle : float
        Radians.
    instead : array, optional
        (C, 1) what is read where the plane is not finite, which interpolation would spread.

    Attributes
    ----------
    shape : (int, int, int)
        (C, Y', X'), large enough for every pixel of the plane.
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(self, plane: Any, angle: float, instead: Array | None = None) -> None:
        self._plane, self._angle, self._instead = plane, angle, instead
        self.shape: tuple[int, ...] = (plane.shape[0], *rotated_shape(plane.shape[1:], angle))

    def __getitem__(self, index: tuple[slice, slice, slice]) -> Floats:
        channels, *spans = index
        y, x = (slice(*span.indices(n)) for span, n in zip(spans, self.shape[1:], strict=True))

        def read(box: Box) -> Array:
            part = as_float32(self._plane[(channels, *box)])
            if self._instead is None:
                return part
            return np.where(np.isfinite(part), part, self._instead[channels, :, None])

        plane = self._plane.shape[1:]
        return _sampled(read, _places(_pixels(y), _pixels(x), self.shape[1:], plane, self._angle))

    def needed(self, box: Box) -> Box:
        """Return the pixels of the canvas that `back` needs for a box of the plane."""
        rows, columns = (np.array([span.start, span.stop - 1]) for span in box)
        corners = _places(rows, columns, self._plane.shape[1:], self.shape[1:], -self._angle)
        y, x = (
            slice(max(int(at.min()) - 1, 0), min(int(at.max()) + 3, n))
            for at, n in zip(corners, self.shape[1:], strict=True)
        )
        return y, x

    def back(self, values: Floats, region: Box, box: Box) -> Floats:
        """Turn back what was computed on the canvas.

        Parameters
        ----------
        values : float32 array
            (K, *region), the pixels that are `needed`.
        region : (slice, slice)
            Where they lie on the canvas.
        box : (slice, slice)
            Of the plane.

        Returns
        -------
        float32 array
            (K, *box).
        """
        (y, x), plane = box, self._plane.shape[1:]

        def read(box: Box) -> Array:
            return values[(slice(None), *within(box, region))]

        turned = np.empty((len(values), *lengths(box)), dtype=np.float32)
        step = max(PIXELS // turned.shape[2], 1)
        for top in range(y.start, y.stop, step):
            rows = slice(top, min(top + step, y.stop))
            places = _places(_pixels(rows), _pixels(x), plane, self.shape[1:], -self._angle)
            turned[:, rows.start - y.start : rows.stop - y.start] = _sampled(read, places)
        return turned


def rotated_shape(shape: tuple[int, ...], angle: float) -> tuple[int, int]:
    """Return the canvas (Y', X') that holds every pixel of a turned plane (Y, X)."""
    (height, width), cos, sin = shape, abs(np.cos(angle)), abs(np.sin(angle))
    # rounding first: cos(pi/2) is 6e-17, and a canvas one pixel larger would shift the grid
    return (
        int(np.ceil(round(height * cos + width * sin, 6))),
        int(np.ceil(round(height * sin + width * cos, 6))),
    )


def _pixels(span: slice) -> Array:
    return np.arange(span.start, span.stop)


def _places(
    rows: Array, columns: Array, shape: tuple[int, ...], other: tuple[int, ...], angle: float
) -> tuple[Array, Array]:
    """Return where pixels lie on the plane turned the other way, (h, w) rows and columns.

    In 64 bits: in 32, a plane of 16 000 pixels has steps of a thousandth of a pixel.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    down = rows[:, None] - (shape[0] - 1) / 2
    right = columns[None, :] - (shape[1] - 1) / 2
    y = cos * down - sin * right + (other[0] - 1) / 2
    x = sin * down + cos * right + (other[1] - 1) / 2
    return _mirrored(y, other[0]), _mirrored(x, other[1])


def _mirrored(places: Array, n: int) -> Array:
    """Mirror places at the first and the last of n pixels, as `mirror_indices` does."""
    if n == 1:
        return np.zeros_like(places)
    period = 2 * (n - 1)
    rest = np.abs(places) % period
    mirrored: Array = np.minimum(rest, period - rest)
    return mirrored


def _sampled(read: Callable[[Box], Array], places: tuple[Array, Array]) -> Floats:
    """Interpolate linearly at places (h, w) of what is read (C, *box)."""
    y, x = (at.astype(np.intp) for at in places)
    down, right = ((at - low).astype(np.float32) for at, low in zip(places, (y, x), strict=True))
    box = tuple(slice(int(low.min()), int(low.max()) + 2) for low in (y, x))
    part = read(box)
    # the last pixel has none after it, and needs none
    y, x = y - box[0].start, x - box[1].start
    below, after = np.minimum(y + 1, part.shape[1] - 1), np.minimum(x + 1, part.shape[2] - 1)
    upper = part[:, y, x] * (1 - right) + part[:, y, after] * right
    lower = part[:, below, x] * (1 - right) + part[:, below, after] * right
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)
