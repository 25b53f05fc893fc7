"""How far a batch is and how long it will take, counted in pixels of this run."""

from __future__ import annotations

import time

from napari_unet.engine.items.events import BatchProgress

__all__ = ["Pace"]


class Pace:
    """The clock and the counter of a batch.

    Parameters
    ----------
    total : int
        Items of the batch.
    """

    def __init__(self, total: int) -> None:
        self._total, self._ended = total, 0
        self._expected: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        self._pixels = self._all_pixels = self._known = 0
        self._began: float | None = None

    def expect(self, item: int, pixels: int) -> None:
        """Count an item that is to be segmented."""
        self._expected[item], self._reached[item] = pixels, 0
        self._all_pixels += pixels

    def begin(self) -> None:
        """Start the clock: from now on pixels are segmented."""
        self._began = time.perf_counter()

    def know(self, item: int, share: float) -> None:
        """Note which share of an item was segmented by an earlier run, which took no time now."""
        self._known -= self._pixels
        self.reach(item, share)
        self._known += self._pixels

    def reach(self, item: int, share: float) -> None:
        """Note which share of an item is segmented; it never falls."""
        more = max(round(share * self._expected[item]) - self._reached[item], 0)
        self._reached[item] += more
        self._pixels += more

    def end(self, item: int, *, done: bool = False) -> None:
        """Note that an item is dealt with; what is left of one that is not done is not to do."""
        self._ended += 1
        if done:
            self.reach(item, 1.0)
        elif item in self._expected:
            self._all_pixels -= self._expected[item] - self._reached[item]

    def now(self) -> BatchProgress:
        """Return how far everything is."""
        seconds = 0.0 if self._began is None else time.perf_counter() - self._began
        speed = (self._pixels - self._known) / seconds if seconds else 0.0
        return BatchProgress(
            items=self._ended,
            total=self._total,
            pixels=self._pixels,
            all_pixels=self._all_pixels,
            pixels_per_second=speed,
            seconds_left=(self._all_pixels - self._pixels) / speed if speed else None,
        )
