"""Are touching cells told apart: SEG of the true cells within 2 pixels of another one.

    python tests/benchmarks/touching.py --steps 1200 [--images report] [--models FOLDER]
        [--picture docs/images/touching.png]

Every kind of image is trained on with and without the boundary weight map; the cells are then found
in the same probabilities with and without each step that separates them. The membranes between
cells of nerve tissue are wider: there, cells within 12 pixels count. The budget is steps on one
thread, so what else runs on the machine changes nothing but the time. With ``--models`` the models
are kept, so that another look at them costs no training. Prints one line of JSON for each way.
``--picture`` draws the sample image instead, which is drawn by a program itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kinds import DATA, KINDS, Array

import napari_unet as nu
from napari_unet import metrics, sample_data
from napari_unet.core.annotation import Annotation
from napari_unet.engine.cells import find_cells

Way = tuple[dict[str, Any], nu.PredictConfig]

WIDE = 12
"""Pixels between cells of nerve tissue."""

WAYS: dict[str, Way] = {
    "as fitted (default)": ({}, nu.PredictConfig()),
    "border not given back": ({}, nu.PredictConfig(border=0)),
    "necks not cut": ({}, nu.PredictConfig(split=0)),
    "no watershed on the probabilities": ({"core": 0.0}, nu.PredictConfig()),
    "always that watershed": ({"core": 0.8}, nu.PredictConfig()),
    "both, not fitted": ({"core": 0.8, "split": 0.2}, nu.PredictConfig()),
    "neither necks nor watershed": ({"core": 0.0}, nu.PredictConfig(split=0)),
    "nothing at all": ({"core": 0.0}, nu.PredictConfig(split=0, border=0)),
}
"""What is changed in the Segmenter, and in the settings."""


def trained(painted: list[Annotation], config: nu.TrainConfig, kept: Path | None) -> nu.Segmenter:
    """Train, or load what was trained before."""
    if kept is not None and kept.exists():
        return nu.Segmenter.load(kept)
    *_, last = nu.train(painted, config)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        last.segmenter.save(kept)
    return last.segmenter


def only_touching(truth: Array, within: float) -> Array:
    """Leave out the cells that touch no other."""
    return np.where(np.isin(truth, metrics.touching_cells(truth, within)), truth, 0)


def scores(segmenter: nu.Segmenter, images: list[tuple[Array, Array]], within: float) -> Any:
    """Score each way: touching cells as the mean over all of them, others over the images."""
    foregrounds = [nu.probabilities(segmenter, image)[1] for image, _ in images]
    for name, (changed, config) in WAYS.items():
        model, each, pairs = replace(segmenter, **changed), [], []
        for foreground, (_, truth) in zip(foregrounds, images, strict=True):
            found, touching = find_cells(model, foreground, config), only_touching(truth, within)
            cells = len(np.unique(touching)) - 1
            pairs.append((cells, metrics.seg_score(touching, found)))
            each.append((metrics.seg_score(truth, found), metrics.average_precision(truth, found)))
        numbers, touching_scores = np.array(pairs).T
        seg, ap = np.mean(each, axis=0)
        yield {
            "way": name,
            "SEG touching": round(float(np.average(touching_scores, weights=numbers)), 3),
            "SEG": round(float(seg), 3),
            "AP50": round(float(ap), 3),
            "touching": int(numbers.sum()),
            "core": model.core,
            "split": model.split,
        }


def run(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train and score every kind."""
    for name in arguments.kinds:
        kind = KINDS[name](arguments.images)
        for w0 in arguments.w0:
            file = f"{name}-{arguments.images}-{arguments.start}-{arguments.steps}-{w0:g}"
            kept = arguments.models and arguments.models / f"{file}.safetensors"
            config = configured(arguments, w0)
            segmenter = trained(kind.painted, config, kept)
            for row in scores(segmenter, kind.images, WIDE if name == "membranes" else 2):
                yield {"images": name, "w0": w0, **row}


def configured(arguments: argparse.Namespace, w0: float) -> nu.TrainConfig:
    """Return how to train."""
    return nu.TrainConfig(
        seconds=0, steps=arguments.steps, start=arguments.start, w0=w0, device="cpu"
    )


def draw(path: Path, arguments: argparse.Namespace) -> None:
    """Draw a part of the sample: the truth, and the cells that three ways find."""
    from matplotlib.figure import Figure
    from skimage.segmentation import find_boundaries

    image, truth = sample_data.touching_cells((512, 512), seed=0)
    shown, known = sample_data.touching_cells((256, 256), seed=7)
    painted = [Annotation(image, sample_data.painted_scribbles(truth), "scribbles")]
    plain, weighted = (trained(painted, configured(arguments, w0), None) for w0 in (0.0, 10.0))
    bare = replace(plain, core=0.0), WAYS["nothing at all"][1]
    ways = {
        "no weight map, cells not cut": bare,
        "weight map, cells not cut": (replace(weighted, core=0.0), bare[1]),
        "as it is": (weighted, nu.PredictConfig()),
    }
    pictures = {"truth": known}
    for title, (model, config) in ways.items():
        foreground = nu.probabilities(model, shown[None])[1]
        pictures[title] = find_cells(model, foreground, config)
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    for axes, (title, labels) in zip(figure.subplots(1, 4), pictures.items(), strict=True):
        seg = metrics.seg_score(only_touching(known, 2), labels)
        axes.imshow(shown, cmap="gray")
        lines = np.ma.masked_equal(find_boundaries(labels, mode="inner"), False)
        axes.imshow(lines, cmap="autumn", interpolation="nearest")
        axes.set_title(title if title == "truth" else f"{title}: {seg:.2f}", fontsize=8)
        axes.axis("off")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    cells = ["nuclei", "phase", "dic", "membranes"]
    parser.add_argument("--kinds", nargs="*", choices=cells, default=cells)
    parser.add_argument("--images", choices=["develop", "report"], default="develop")
    parser.add_argument("--steps", type=int, default=1200, help="of each training")
    parser.add_argument("--start", choices=["starter", "random"], default="starter")
    parser.add_argument("--w0", nargs="*", type=float, default=[10.0, 0.0])
    parser.add_argument("--models", type=Path, help="folder in which models are kept")
    parser.add_argument("--picture", type=Path, help="draw the sample into this file instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.picture:
        draw(arguments.picture, arguments)
        return
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    for row in run(arguments):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
