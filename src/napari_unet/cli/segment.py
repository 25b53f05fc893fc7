"""``napari-unet segment``: run a model over files and folders; one bad file stops no other."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING, Any

from napari_unet.cli.arguments import add_command, add_json, add_knobs, config_from
from napari_unet.cli.interrupt import stopping_when_told
from napari_unet.cli.output import Report, complain, progress_bar
from napari_unet.cli.workers import add_workers, executor_from
from napari_unet.core.config import PredictConfig
from napari_unet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.cli.arguments import Commands
    from napari_unet.engine.items.events import (
        BatchDone,
        BatchEvent,
        BatchProgress,
        ItemDone,
        ItemSkipped,
    )

__all__ = ["add_to", "run"]

FORMATS, TABLES = ("auto", "tiff", "ome-zarr"), ("csv", "parquet")
OUTLINES = ("imagej", "geojson")
LINKS = ("objects", "volume", "tracks")


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "segment",
        "MODEL IMAGES... -o DIR [settings]",
        "segment images with a trained model",
        "Folders keep their subfolders. Complete results are skipped; if an image fails, the rest "
        "goes on (exit code 5).",
        "cells.safetensors images/ -o segmented/ --measure csv",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model file")
    add("images", nargs="+", metavar="IMAGES", help="images, folders or patterns")
    add("-o", "--output", required=True, metavar="DIR", help="where to write")
    add("--format", choices=FORMATS, default="auto", metavar="KIND", help=", ".join(FORMATS))
    add("--probabilities", action="store_true", help="also write NAME_probabilities")
    add(
        "--measure", choices=TABLES, default="", metavar="KIND", help=f"tables: {', '.join(TABLES)}"
    )
    add(
        "--outlines",
        choices=OUTLINES,
        default="",
        metavar="KIND",
        help=f"outlines: {', '.join(OUTLINES)}",
    )
    add("--link", choices=LINKS, default="", metavar="KIND", help=f"planes: {', '.join(LINKS)}")
    add("--overwrite", action="store_true", help="make all results again")
    add("--shard", type=_shard, default="", metavar="I/N", help="every N-th image, from the I-th")
    add_workers(parser)
    add_json(parser)
    add_knobs(parser, PredictConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Segment; 5 if some images failed."""
    from napari_unet.engine.batch import run_batch
    from napari_unet.engine.device import describe, select_device
    from napari_unet.engine.items.item import BatchOptions
    from napari_unet.engine.items.plan import plan
    from napari_unet.engine.segmenter import Segmenter

    items = plan(args.images, args.output, shard=args.shard, remark=complain)
    segmenter = Segmenter.load(args.model)
    options = BatchOptions(
        format=args.format,
        probabilities=args.probabilities,
        measure=args.measure,
        outlines=args.outlines,
        link=args.link,
        overwrite=args.overwrite,
    )
    config = config_from(args, PredictConfig)
    with (
        stopping_when_told(),
        executor_from(args) as executor,
        closing(run_batch(items, segmenter, config, options, executor=executor)) as events,
    ):
        where = "" if executor else f" on {describe(select_device(config.device))}"
        return _tell(events, Report(args.json), where)


def _shard(text: str) -> str:
    """Check the text of ``--shard``."""
    from napari_unet.engine.items.plan import take_shard

    try:
        take_shard([], text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _tell(events: Iterator[BatchEvent], report: Report, where: str) -> int:
    """Print what happens, and where it was computed; return the exit code."""
    left, failed, total = 0, 0, 0
    said: set[str] = set()
    with progress_bar() as bar:
        for event in events:
            report.event(event)
            result, remarks = _words(event, where)
            if result or remarks - said:
                bar.clear()
            if result:
                report.line(result)
            for text in remarks - said:
                complain(text)
            said |= remarks
            _show(bar, event.progress)
            left += _is_in_the_way(event)
            failed, total = getattr(event, "failed", 0), event.progress.total
    of_all = f"of {total} image{'s' * (total > 1)}"
    if left:
        complain(
            f"{left} {of_all} not segmented: results that were not made by this batch, or changed "
            f"since, are in the way (--overwrite replaces them)."
        )
    if failed:
        complain(f"{failed} {of_all} failed.")
    return 5 if failed else 0


def _words(event: BatchEvent, where: str) -> tuple[str, set[str]]:
    """Return what an event says on standard output, and what on the other."""
    from napari_unet.engine.items.events import (
        BatchDone,
        ItemDone,
        ItemFailed,
        ItemProgress,
        ItemSkipped,
    )

    match event:
        case ItemDone():
            return f"{event.item.image}: {_found(event)}", set()
        case ItemSkipped():
            return f"{event.item.image}: skipped, {event.reason}{_anyway(event)}", set()
        case ItemFailed():
            return "", {f"{event.item.image} failed: {event.reason}"}
        case ItemProgress() if event.note:
            return "", {event.note}
        case BatchDone():
            return _summary(event, where), set()
    return "", set()


def _is_in_the_way(event: BatchEvent) -> bool:
    """Whether an image was skipped because of what somebody else made or changed."""
    from napari_unet.engine.items.events import ItemSkipped

    return isinstance(event, ItemSkipped) and bool(event.outputs) and not event.complete


def _anyway(event: ItemSkipped) -> str:
    """Say how to have it all the same, where results are there."""
    if not event.outputs:
        return ""
    return f" (--overwrite {'makes it again' if event.complete else 'replaces it'})"


def _show(bar: Any, progress: BatchProgress) -> None:
    """Show on a terminal how far everything is."""
    if progress.all_pixels:
        bar.set_postfix_str(f"{_speed(progress)}{_left(progress)}", refresh=False)
        bar.update(progress.pixels / progress.all_pixels - bar.n)
    bar.set_description_str(f"{progress.items} of {progress.total} images")


def _found(event: ItemDone) -> str:
    from napari_unet.core.summary import in_cells

    cells = "classes" if event.objects is None else in_cells(event.objects)
    return f"{cells} in {event.seconds:.1f} s -> {', '.join(map(str, event.outputs))}"


def _summary(event: BatchDone, where: str) -> str:
    """Say in a line how the batch ended."""
    ended = f"{event.done} done, {event.skipped} skipped, {event.failed} failed"
    speed = f", {_speed(event.progress)}{where}" if event.progress.pixels else ""
    return f"{ended} in {event.seconds:.1f} s{speed}"


def _speed(progress: BatchProgress) -> str:
    return f"{progress.pixels_per_second / 1e6:.2f} megapixels/s"


def _left(progress: BatchProgress) -> str:
    if progress.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    return f", {hours}:{minutes:02}:{seconds:02} left"
