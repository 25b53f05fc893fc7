"""Labels in which one number stands for many objects: masks, classes of pixels, and images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

__all__ = ["seems_unnumbered", "seems_unnumbered_to_learn"]

MANY, EACH = 10, 3
"""So many pieces, and so many for each number, are more than what a brush or a cut leaves."""

GREYS, SPECK = 30, 10
"""More numbers than classes have, in pieces of fewer pixels than cells, are the greys of an image:
smooth ones on black have pieces of 8 pixels."""


def seems_unnumbered(labels: NDArray[np.integer], side: str = "truth") -> str:
    """Say in a sentence that numbers that are scored do not seem to tell objects apart, or nothing.

    Scores of objects take every number for one object, in one piece or in several.

    Parameters
    ----------
    labels : integer array
        (Y, X) or (Z, Y, X); 0 is background.
    side : {"truth", "prediction"}
        What they are.
    """
    return _doubt(labels, f"In the {side} ", "score them as classes")


def seems_unnumbered_to_learn(labels: NDArray[np.integer]) -> str:
    """Say the same of labels that a model will learn cells from."""
    return _doubt(labels, "", "learn them with the meaning classes")


def _doubt(labels: NDArray[np.integer], where: str, remedy: str) -> str:
    numbers = np.count_nonzero(np.unique(labels))
    pieces: Any = label(labels, background=0, return_num=True)[1]
    if pieces < max(MANY, EACH * numbers):
        return ""
    if numbers > GREYS and np.count_nonzero(labels) < SPECK * pieces:
        return (
            f"{where}{numbers} numbers stand for {pieces} pieces of a few pixels, like the grey "
            f"values of an image. Give labels, in which each cell has a number."
        )
    have = "1 number stands" if numbers == 1 else f"{numbers} numbers stand"
    return (
        f"{where}{have} for {pieces} pieces, and each number counts as one cell. If each piece is "
        f"a cell, number them first (skimage.measure.label); if the numbers are classes, {remedy}."
    )
