"""What was measured of the cells of an image, as napari's features of a labels layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.engine.measurements import physical
from napari_unet.engine.source import length_unit
from napari_unet.viewer.stack import PlaneIndex

__all__ = ["Features"]

Columns = dict[str, NDArray[Any]]


class Features:
    """Gathers the measurements of all planes of an image.

    Parameters
    ----------
    layer : Labels
        Shows the cells. Their size is known where its scale has a unit of length.
    """

    def __init__(self, layer: Labels) -> None:
        y, x = (length_unit(unit) for unit in layer.units[-2:])
        self._size = (float(layer.scale[-2]), float(layer.scale[-1]))
        self._unit = y if y == x else ""
        self._axes = [
            name if name.isidentifier() else f"axis_{axis}"
            for axis, name in enumerate(layer.axis_labels[:-2])
        ]
        self._parts: list[Columns] = []

    def add(self, plane: PlaneIndex, columns: Columns) -> None:
        """Take the measurements of a plane."""
        n = len(columns["label"])
        places = {axis: np.full(n, at) for axis, at in zip(self._axes, plane, strict=True)}
        columns = {"index": columns["label"], **places, **columns}
        del columns["label"]  # napari wants the number as "index"
        self._parts.append(physical(columns, self._size, self._unit))

    def table(self) -> Columns:
        """Return all of them: a row for every cell, whose number is in the column "index"."""
        parts = self._parts
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
