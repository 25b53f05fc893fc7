"""Which pixels and which numbers are meant: under the cursor, or in view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.viewer.field import Box
from napari_unet.viewer.stack import finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Pixel", "cursor", "numbers_in", "pixel_at"]

Pixel = tuple[int, int]
"""A pixel of a plane, (y, x)."""


def cursor(viewer: ViewerModel) -> tuple[float, ...]:
    """Return the position of the cursor in the world, of a view in 2D."""
    return tuple(viewer.cursor.position)


def pixel_at(layer: Labels, position: Sequence[float]) -> Pixel | None:
    """Return the pixel of a layer at a position in the world; None outside of it."""
    point = np.asarray(layer.world_to_data(position[-layer.ndim :]))[-2:]
    y, x = (int(n) for n in np.floor(point + 0.5))
    height, width = finest(layer).shape[-2:]
    return (y, x) if 0 <= y < height and 0 <= x < width else None


def numbers_in(plane: NDArray[Any], box: Box, first: int = 1) -> NDArray[np.int64]:
    """Return the numbers from ``first`` on that have more than half of their pixels in a box.

    So what the edge of the view cuts is meant as a whole or not at all.
    """
    inside = dict(zip(*np.unique(plane[box], return_counts=True), strict=True))
    everywhere = zip(*np.unique(plane, return_counts=True), strict=True)
    found = [n for n, count in everywhere if n >= first and 2 * inside.get(n, 0) > count]
    return np.array(found, dtype=np.int64)
