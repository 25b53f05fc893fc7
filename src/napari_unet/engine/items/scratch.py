"""The scratch folder of an item of a batch: what is segmented of it, until all is.

::

    OUT/.live-unet/NAME.scratch/KEY/
        0.labels.npy            cells of a plane, numbered from 1; or its classes
        0.probabilities.npy     if they are wanted
        0.classes.npy           of the cells, if the model tells several apart
        0.section.npy           of a volume: what the network says of the plane alone
        foreground.dat          of a volume: what it says along all axes together
        0/                      of a plane that is too large for memory, its `PlaneStore` instead
        results/                what is about to be moved to its place

KEY differs for other pixels, models and settings, so what lies there is never mistaken.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.islands import Box
from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.blocks import open_store
from napari_unet.engine.formats.imagefile import ImageFile, open_image
from napari_unet.engine.items.order import Order
from napari_unet.engine.lazyplane import plane_at
from napari_unet.engine.planestore import BLOCK, PlaneStore
from napari_unet.engine.segmenter import Segmenter

__all__ = [
    "LabelPlanes",
    "Planes",
    "ProbabilityPlanes",
    "Steps",
    "close",
    "is_kept",
    "keep_plane",
    "keep_section",
    "kept_section",
    "note_of",
    "opened",
    "plane_of",
    "results_folder",
    "store_of",
]

Array = NDArray[Any]
Place: TypeAlias = tuple[int, ...]
Steps: TypeAlias = Generator[tuple[float, str], None, int | None]
"""Shares of a unit of work that are done, and notes; then how many cells it found, if it counts."""


def note_of(order: Order, oddity: str, note: str = "") -> str:
    """Return a note on tiles as it is, or one on the grey values of a plane with its image."""
    return note or (oddity and f"{order.item.image}: {oddity}")


def is_kept(order: Order, plane: int) -> bool:
    """Whether a plane is segmented."""
    return _path(order, plane, "labels").exists()


def keep_plane(
    order: Order,
    plane: int,
    labels: Array,
    probabilities: Array | None,
    classes: Sequence[int],
) -> None:
    """Keep labels (Y, X), probabilities (K, Y, X) and classes of a plane; raises OSError."""
    if classes:
        _save(_path(order, plane, "classes"), np.array(classes, dtype=np.uint8))
    if probabilities is not None:
        _save(_path(order, plane, "probabilities"), probabilities)
    narrow = labels.astype(np.min_scalar_type(int(labels.max(initial=0))))
    _save(_path(order, plane, "labels"), narrow)  # the last: they tell that all is there


def keep_section(order: Order, plane: int, probabilities: Array) -> None:
    """Keep the probabilities (K, Y, X) of a plane of a volume; raises OSError."""
    _save(_path(order, plane, "section"), probabilities)


def kept_section(order: Order, plane: int) -> Array | None:
    """Return what `keep_section` kept, if anything."""
    known = _path(order, plane, "section").exists()
    return _load(order, plane, "section") if known else None


def opened(order: Order) -> ImageFile:
    """Open the image of an item; to understand a file of 2 000 planes takes a second, so once."""
    if order.item.seen:  # no file, and open already
        return order.item.open()
    return _opened(order.item.image, order.fingerprint, threading.get_ident())


def close() -> None:
    """Let go of what `opened` opened."""
    _opened.cache_clear()


def plane_of(image: ImageFile, plane: int) -> Any:
    """Return a plane (C, Y, X) of an image; nothing is read before it is indexed."""
    return plane_at(image.data, plane)


def store_of(segmenter: Segmenter, order: Order, image: ImageFile, plane: int) -> PlaneStore:
    """Open, or make, the store of a large plane."""
    folder = order.scratch / str(plane)
    return open_store(
        folder,
        segmenter,
        plane_of(image, plane),
        order.config,
        side=BLOCK,
        probabilities=order.options.probabilities,
    )


def results_folder(order: Order) -> Path:
    """Make and return the folder for results that are not at their place yet; raises OSError."""
    folder = order.scratch / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Planes(ABC):
    """What is segmented of an item, read from its scratch folder plane by plane, or in blocks.

    Attributes
    ----------
    shape : tuple of int
        Of all planes.
    dtype : dtype
        Of the numbers.
    """

    dtype: np.dtype[Any]

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim = shape, len(shape)

    def __getitem__(self, index: tuple[Any, ...]) -> Array:
        """Return a part of a plane that is kept in one piece."""
        ((_, plane),) = self.blocks(index[:-2])
        part: Array = plane[index[-2:]]
        return part

    @abstractmethod
    def blocks(self, at: Place) -> Iterator[tuple[Box, Array]]:
        """Yield the parts of a plane that are kept, and where they lie in it."""


class LabelPlanes(Planes):
    """The labels of an item; their place is () or (plane,).

    Attributes
    ----------
    before : list of int
        Of each plane, the cells of those before it; then of all. Zeros for classes.
    """

    dtype = np.dtype(np.uint32)

    def __init__(self, segmenter: Segmenter, order: Order, image: ImageFile) -> None:
        super().__init__(order.spatial)
        self._order, self._stores = order, _stores(segmenter, order, image)
        self.before = [0]
        for plane in range(order.planes):
            cells = self._count(plane) if segmenter.kind == "cells" else 0
            self.before.append(self.before[-1] + cells)

    def blocks(self, at: Place) -> Iterator[tuple[Box, Array]]:
        """Yield the parts of a plane, and where they lie in it."""
        plane = at[0] if at else 0
        before = np.uint32(self.before[plane])
        for box, found in self._local(plane):
            labels = np.asarray(found, np.uint32)
            yield box, np.where(labels > 0, labels + before, np.uint32(0))

    def classes(self, plane: int) -> Array | None:
        """Return the class of each cell of a plane, of a model that tells several; None of none."""
        if self._stores:
            return self._stores[plane].cell_classes()
        known = _path(self._order, plane, "classes").exists()
        return _load(self._order, plane, "classes") if known else None

    def within(self, _plane: int, numbers: Array) -> Array:
        """Return what cells of a plane, numbered from 1, are called in it: just so."""
        return numbers

    def _local(self, plane: int) -> Iterator[tuple[Box, Array]]:
        """Yield the same with the cells of each plane numbered from 1."""
        if not self._stores:
            yield _whole(self.shape), _load(self._order, plane, "labels")
            return
        store = self._stores[plane]
        for box in store.boxes():
            first = store.first_pixels(box)
            yield box, store.labels[box] if first is None else store.numbered(box, first)

    def _count(self, plane: int) -> int:
        if self._stores:
            return self._stores[plane].number_cells()
        return int(_load(self._order, plane, "labels").max(initial=0))


class ProbabilityPlanes(Planes):
    """The probabilities of an item; their place is (channel,) or (channel, plane)."""

    dtype = np.dtype(np.float32)

    def __init__(self, segmenter: Segmenter, order: Order, image: ImageFile) -> None:
        channels = segmenter.n_classes if segmenter.kind == "classes" else 1
        super().__init__((channels, *order.spatial))
        self._order, self._stores = order, _stores(segmenter, order, image)

    def blocks(self, at: Place) -> Iterator[tuple[Box, Array]]:
        """Yield the parts of a plane of a channel, and where they lie in it."""
        channel, plane = at[0], at[1] if len(at) > 1 else 0
        if not self._stores:
            yield _whole(self.shape), _load(self._order, plane, "probabilities")[channel]
            return
        store = self._stores[plane]
        kept = store.probabilities
        for box in store.boxes():
            yield box, kept[box] if kept.ndim == 2 else kept[channel, *box]


@lru_cache(maxsize=4)
def _opened(path: Path, _fingerprint: str, _thread: int) -> ImageFile:
    # of a thread: two cannot read through one open file
    return open_image(path)


def _stores(segmenter: Segmenter, order: Order, image: ImageFile) -> list[PlaneStore]:
    """Open the stores of an item with large planes; none for any other."""
    planes = range(order.planes if order.is_large else 0)
    return [store_of(segmenter, order, image, plane) for plane in planes]


def _whole(shape: tuple[int, ...]) -> Box:
    return slice(0, shape[-2]), slice(0, shape[-1])


def _path(order: Order, plane: int, what: str) -> Path:
    return order.scratch / f"{plane}.{what}.npy"


def _save(path: Path, array: Array) -> None:
    write_atomically(path, lambda file: np.save(file, array))


def _load(order: Order, plane: int, what: str) -> Array:
    loaded: Array = np.load(_path(order, plane, what), mmap_mode="r")
    return loaded
