"""The units of work of a batch: a small image, a plane of a stack, and the end of each image.

What is computed is kept in the scratch folder of the item, so that a unit that was done is not
done again after a break, and units can run anywhere. At the end the results are made complete in
that folder, the record is written, and they are moved to their places; see
`napari_unet.engine.items.manifest`. Each unit is a generator of how far it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_unet.engine.events import SegmentEvent, TileDone
from napari_unet.engine.inference import predict, segment_into
from napari_unet.engine.items.link import LinkedPlanes
from napari_unet.engine.items.manifest import (
    Record,
    explained,
    find_foreign,
    find_lasting,
    find_outdated,
    read_record,
    write_record,
)
from napari_unet.engine.items.order import Order
from napari_unet.engine.items.output import write_result
from napari_unet.engine.items.scratch import (
    LabelPlanes,
    Steps,
    close,
    is_kept,
    keep_plane,
    note_of,
    opened,
    plane_of,
    results_folder,
)
from napari_unet.engine.items.stamps import stamp, summed
from napari_unet.engine.items.volumes import find_volumes, predict_section, sections_share
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = ["FINISHING", "PREDICTING", "finish_item", "segment_item", "segment_plane"]

FINISHING = 0.05
"""Of the work on an item, what it takes to write its results."""

PREDICTING = 0.8
"""Of the work on a plane, what the network does; the rest is to find its cells."""


def segment_item(segmenter: Segmenter, order: Order) -> Steps:
    """Make all of a small item."""
    share_of_planes = 1 - FINISHING
    if order.in_3d:
        share_of_planes *= sections_share(segmenter, order)
    unit = predict_section if order.in_3d else segment_plane
    for plane in range(order.planes):
        for share, note in unit(segmenter, order, plane):
            yield share_of_planes * (plane + share) / order.planes, note
    if order.in_3d:
        for share, note in find_volumes(segmenter, order):
            yield share_of_planes + (1 - FINISHING - share_of_planes) * share, note
    return (yield from finish_item(segmenter, order))


def segment_plane(segmenter: Segmenter, order: Order, plane: int) -> Steps:
    """Segment one plane into the scratch folder."""
    if is_kept(order, plane):
        return None
    pixels = np.asarray(plane_of(opened(order), plane))
    labels = np.zeros(pixels.shape[1:], np.uint32)
    kept = None
    if order.options.probabilities:
        n_kept = segmenter.n_classes if segmenter.kind == "classes" else 1
        kept = np.empty((n_kept, *labels.shape), np.float32)
    if kept is not None and segmenter.kind == "classes":
        events: Iterator[SegmentEvent] = predict(segmenter, pixels, kept, order.config)
    else:
        foreground = None if kept is None else kept[0]
        events = segment_into(segmenter, pixels, labels, order.config, foreground)
    predicting = PREDICTING if segmenter.kind == "cells" else 1.0
    classes: tuple[int, ...] = ()
    for event in events:
        if isinstance(event, TileDone):
            yield predicting * event.index / event.total, note_of(order, event.oddity, event.note)
        else:
            classes = event.classes
    if kept is not None and segmenter.kind == "classes":
        labels[...] = kept.argmax(axis=0) + 1
    keep_plane(order, plane, labels, kept, classes)
    yield 1.0, ""
    return None


def finish_item(segmenter: Segmenter, order: Order) -> Steps:
    """Write the results of an item whose planes are segmented, and remember them."""
    image, outputs = opened(order), order.outputs()
    found = LabelPlanes(segmenter, order, image)
    labels = LinkedPlanes(segmenter, order, image, found) if order.options.link else found
    folder = results_folder(order)
    for kind, path in outputs.items():
        write_result(kind, folder / path.name, segmenter, order, image, labels)
    objects = found.before[-1] if segmenter.kind == "cells" else None
    if isinstance(labels, LinkedPlanes):
        objects = len(labels.links.tracks)
    close()
    _commit(order, folder, objects)
    yield 1.0, ""
    return objects


def _commit(order: Order, made: Path, objects: int | None) -> None:
    """Move complete results to their places; from a crash in between the next run learns all."""
    item, outputs = order.item, order.outputs()
    if item.fingerprint() != order.fingerprint:
        raise InputError(f"{item.image} was changed while it was read; run the batch again.")
    if not order.options.overwrite and (foreign := find_foreign(item, outputs.values())):
        raise InputError(f"{foreign[0]} was made or changed meanwhile; move it away.")
    present = {path.name: seen for path in outputs.values() if (seen := stamp(path)) is not None}
    image_sum = item.image_sum()
    made_from = order.made_by, order.fingerprint, image_sum
    known = read_record(item)
    new = {kind: (path.name, str(stamp(made / path.name))) for kind, path in outputs.items()}
    sums = {path.name: summed(made / path.name) for path in outputs.values()}
    record = Record(
        image=item.source,
        fingerprint=order.fingerprint,
        made_by=order.made_by,
        settings=order.settings,
        outputs=find_lasting(item, outputs, *made_from) | new,
        earlier=explained(item) | present,
        objects=objects,
        image_sum=image_sum,
        sums=({} if known is None else known.sums) | sums,
    )
    # before the record, which would not know that they are still to be removed
    for path in find_outdated(item, outputs.values(), *made_from):
        path.replace(made / f"{path.name}.old")
    write_record(item, record)
    for path in outputs.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():  # a folder is not replaced in one go
            old = made / f"{path.name}.old"
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        (made / path.name).replace(path)
    shutil.rmtree(item.kept(".scratch"), ignore_errors=True)
