"""What is still to be made of the items of a batch, so that no two processes make it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from napari_unet.core.config import PredictConfig
from napari_unet.engine.formats.tiffset import image_files
from napari_unet.engine.items.errors import again
from napari_unet.engine.items.events import BatchEvent, ItemFailed, ItemSkipped
from napari_unet.engine.items.item import BatchOptions, Item
from napari_unet.engine.items.locks import ItemLocks
from napari_unet.engine.items.manifest import (
    Record,
    check_place,
    find_complete,
    find_foreign,
    identify,
    read_record,
    renew_record,
)
from napari_unet.engine.items.order import Order, place_order
from napari_unet.engine.items.tally import Tally
from napari_unet.engine.pixelsize import about_pixels
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError, UNetError

__all__ = ["Claims"]

UNLINKED = (
    "Nothing is linked in images with a single plane: save the frames of a movie, or the sections "
    "of a stack, as one file first, such as with File > Import > Image Sequence in Fiji."
)


class Claims:
    """Decides which items are worked on, and holds their locks; all are given back at the end.

    Parameters
    ----------
    items : sequence of Item
        The batch.
    segmenter, config, options : Segmenter, PredictConfig, BatchOptions
        What is to be made of each.

    Attributes
    ----------
    items, segmenter
        As given.
    tally : Tally
        The books of the batch.
    """

    def __init__(
        self,
        items: Sequence[Item],
        segmenter: Segmenter,
        config: PredictConfig,
        options: BatchOptions,
    ) -> None:
        self.items, self.segmenter, self.tally = items, segmenter, Tally(items)
        self._config, self._options = config, options
        self._made_by, self._settings = identify(segmenter, config, options)
        self._firsts: dict[tuple[Path, ...], Item] = {}
        self._locks = ItemLocks()

    def __enter__(self) -> Self:
        self._locks.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._locks.__exit__()

    def look(self, index: int) -> Order | ItemSkipped | ItemFailed:
        """Decide what is to be made of an item, if anything."""
        item, options = self.items[index], self._options
        if item.clash:
            return self.tally.failed(index, InputError(item.clash))
        try:
            if (first := self._first(item)) != item:
                reason = f"belongs to the image in {first.image}, which is segmented as a whole"
                return self.tally.skipped(index, reason)
            if (record := self._record(item)) is not None:
                self._tidy(item, record)
                return self.tally.complete(index, record)
            made_by, settings = self._made_by, self._settings
            order = again(place_order, item, self._config, options, made_by, settings)
            self._check_place(item)
            outputs = order.outputs().values()
            foreign = [] if options.overwrite else again(find_foreign, item, outputs)
        except UNetError as error:
            return self.tally.failed(index, error)
        if foreign:
            reason = f"{foreign[0]} was not made by this batch, or changed since; move it away"
            return self.tally.skipped(index, reason, foreign)
        self.tally.pace.expect(index, order.pixels)
        return order

    def take(self, index: int) -> ItemSkipped | ItemFailed | None:
        """Take the lock of an item; None if it is ours and still to be done."""
        item = self.items[index]
        try:
            if owner := again(self._locks.take, item.kept(".lock")):
                return self.tally.skipped(index, f"{owner} is working on it")
            record = self._record(item)
            if record is None:
                self._check_place(item)
                return None
        except UNetError as error:
            self.give_back(index)
            return self.tally.failed(index, error)
        self.give_back(index)
        return self.tally.complete(index, record)

    def give_back(self, index: int) -> None:
        """Give the lock of an item back."""
        self._locks.give_back(self.items[index].kept(".lock"))

    def remarks(self, index: int, order: Order) -> Iterator[BatchEvent]:
        """Say at the beginning what the user may want to know of an image."""
        said = about_pixels(self.segmenter, order.pixel_width, self._config.magnification)
        for text in (said, UNLINKED if self._options.link and order.planes == 1 else ""):
            if text:
                yield self.tally.reached(index, 0.0, text)

    def _first(self, item: Item) -> Item:
        """Return the first of the items whose files describe the same image in several files."""
        if item.seen:  # no file
            return item
        files = again(image_files, item.image)
        return item if len(files) == 1 else self._firsts.setdefault(files, item)

    def _record(self, item: Item) -> Record | None:
        """Return the record of an item that is complete, unless it is to be made anew."""
        if self._options.overwrite:
            return None
        return again(find_complete, item, self._made_by, self._options)

    def _check_place(self, item: Item) -> None:
        """Raise an `InputError` if results of another image are there, and are to be kept."""
        if not self._options.overwrite:
            again(check_place, item)

    def _tidy(self, item: Item, record: Record) -> None:
        """Remove what a process left that was killed at the end; know copied results again."""
        scratch, lock = item.kept(".scratch"), item.kept(".lock")
        with contextlib.suppress(OSError):
            left = scratch.exists() or lock.exists() or record != read_record(item)
            if left and not self._locks.take(lock):
                shutil.rmtree(scratch, ignore_errors=True)
                renew_record(item, record)
                self._locks.give_back(lock)
