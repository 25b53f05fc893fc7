"""How unsure the network is of each pixel, and where looking is worth most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.cellclasses import ModelKind

__all__ = ["cell_size", "fill_uncertainty", "most_uncertain", "uncertainty"]

STRIP = 1 << 20
"""Pixels that `fill_uncertainty` computes at a time, in about 5 ms."""

SURE = 0.1
"""Mean uncertainty of a place up to which the network is taken to be sure: 0.987 in cells."""

MOST_STEPS = 512
"""Steps across an image in which places are looked for, where cells allow it."""

SIZES_ACROSS = 32
"""Cells across an image whose cell size is not known."""

TINY = np.finfo(np.float32).tiny


def uncertainty(
    foreground: NDArray[np.floating], kind: ModelKind, n_classes: int
) -> NDArray[np.float32]:
    """Return how unsure the network is of each pixel, 0 (sure) ... 1 (it might as well guess).

    Parameters
    ----------
    foreground : array
        Probability of cells; of the winning class for ``kind="classes"``.
    kind : {"cells", "classes"}
        Of cells, the entropy in bits of the two outcomes; of classes, what the winner lacks to
        1, as a share of what it lacks when all classes are equally likely.
    n_classes : int
        K >= 2; only classes ask for it.

    Returns
    -------
    float32 array
        Of the same shape.
    """
    p: NDArray[np.float32] = np.clip(foreground, 0, 1, dtype=np.float32)
    if kind == "classes":
        lacks: NDArray[np.float32] = (1 - p) * np.float32(n_classes / (n_classes - 1))
        return np.minimum(lacks, 1)
    q = 1 - p
    bits: NDArray[np.float32] = -p * np.log2(np.maximum(p, TINY))
    bits -= q * np.log2(np.maximum(q, TINY))
    return np.maximum(bits, 0, out=bits)


def fill_uncertainty(
    foreground: NDArray[np.floating], kind: ModelKind, n_classes: int, out: NDArray[np.float32]
) -> Iterator[tuple[int, int]]:
    """Write the `uncertainty` of a plane (Y, X) into ``out``; yield the rows that are done."""
    rows = max(1, STRIP // foreground.shape[1])
    for start in range(0, foreground.shape[0], rows):
        stop = min(start + rows, foreground.shape[0])
        out[start:stop] = uncertainty(foreground[start:stop], kind, n_classes)
        yield start, stop


def cell_size(diameter: float, shape: tuple[int, int]) -> float:
    """Return the diameter of a cell in pixels; for 0, unknown, a guess by the image (Y, X)."""
    return max(diameter if diameter > 0 else max(shape) / SIZES_ACROSS, 1.0)


def most_uncertain(
    uncertainty: NDArray[np.floating],
    labelled: NDArray[np.bool_],
    diameter: float,
    visited: Sequence[tuple[int, int]] = (),
) -> tuple[int, int] | None:
    """Return where a window of about a cell holds most uncertainty that nobody labelled.

    Found on a grid finer than a cell; where places are equal, the first in reading order.

    Parameters
    ----------
    uncertainty : (Y, X) array
        0 ... 1.
    labelled : (Y, X) bool array
        Pixels that tell the network nothing new; nor does what is within half a cell of them.
    diameter : float
        Of a cell, in pixels; 0 when unknown.
    visited : sequence of (y, x)
        Places that were shown already; nothing within a cell of them is returned.

    Returns
    -------
    (y, x) in pixels, or None where the network is sure of all that is left.
    """
    size = cell_size(diameter, (uncertainty.shape[0], uncertainty.shape[1]))
    # a quarter of a cell; in large images of small cells half of one, to be quick
    step = max(1, int(size // 4), min(int(size // 2), -(-max(uncertainty.shape) // MOST_STEPS)))
    unsure = _block_mean(uncertainty, step)
    taken = _block_mean(labelled, step) > 0
    if taken.any():
        taken = step * ndimage.distance_transform_edt(~taken) <= size / 2
    ys, xs = (_centres(n, step) for n in uncertainty.shape)
    for y, x in visited:
        taken |= (ys[:, None] - y) ** 2 + (xs - x) ** 2 <= size**2
    unsure[taken] = 0
    window = 2 * round(size / step / 2) + 1
    open_places = (ndimage.uniform_filter(unsure, window) > SURE) & ~taken
    if not open_places.any():
        return None
    # beyond the edge nothing can be painted, so places there come last
    score = np.where(open_places, ndimage.uniform_filter(unsure, window, mode="constant"), -1)
    best = np.unravel_index(int(np.argmax(score)), score.shape)
    return int(ys[best[0]]), int(xs[best[1]])


def _block_mean(pixels: NDArray[np.generic], step: int) -> NDArray[np.float64]:
    """Return the mean of every block of ``step`` x ``step`` pixels; the last may be smaller."""
    sums = pixels.astype(np.float64) if step == 1 else pixels
    for axis, n in enumerate(pixels.shape):
        if step > 1:
            sums = np.add.reduceat(sums, np.arange(0, n, step), axis=axis, dtype=np.float64)
    heights, widths = (np.diff(np.append(np.arange(0, n, step), n)) for n in pixels.shape)
    means: NDArray[np.float64] = sums / (heights[:, None] * widths)
    return means


def _centres(n: int, step: int) -> NDArray[np.int64]:
    return np.minimum(np.arange(0, n, step) + step // 2, n - 1)
