"""The second term of the boundary weights: ``w0 exp(-(d1 + d2)^2 / (2 sigma^2))``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.nearesttwo import nearest_two
from napari_unet.core.tiles import lengths, widened, within

if TYPE_CHECKING:
    import torch

__all__ = ["border_term", "parts", "reach"]

NOTHING = 1e-8
"""A border term below this changes no float32 weight."""


def reach(w0: float, sigma: float) -> float:
    """Return the sum of distances ``d1 + d2`` from which on the border term is exactly 0."""
    return sigma * math.sqrt(2 * math.log(max(w0, 1.0) / NOTHING)) if w0 > 0 else 0.0


def border_term(
    cells: NDArray[np.integer],
    box: tuple[slice, ...],
    w0: float,
    sigma: float,
    spacing: tuple[float, ...],
    device: torch.device | str | None = None,
) -> NDArray[np.float32]:
    """Return the term in a box.

    Parameters
    ----------
    cells : integer array
        Separated cells, 0 elsewhere; none is negative.
    box : tuple of slice
        The pixels wanted; all cells nearer than `reach` to them are in ``cells``.
    w0, sigma, spacing, device
        As for `napari_unet.core.boundary.boundary_weight_map`.

    Returns
    -------
    float32 array
        Of the shape of the box.
    """
    term = np.zeros(lengths(box), dtype=np.float32)
    limit = reach(w0, sigma)
    extent = _extent(cells) if limit > 0 else None
    if extent is None:
        return term
    # where the nearest cell is half the reach away, the second nearest is not nearer
    margins = [math.ceil(limit / 2 / step) for step in spacing]
    near = widened(extent, margins, margins, cells.shape)
    part = tuple(
        slice(max(n.start, b.start), min(n.stop, b.stop)) for n, b in zip(near, box, strict=True)
    )
    if any(span.stop <= span.start for span in part):
        return term
    nearest, second = nearest_two(_narrow(cells[near]), within(part, near), spacing, limit, device)
    total = nearest + second
    matters = total < limit
    term[within(part, box)][matters] = w0 * np.exp(-(total[matters] ** 2) / (2 * sigma**2))
    return term


def _extent(cells: NDArray[np.integer]) -> tuple[slice, ...] | None:
    """Return the smallest box that holds all cells, or None if there are none."""
    inside = cells != 0
    spans = []
    for axis in range(cells.ndim):
        others = tuple(other for other in range(cells.ndim) if other != axis)
        at = np.flatnonzero(inside.any(axis=others))
        if not at.size:
            return None
        spans.append(slice(int(at[0]), int(at[-1]) + 1))
    return tuple(spans)


def _narrow(cells: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the cells as int32; ids that do not fit get new ones."""
    if cells.max() <= np.iinfo(np.int32).max:
        return cells.astype(np.int32, copy=False)
    # few neighbours differ: sorting the ids of runs is cheaper than sorting those of pixels
    ids = cells.ravel()
    starts = np.concatenate([[0], np.flatnonzero(ids[1:] != ids[:-1]) + 1])
    _, new = np.unique(np.concatenate([np.zeros(1, ids.dtype), ids[starts]]), return_inverse=True)
    runs = np.diff(starts, append=ids.size)
    return np.repeat(new[1:].astype(np.int32), runs).reshape(cells.shape)


def parts(box: Sequence[slice], most: int) -> Iterator[tuple[slice, ...]]:
    """Divide a box into parts of at most so many pixels, as near to cubes as halving brings."""
    sides = lengths(box)
    divisors = [1] * len(sides)
    while math.prod(each := [-(-n // k) for n, k in zip(sides, divisors, strict=True)]) > most:
        divisors[each.index(max(each))] *= 2
    cuts = (
        pairwise(span.start + n * i // k for i in range(k + 1))
        for span, n, k in zip(box, sides, divisors, strict=True)
    )
    return product(*([slice(*ends) for ends in along] for along in cuts))
