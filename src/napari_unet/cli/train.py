"""``napari-unet train``: learn from labelled images, and keep the best model in a file."""

from __future__ import annotations

import math
from collections import deque
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.arguments import add_command, add_json, add_knobs, config_from
from napari_unet.cli.doubts import (
    class_doubts,
    continuing_doubt,
    grey_doubts,
    meaning_doubts,
    number_doubts,
    pair_doubts,
)
from napari_unet.cli.interrupt import finishing_at_ctrl_c, stopping_between
from napari_unet.cli.output import Report, complain, complaining, progress_bar, remark
from napari_unet.cli.replacing import check_model_place, check_place, same_file
from napari_unet.core.config import TrainConfig
from napari_unet.errors import InputError, ModelFileError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from napari_unet.cli.arguments import Commands
    from napari_unet.core.annotation import Annotation
    from napari_unet.engine.events import Score, TrainEvent, Validated
    from napari_unet.engine.segmenter import Segmenter

__all__ = ["Keeper", "add_to", "follow", "run"]


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "train",
        "IMAGES... --labels PATH... --meaning WORD -o MODEL [settings]",
        "train a U-Net on labelled images",
        "Files or folders, paired by name (a.tif with a.tif or a_labels.tif). The best "
        "model is kept; Ctrl-C finishes early.",
        "images/ --labels labels/ --meaning instances -o cells.safetensors",
    )
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGES", help="images, or folders of them")
    add("--labels", nargs="+", required=True, metavar="PATH", help="their painted labels")
    add(
        "--meaning",
        required=True,
        choices=("instances", "scribbles", "classes"),
        metavar="WORD",
        help="instances (0 background, 1... cells), scribbles (0 not labelled, 1 background, "
        "2... cells) or classes (0 not labelled, 1... classes)",
    )
    add("--region", nargs="+", metavar="PATH", help="masks of what is fully labelled")
    add(
        "--classes",
        metavar="FILE",
        help="a CSV of the columns label, class (and file)",
    )
    add("-o", "--output", required=True, metavar="MODEL", help="the model file to write")
    add(
        "--continue",
        dest="continued",
        metavar="MODEL",
        help="start from this model and its settings",
    )
    add("--checkpoint", metavar="FILE", help="keep the state here, or go on from it")
    add_json(parser)
    add_knobs(parser, TrainConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; 130 where it was stopped."""
    from napari_unet.engine.learning.ranks import placed
    from napari_unet.engine.process.mailbox import Mailbox
    from napari_unet.engine.segmenter import Segmenter
    from napari_unet.engine.training import train

    if args.checkpoint and same_file(args.checkpoint, args.output):
        args.parser.error(
            f"--checkpoint and -o are both {args.output}: give the state its own file"
        )
    check_model_place(Path(args.output))
    if args.checkpoint:
        check_place(Path(args.checkpoint))
    annotations = _read(args)
    config = config_from(args, TrainConfig)
    start = Segmenter.load(args.continued) if args.continued else None
    if start is not None and (doubt := continuing_doubt(config, start)):
        complain(doubt)
    report, keeper = Report(args.json), Keeper(Path(args.output))
    ranks = placed()
    alone = ranks.count == 1
    # what goes on later, or in other processes, is stopped as it is
    mailbox = Mailbox() if alone and not args.checkpoint else None
    events = train(
        annotations, config, segmenter=start, mailbox=mailbox, checkpoint=args.checkpoint
    )
    if not ranks.is_first:
        # the first of the processes prints, and writes the model
        deque(events, maxlen=0)
        return 0
    try:
        with (
            complaining(),
            closing(events),
            finishing_at_ctrl_c(mailbox),
            # other processes would wait for one that goes on
            stopping_between(events) if alone else nullcontext(events) as stoppable,
        ):
            follow(stoppable, report, keeper)
    except KeyboardInterrupt:
        if keeper.kept is None:
            complain("stopped before anything was learned; no model was written.")
        else:
            kept = args.checkpoint and Path(args.checkpoint).exists()
            again = " The same command goes on." if kept else ""
            complain(f"stopped; the best model so far is in {keeper.path}.{again}")
        return 130
    report.line(f"{keeper}; model in {keeper.path}")
    return 0


class Keeper:
    """Saves a Segmenter whenever there is a better one; its text says how good the kept one is."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.kept: Segmenter | None = None
        self.score: Score | None = None
        self._complained = False

    def keep(self, segmenter: Segmenter, *, last: bool = False) -> None:
        """Save a Segmenter unless it is the kept one.

        Raises
        ------
        ModelFileError
            If the first or the last one cannot be saved; others are complained of, once.
        """
        if segmenter is self.kept:
            return
        try:
            if self.path is not None:
                segmenter.save(self.path)
        except ModelFileError as error:
            if last or self.kept is None:
                raise
            if not self._complained:
                complain(f"{error} The training goes on, and the next better model is saved.")
            self._complained = True
            return
        self.kept, self._complained = segmenter, False

    def __str__(self) -> str:
        if self.kept is None:
            return "nothing learned"
        if self.score is not None:
            return str(self.score)
        steps, iou = self.kept.provenance.get("steps", 0), self.kept.provenance.get("iou")
        quality = "not measured" if iou is None else f"{iou:.3f}"
        return f"held-out IoU {quality} at step {steps}"


def follow(events: Iterable[TrainEvent], report: Report, keeper: Keeper) -> None:
    """Print a training, and keep the best Segmenter."""
    from napari_unet.engine.events import Learned, Prepared, StepDone, Trained, Validated

    with progress_bar() as bar:
        for event in events:
            report.event(event)
            if isinstance(event, Prepared):
                bar.clear()
                report.line(event.message)
                if event.segmenter.provenance.get("steps"):
                    keeper.keep(event.segmenter)
            elif isinstance(event, StepDone):
                bar.set_postfix_str(f"step {event.step}, loss {event.loss:.3f}, {keeper}", False)
                bar.update(event.progress - bar.n)
            elif isinstance(event, Learned):
                bar.set_postfix_str("fitting the model to what is painted")
            elif isinstance(event, Validated | Trained):
                keeper.keep(event.segmenter, last=isinstance(event, Trained))
                if isinstance(event, Trained):
                    keeper.score = event.score
                elif bar.disable:
                    remark(_measured(event))


def _measured(event: Validated) -> str:
    where = f"step {event.step}, {event.seconds:.0f} s"
    if math.isnan(event.loss):
        return f"{where}: nothing is held out to measure the quality"
    return f"{where}: held-out loss {event.loss:.3f}, IoU {event.iou:.3f}"


def _read(args: argparse.Namespace) -> list[Annotation]:
    from napari_unet.core.annotation import Annotation
    from napari_unet.engine.classtable import read_classes
    from napari_unet.engine.files import read_image, read_labels
    from napari_unet.engine.formats.imagefile import open_image
    from napari_unet.engine.formats.pairfiles import pair_files

    pairs = pair_files(args.images, args.labels)
    for image, labels in pairs:
        if same_file(image, labels):
            raise InputError(
                f"{image} is given as an image and as its own labels; give the labels behind "
                f"--labels. Those in a folder of OME-Zarr are IMAGE/labels/NAME."
            )
    regions = dict(pair_files(args.images, args.region)) if args.region else {}
    classes: Sequence[dict[int, str] | None] = [None] * len(pairs)
    if args.classes:
        classes = read_classes(args.classes, pairs, args.meaning)
    annotations = []
    for (image, labels), kinds in zip(pairs, classes, strict=True):
        opened = open_image(image)
        planes, width = opened.plane_axes, opened.pixel_width
        region = read_labels(regions[image], planes=planes) > 0 if image in regions else None
        pixels, painted = read_image(image), read_labels(labels, planes=planes)
        try:
            annotations.append(Annotation(pixels, painted, args.meaning, region, kinds, width))
        except InputError as error:
            raise InputError(f"{image} with {labels}: {error}") from error
    doubts = [*pair_doubts(pairs), *grey_doubts(pairs, annotations)]
    doubts += [*meaning_doubts(pairs, annotations), *number_doubts(pairs, annotations)]
    if args.classes:
        doubts += class_doubts(args.classes, pairs, annotations, new=not args.continued)
    for doubt in doubts:
        complain(doubt)
    return annotations
