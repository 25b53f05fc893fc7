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

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.cli.arguments import Commands

__all__ = ["add_to", "run", "scores"]

MEAN = "mean"


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "evaluate",
        "TRUTH PREDICTED [--csv FILE] [--json]",
        "score segmentations against the truth",
        "Files, or folders paired by name (a.tif or a_mask.tif with a_labels.tif). A stack is "
        "scored plane by plane. SEG, AP and IoU are best at 1, the errors and VI (variation of "
        "information, in bits) at 0.",
        "truth/ segmented/ --csv scores.csv",
    )
    parser.add_argument("truth", metavar="TRUTH", help="labels drawn by a person")
    parser.add_argument("predicted", metavar="PREDICTED", help="labels of the same images")
    parser.add_argument("--csv", metavar="FILE", help="also write the table to this file")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score; 5 if some images could not be."""
    from napari_unet.engine.files import pair_files, read_labels, relative_name

    report, failed = Report(args.json), 0
    table: dict[str, dict[str, float]] = {}
    for truth, predicted in pair_files([args.truth], [args.predicted]):
        name = relative_name(truth, args.truth).as_posix()
        try:
            table[name] = scores(read_labels(truth), read_labels(predicted))
        except InputError as error:
            failed += 1
            complain(f"{name} failed: {error}")
            report.record("FileFailed", image=name, error=str(error))
            continue
        report.record("Scores", image=name, scores=table[name])
    if table:
        columns = next(iter(table.values()))
        means = {key: sum(row[key] for row in table.values()) / len(table) for key in columns}
        report.record("MeanScores", images=len(table), scores=means)
        rows = [["image", *columns]]
        rows += [
            [name, *map(_number, row.values())] for name, row in [*table.items(), (MEAN, means)]
        ]
        if not args.json:
            _show(rows)
        if args.csv:
            _write_csv(Path(args.csv), rows)
    return 5 if failed else 0


def scores(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> dict[str, float]:
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
    planes = [(truth, predicted)] if truth.ndim == 2 else zip(truth, predicted, strict=True)
    rows = [_plane_scores(*plane) for plane in planes]
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def _plane_scores(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> dict[str, float]:
    from napari_unet.core import metrics

    split, merge = metrics.variation_of_information(truth, predicted)
    return {
        "SEG": metrics.seg_score(truth, predicted),
        "AP@0.5": metrics.average_precision(truth, predicted, 0.5),
        "IoU": metrics.iou(truth, predicted),
        "pixel error": metrics.pixel_error(truth, predicted),
        "warping error": metrics.warping_error(truth, predicted),
        "Rand error": metrics.rand_error(truth, predicted),
        "adapted Rand error": metrics.adapted_rand_error(truth, predicted),
        "VI split": split,
        "VI merge": merge,
    }


def _number(value: float) -> str:
    return f"{value:.4f}"


def _show(rows: list[list[str]]) -> None:
    """Print a table, names to the left and numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        say("  ".join([name.ljust(widths[0]), *numbers]))


def _write_csv(path: Path, rows: list[list[str]]) -> None:
    from napari_unet.engine.atomic import write_atomically

    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
