"""Read planes of images that may be slow, or never answer, without being held up by them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from numpy.typing import NDArray

from napari_unet.engine.process.lazy import Reader, Served, read
from napari_unet.errors import InputError
from napari_unet.viewer.stack import ImageStack, PlaneIndex

__all__ = ["read_plane", "read_planes", "served", "served_planes"]

POLL_SECONDS = 0.05
WHOLE = (slice(None),) * 3


def served(stack: ImageStack, index: PlaneIndex, name: str) -> Served:
    """Return what reads a plane; ``name`` is that of the image layer, for errors."""
    return Served(stack.lazy_plane(index), _plane_name(index, name))


def served_planes(stack: ImageStack, name: str) -> tuple[Served, ...]:
    """Return what reads all planes."""
    return tuple(served(stack, index, name) for index in stack.indices())


def _plane_name(index: PlaneIndex, name: str) -> str:
    where = f", plane {', '.join(map(str, index))}" if index else ""
    return f"layer {name!r}{where}"


def read_plane(stack: ImageStack, index: PlaneIndex, name: str) -> NDArray[Any]:
    """Read a plane (C, Y, X), however long that takes.

    Raises
    ------
    InputError
        If that fails, with the name of the layer.
    """
    plane = served(stack, index, name)
    return read(plane.array, WHOLE, plane.name)


def read_planes(
    stack: ImageStack, indices: Sequence[PlaneIndex], name: str, stop: threading.Event
) -> Iterator[NDArray[Any]]:
    """Yield planes (C, Y, X) one after the other; end as soon as ``stop`` is set.

    Raises
    ------
    InputError
        If one cannot be read, with the name of the layer.
    """
    if stack.in_memory:
        yield from (stack.plane(index) for index in indices)
        return
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    planes = [served(stack, index, name) for index in indices]
    with closing(Reader(planes, lambda _, answer: answers.put(answer))) as reader:
        for number in range(len(planes)):
            reader.request(number, number, WHOLE)
            while (answer := _wait(answers)) is None:
                if stop.is_set():
                    return
            if isinstance(answer, InputError):
                raise answer
            yield answer


def _wait(answers: queue.SimpleQueue[Any]) -> Any:
    try:
        return answers.get(timeout=POLL_SECONDS)
    except queue.Empty:
        return None
