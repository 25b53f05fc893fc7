"""The second term of the boundary weights: ``w0 exp(-(d1 + d2)^2 / (2 sigma^2))``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["border_term", "reach", "relative"]

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
) -> NDArray[np.float32]:
    """Return the term in a box.

    Parameters
    ----------
    cells : integer array
        Separated cells: of two that share a face one is background.
    box : tuple of slice
        The pixels wanted; all cells nearer than `reach` to them are in ``cells``.
    w0, sigma, spacing
        As for `napari_unet.core.boundary.boundary_weight_map`.

    Returns
    -------
    float32 array
        Of the shape of the box.
    """
    shape = [span.stop - span.start for span in box]
    term = np.zeros(shape, dtype=np.float32)
    if w0 <= 0:
        return term
    nearest = np.full(shape, np.inf, dtype=np.float32)
    second = np.full(shape, np.inf, dtype=np.float32)
    owner = np.zeros(shape, dtype=cells.dtype)
    limit = reach(w0, sigma)
    for cell, piece, seen, part in _pieces(cells, box, [math.ceil(limit / s) for s in spacing]):
        distance = ndimage.distance_transform_edt(~piece, sampling=spacing)[seen].astype(np.float32)
        d1, d2, own = nearest[part], second[part], owner[part]
        # a cell in several pieces competes with other cells only, never with itself
        closer = distance < d1
        changed = closer & (own != cell)
        d2[changed] = d1[changed]
        d1[closer] = distance[closer]
        own[changed] = cell
        behind = ~closer & (own != cell) & (distance < d2)
        d2[behind] = distance[behind]
    total = nearest + second
    near = total < limit
    term[near] = w0 * np.exp(-(total[near] ** 2) / (2 * sigma**2))
    return term


def _pieces(
    cells: NDArray[np.integer], box: tuple[slice, ...], margins: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.bool_], tuple[slice, ...], tuple[slice, ...]]]:
    """Yield each connected piece of each cell that can matter in a box.

    That is: the id of the cell; a mask that holds the piece and where it can matter; where it can
    matter, as slices of the mask; and the same as slices of the box.
    """
    # separated cells share no face, so pieces of one component all have one id
    components, _ = ndimage.label(cells > 0)
    for index, extent in enumerate(ndimage.find_objects(components), start=1):
        part = tuple(
            slice(max(span.start - margin, b.start), min(span.stop + margin, b.stop))
            for span, margin, b in zip(extent, margins, box, strict=True)
        )
        if any(span.stop <= span.start for span in part):
            continue
        hull = tuple(
            slice(min(span.start, p.start), max(span.stop, p.stop))
            for span, p in zip(extent, part, strict=True)
        )
        piece = components[hull] == index
        inside = relative(extent, hull)
        cell = int(cells[extent][piece[inside]][0])
        yield cell, piece, relative(part, hull), relative(part, box)


def relative(box: Sequence[slice], outer: Sequence[slice]) -> tuple[slice, ...]:
    """Return a box as slices of a larger one that holds it."""
    return tuple(
        slice(span.start - o.start, span.stop - o.start) for span, o in zip(box, outer, strict=True)
    )
