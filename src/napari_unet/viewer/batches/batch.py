"""What became of each of many images, and how far all of them are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari_unet.engine.items.events import BatchProgress

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Batch", "BatchRow", "Show", "State", "images"]

State = Literal["waiting", "running", "done", "skipped", "failed", "stopped"]

Show: TypeAlias = "Callable[[ViewerModel], object]"
"""Shows the result of an image in a viewer."""

MEASURED_SECONDS = 1.0
"""Of work, before a speed is told."""


@dataclass(slots=True, eq=False)
class BatchRow:
    """One image of a batch.

    Attributes
    ----------
    name : str
        What the user calls it.
    show : callable, optional
        Given a viewer, shows the result there, where there is one to show.
    state : State
        Where it is.
    share : float
        How much of it is done, 0 ... 1.
    said : str
        What was found, or the whole reason why it was not segmented.
    """

    name: str
    show: Show | None = None
    state: State = "waiting"
    share: float = 0.0
    said: str = ""

    @property
    def text(self) -> str:
        """What the table says of it."""
        if self.state == "running":
            return f"{100 * self.share:.0f} %"
        return f"{self.state}: {self.said}" if self.said else self.state

    @property
    def over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state not in ("waiting", "running")

    def begin(self, share: float = 0.0) -> None:
        """Note that it is being segmented, and how much of it is done."""
        self.state, self.share = "running", share

    def end(self, state: State, said: str = "") -> None:
        """Note what became of it."""
        self.state, self.said = state, said


class Batch:
    """The images of a batch, in their order; it runs until `end`.

    Parameters
    ----------
    rows : iterable of BatchRow
        One for each image, as soon as they are known.

    Attributes
    ----------
    rows : list of BatchRow
        As given.
    running : bool
        Whether it goes on.
    progress : BatchProgress or None
        How far it is, as far as is known.
    why : str
        A sentence about its end, such as why it broke off.
    """

    def __init__(self, rows: Iterable[BatchRow] = ()) -> None:
        self.rows = list(rows)
        self.running = True
        self.progress: BatchProgress | None = None
        self.why = ""
        self._began = time.monotonic()
        self._seconds = 0.0

    @classmethod
    def none(cls) -> Batch:
        """Return what there is before the first batch."""
        batch = cls()
        batch.running = False
        return batch

    def end(self, why: str = "") -> None:
        """Note that it is over, and what there is to say of that; what is not done is stopped."""
        if not self.running:
            return
        self.running, self.why = False, why
        self._seconds = time.monotonic() - self._began
        for row in self.rows:
            if not row.over:
                row.end("stopped")

    @property
    def share(self) -> float:
        """How much of all is done, 0 ... 1, by pixels."""
        progress = self.progress
        if progress is None or not progress.all_pixels:
            return 0.0
        return progress.pixels / progress.all_pixels

    @property
    def sentence(self) -> str:
        """How far it is and when it will be done, or what became of it; "" before the first."""
        if self.running:
            return self._progress() if self.rows else "Looking for images ..."
        return self._summary() if self.rows else self.why

    def _progress(self) -> str:
        text = f"{sum(row.over for row in self.rows)} of {images(len(self.rows))}"
        now = self.progress
        quiet = time.monotonic() - self._began < MEASURED_SECONDS
        if now is None or not now.seconds_left or quiet:
            return text
        speed = now.pixels_per_second / 1e6
        left = _in_words(now.seconds_left)
        return f"{text}, {speed:.{1 if speed < 10 else 0}f} megapixels a second, about {left} left"

    def _summary(self) -> str:
        counts = Counter(row.state for row in self.rows)
        states: tuple[State, ...] = ("done", "skipped", "failed", "stopped")
        told = ", ".join(f"{counts[state]} {state}" for state in states if counts[state])
        took = f" in {_in_words(self._seconds)}" if counts["done"] else ""
        return f"{images(len(self.rows))}: {told}{took}." + f" {self.why}" * bool(self.why)


def images(number: int) -> str:
    """Count images in words."""
    return "1 image" if number == 1 else f"{number} images"


def _in_words(seconds: float) -> str:
    """Return a time in the unit that fits it."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
