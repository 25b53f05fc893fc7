"""Counts and tables over planes of labels, some rows at a time.

NumPy converts the labels that it counts, or looks up, to 64 bits first. Of a plane that is three
times its memory; of a few rows it stays in the fastest memory, and takes less time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["count_labels", "look_up", "named", "row_bands"]

PIXELS = 1 << 17
"""That are converted together."""

T = TypeVar("T", bound=np.generic)


def count_labels(labels: NDArray[np.integer], most: int) -> NDArray[np.int64]:
    """Return how many pixels have each of the labels 0 ... most."""
    counts = np.zeros(most + 1, dtype=np.int64)
    for rows in row_bands(labels):
        # it counts no unsigned numbers of 64 bits, before NumPy 2.4
        found = np.bincount(labels[rows].ravel().astype(np.intp, copy=False))
        counts[: len(found)] += found
    return counts


def look_up(table: NDArray[T], labels: NDArray[np.integer]) -> NDArray[T]:
    """Return ``table[labels]``."""
    values = np.empty(labels.shape, dtype=table.dtype)
    for rows in row_bands(labels):
        values[rows] = table[labels[rows]]
    return values


def named(labels: NDArray[np.integer], most: int) -> NDArray[np.bool_]:
    """Return for each of the numbers 0 ... most whether it is among the labels; 0 is not."""
    found = np.zeros(most + 1, dtype=bool)
    for rows in row_bands(labels):
        found[labels[rows]] = True
    found[0] = False
    return found


def row_bands(labels: NDArray[Any], pixels: int = PIXELS) -> Iterator[slice]:
    """Yield some rows of a plane at a time, from the first to the last."""
    step = max(pixels * len(labels) // max(labels.size, 1), 1)
    yield from (slice(at, at + step) for at in range(0, len(labels), step))
