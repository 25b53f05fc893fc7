"""What the compute process is asked to run for a batch; importing this module loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from napari_unet.core.config import PredictConfig
from napari_unet.engine.items.events import BatchEvent
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.segmenter import Segmenter

__all__ = ["BatchPlanned", "BatchTold", "batch", "batch_open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlanned:
    """The first event of `batch`.

    Attributes
    ----------
    names : tuple of str
        Of all images: their place inside what was given.
    """

    names: tuple[str, ...]


BatchTold: TypeAlias = BatchPlanned | BatchEvent


def batch(
    images: Sequence[str],
    folder: str,
    segmenter: Segmenter,
    config: PredictConfig,
    options: BatchOptions,
) -> Iterator[BatchTold]:
    """Name the images, then run `napari_unet.engine.batch.run_batch`.

    Parameters
    ----------
    images : sequence of str
        Files, folders of them, and patterns.
    folder : str
        Gets the results.
    segmenter, config, options
        As there.
    """
    from napari_unet.engine.batch import run_batch
    from napari_unet.engine.items.plan import plan

    items = plan(images, folder)
    yield BatchPlanned(names=tuple(item.name.as_posix() for item in items))
    yield from run_batch(items, segmenter, config, options)


def batch_open(
    open_images: Sequence[Mapping[str, Any]],
    folder: str,
    segmenter: Segmenter,
    config: PredictConfig,
    options: BatchOptions,
) -> Iterator[BatchTold]:
    """Run `napari_unet.engine.batch.run_batch` for images that are open in the program.

    Parameters
    ----------
    open_images : sequence of mappings
        What an `OpenItem` is made of, the folder aside.
    folder, segmenter, config, options
        As for `batch`.
    """
    from napari_unet.engine.batch import run_batch
    from napari_unet.engine.items.opened import OpenItem

    items = [OpenItem(folder=Path(folder), **described) for described in open_images]
    return run_batch(items, segmenter, config, options)
