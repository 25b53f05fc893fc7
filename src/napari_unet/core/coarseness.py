"""Which working resolution fits what was painted: how many pixels become one.

A network of depth 3 looks about 90 pixels far. Cells much larger than that are learned better,
and ``factor ** 2`` times faster, on a coarser grid; `napari_unet.core.resolution` computes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.lookup import count_labels
from napari_unet.core.resolution import coarsen, refine

__all__ = ["FILLED", "TARGET_DIAMETER", "are_filled", "choose_factor", "coarsest_factor"]

TARGET_DIAMETER = 46.0
"""Diameter in network pixels that objects should have at most, on average."""

FILLED = 0.7
"""Share of cells above which they fill an image: what is learned are the lines between them."""

MOST = 3
"""Factor that painted classes may always have: nobody painted the texture that tells them apart."""

SURVIVING = 0.95
"""Mean IoU of painted classes with what is left of them at a working resolution, at least."""

WINDOW = 512
"""Side in pixels of what is looked at of each class for that."""


def choose_factor(diameter: float, *, filled: bool = False) -> int:
    """Choose the factor from the typical diameter of the painted objects.

    Parameters
    ----------
    diameter : float
        In image pixels; 0 when nothing is known.
    filled : bool
        Whether the objects are cells that fill the image. The lines between them are thin, and
        half of the working resolution, with which it is averaged then, sees twice as far.

    Returns
    -------
    int
        The diameter in units of `TARGET_DIAMETER`, of twice that where filled, rounded; at least 1.
    """
    return max(1, math.floor(diameter / (TARGET_DIAMETER * (2 if filled else 1)) + 0.5))


def are_filled(planes: Iterable[NDArray[np.integer]]) -> bool:
    """Return whether cells, the numbers above 0, fill planes (Y, X) by more than `FILLED`."""
    counts = np.array([(np.count_nonzero(cells), cells.size) for cells in planes])
    cells, pixels = counts.sum(axis=0)
    return bool(cells > FILLED * pixels)


def coarsest_factor(planes: Sequence[NDArray[np.integer]], diameter: float) -> int:
    """Choose the factor of painted classes: the largest at which what is painted survives.

    Classes are stretches of any size and form, so no diameter tells how fine they are. What is not
    painted counts as one more class, so thin strokes keep the resolution that shows them.

    Parameters
    ----------
    planes : sequence of integer arrays
        (Y, X): 0 not labelled, 1 ... n classes. Of each class a window counts, in the middle of
        what is painted of it in the plane that has most of it.
    diameter : float
        Typical diameter of a painted piece in image pixels; where it asks for more than `MOST`,
        that is tried too.

    Returns
    -------
    int
        At least 1.
    """
    windows = _windows(planes)
    factors = range(max(MOST, choose_factor(diameter)), 1, -1) if windows else ()
    return next((factor for factor in factors if _surviving(windows, factor) >= SURVIVING), 1)


def _windows(planes: Sequence[NDArray[np.integer]]) -> list[NDArray[np.integer]]:
    """Return of each class the surroundings of what is painted of it, where most of it is."""
    most = max((int(labels.max(initial=0)) for labels in planes), default=0)
    counts = np.array([count_labels(labels, most) for labels in planes])
    windows = []
    for number in np.flatnonzero(counts[:, 1:].any(axis=0)) + 1:
        labels = planes[int(counts[:, number].argmax())]
        y, x = (_around_median(np.count_nonzero(labels == number, axis=axis)) for axis in (1, 0))
        windows.append(labels[y, x])
    return windows


def _around_median(counts: NDArray[np.integer]) -> slice:
    """Return a window around the middle one of so many pixels in every row."""
    middle = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return slice(max(middle - WINDOW // 2, 0), middle + WINDOW // 2)


def _surviving(planes: Sequence[NDArray[np.integer]], factor: int) -> float:
    """Return the mean over classes of the IoU of what is painted and what a perfect model says."""
    both, either = np.zeros((2, 1 + max(int(labels.max()) for labels in planes)))
    for labels in planes:
        classes = np.unique(labels)  # of one that is not there, nothing is left either
        whole = (slice(0, labels.shape[0]), slice(0, labels.shape[1]))
        exact = (labels == classes[:, None, None]).astype(np.float32)
        kept = refine(coarsen(exact, factor), factor, (0, 0), whole, labels.shape).argmax(0)
        for index, (number, each) in enumerate(zip(classes, exact > 0, strict=True)):
            both[number] += np.count_nonzero(each & (kept == index))
            either[number] += np.count_nonzero(each | (kept == index))
    painted = either[1:] > 0
    return float(np.mean(both[1:][painted] / either[1:][painted]))
