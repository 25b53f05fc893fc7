"""How large objects are: the diameters of all of them, of a typical one and of the smallest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

__all__ = ["diameters", "smallest_diameter", "typical_diameter"]


def diameters(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the equivalent diameter, ``2 sqrt(area / pi)``, of every connected piece of a label.

    Pieces and not labels: many people paint all cells with one number.
    """
    pieces: Any = label(labels, background=0, connectivity=1)
    areas = np.bincount(pieces.ravel())[1:]
    result: NDArray[np.float64] = 2 * np.sqrt(areas / np.pi)
    return result


def typical_diameter(diameters: NDArray[np.floating]) -> float:
    """Return the diameter of the object that a random object pixel lies in, or 0 without any.

    The median over pixels; specks are many but cover little, so they do not count.
    """
    return _largest_of_the_first(diameters, 2)


def smallest_diameter(diameters: NDArray[np.floating]) -> float:
    """Return the diameter that the smallest objects have, or 0 without any.

    All smaller ones together cover a hundredth of the object pixels: those may be specks.
    """
    return _largest_of_the_first(diameters, 100)


def _largest_of_the_first(diameters: NDArray[np.floating], part: int) -> float:
    """Return the diameter up to which objects cover the half, third ... of the object pixels."""
    if not len(diameters):
        return 0.0
    ordered = np.sort(diameters)
    covered = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(covered, covered[-1] / part)])
