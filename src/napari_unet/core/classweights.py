"""Weights that balance classes of different frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["balance", "balanced_class_weights"]


def balanced_class_weights(
    classes: NDArray[np.integer], unlabelled: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return ``w_c``: every class present gets the same total weight, the mean weight is 1.

    Parameters
    ----------
    classes : integer array
        Class of each pixel, 0 ... K-1; values where ``unlabelled`` do not matter.
    unlabelled : bool array, optional
        Pixels that do not count and get weight 0.

    Returns
    -------
    float32 array
        Of the shape of ``classes``.
    """
    if unlabelled is not None:
        classes = np.where(unlabelled, 255, classes)
    counts = np.bincount(classes.ravel(), minlength=256)
    counts[255] = 0
    weights: NDArray[np.float32] = balance(counts)[classes]
    return weights


def balance(counts: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the weight of each class, from how many pixels it has."""
    present = counts > 0
    balance = np.zeros(len(counts), dtype=np.float32)
    balance[present] = counts.sum() / (present.sum() * counts[present].astype(np.float64))
    return balance
