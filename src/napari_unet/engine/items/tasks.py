"""The units of work that an item is made of, and who may run them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from napari_unet.engine.checkedimage import checked_image
from napari_unet.engine.items.large import find_part, predict_part
from napari_unet.engine.items.order import Order
from napari_unet.engine.items.scratch import Steps, opened, store_of
from napari_unet.engine.items.units import (
    FINISHING,
    PREDICTING,
    finish_item,
    segment_item,
    segment_plane,
)
from napari_unet.engine.items.volumes import find_volumes, predict_section, sections_share
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import UNetError

__all__ = ["Executor", "Task", "is_one_unit", "stages"]

R = TypeVar("R")

ALONE = 2**26
"""Pixels up to which an item is one unit of work; a larger one is several."""

GROUP = 4
"""Blocks whose cells are found in one unit of work, side by side where there are threads."""


class Executor(Protocol):
    """Runs units of work elsewhere."""

    def map(
        self, function: Callable[..., R], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, R | UNetError]]:
        """Call a function with each of the arguments, in any order and on any machine.

        Every call may be repeated. Yields the index of the arguments and what the call returned,
        or the `UNetError` that it raised, as soon as it is known.
        """
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of work: a generator function, what it is given, and its share of an item."""

    unit: Callable[..., Steps]
    arguments: tuple[Any, ...]
    share: float


def is_one_unit(order: Order) -> bool:
    """Whether an item is small enough to be done in one go."""
    return not order.is_large and (order.planes == 1 or order.pixels <= ALONE)


def stages(segmenter: Segmenter, order: Order) -> Generator[list[Task], None, None]:
    """Yield the work of an item: tasks that can run side by side, then those that need them."""
    if is_one_unit(order):
        yield [Task(segment_item, (segmenter, order), 1.0)]
        return
    share = (1 - FINISHING) / order.planes
    if order.in_3d:
        alone = share * sections_share(segmenter, order)
        yield [Task(predict_section, (segmenter, order, n), alone) for n in range(order.planes)]
        yield [Task(find_volumes, (segmenter, order), (share - alone) * order.planes)]
    elif order.is_large:
        yield from _in_blocks(segmenter, order, share)
    else:
        yield [Task(segment_plane, (segmenter, order, n), share) for n in range(order.planes)]
    yield [Task(finish_item, (segmenter, order), FINISHING)]


def _in_blocks(segmenter: Segmenter, order: Order, share: float) -> Iterator[list[Task]]:
    """Yield the work of large planes; to find the cells of a block takes the blocks around it."""
    image = opened(order)
    checked_image(segmenter, image.data)
    cells = segmenter.kind == "cells"
    for plane in range(order.planes):
        store = store_of(segmenter, order, image, plane)
        boxes = store.boxes()
        part = share / len(boxes) * (PREDICTING if cells else 1)
        yield [Task(predict_part, (segmenter, order, plane, store, box), part) for box in boxes]
        if cells:
            part = share / len(boxes) * (1 - PREDICTING)
            groups = [boxes[at : at + GROUP] for at in range(0, len(boxes), GROUP)]
            yield [
                Task(find_part, (segmenter, order, store, group), part * len(group))
                for group in groups
            ]
