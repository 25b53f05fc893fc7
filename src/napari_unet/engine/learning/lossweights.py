"""How much a pixel counts: by its class, over all planes, and by the border between cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import ANY_CELL
from napari_unet.engine.learning.paintedplane import PaintedPlane
from napari_unet.errors import InputError

__all__ = ["border_share", "cell_balance", "class_balance"]

Counts = NDArray[np.number[Any]]
"""Pixels of each class over all planes, and of cells whose class nobody told: (n_classes + 1,)."""


def class_balance(total: Counts, exponent: float) -> NDArray[np.float32]:
    """Return w_c by class: frequency ** -exponent, mean 1 over labelled pixels."""
    balance = np.zeros(256, dtype=np.float32)
    present = total > 0
    if present.sum() < 2:
        raise InputError(
            "Too little is painted: only one class is left at the working resolution; paint more "
            "of the others, or set downsample=1."
        )
    raw = total[present] ** -exponent
    values = np.array([*range(len(total) - 1), ANY_CELL])
    balance[values[present]] = raw * total.sum() / (raw * total[present]).sum()
    return balance


def cell_balance(total: Counts) -> NDArray[np.float32]:
    """Return by what to weigh the classes of cells, so that all count alike; 1 on average.

    A few cells of a rare kind would not be worth telling apart: to call all of them by the common
    one is right nearly everywhere.
    """
    share, cells = np.ones(len(total) - 1, dtype=np.float32), total[1:-1]
    present = cells > 0
    share[1:][present] = cells.sum() / (present.sum() * cells[present])
    return share


def border_share(planes: Sequence[PaintedPlane], limit: float) -> float:
    """Return which part of the border weights counts: they add at most ``limit`` on average.

    On average over labelled background, that is. In tissue all background is border; weights ten
    times as high would be those of a class, and every membrane would come out too thick.
    """
    background = [plane.border[plane.target == 0] for plane in planes]
    pixels = sum(border.size for border in background)
    added = sum(float(border.sum()) for border in background)
    return limit * pixels / added if limit and added > limit * pixels else 1.0
