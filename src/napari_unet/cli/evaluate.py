"""``napari-unet evaluate``: score segmentations against the truth."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.arguments import add_command, add_json
from napari_unet.cli.output import Report, complain, say
from napari_unet.cli.replacing import check_folder, check_table_places
from napari_unet.cli.scores import Part, Scores, cell_scores, class_scores, means, split
from napari_unet.errors import InputError, some_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from napari_unet.cli.arguments import Commands
    from napari_unet.core.comparison import ObjectScore

__all__ = ["add_to", "run"]

MEAN = "mean"


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate",
        "TRUTH PREDICTED [options]",
        "score segmentations against the truth",
        "Files, or folders paired by name (a.tif or a_mask.tif with a_labels.tif); what has no "
        "truth is left out. A stack is scored plane by plane. SEG, AP, IoU, V_rand and V_info are "
        "best at 1, the errors and VI (variation of information, in bits) at 0.",
        "truth/ segmented/ --csv scores.csv --errors wrong/",
    )
    parser.add_argument("truth", metavar="TRUTH", help="labels drawn by a person")
    parser.add_argument("predicted", metavar="PREDICTED", help="labels of the same images")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--in-3d", action="store_true", help="score whole objects, numbered through the planes"
    )
    what.add_argument(
        "--classes", action="store_true", help="score classes of pixels: 1, 2, ...; 0 is left out"
    )
    parser.add_argument("--csv", metavar="FILE", help="also write the table to this file")
    parser.add_argument(
        "--objects", metavar="FILE", help="write what became of each object, as CSV"
    )
    parser.add_argument(
        "--errors",
        metavar="FOLDER",
        help="draw the objects that are wrong, one PNG per plane: "
        "missed orange, spurious blue, merged yellow, split green",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score; 5 if some images could not be."""
    from napari_unet.core.comparison import compare_objects
    from napari_unet.engine.files import plane_axes, read_labels
    from napari_unet.engine.formats.pairfiles import called
    from napari_unet.engine.objecttable import object_table

    if args.classes and args.objects:
        raise InputError("Classes of pixels are no objects: leave out --objects or --classes.")
    check_table_places([Path(path) for path in (args.csv, args.objects) if path])
    if args.errors:
        check_folder(Path(args.errors))
    score, ndim = cell_scores, 3 if args.in_3d else 2
    if args.classes:
        score, ndim = class_scores, 0
    report = Report(args.json)
    pairs, failed = _paired(args, report)
    table: dict[str, Scores] = {}
    objects: list[tuple[str, int, list[ObjectScore]]] = []
    for truth, predicted in pairs:
        name = called(truth, args.truth).as_posix()
        try:
            found = read_labels(predicted, planes=plane_axes(truth))
            parts = split(read_labels(truth), found, ndim)
            table[name] = means(score(*part) for part in parts)
        except InputError as error:
            failed += 1
            _tell_failed(name, str(error), report)
            continue
        report.record("Scores", image=name, scores=table[name])
        if not args.classes:
            _voice_doubt(name, parts)
        if args.objects:
            objects += [(name, at, compare_objects(*part)) for at, part in enumerate(parts)]
        if args.errors:
            _draw_errors(Path(args.errors) / name, parts, classes=args.classes)
    _report(table, report, args)
    if args.objects and table:
        _write(Path(args.objects), object_table(objects, in_3d=args.in_3d))
    return 5 if failed else 0


def _paired(args: argparse.Namespace, report: Report) -> tuple[list[tuple[Path, Path]], int]:
    """Return the pairs, and how many images with a truth were not segmented; tell of the rest."""
    from napari_unet.engine.formats.pairfiles import called, pair_labels

    pairs, unpredicted, untrue = pair_labels([args.truth], [args.predicted])
    if untrue:
        complain(f"There is no truth for {some_of(untrue)}: left out.")
    for truth in unpredicted:
        missing = f"{args.predicted} holds nothing of this name; the mean is without it."
        _tell_failed(called(truth, args.truth).as_posix(), missing, report)
    return pairs, len(unpredicted)


def _tell_failed(name: str, reason: str, report: Report) -> None:
    complain(f"{name} failed: {reason}")
    report.record("FileFailed", image=name, error=reason)


def _voice_doubt(name: str, parts: list[Part]) -> None:
    """Say, once for each image and side, if the numbers do not seem to be cells."""
    from napari_unet.core.unnumbered import seems_unnumbered

    for side, labels in zip(("truth", "prediction"), zip(*parts, strict=True), strict=True):
        doubts = filter(None, (seems_unnumbered(plane, side) for plane in labels))
        if doubt := next(doubts, ""):
            complain(f"{name}: {doubt}")


def _report(table: dict[str, Scores], report: Report, args: argparse.Namespace) -> None:
    """Print and write the scores of the images and their means."""
    if not table:
        return
    mean = means(table.values())
    report.record("MeanScores", images=len(table), scores=mean)
    rows = [["image", *mean]]
    for name, scores in [*table.items(), (MEAN, mean)]:
        rows.append([name, *(f"{scores[key]:.4f}" if key in scores else "" for key in mean)])
    if not args.json:
        _show(rows)
    if args.csv:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        _write(Path(args.csv), text.getvalue().encode(errors="backslashreplace"))


def _draw_errors(path: Path, parts: list[Part], *, classes: bool) -> None:
    """Write PATH_errors.png, or PATH_plane0_errors.png and so on of a stack."""
    pictures = [*_error_pictures(parts, classes=classes)]
    digits = len(str(len(pictures) - 1))
    for number, picture in enumerate(pictures):
        ending = "errors" if len(pictures) == 1 else f"plane{number:0{digits}}_errors"
        _write(path.with_name(f"{path.name}_{ending}.png"), picture)


def _error_pictures(parts: list[Part], *, classes: bool) -> Iterator[bytes]:
    """Draw every plane."""
    from napari_unet.cli.picture import class_error_picture, error_picture
    from napari_unet.core.classcomparison import wrong_classes
    from napari_unet.core.comparison import error_map

    for truth, predicted in parts:
        errors = wrong_classes(truth, predicted) if classes else error_map(truth, predicted)
        planes = [labels.reshape(-1, *labels.shape[-2:]) for labels in (truth, predicted, errors)]
        for true, found, wrong in zip(*planes, strict=True):
            yield class_error_picture(true, wrong) if classes else error_picture(true, found, wrong)


def _show(rows: list[list[str]]) -> None:
    """Print a table, names to the left and numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        say("  ".join([name.ljust(widths[0]), *numbers]))


def _write(path: Path, data: bytes) -> None:
    from napari_unet.engine.atomic import write_atomically

    write_atomically(path, lambda file: file.write(data))
