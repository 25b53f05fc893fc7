"""What was measured of the cells of an image, as napari's features of a labels layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_unet.engine.measurements import physical
from napari_unet.viewer.cellclasses import classes_of, write_classes
from napari_unet.viewer.stack import PlaneIndex, pixel_size

__all__ = ["Features", "forget_features"]

Columns = dict[str, NDArray[Any]]


class Features:
    """Gathers the measurements of all planes of an image.

    Parameters
    ----------
    layer : Labels
        Shows the cells. Their size is known where its scale has a unit of length.
    """

    def __init__(self, layer: Labels) -> None:
        self._size = pixel_size(layer)
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
        self._parts.append(physical(columns, self._size))

    def table(self, classes: Mapping[int, str]) -> dict[str, Any]:
        """Return all of them: a row for every cell, whose number is in the column "index".

        Parameters
        ----------
        classes : mapping of int to str
            What class a cell is of, where it has one; makes one more column.
        """
        parts = self._parts
        table: dict[str, Any] = {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }
        if classes:
            table["class"] = [classes.get(label) for label in table["index"].tolist()]
        return table


def forget_features(layer: Layer) -> None:
    """Take away what was measured of cells that are found anew; their classes stay."""
    if isinstance(layer, Labels) and "area" in layer.features:
        classes = classes_of(layer)
        layer.features = {}
        write_classes(layer, classes)
