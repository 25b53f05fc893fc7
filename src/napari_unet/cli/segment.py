"""``napari-unet segment``: run a model over files and folders; one bad file stops no other."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.arguments import add_command, add_json, add_knobs, config_from
from napari_unet.cli.output import BAR, Report, complain, progress_bar, remark
from napari_unet.core.config import PredictConfig
from napari_unet.errors import InputError, UNetError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from napari_unet.cli.arguments import Commands
    from napari_unet.engine.events import SegmentEvent
    from napari_unet.engine.segmenter import Segmenter

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "segment",
        "MODEL IMAGES... -o OUT_DIR [settings]",
        "segment images with a trained model",
        "Writes NAME_labels.tif for every image; folders keep their subfolders. A file that "
        "cannot be segmented is reported, and the rest goes on (exit code 5).",
        "cells.unet images/ -o segmented/",
    )
    parser.add_argument("model", metavar="MODEL", help="a model file")
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="images, or folders of them")
    parser.add_argument("-o", "--output", required=True, metavar="OUT_DIR", help="where to write")
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write NAME_probabilities.tif: of cells, or of every class",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace outputs instead of skipping the image"
    )
    add_json(parser)
    add_knobs(parser, PredictConfig)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Item:
    """One image and the files to be made of it; no probabilities are None."""

    image: Path
    labels: Path
    probabilities: Path | None

    def outputs(self, overwrite: bool) -> list[Path]:
        """List what is to be written."""
        wanted = [path for path in (self.labels, self.probabilities) if path is not None]
        return [path for path in wanted if overwrite or not path.exists()]


def run(args: argparse.Namespace) -> int:
    """Segment; 5 if some images failed."""
    from napari_unet.engine.device import select_device
    from napari_unet.engine.segmenter import Segmenter

    plan = _plan(args.images, Path(args.output), args.probabilities)
    segmenter = Segmenter.load(args.model)
    config = config_from(args, PredictConfig)
    select_device(config.device)
    report, failed = Report(args.json), 0
    for item in plan:
        outputs = item.outputs(args.overwrite)
        if not outputs:
            report.line(f"{item.image}: skipped, {item.labels} exists (--overwrite replaces it)")
            report.record("FileSkipped", image=item.image, labels=item.labels)
            continue
        try:
            _segment(segmenter, item, outputs, config, report)
        except UNetError as error:
            failed += 1
            complain(f"{item.image} failed: {error}")
            report.record("FileFailed", image=item.image, error=str(error))
    if failed:
        complain(f"{failed} of {len(plan)} images failed.")
    return 5 if failed else 0


def _plan(images: Sequence[str], folder: Path, probabilities: bool) -> list[Item]:
    """Name every output before anything starts; what is itself an output is no input."""
    from napari_unet.engine.files import find_images, relative_name

    items: dict[str, Item] = {}
    outputs: set[str] = set()
    for given in images:
        for image in find_images(given):
            name = folder / relative_name(image, given)
            labels, other = (
                name.with_name(f"{name.name}_{what}.tif") for what in ("labels", "probabilities")
            )
            outputs |= {_key(labels), _key(other)}
            item = Item(image, labels, other if probabilities else None)
            earlier = items.setdefault(_key(labels), item)
            if _key(earlier.image) != _key(image):
                raise InputError(
                    f"{earlier.image} and {image} would both become {labels}; segment them into "
                    f"different folders, or give the folder that holds both."
                )
    return [item for item in items.values() if _key(item.image) not in outputs]


def _key(path: Path) -> str:
    return os.path.normcase(path.absolute())


def _segment(
    segmenter: Segmenter, item: Item, outputs: list[Path], config: PredictConfig, report: Report
) -> None:
    """Segment one image and write its files."""
    import numpy as np

    from napari_unet.engine.classtable import write_classes
    from napari_unet.engine.files import read_image, write_labels, write_probabilities
    from napari_unet.engine.inference import predict, segment_into

    began = time.perf_counter()
    image = read_image(item.image)
    spatial, wanted = image.shape[1:], item.probabilities in outputs
    labels = np.zeros(spatial, dtype=np.uint32)
    n_probabilities = segmenter.n_classes if segmenter.kind == "classes" else 1
    probabilities = np.zeros((n_probabilities * wanted, *spatial), dtype=np.float32)
    classes: list[int] = []
    if wanted and segmenter.kind == "classes":
        _follow(predict(segmenter, image, probabilities, config), report, item.image)
        labels[...] = probabilities.argmax(axis=0) + 1
    else:
        foreground = probabilities[0] if wanted else None
        events = segment_into(segmenter, image, labels, config, foreground)
        _follow(events, report, item.image, classes)
    if item.labels in outputs:
        write_labels(item.labels, labels)
        if segmenter.cell_classes > 1:
            table = item.labels.with_name(item.labels.name.replace("_labels.tif", "_classes.csv"))
            write_classes(table, classes, segmenter.class_names)
    if item.probabilities is not None and wanted:
        write_probabilities(item.probabilities, probabilities)
    seconds = round(time.perf_counter() - began, 3)
    cells = int(labels.max()) if segmenter.kind == "cells" else None
    found = f"{segmenter.n_classes} classes" if cells is None else f"{cells} cells"
    report.line(f"{item.image}: {found} in {seconds:.1f} s -> {', '.join(map(str, outputs))}")
    report.record("FileDone", image=item.image, outputs=outputs, cells=cells, seconds=seconds)


def _follow(
    events: Iterable[SegmentEvent], report: Report, image: Path, classes: list[int] | None = None
) -> None:
    """Print how far the segmentation of an image is; collect the classes of the cells."""
    from napari_unet.engine.events import PlaneDone, TileDone

    note = ""
    with progress_bar(f"{image.name} {BAR}") as bar:
        for event in events:
            report.event(event, image=image)
            if isinstance(event, PlaneDone) and classes is not None:
                classes += event.classes
            if not isinstance(event, TileDone):
                continue
            bar.update(event.index / event.total - bar.n)
            if event.note and not note:
                note = event.note
                remark(f"{image}: {note}")
