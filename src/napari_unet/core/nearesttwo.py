"""The distances to the nearest and second nearest cell, in the same time for any number of cells.

One axis after the other, each pixel takes over from the pixels of its line, nearest first, what
they know of cells: squared distance and id of the nearest, and of the nearest of another id. Two
are enough: let a pixel know the cells A and B, and be C any third one. Along the line, the way to
each of them by that pixel is longer by the same. So there too, C comes after both A and B, and is
neither the nearest nor the second nearest cell, whatever the other pixels know.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.tiles import lengths

if TYPE_CHECKING:
    import torch

__all__ = ["Pass", "nearest_two"]

SLACK = 1 + 1e-5
"""Keeps what rounding could bring below the limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One axis to look along; the axes before it, and those after it, are taken as one each.

    Attributes
    ----------
    outer, length, inner : int
        Pixels before, along and after the axis. Those before are the ones that are wanted.
    begin, stop : int
        The pixels along the axis that are wanted.
    step : float
        Distance between two pixels along the axis.
    squares : (steps,) float32 array
        Squared distances of 0, 1, 2, ... pixels along the axis, as far as they can matter.
    half : float
        A pixel without a cell nearer than this, squared, needs no second one.
    """

    outer: int
    length: int
    inner: int
    begin: int
    stop: int
    step: float
    squares: NDArray[np.float32]
    half: float


def nearest_two(
    cells: NDArray[np.int32],
    box: Sequence[slice],
    spacing: Sequence[float],
    limit: float = math.inf,
    device: torch.device | str | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the distances to the nearest and the second nearest cell.

    A distance depends on nothing but the offset of two pixels: it is bit for bit the same in any
    crop that holds both, and on any device.

    Parameters
    ----------
    cells : int32 array
        Any number of axes: 0 where there is no cell, else the id of a cell, at least 1. A cell may
        be in several pieces.
    box : sequence of slice
        The pixels wanted: start and stop along each axis.
    spacing : sequence of float
        Distance between neighbouring pixels along each axis.
    limit : float
        Only where the sum of both distances is below this do they matter: elsewhere they are
        wrong, but their sum is not below either.
    device : torch.device or str, optional
        Where torch is to compute; by default numba does, with one thread.

    Returns
    -------
    nearest, second : float32 arrays
        Of the shape of the box: 0 in a cell, inf where there is no cell, or no second one. Their
        squares are rounded to float32, once for each axis.

    Raises
    ------
    DeviceError
        If torch cannot use the device.
    """
    passes = _passes(cells.shape, box, spacing, limit)
    # either import takes its time, and one is enough
    if device is None:
        from napari_unet.core import nearesttwo_numba

        nearest, second = nearesttwo_numba.squares_of_nearest_two(cells, passes)
    else:
        from napari_unet.core import nearesttwo_torch

        nearest, second = nearesttwo_torch.squares_of_nearest_two(cells, passes, device)
    nearest, second = nearest.reshape(lengths(box)), second.reshape(lengths(box))
    return np.sqrt(nearest, out=nearest), np.sqrt(second, out=second)


def _passes(
    sides: Sequence[int], box: Sequence[slice], spacing: Sequence[float], limit: float
) -> Iterator[Pass]:
    shape = list(sides)
    for axis, (span, step) in enumerate(zip(box, spacing, strict=True)):
        length, shape[axis] = shape[axis], span.stop - span.start
        steps = min(length, math.floor(min(limit * SLACK / step, length)) + 1)
        # before the last axis, a far cell may still turn out to be the second of another pixel
        last = axis == len(shape) - 1
        yield Pass(
            math.prod(shape[:axis]),
            length,
            math.prod(shape[axis + 1 :]),
            span.start,
            span.stop,
            step,
            np.square(np.arange(steps) * step).astype(np.float32),
            (limit / 2) ** 2 * SLACK if last else math.inf,
        )
