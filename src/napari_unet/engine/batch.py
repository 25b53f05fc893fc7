"""Segment many images: what is done stays done, and one bad image stops no other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Iterable, Iterator, Sequence

from napari_unet.core.config import PredictConfig
from napari_unet.core.given import chosen
from napari_unet.engine.device import select_device
from napari_unet.engine.formats.source import AnyPath
from napari_unet.engine.items.claims import Claims
from napari_unet.engine.items.errors import attempt, complete
from napari_unet.engine.items.events import BatchEvent
from napari_unet.engine.items.item import BatchOptions, Item
from napari_unet.engine.items.order import Order
from napari_unet.engine.items.plan import plan
from napari_unet.engine.items.tasks import Executor, Task, is_one_unit, stages
from napari_unet.engine.measurements import check_writer
from napari_unet.engine.outlinefile import OUTLINES, check_outline_writer
from napari_unet.engine.segmenter import Segmenter, check_segmenter
from napari_unet.errors import InputError, LostDeviceError, UNetError

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
        If the device does not exist; if a GPU fails, with which no other image could be segmented.
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
    config, options = chosen(config, PredictConfig), chosen(options, BatchOptions)
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
    return _run(Claims(items, segmenter, config, options), executor)


def _run(claims: Claims, executor: Executor | None) -> Generator[BatchEvent, None, None]:
    """Look at all items, then work on those that are left."""
    with claims:
        orders: dict[int, Order] = {}
        for index in range(len(claims.items)):
            order = claims.look(index)
            if isinstance(order, Order):
                orders[index] = order
            else:
                yield order
        claims.tally.pace.begin()
        if executor is None:
            for index, order in orders.items():
                yield from _here(claims, index, order)
        else:
            yield from _elsewhere(claims, orders, executor)
    yield claims.tally.ended()


def _here(claims: Claims, index: int, order: Order) -> Iterator[BatchEvent]:
    """Work on an item in this process."""
    tally = claims.tally
    if (other := claims.take(index)) is not None:
        yield other
        return
    yield tally.started(index)
    yield from claims.remarks(index, order)
    began, reached = time.perf_counter(), 0.0
    objects: int | None = None
    try:
        parts = attempt(stages, claims.segmenter, order)
        for task in (task for stage in parts for task in stage):
            steps, told = attempt(task.unit, *task.arguments), False
            while True:
                try:
                    share, note = next(steps)
                except StopIteration as end:
                    objects = end.value
                    break
                told = True
                yield tally.reached(index, reached + share * task.share, note)
            reached += task.share
            if not told:
                tally.known(index, reached)
    except LostDeviceError:
        raise
    except UNetError as error:
        event: BatchEvent = tally.failed(index, error)
    else:
        outputs = order.outputs().values()
        event = tally.done(index, outputs, objects, time.perf_counter() - began)
    claims.give_back(index)
    yield event


def _elsewhere(
    claims: Claims, orders: dict[int, Order], executor: Executor
) -> Generator[BatchEvent, None, None]:
    """Let an executor do the work: all small items side by side, then each large one."""
    small: list[tuple[int, Task]] = []
    large: list[int] = []
    for index, order in orders.items():
        if (other := claims.take(index)) is not None:
            yield other
            continue
        yield from claims.remarks(index, order)
        if is_one_unit(order):
            units = next(stages(claims.segmenter, _anywhere(order)))
            small += [(index, task) for task in units]
        else:
            large.append(index)
    for index, _, result in _mapped(small, executor):
        claims.give_back(index)
        if isinstance(result, UNetError):
            yield claims.tally.failed(index, result)
        else:
            yield claims.tally.done(index, orders[index].outputs().values(), *result)
    for index in large:
        yield from _in_stages(claims, index, orders[index], executor)
        claims.give_back(index)


def _anywhere(order: Order) -> Order:
    """Return the same order with paths that hold where a worker was started in another folder."""
    image, folder = order.item.image.absolute(), order.item.folder.absolute()
    item = dataclasses.replace(order.item, image=image, folder=folder)
    return dataclasses.replace(order, item=item)


def _in_stages(
    claims: Claims, index: int, order: Order, executor: Executor
) -> Iterator[BatchEvent]:
    """Let an executor do the parts of an item."""
    tally = claims.tally
    reached, seconds = 0.0, 0.0
    objects: int | None = None
    try:
        for stage in attempt(stages, claims.segmenter, _anywhere(order)):
            for _, task, result in _mapped([(index, task) for task in stage], executor):
                if isinstance(result, UNetError):
                    raise result
                objects, took = result
                reached += task.share
                seconds += took
                yield tally.reached(index, reached)
    except UNetError as error:
        yield tally.failed(index, error)
    else:
        yield tally.done(index, order.outputs().values(), objects, seconds)


def _mapped(
    tasks: Sequence[tuple[int, Task]], executor: Executor
) -> Iterator[tuple[int, Task, tuple[int | None, float] | UNetError]]:
    """Run tasks of items side by side; yield the item, the task, and what it returned."""
    arguments = [(task.unit, *task.arguments) for _, task in tasks]
    if arguments:
        for number, result in executor.map(complete, arguments):
            yield (*tasks[number], result)
