"""``napari-unet evaluate``: score segmentations against the truth."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.arguments import add_command, add_json
from napari_unet.cli.output import Report, complain, say
from napari_unet.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.cli.arguments import Commands

    Labels = NDArray[np.integer]

__all__ = ["add_to", "run", "scores"]

MEAN = "mean"
OBJECT = ("side", "label", "fate", "area", "y", "x", "partner", "iou")
"""The columns of an object: the fields of `napari_unet.core.comparison.ObjectScore`."""


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate",
        "TRUTH PREDICTED [options]",
        "score segmentations against the truth",
        "Files, or folders paired by name (a.tif or a_mask.tif with a_labels.tif). A stack is "
        "scored plane by plane. SEG, AP, IoU, V_rand and V_info are best at 1, the errors and VI "
        "(variation of information, in bits) at 0.",
        "truth/ segmented/ --csv scores.csv --errors wrong/",
    )
    parser.add_argument("truth", metavar="TRUTH", help="labels drawn by a person")
    parser.add_argument("predicted", metavar="PREDICTED", help="labels of the same images")
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
    from napari_unet.engine.files import pair_files, read_labels, relative_name

    report, failed = Report(args.json), 0
    table: dict[str, dict[str, float]] = {}
    objects = [["image", "plane", *OBJECT]]
    for truth, predicted in pair_files([args.truth], [args.predicted]):
        name = relative_name(truth, args.truth).as_posix()
        try:
            labels = read_labels(truth), read_labels(predicted)
            table[name] = scores(*labels)
        except InputError as error:
            failed += 1
            complain(f"{name} failed: {error}")
            report.record("FileFailed", image=name, error=str(error))
            continue
        report.record("Scores", image=name, scores=table[name])
        if args.objects:
            objects += _object_rows(name, *labels)
        if args.errors:
            _draw_errors(Path(args.errors), name, *labels)
    _report(table, report, args)
    if args.objects and table:
        _write_csv(Path(args.objects), objects)
    return 5 if failed else 0


def _report(table: dict[str, dict[str, float]], report: Report, args: argparse.Namespace) -> None:
    """Print and write the scores of the images and their means."""
    if not table:
        return
    columns = next(iter(table.values()))
    means = {key: sum(row[key] for row in table.values()) / len(table) for key in columns}
    report.record("MeanScores", images=len(table), scores=means)
    rows = [["image", *columns]]
    rows += [[name, *map(_number, row.values())] for name, row in [*table.items(), (MEAN, means)]]
    if not args.json:
        _show(rows)
    if args.csv:
        _write_csv(Path(args.csv), rows)


def scores(truth: Labels, predicted: Labels) -> dict[str, float]:
    """Return the scores of labels (Y, X), or their means over the planes of (Z, Y, X).

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise InputError(
            f"the truth has shape {truth.shape}, the prediction {predicted.shape}; "
            f"they must be labels of the same image."
        )
    rows = [_plane_scores(*plane) for plane in _planes(truth, predicted)]
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def _planes(truth: Labels, predicted: Labels) -> Iterator[tuple[Labels, Labels]]:
    """Yield the (Y, X) planes of two labels of one shape."""
    planes = (labels.reshape(-1, *labels.shape[-2:]) for labels in (truth, predicted))
    return zip(*planes, strict=True)


def _plane_scores(truth: Labels, predicted: Labels) -> dict[str, float]:
    from napari_unet.core import metrics

    precisions = metrics.average_precision(truth, predicted, metrics.IOU_RANGE)
    split, merge = metrics.variation_of_information(truth, predicted)
    return {
        "SEG": metrics.seg_score(truth, predicted),
        "AP@0.5": float(precisions[0]),
        "AP@0.5:0.95": float(precisions.mean()),
        "IoU": metrics.iou(truth, predicted),
        "pixel error": metrics.pixel_error(truth, predicted),
        "warping error": metrics.warping_error(truth, predicted),
        "Rand error": metrics.rand_error(truth, predicted),
        "adapted Rand error": metrics.adapted_rand_error(truth, predicted),
        "VI split": split,
        "VI merge": merge,
        "V_rand": metrics.foreground_rand_score(truth, predicted).score,
        "V_info": metrics.foreground_information_score(truth, predicted).score,
    }


def _object_rows(name: str, truth: Labels, predicted: Labels) -> list[list[str]]:
    """Describe what became of each object; planes count from 0."""
    from napari_unet.core.comparison import compare_objects

    return [
        [name, str(plane), *(_cell(getattr(found, field)) for field in OBJECT)]
        for plane, labels in enumerate(_planes(truth, predicted))
        for found in compare_objects(*labels)
    ]


def _draw_errors(folder: Path, name: str, truth: Labels, predicted: Labels) -> None:
    """Write NAME_errors.png, or NAME_plane0_errors.png and so on of a stack."""
    from napari_unet.cli.picture import error_picture

    digits = len(str(len(truth) - 1))
    for plane, labels in enumerate(_planes(truth, predicted)):
        ending = "errors" if truth.ndim == 2 else f"plane{plane:0{digits}}_errors"
        _write(folder / f"{name}_{ending}.png", error_picture(*labels))


def _cell(value: object) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:.4f}"


def _show(rows: list[list[str]]) -> None:
    """Print a table, names to the left and numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        say("  ".join([name.ljust(widths[0]), *numbers]))


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    _write(path, text.getvalue().encode())


def _write(path: Path, data: bytes) -> None:
    from napari_unet.engine.atomic import write_atomically

    write_atomically(path, lambda file: file.write(data))
