"""How good each of three methods is after 10, 30, 60 and 300 s of training, side by side.

    python tests/benchmarks/learning_curves.py --out results [--kinds nuclei] [--methods ours]
        [--seconds 10 30 60 300] [--split report] [--seeds 1]

Ours, a random forest and a U-Net of MONAI (peers.py) get the same images, the same painted labels
(kinds.py), the same seconds and 2 threads. Every training runs in a process of its own, and the
methods take turns. With ``--seeds 4`` every training is run four times with other random numbers,
and the mean is compared. Writes ``learning_curves.json`` (what is in it already is not run again,
so a long run can be broken off), and from all of it ``learning_curves.md`` and
``learning_curves.png``. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
from children import children
from kinds import DATA, HIGHER, KINDS, Kind, Split
from peers import MOST_PIXELS, TREES, cells, forest, monai_unet, sizes

THREADS = 2

METHODS = {"ours": "Live U-Net", "forest": "random forest", "monai": "MONAI U-Net"}

NEEDS = {"ours": "napari_unet", "forest": "sklearn", "monai": "monai"}

COLOURS = {"ours": "#0072b2", "forest": "#e69f00", "monai": "#009e73"}

SHOWN = dict.fromkeys(KINDS, ("SEG",)) | {
    "membranes": ("pixel error", "Rand error"),
    "axons": ("IoU",),
}
"""The scores of each kind that the table and the figure show."""

LATE = 1.1
"""A training that took longer than its seconds by this factor says so."""

TEXT = """
Scores of images that were not painted, mean over them, and of several trainings the mean, least and
most. Seconds are those of training; a figure in brackets is what it took, without imports, where
that is more than a tenth longer. All learn the same painted labels, on {threads} threads that wait
alike, each in a process of its own.

- **Live U-Net**: `train` with `TrainConfig(seconds=...)`, then `segment`; nothing else is set.
- **random forest** (the method of ilastik, Labkit and APOC): intensity, edges and texture at
  5 scales from sigma 1 to 16 of every channel, {trees} trees without a limit of depth, at most
  {pixels} labelled pixels drawn at random. Features and 10 trees are never broken off; once there
  are {trees} trees, more time changes nothing, and the same forest is shown.
- **MONAI U-Net**: `UNet`, channels 16 to 256, 2 residual units, padded; Adam 1e-3, Dice loss and
  cross entropy where labelled, one crop of 256 a step drawn around a labelled pixel (in so
  short a time better than the four of its tutorials), flips and quarter turns, percentiles 1 to
  99.8, sliding windows of 256 with an overlap of 0.25.

Cells of the other two are read from their probabilities in two ways, as connected components and
with our own splitting of touching cells; each score is that of whichever did better on the images
scored, which favours them.
"""

Row = dict[str, Any]


def learn(name: str, method: str, seconds: float, split: Split, seed: int) -> Row:
    """Train once and score; runs in a process of its own."""
    kind = KINDS[name](split)
    if method == "ours":
        found = score_ours(kind, seconds, seed)
    else:
        found = score_peer(kind, method, seconds, seed, max if HIGHER[name] else min)
    return key(name, method, seconds, split, seed) | found


def key(name: str, method: str, seconds: float, split: Split, seed: int) -> Row:
    """Return the part of a row that says which training it is of."""
    return {"kind": name, "method": method, "split": split, "seconds": seconds, "seed": seed}


def score_ours(kind: Kind, seconds: float, seed: int) -> Row:
    """Train and segment with this project."""
    import napari_unet as nu

    train = nu.train  # imports it, which is no training
    began = time.perf_counter()
    *_, last = train(kind.painted, nu.TrainConfig(seconds=seconds, seed=seed, device="cpu"))
    took = time.perf_counter() - began
    config = nu.PredictConfig(device="cpu")
    scores = []
    for image, truth in kind.images:
        labels = nu.segment(last.segmenter, image, config)
        scores.append(kind.score(truth, labels, nu.probabilities(last.segmenter, image, config)))
    rounds = last.segmenter.provenance["steps"]
    return {"scores": mean(scores), "took": round(took, 1), "rounds": rounds}


def score_peer(
    kind: Kind, method: str, seconds: float, seed: int, better: Callable[..., float]
) -> Row:
    """Train and segment with another method; read its cells in the way that scores better."""
    learned = {"forest": forest, "monai": monai_unet}[method](kind.painted, seconds, seed)
    classes = kind.painted[0].meaning == "classes"
    painted_sizes = {} if classes else sizes(kind.painted)
    scores = []
    for image, truth in kind.images:
        found = learned.probabilities(image)
        readings = (found.argmax(0) + 1,) if classes else cells(found, painted_sizes)
        scores.append([kind.score(truth, labels, found) for labels in readings])
    ways = [mean(each) for each in zip(*scores, strict=True)]
    chosen = {score: better(way[score] for way in ways) for score in ways[0]}
    return {"scores": chosen, "took": round(learned.took, 1), "rounds": learned.rounds}


def mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of every score over images."""
    return {name: round(float(np.mean([s[name] for s in scores])), 4) for name in scores[0]}


