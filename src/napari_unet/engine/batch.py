"""Segment many images: what is done stays done, and one bad image stops no other."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

from napari_unet.core.config import PredictConfig
from napari_unet.core.given import chosen
from napari_unet.engine.device import select_device
from napari_unet.engine.formats.tiffset import image_files
from napari_unet.engine.items.errors import again, attempt, complete
from napari_unet.engine.items.events import (
    BatchEvent,
    ItemFailed,
    ItemSkipped,
)
from napari_unet.engine.items.locks import ItemLocks
from napari_unet.engine.items.manifest import Record, find_complete, find_foreign, identify
from napari_unet.engine.items.order import Order, place_order
from napari_unet.engine.items.plan import AnyPath, BatchOptions, Item, plan
from napari_unet.engine.items.tally import Tally
from napari_unet.engine.items.tasks import Executor, Task, is_one_unit, stages
from napari_unet.engine.measurements import check_writer
from napari_unet.engine.outlinefile import OUTLINES, check_outline_writer
from napari_unet.engine.pixelsize import about_pixels
from napari_unet.engine.segmenter import Segmenter, check_segmenter
from napari_unet.errors import InputError, UNetError

__all__ = ["run_batch", "segment_files"]


def segment_files(
    segmenter: Segmenter,
    images: AnyPath | Iterable[AnyPath],
    folder: AnyPath,
    config: PredictConfig | None = None,
    options: BatchOptions | None = None,
    *,
    shard: str = "",
    executor: Executor | None = None,
) -> Generator[BatchEvent, None, None]:
    """Segment images, folders of images and patterns into a folder.

    What is complete is skipped, what was broken off goes on, and what others made or changed in
    the output folder is never replaced unless ``options`` say so. An image that fails is an
    `ItemFailed`, and the others go on.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    images : path or sequence of paths
        Images, folders of them, or patterns such as ``"plate/*.tif"``.
    folder : path
        Where to write; the images keep their subfolders.
    config : PredictConfig, optional
        How to segment.
    options : BatchOptions, optional
        What to write.
    shard : str
        "i/n": only every n-th image, from the i-th on, for n calls that share the work.
    executor : Executor, optional
        Where to compute; without it here, one image after the other.

    Yields
    ------
    BatchEvent
        An `ItemDone`, `ItemSkipped` or `ItemFailed` for every image, progress in between, and
        `BatchDone` at the end.

    Raises
    ------
    InputError
        If there is no image.
    DeviceError
        If the device does not exist.
    """
    items = plan(images, folder, shard=shard)
    return run_batch(items, segmenter, config, options, executor=executor)


def run_batch(
    items: Sequence[Item],
    segmenter: Segmenter,
    config: PredictConfig | None = None,
    options: BatchOptions | None = None,
    *,
    executor: Executor | None = None,
) -> Generator[BatchEvent, None, None]:
    """Segment the items of a plan, as `segment_files` does."""
    check_segmenter(segmenter)
    config, options = chosen(config, PredictConfig), options or BatchOptions()
    check_writer(options.measure)
    if options.outlines:
        check_outline_writer(OUTLINES[options.outlines])
    if options.link and segmenter.kind != "cells":
        raise InputError(
            f"The model finds {segmenter.n_classes} classes, but only planes of cells can be "
            f"linked, not link = {options.link!r}. Do not link them (no --link; Link planes: no in "
            f"the dock)."
        )
    if executor is None:
        select_device(config.device)  # its error is not that of the first image
    return _run(_Batch(items, segmenter, config, options), executor)


class _Batch:
    """What all parts of a batch need."""

    def __init__(
        self,
        items: Sequence[Item],
        segmenter: Segmenter,
        config: PredictConfig,
        options: BatchOptions,
    ) -> None:
        self.items, self.segmenter = items, segmenter
        self.config, self.options = config, options
        self.made_by, self.settings = identify(segmenter, config, options)
        self.tally = Tally(items)
        self._firsts: dict[tuple[Path, ...], Item] = {}

    def look(self, index: int, locks: ItemLocks) -> Order | ItemSkipped | ItemFailed:
        """Decide what is to be made of an item, if anything."""
        item, options = self.items[index], self.options
        if item.clash:
            return self.tally.failed(index, InputError(item.clash))
        try:
            if (first := self._first(item)) != item:
                reason = f"belongs to the image in {first.image}, which is segmented as a whole"
                return self.tally.skipped(index, reason)
            if (record := self._record(item)) is not None:
                _clear(item, locks)
                return self.tally.complete(index, record)
            order = again(place_order, item, self.config, options, self.made_by, self.settings)
            outputs = order.outputs().values()
            foreign = [] if options.overwrite else again(find_foreign, item, outputs)
        except UNetError as error:
            return self.tally.failed(index, error)
        if foreign:
            reason = f"{foreign[0]} was not made by this batch, or changed since; move it away"
            return self.tally.skipped(index, reason, foreign)
        self.tally.pace.expect(index, order.pixels)
        return order

    def claim(self, index: int, locks: ItemLocks) -> ItemSkipped | ItemFailed | None:
        """Take the lock of an item; None if it is ours and still to be done."""
        item = self.items[index]
        try:
            if owner := again(locks.take, item.kept(".lock")):
                return self.tally.skipped(index, f"{owner} is working on it")
            record = self._record(item)
        except UNetError as error:
            return self.tally.failed(index, error)
        if record is None:
            return None
        locks.give_back(item.kept(".lock"))
        return self.tally.complete(index, record)

    def remarks(self, index: int, order: Order) -> Iterator[BatchEvent]:
        """Say at the beginning what the user may want to know of an image."""
        said = about_pixels(self.segmenter, order.pixel_width, self.config.magnification)
        if said:
            yield self.tally.reached(index, 0.0, said)

    def _first(self, item: Item) -> Item:
        """Return the first of the items whose files describe the same image in several files."""
        if item.seen:  # no file
            return item
        files = again(image_files, item.image)
        return item if len(files) == 1 else self._firsts.setdefault(files, item)

    def _record(self, item: Item) -> Record | None:
        """Return the record of an item that is complete, unless it is to be made anew."""
        if self.options.overwrite:
            return None
        return again(find_complete, item, self.made_by, self.options)


def _clear(item: Item, locks: ItemLocks) -> None:
    """Remove what a process left that was killed when the item was complete."""
    scratch, lock = item.kept(".scratch"), item.kept(".lock")
    with contextlib.suppress(OSError):
        if (scratch.exists() or lock.exists()) and not locks.take(lock):
            shutil.rmtree(scratch, ignore_errors=True)
            locks.give_back(lock)


def _run(batch: _Batch, executor: Executor | None) -> Generator[BatchEvent, None, None]:
    """Look at all items, then work on those that are left."""
    with ItemLocks() as locks:
        orders: dict[int, Order] = {}
        for index in range(len(batch.items)):
            order = batch.look(index, locks)
            if isinstance(order, Order):
                orders[index] = order
            else:
                yield order
        batch.tally.pace.begin()
        if executor is None:
            for index, order in orders.items():
                yield from _here(batch, index, order, locks)
        else:
            yield from _elsewhere(batch, orders, executor, locks)
    yield batch.tally.ended()


def _here(batch: _Batch, index: int, order: Order, locks: ItemLocks) -> Iterator[BatchEvent]:
    """Work on an item in this process."""
    if (other := batch.claim(index, locks)) is not None:
        yield other
        return
    yield batch.tally.started(index)
    yield from batch.remarks(index, order)
    began, reached = time.perf_counter(), 0.0
    objects: int | None = None
    try:
        parts = attempt(stages, batch.segmenter, order)
        for task in (task for stage in parts for task in stage):
            steps = attempt(task.unit, *task.arguments)
            while True:
                try:
                    share, note = next(steps)
                except StopIteration as end:
                    objects = end.value
                    break
                yield batch.tally.reached(index, reached + share * task.share, note)
            reached += task.share
    except UNetError as error:
        event: BatchEvent = batch.tally.failed(index, error)
    else:
        outputs = order.outputs().values()
        event = batch.tally.done(index, outputs, objects, time.perf_counter() - began)
    locks.give_back(order.item.kept(".lock"))
    yield event


def _elsewhere(
    batch: _Batch, orders: dict[int, Order], executor: Executor, locks: ItemLocks
) -> Generator[BatchEvent, None, None]:
    """Let an executor do the work: all small items side by side, then each large one."""
    small: list[tuple[int, Task]] = []
    large: list[int] = []
    for index, order in orders.items():
        if (other := batch.claim(index, locks)) is not None:
            yield other
            continue
        yield from batch.remarks(index, order)
        if is_one_unit(order):
            units = next(stages(batch.segmenter, _anywhere(order)))
            small += [(index, task) for task in units]
        else:
            large.append(index)
    for index, _, result in _mapped(small, executor):
        locks.give_back(orders[index].item.kept(".lock"))
        if isinstance(result, UNetError):
            yield batch.tally.failed(index, result)
        else:
            yield batch.tally.done(index, orders[index].outputs().values(), *result)
    for index in large:
        yield from _in_stages(batch, index, orders[index], executor)
        locks.give_back(orders[index].item.kept(".lock"))


def _anywhere(order: Order) -> Order:
    """Return the same order with paths that hold where a worker was started in another folder."""
    image, folder = order.item.image.absolute(), order.item.folder.absolute()
    item = dataclasses.replace(order.item, image=image, folder=folder)
    return dataclasses.replace(order, item=item)


def _in_stages(batch: _Batch, index: int, order: Order, executor: Executor) -> Iterator[BatchEvent]:
    """Let an executor do the parts of an item."""
    reached, seconds = 0.0, 0.0
    objects: int | None = None
    try:
        for stage in attempt(stages, batch.segmenter, _anywhere(order)):
            for _, task, result in _mapped([(index, task) for task in stage], executor):
                if isinstance(result, UNetError):
                    raise result
                objects, took = result
                reached += task.share
                seconds += took
                yield batch.tally.reached(index, reached)
    except UNetError as error:
        yield batch.tally.failed(index, error)
    else:
        yield batch.tally.done(index, order.outputs().values(), objects, seconds)


def _mapped(
    tasks: Sequence[tuple[int, Task]], executor: Executor
) -> Iterator[tuple[int, Task, tuple[int | None, float] | UNetError]]:
    """Run tasks of items side by side; yield the item, the task, and what it returned."""
    arguments = [(task.unit, *task.arguments) for _, task in tasks]
    if arguments:
        for number, result in executor.map(complete, arguments):
            yield (*tasks[number], result)
