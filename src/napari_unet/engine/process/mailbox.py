"""What the program tells a generator while it runs: where the user looks, what was painted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import Meaning

__all__ = ["Finish", "InView", "Look", "Mailbox", "Repainted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InView:
    """The user looks at this part of the plane that is being segmented: do it first.

    Attributes
    ----------
    box : (slice, slice)
        (Y, X) in image pixels.
    """

    box: tuple[slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """Show what the network in training makes of these pixels, again and again.

    Attributes
    ----------
    key : int
        Comes back in every `Previewed`.
    pixels : array
        (C, y, x) grey values, with context around what is shown.
    statistics : float32 array
        (C, 4), of the whole plane; see `napari_unet.core.normalise`.
    inner : (slice, slice)
        The part of ``pixels`` that is shown.
    out : uint8 array or SharedArray
        (Y, X) of ``inner``; receives the class 1 ... K (of cells of one class that is 1), 0 where
        no cell is, and K + 1 along the lines where two cells touch.
    every : float
        Seconds between two previews, at least.
    """

    key: int
    pixels: NDArray[Any]
    statistics: NDArray[np.float32]
    inner: tuple[slice, slice]
    out: Any
    every: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repainted:
    """Somebody painted on: train with this from now on.

    Attributes
    ----------
    plane : int
        Index of the plane among those with labels, through all annotations that training was
        given; one more than the last: a plane that had no labels yet.
    box : (slice, slice)
        Which pixels (Y, X) changed.
    labels : integer array
        (Y, X) of the box: all labels in it, as they are now.
    region : bool array, optional
        (Y, X) of the box: the training regions in it.
    image : array, optional
        (C, Y, X) of the plane; for a new one only, with a box that is the whole plane.
    meaning : {"instances", "scribbles", "classes"}
        What the labels of a new plane mean.
    classes : mapping of label to class, optional
        The classes of all cells, as they are now; without it, as they were.
    """

    plane: int
    box: tuple[slice, slice]
    labels: NDArray[np.integer]
    region: NDArray[np.bool_] | None = None
    image: NDArray[Any] | None = None
    meaning: Meaning = "scribbles"
    classes: Mapping[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """End the training within seconds, as if its budget were nearly used up.

    The learning rate is annealed first, if there is something to anneal: a fifth of the time that
    was trained, at most eight seconds.
    """


class Mailbox:
    """Messages in the order they were sent; any thread may put and take.

    Given to `napari_unet.engine.host.Host.run` as an argument it carries messages into the compute
    process: the generator there finds them in the mailbox it was given. One run at a time.
    """

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()
        self._lock = threading.Lock()

    def put(self, message: object | Callable[[], object]) -> None:
        """Send a message. A function is called by whoever takes it, and what it returns counts.

        So an image on disk can be read in the thread that takes, not in the one that puts.
        """
        with self._lock:
            self._messages.append(message)

    def take(self) -> list[Any]:
        """Return what was sent since the last time, oldest first."""
        with self._lock:
            taken = list(self._messages)
            self._messages.clear()
        return [message() if callable(message) else message for message in taken]

    def clear(self) -> None:
        """Forget what was not taken."""
        with self._lock:
            self._messages.clear()

    def __reduce__(self) -> tuple[Callable[[], Mailbox], tuple[()]]:
        return mailbox_of_this_run, ()


_of_this_run = Mailbox()


def mailbox_of_this_run() -> Mailbox:
    """Return the mailbox that the compute process puts the program's messages into."""
    return _of_this_run