def run(rows: list[Row], name: str, method: str, seconds: float, split: Split, seed: int) -> Row:
    """Return a new row: of a training, or of the whole forest that needed no more time."""
    wanted = key(name, method, seconds, split, seed)
    if find_spec(NEEDS[method]) is None:
        return wanted | {"note": "not installed"}
    for row in rows:
        whole = row["method"] == "forest" and row.get("rounds") == TREES
        if whole and row["seconds"] < seconds and row | {"seconds": seconds} == row | wanted:
            return row | wanted
    with children() as pool:
        return pool.submit(learn, name, method, seconds, split, seed).result()


def read(path: Path, ran_on: str) -> list[Row]:
    """Return the rows that were measured before; on this machine with these versions only."""
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    if content["machine"] != ran_on:
        sys.exit(
            f"{path} was measured on {content['machine']}, this is {ran_on}: curves of different "
            f"machines or versions are not comparable; choose another --out."
        )
    rows: list[Row] = [{"seed": 0} | row for row in content["rows"] if "scores" in row]
    return rows


def together(rows: Sequence[Row]) -> dict[tuple[str, str, float], list[Row]]:
    """Put trainings that differ only in their random numbers together."""
    found: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        found.setdefault((row["kind"], row["method"], row["seconds"]), []).append(row)
    return found


def value(rows: Sequence[Row], score: str) -> str:
    """Return what the table says of one training, or of several."""
    if not rows:
        return "-"
    if any("scores" not in row for row in rows):
        return str(rows[0]["note"])
    scores = [row["scores"][score] for row in rows]
    said = f"{np.mean(scores):.3f}"
    if len(scores) > 1:
        return f"{said} [{min(scores):.3f} to {max(scores):.3f}]"
    late = rows[0]["took"] > LATE * rows[0]["seconds"]
    return said + (f" ({rows[0]['took']:.0f} s)" if late else "")


