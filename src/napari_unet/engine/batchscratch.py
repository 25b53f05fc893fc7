"""The scratch folder of an item of a batch: its planes that are segmented, until all are.

::

    OUT/.live-unet/NAME.scratch/KEY/
        0.labels.npy            cells of a plane, numbered from 1; or its classes
        0.probabilities.npy     if they are wanted
        results/                what is about to be moved to its place

KEY differs for other pixels, models and settings, so what lies there is never mistaken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.batchorder import Order

__all__ = ["LabelPlanes", "ProbabilityPlanes", "is_kept", "keep_plane", "results_folder"]

Array = NDArray[Any]


def is_kept(order: Order, plane: int) -> bool:
    """Whether a plane is segmented."""
    return _path(order, plane, "labels").exists()


def keep_plane(order: Order, plane: int, labels: Array, probabilities: Array | None) -> None:
    """Keep the labels (Y, X) and the probabilities (K, Y, X) of a plane; raises OSError."""
    if probabilities is not None:
        _save(_path(order, plane, "probabilities"), probabilities)
    narrow = labels.astype(np.min_scalar_type(int(labels.max(initial=0))))
    _save(_path(order, plane, "labels"), narrow)  # the last: they tell that all is there


def results_folder(order: Order) -> Path:
    """Make and return the folder for results that are not at their place yet; raises OSError."""
    folder = order.scratch / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class LabelPlanes:
    """The labels of an item, read from its scratch folder plane by plane.

    Parameters
    ----------
    order : Order
        Of the item.
    numbered : bool
        Whether they are cells, which are numbered through all planes.

    Attributes
    ----------
    before : list of int
        Of each plane, the cells of those before it; then of all.
    """

    dtype = np.dtype(np.uint32)

    def __init__(self, order: Order, *, numbered: bool) -> None:
        self._order = order
        self.shape, self.ndim = order.spatial, len(order.spatial)
        self.before = [0]
        for plane in range(order.planes):
            cells = int(self.local(plane).max(initial=0)) if numbered else 0
            self.before.append(self.before[-1] + cells)

    def local(self, plane: int) -> Array:
        """Return a plane (Y, X) with its cells numbered from 1."""
        return _load(self._order, plane, "labels")

    def __getitem__(self, at: tuple[int, ...]) -> Array:
        """Return a plane; its place is () or (plane,)."""
        plane = at[0] if at else 0
        labels = self.local(plane).astype(np.uint32)
        return np.where(labels > 0, labels + np.uint32(self.before[plane]), np.uint32(0))


class ProbabilityPlanes:
    """The probabilities of an item, as `LabelPlanes`."""

    dtype = np.dtype(np.float32)

    def __init__(self, order: Order) -> None:
        self._order = order
        channels = _load(order, 0, "probabilities").shape[0]
        self.shape = (channels, *order.spatial)
        self.ndim = len(self.shape)

    def __getitem__(self, at: tuple[int, ...]) -> Array:
        """Return a plane of a channel; its place is (channel,) or (channel, plane)."""
        channel, *plane = at
        return np.array(_load(self._order, plane[0] if plane else 0, "probabilities")[channel])


def _path(order: Order, plane: int, what: str) -> Path:
    return order.scratch / f"{plane}.{what}.npy"


def _save(path: Path, array: Array) -> None:
    write_atomically(path, lambda file: np.save(file, array))


def _load(order: Order, plane: int, what: str) -> Array:
    loaded: Array = np.load(_path(order, plane, what), mmap_mode="r")
    return loaded
