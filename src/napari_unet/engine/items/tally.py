"""The books of a batch: how each item ended, and the events that tell it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_unet.engine.items.events import (
    BatchDone,
    ItemDone,
    ItemFailed,
    ItemProgress,
    ItemSkipped,
    ItemStarted,
)
from napari_unet.engine.items.item import Item
from napari_unet.engine.items.manifest import Record
from napari_unet.engine.items.pace import Pace
from napari_unet.errors import UNetError

__all__ = ["Tally"]


class Tally:
    """Counts items and pixels, and makes an event of everything that is noted.

    Parameters
    ----------
    items : sequence of Item
        The batch.

    Attributes
    ----------
    pace : Pace
        Its counter of pixels.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._ended: Counter[str] = Counter()
        self._began = time.perf_counter()
        self.pace = Pace(len(items))

    def started(self, index: int) -> ItemStarted:
        """Note that an item is worked on."""
        return ItemStarted(index=index + 1, item=self._items[index], progress=self.pace.now())

    def reached(self, index: int, share: float, note: str = "") -> ItemProgress:
        """Note which share of an item is done."""
        share = min(share, 1.0)  # parts that are tried again count once
        self.pace.reach(index, share)
        return ItemProgress(
            index=index + 1,
            item=self._items[index],
            progress=self.pace.now(),
            fraction=share,
            note=note,
        )

    def known(self, index: int, share: float) -> None:
        """Note up to which share an item was done by an earlier run."""
        self.pace.know(index, min(share, 1.0))

    def done(
        self, index: int, outputs: Iterable[Path], objects: int | None, seconds: float
    ) -> ItemDone:
        """Note that an item is done."""
        self._end(index, "done")
        return ItemDone(
            index=index + 1,
            item=self._items[index],
            progress=self.pace.now(),
            outputs=tuple(outputs),
            objects=objects,
            seconds=seconds,
        )

    def complete(self, index: int, record: Record) -> ItemSkipped:
        """Note that an item was done by an earlier run, or by another process."""
        outputs = record.paths(self._items[index])
        return self._skipped(index, "is complete", outputs, complete=True)

    def skipped(self, index: int, reason: str, outputs: Sequence[Path] = ()) -> ItemSkipped:
        """Note that an item is left as it is."""
        return self._skipped(index, reason, outputs, complete=False)

    def failed(self, index: int, error: UNetError) -> ItemFailed:
        """Note that an item could not be segmented."""
        self._end(index, "failed")
        return ItemFailed(
            index=index + 1,
            item=self._items[index],
            progress=self.pace.now(),
            reason=str(error),
        )

    def ended(self) -> BatchDone:
        """Note that the batch is at its end."""
        return BatchDone(
            done=self._ended["done"],
            skipped=self._ended["skipped"],
            failed=self._ended["failed"],
            seconds=time.perf_counter() - self._began,
            progress=self.pace.now(),
        )

    def _skipped(
        self, index: int, reason: str, outputs: Sequence[Path], *, complete: bool
    ) -> ItemSkipped:
        self._end(index, "skipped")
        return ItemSkipped(
            index=index + 1,
            item=self._items[index],
            progress=self.pace.now(),
            reason=reason,
            complete=complete,
            outputs=tuple(outputs),
        )

    def _end(self, index: int, how: str) -> None:
        self._ended[how] += 1
        self.pace.end(index, done=how == "done")
