"""The units of work of a batch: a small image, a plane of a stack, and the end of each image.

What is computed is kept in the scratch folder of the item, so that a unit that was done is not
done again after a break, and units can run anywhere. At the end the results are made complete in
that folder, the record is written, and they are moved to their places; see
`napari_unet.engine.manifest`. Each unit is a generator of how far it is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.batchorder import Order
from napari_unet.engine.events import SegmentEvent, TileDone
from napari_unet.engine.files import write_labels, write_probabilities
from napari_unet.engine.imagefile import open_image
from napari_unet.engine.inference import predict, segment_into
from napari_unet.engine.lazyplane import LazyPlane
from napari_unet.engine.manifest import Record, find_foreign, fingerprint, stamp, write_record
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = ["Steps", "finish_item", "segment_item", "segment_plane"]

Array = NDArray[Any]
Steps: TypeAlias = Generator[tuple[float, str], None, int | None]
"""Shares of a unit that are done and notes; then how many cells it found, if it counts them."""


def segment_item(segmenter: Segmenter, order: Order) -> Steps:
    """Make all of a small item."""
    for plane in range(order.planes):
        for share, note in segment_plane(segmenter, order, plane):
            yield (plane + share) / order.planes, note
    return (yield from finish_item(segmenter, order))


def segment_plane(segmenter: Segmenter, order: Order, plane: int) -> Steps:
    """Segment one plane into the scratch folder."""
    path = _kept(order, plane)
    if path.exists():
        return None
    data = open_image(order.item.image).data
    pixels = np.asarray(data if data.ndim == 3 else LazyPlane(data, {1: plane}, 0))
    labels = np.zeros(pixels.shape[1:], np.uint32)
    n_kept = 0
    if order.options.probabilities:
        n_kept = segmenter.n_classes if segmenter.kind == "classes" else 1
    kept = np.empty((n_kept, *labels.shape), np.float32)
    if n_kept > 1:
        events: Iterator[SegmentEvent] = predict(segmenter, pixels, kept, order.config)
    else:
        foreground = kept[0] if n_kept else None
        events = segment_into(segmenter, pixels, labels, order.config, foreground)
    for event in events:
        if isinstance(event, TileDone):
            yield event.index / event.total, event.note
    if n_kept > 1:
        labels[...] = kept.argmax(axis=0) + 1
    write_atomically(path, lambda file: np.savez(file, labels=labels, probabilities=kept))
    return None


def finish_item(segmenter: Segmenter, order: Order) -> Steps:
    """Write the results of an item whose planes are segmented, and remember them."""
    outputs = order.outputs()
    made = Path(tempfile.mkdtemp(prefix="results-", dir=order.scratch))
    counted = segmenter.kind == "cells"
    labels = np.zeros(order.spatial, np.uint32)
    numbered = 0
    for plane in range(order.planes):
        cells = _load(order, plane, "labels").astype(np.uint32)
        at = plane if labels.ndim == 3 else ...
        labels[at] = np.where(cells > 0, cells + numbered, 0) if counted else cells
        numbered += int(cells.max(initial=0))
    write_labels(made / outputs["labels"].name, labels)
    if "probabilities" in outputs:
        planes = [_load(order, plane, "probabilities") for plane in range(order.planes)]
        whole = planes[0] if labels.ndim == 2 else np.stack(planes, axis=1)
        write_probabilities(made / outputs["probabilities"].name, whole)
    _commit(order, made, numbered if counted else None)
    yield 1.0, ""
    return numbered if counted else None


def _commit(order: Order, made: Path, objects: int | None) -> None:
    """Move complete results to their places; from a crash in between the next run learns all."""
    item, outputs = order.item, order.outputs()
    if fingerprint(item.image) != order.fingerprint:
        raise InputError(f"{item.image} was changed while it was read; run the batch again.")
    if not order.options.overwrite and (foreign := find_foreign(item, outputs.values())):
        raise InputError(f"{foreign[0]} was made or changed meanwhile; move it away.")
    stamps = {kind: str(stamp(made / path.name)) for kind, path in outputs.items()}
    earlier = {path.name: seen for path in outputs.values() if (seen := stamp(path)) is not None}
    record = Record(
        image=str(item.image),
        fingerprint=order.fingerprint,
        made_by=order.made_by,
        settings=order.settings,
        outputs={kind: (path.name, stamps[kind]) for kind, path in outputs.items()},
        earlier=earlier,
        objects=objects,
    )
    write_record(item, record)
    for path in outputs.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():  # a folder is not replaced in one go
            path.rename(Path(tempfile.mkdtemp(prefix="old-", dir=made)) / path.name)
        (made / path.name).replace(path)
    shutil.rmtree(item.kept(".scratch"), ignore_errors=True)


def _kept(order: Order, plane: int) -> Path:
    return order.scratch / f"{plane:06d}.npz"


def _load(order: Order, plane: int, what: str) -> Array:
    with np.load(_kept(order, plane)) as kept:
        loaded: Array = kept[what]
        return loaded
