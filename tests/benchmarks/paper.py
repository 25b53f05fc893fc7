"""The three experiments of the U-Net paper (Ronneberger et al. 2015, section 4).

    python tests/benchmarks/paper.py --quick [--only em phase dic] [--out results]
    python tests/benchmarks/paper.py --full [--seconds 3600] [--out results]
        [--isbi FOLDER] [--phc FOLDER] [--dic FOLDER]

``--quick`` takes two CPU cores and less than half an hour: the default recipe and, beside it, the
recipe of the paper with the same small network, for the same time. ``--full`` is for a GPU: the
network of the paper, its recipe, and its average over 7 rotations. The images are stand-ins, found
through NAPARI_UNET_DATA or in ``../shared/data``; whoever has downloaded the original ones gives
their folders (challenges.py says what is read). Prints the table, and writes ``results.json``,
``results.md`` and the map of ISBI's test volume to ``--out``. Exit code 3: images are missing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from challenges import Array, Best, Plane, cell_scores, membrane_scores, write_map
from experiments import EXPERIMENTS, Experiment

import napari_unet as nu
from napari_unet.core.config import PredictConfig, TrainConfig

THREADS = "2"

SECONDS = {"quick": 240.0, "full": 3600.0}
"""Of each training; the paper: 10 hours on a GPU of 2014."""

STAND_INS = (
    "The images of {titles} are stand-ins for those of the paper: its figures and these cannot be "
    "compared directly."
)

ORIGINALS = (
    "The images of {titles} are the paper's own, but the annotated ones: each part of them was "
    "scored by a network that was trained on others. The paper's figures are of hidden test images."
)

MAPS = (
    "Each error of a map is that of the best of 10 thresholds, as in the challenge. The warping "
    "error of the challenge counts a split or a merger once and nothing else; ours counts every "
    "pixel that is wrong after warping. The Rand error joins no two pixels of a membrane, as the "
    "challenge does, unless it says otherwise. The pixel error is 1 - F, as there, and the share "
    "of wrong pixels."
)

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to train and to predict."""

    title: str
    train: TrainConfig
    predict: PredictConfig


def methods(full: bool, seconds: float) -> list[Method]:
    """Return what is compared, for so many seconds of training each."""
    # the paper worked at full resolution and learned from all that was annotated
    as_published: dict[str, Any] = {"recipe": "paper", "downsample": 1, "validate": False}
    if full:
        config = TrainConfig(seconds=seconds, base_channels=64, depth=4, **as_published)
        title = "the paper's recipe and network, 7 rotations"
        return [Method(title=title, train=config, predict=PredictConfig(rotations=7))]
    cpu: dict[str, Any] = {"device": "cpu"}
    return [
        Method(
            title="default recipe",
            train=TrainConfig(seconds=seconds, **cpu),
            predict=PredictConfig(**cpu),
        ),
        Method(
            title="the paper's recipe, small network, 7 rotations",
            train=TrainConfig(seconds=seconds, **as_published, **cpu),
            predict=PredictConfig(rotations=7, **cpu),
        ),
    ]


def measure(experiment: Experiment, method: Method) -> Row:
    """Train on every part and score all that was predicted together."""
    planes: list[Plane] = []
    found: list[Array] = []
    training = prediction = 0.0
    steps = []
    for fold in experiment.folds:
        segmenter, seconds = learn(fold.painted, method)
        began = time.perf_counter()
        planes += fold.scored
        found += [look(experiment, segmenter, plane.image, method) for plane in fold.scored]
        training += seconds
        prediction += time.perf_counter() - began
        steps.append(segmenter.provenance["steps"])
    if experiment.membranes:
        scores = membrane_scores([plane.truth for plane in planes], found)
    else:
        scores = cell_scores(planes, found)
    return {
        "experiment": experiment.title,
        "method": method.title,
        "scores": {name: best._asdict() for name, best in scores.items()},
        "scored images": len(planes),
        "steps": steps,
        "network": f"{segmenter.base_channels} channels, depth {segmenter.depth}",
        "downsample": segmenter.downsample,
        "training s": round(training, 1),
        "prediction s": round(prediction, 1),
    }


def learn(painted: Sequence[nu.Annotation], method: Method) -> tuple[nu.Segmenter, float]:
    """Train once; return also the seconds that took."""
    train = nu.train  # loads torch, which is no training
    began = time.perf_counter()
    for event in train(painted, method.train):
        segmenter = event.segmenter
    return segmenter, time.perf_counter() - began


def look(experiment: Experiment, segmenter: nu.Segmenter, image: Array, method: Method) -> Array:
    """Return the map of no membranes of an image, or its cells."""
    if experiment.membranes:
        foreground: Array = nu.probabilities(segmenter, image, method.predict)[1]
        return foreground
    return nu.segment(segmenter, image, method.predict)