def table(rows: Sequence[Row], ran_on: str) -> str:
    """Return all scores as Markdown."""
    budgets = sorted({row["seconds"] for row in rows})
    found = together(rows)
    titles = ["images", "score", "method", *(f"{seconds:g} s" for seconds in budgets)]
    lines = [f"On {ran_on}.", "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name in (name for name in KINDS if any(row["kind"] == name for row in rows)):
        for score in SHOWN[name]:
            sign = score if HIGHER[name] else f"{score} (lower is better)"
            for method in METHODS:
                values = [value(found.get((name, method, each), ()), score) for each in budgets]
                lines.append(f"| {' | '.join([name, sign, METHODS[method], *values])} |")
    lines += ["", *filter(None, (ahead(found, seconds) for seconds in budgets))]
    text = TEXT.format(threads=THREADS, trees=TREES, pixels=f"{MOST_PIXELS:,}".replace(",", " "))
    return "\n".join(lines) + "\n" + text


def ahead(found: dict[tuple[str, str, float], list[Row]], seconds: float) -> str:
    """Say on which kinds ours has the best of every score; nothing where not all are known."""
    won, compared = [], 0
    for name in KINDS:
        each = [found.get((name, method, seconds), ()) for method in METHODS]
        if not all(rows and all("scores" in row for row in rows) for rows in each):
            continue
        compared += 1
        sign = 1 if HIGHER[name] else -1
        values = [[sign * middle(rows, score) for score in SHOWN[name]] for rows in each]
        if all(values[0][k] > max(v[k] for v in values[1:]) for k in range(len(SHOWN[name]))):
            won.append(name)
    if not compared:
        return ""
    names = f" ({', '.join(won)})" if won else ""
    return f"- After {seconds:g} s ours is ahead of both on {len(won)} of {compared}{names}."


def middle(rows: Sequence[Row], score: str) -> float:
    """Return the mean of a score over trainings."""
    return float(np.mean([row["scores"][score] for row in rows]))


def plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw a panel for every score; a training stands where it ended."""
    from matplotlib.figure import Figure

    kinds = [name for name in KINDS if any(row["kind"] == name for row in rows)]
    panels = [(name, score) for name in kinds for score in SHOWN[name]]
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(0.6 + 2.5 * columns, 0.7 + 2.2 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    budgets = sorted({row["seconds"] for row in rows})
    for axis, (name, score) in zip(axes, panels, strict=False):
        draw(axis, [row for row in rows if row["kind"] == name], score)
        lower = "" if HIGHER[name] else "\n(lower is better)"
        axis.set_title(f"{name}: {score}{lower}", fontsize=9)
        axis.set_xscale("log")
        axis.set_xticks(budgets, [f"{each:g}" for each in budgets])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    # not every panel has every method
    handles = {line.get_label(): line for axis in axes for line in axis.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3)
    figure.supxlabel("seconds of training", fontsize=9)
    figure.savefig(path, dpi=120, facecolor="white")


def draw(axis: Any, rows: Sequence[Row], score: str) -> None:
    """Draw one score of one kind."""
    for method, title in METHODS.items():
        points = sorted(
            (max(seconds, np.mean([row["took"] for row in each])), middle(each, score))
            for (_, of, seconds), each in together(rows).items()
            if of == method
        )
        if points:
            axis.plot(*zip(*points, strict=True), "o-", ms=4, color=COLOURS[method], label=title)


def save(out: Path, rows: Sequence[Row], split: Split, ran_on: str) -> None:
    """Write all that is known; the table and the figure show one split."""
    path = out / "learning_curves.json"
    content = {"machine": ran_on, "threads": THREADS, "rows": rows}
    path.with_suffix(".new").write_text(json.dumps(content, indent=1) + "\n")
    os.replace(path.with_suffix(".new"), path)
    shown = [row for row in rows if row["split"] == split]
    (out / "learning_curves.md").write_text(table(shown, ran_on))
    drawn = [row for row in shown if "scores" in row]
    if drawn and find_spec("matplotlib") is not None:
        plot(out / "learning_curves.png", drawn)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seconds", nargs="+", type=float, default=[10, 30, 60, 300])
    parser.add_argument("--split", choices=get_args(Split), default="report")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    return parser.parse_args()


def share_cores() -> None:
    """Give this process, and so every training, as many cores as there are to be threads."""
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    # threads that spin while they wait lose most where anything else runs; ours never do
    os.environ |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def main() -> None:
    """Run what is not known yet, and write after each training."""
    from sidebyside import machine  # brings torch, which a training must not find already loaded

    args = options()
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    args.out.mkdir(parents=True, exist_ok=True)
    share_cores()
    ran_on = machine("napari-live-unet", "torch", "scikit-learn", "scikit-image", "monai")
    rows = read(args.out / "learning_curves.json", ran_on)
    names = tuple(key("", "", 0, args.split, 0))
    known = {tuple(row[each] for each in names) for row in rows}
    trainings = product(args.kinds, sorted(args.seconds), range(args.seeds), args.methods)
    for name, seconds, seed, method in trainings:
        if tuple(key(name, method, seconds, args.split, seed).values()) not in known:
            rows.append(run(rows, name, method, seconds, args.split, seed))
            print(json.dumps(rows[-1]), flush=True)
            save(args.out, rows, args.split, ran_on)
    save(args.out, rows, args.split, ran_on)
    print((args.out / "learning_curves.md").read_text())
    if find_spec("matplotlib") is None:
        print("The figure was not drawn: matplotlib is not installed.")


if __name__ == "__main__":
    main()
