"""What a batch tells: frozen values that say which image, what became of it, and how far all is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from napari_unet.engine.items.item import Item

__all__ = [
    "BatchDone",
    "BatchEvent",
    "BatchProgress",
    "ItemDone",
    "ItemFailed",
    "ItemProgress",
    "ItemSkipped",
    "ItemStarted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """How far a batch is; counted in pixels, because images differ in size.

    Attributes
    ----------
    items, total : int
        Items that are dealt with (done, skipped or failed), of all.
    pixels, all_pixels : int
        Pixels that are segmented, of all that are to be segmented in this run: what is skipped
        or cannot be read counts in neither.
    pixels_per_second : float
        In this run; 0 as long as nothing is known.
    seconds_left : float or None
        At this speed; None as long as nothing is known.
    """

    items: int
    total: int
    pixels: int
    all_pixels: int
    pixels_per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfItem:
    """What all events of an item carry.

    Attributes
    ----------
    index : int
        Of the item: 1 ... total.
    item : Item
        Its image, and the name of its results.
    progress : BatchProgress
        Of the whole batch.
    """

    index: int
    item: Item
    progress: BatchProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemStarted(_OfItem):
    """An item is worked on from now on (not told where other machines do the work)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemProgress(_OfItem):
    """Some pixels of an item are segmented.

    Attributes
    ----------
    fraction : float
        Of the item that is done, 0 ... 1.
    note : str
        As in `TileDone`.
    """

    fraction: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDone(_OfItem):
    """An item is segmented, and its files are written.

    Attributes
    ----------
    outputs : tuple of Path
        The files, or folders of OME-Zarr, labels first.
    objects : int or None
        Cells found in it; None for a model of classes.
    seconds : float
        How long it took.
    """

    outputs: tuple[Path, ...]
    objects: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSkipped(_OfItem):
    """An item is left as it is.

    Attributes
    ----------
    reason : str
        Why, in a sentence.
    complete : bool
        Whether its results are there and are what this run would make.
    outputs : tuple of Path
        Those that are there.
    """

    reason: str
    complete: bool
    outputs: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFailed(_OfItem):
    """An item could not be segmented; the others go on.

    Attributes
    ----------
    reason : str
        Why, and what to do, in sentences.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """The last event of a batch.

    Attributes
    ----------
    done, skipped, failed : int
        Items.
    seconds : float
        How long it took.
    progress : BatchProgress
        At the end.
    """

    done: int
    skipped: int
    failed: int
    seconds: float
    progress: BatchProgress


BatchEvent: TypeAlias = ItemStarted | ItemProgress | ItemDone | ItemSkipped | ItemFailed | BatchDone
