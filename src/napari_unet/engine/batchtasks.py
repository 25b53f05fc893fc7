"""The units of work that an item is made of, and who may run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from napari_unet.engine.batchitem import Steps, finish_item, segment_item, segment_plane
from napari_unet.engine.batchorder import Order
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import UNetError

__all__ = ["Executor", "Task", "stages"]

R = TypeVar("R")

ALONE = 2**26
"""Pixels up to which an item is one unit of work; a larger one is several."""


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


def stages(segmenter: Segmenter, order: Order) -> Iterator[list[Task]]:
    """Yield the work of an item: tasks that can run side by side, then those that need them."""
    if order.planes == 1 or order.pixels <= ALONE:
        yield [Task(segment_item, (segmenter, order), 1.0)]
        return
    share = 0.95 / order.planes
    yield [Task(segment_plane, (segmenter, order, n), share) for n in range(order.planes)]
    yield [Task(finish_item, (segmenter, order), 0.05)]