def map_hidden(experiment: Experiment, method: Method, out: Path) -> Path:
    """Train on all that is annotated and map the test volume."""
    assert experiment.hidden is not None
    everything = [plane.annotation() for fold in experiment.folds for plane in fold.scored]
    segmenter, _ = learn(everything, method)
    maps = [look(experiment, segmenter, section[None], method) for section in experiment.hidden]
    path = out / f"isbi-test-{method.train.recipe}.tif"
    write_map(path, np.stack(maps))
    return path


def report(asked: Sequence[Experiment], rows: Sequence[Row], ran_on: str) -> str:
    """Return all that was found as Markdown."""
    titles = list(dict.fromkeys(row["method"] for row in rows))
    found = {(row["experiment"], row["method"]): row for row in rows}
    lines = [f"On {ran_on}.", "", line(["images", "score", "the paper", *titles])]
    lines.append("|---" * (len(titles) + 3) + "|")
    done = [e for e in asked if any((e.title, title) in found for title in titles)]
    for experiment in done:
        each = [found.get((experiment.title, title), {}).get("scores", {}) for title in titles]
        for name in max(each, key=len):
            published = str(experiment.paper.get(name, "-"))
            values = [shown(scores.get(name)) for scores in each]
            lines.append(line([experiment.title, name, published, *values]))
    columns = ["network", "downsample", "steps", "training s", "prediction s", "scored images"]
    lines += ["", line(["images", "method", *columns]), "|---" * (len(columns) + 2) + "|"]
    lines += [line([r["experiment"], r["method"], *(r[c] for c in columns)]) for r in rows]
    lines += ["", *(f"- {experiment.title}: {experiment.data}." for experiment in done)]
    for sentence, original in ((STAND_INS, False), (ORIGINALS, True)):
        named = [experiment.title for experiment in done if experiment.original is original]
        if named:
            lines += ["", textwrap.fill(sentence.format(titles=" and ".join(named)), 100)]
    if any(experiment.membranes for experiment in done):
        lines += ["", textwrap.fill(MAPS, 100)]
    return "\n".join(lines) + "\n"


def line(cells: Sequence[object]) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def shown(score: dict[str, float] | None) -> str:
    """Return a score as it is printed, with its threshold if it has one."""
    if score is None:
        return "-"
    best = Best(**score)
    digits = f"{best.value:.3g}" if best.value < 0.01 else f"{best.value:.4f}"
    return digits if best.threshold is None else f"{digits} (at {best.threshold:.1f})"


def options(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="2 CPU cores, below 30 min (default)")
    size.add_argument("--full", action="store_true", help="the paper's network, for a GPU")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--seconds", type=float, help="of each training (240; with --full 3600)")
    parser.add_argument("--out", type=Path, help="folder for results.json and results.md")
    parser.add_argument("--isbi", type=Path, help="folder of the ISBI 2012 challenge")
    parser.add_argument("--phc", type=Path, help="folder of PhC-C2DH-U373")
    parser.add_argument("--dic", type=Path, help="folder of DIC-C2DH-HeLa")
    return parser.parse_args(given)


def run(args: argparse.Namespace) -> None:
    """Read all images, then train and score, and write after each method."""
    folders = {"em": args.isbi, "phase": args.phc, "dic": args.dic}
    asked = [EXPERIMENTS[name](folders[name]) for name in args.only]
    seconds = args.seconds or SECONDS["full" if args.full else "quick"]
    if not args.full:
        os.environ.setdefault("OMP_NUM_THREADS", THREADS)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for experiment in asked:
        for method in methods(args.full, seconds):
            rows.append(measure(experiment, method))
            print(json.dumps(rows[-1]), flush=True)
            text = save(args.out, asked, rows, seconds)
            if args.out is not None and experiment.hidden is not None:
                print(f"wrote {map_hidden(experiment, method, args.out)}", flush=True)
    print(text)


def save(out: Path | None, asked: Sequence[Experiment], rows: Sequence[Row], seconds: float) -> str:
    """Return the report; write it to the folder, if there is one."""
    from sidebyside import machine  # brings torch, which the engine must be ahead of

    ran_on = f"{machine('napari-live-unet', 'torch')}, {seconds:g} s of each training"
    text = report(asked, rows, ran_on)
    if out is not None:
        content = {"machine": ran_on, "rows": rows}
        (out / "results.json").write_text(json.dumps(content, indent=1) + "\n")
        (out / "results.md").write_text(text)
    return text


def main(given: Sequence[str] | None = None) -> int:
    """Run; return the exit code: 3 for images that are missing or do not fit, 4 for resources."""
    try:
        run(options(given))
    except nu.InputError as error:
        print(error, file=sys.stderr)
        return 3
    except nu.UNetError as error:
        print(error, file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
