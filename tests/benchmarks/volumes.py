"""What each step from planes to 3D objects gives, on nuclei of an ovule.

    python tests/benchmarks/volumes.py

Trains on three painted sections of ``nuclei_3d``, three times with other sections, and makes 3D
objects of the whole stack, and of every third, sixth and eighth plane, in several ways. Prints a
line of JSON for each: means over the trainings, and the single scores. Images come from
NAPARI_UNET_DATA or ``../shared/data``. The painted sections are three of a hundred and count like
all others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from kinds import Array, read
from linking import SPACING

import napari_unet as nu
from napari_unet import metrics
from napari_unet.core.annotation import Annotation
from napari_unet.core.linkstack import link_into
from napari_unet.engine.cells import find_cells, necks_in_3d
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.volume import finding_cells, predicting_sections

PAINTED = ([30, 50, 70], [25, 45, 65], [35, 55, 75])
CONFIG = nu.PredictConfig(device="cpu")
ALL = (0, 1, 2)

STEPS = (1, 3, 6, 8)
"""From a plane that is used to the next one."""

Make = Callable[[Segmenter, Array, float], Array]


def objects(
    axes: tuple[int, ...], *, split: bool = True, smooth: bool = True, known: bool = True
) -> Make:
    """Return what makes 3D objects of a stack: from these axes, cut, smoothed, at its spacing."""

    def make(model: Segmenter, image: Array, spacing: float) -> Array:
        spacing = spacing if known else 1.0
        mean = np.zeros(image.shape, np.float32)
        for _ in predicting_sections(model, image[None], mean, spacing, CONFIG, axes):
            pass
        mean /= len(axes)
        labels = np.zeros(image.shape, np.uint32)
        if smooth:
            for z, cells in finding_cells(model, mean, spacing, CONFIG):
                labels[z] = cells
        else:
            labels[...] = [find_cells(model, plane, CONFIG) for plane in mean]
        necks = necks_in_3d(model, CONFIG, spacing)
        link_into(labels, labels, "objects", necks if split else replace(necks, depth=0.0))
        return labels

    return make


WAYS: dict[str, Make] = {
    "planes, linked by overlap": objects((0,), split=False, smooth=False),
    "and cut at necks": objects((0,), smooth=False),
    "and smoothed": objects((0,)),
    "planes and sections XZ": objects((0, 1)),
    "all axes, not smoothed": objects(ALL, smooth=False),
    "all axes, not cut": objects(ALL, split=False),
    "all axes": objects(ALL),
    "all axes, spacing not known": objects(ALL, known=False),
}


def main() -> None:
    """Train, and make objects in every way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1500, help="of each training")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    image, truth = (read(f"nuclei_3d/{part}.tif") for part in ("image", "mask"))
    models = []
    for seed, chosen in enumerate(PAINTED):
        painted = [Annotation(image[z], truth[z], "instances") for z in chosen]
        config = nu.TrainConfig(seconds=0, steps=arguments.steps, device="cpu", seed=seed)
        *_, last = nu.train(painted, config)
        models.append(last.segmenter)
    for step in STEPS:
        for name, make in WAYS.items():
            began = time.perf_counter()
            found = [make(model, image[::step], step * SPACING) for model in models]
            scores = [_scores(truth[::step], labels) for labels in found]
            row: dict[str, Any] = {"planes": step, "way": name}
            for score in scores[0]:
                row[score] = round(float(np.mean([one[score] for one in scores])), 3)
            row["each"] = [[one["SEG"], one["AP50"]] for one in scores]
            row["seconds"] = round((time.perf_counter() - began) / len(models), 1)
            print(json.dumps(row), flush=True)


def _scores(truth: Array, found: Array) -> dict[str, float]:
    return {
        "SEG": round(metrics.seg_score(truth, found), 3),
        "AP50": round(metrics.average_precision(truth, found), 3),
        "objects": len(np.unique(found)) - 1,
        "of": len(np.unique(truth)) - 1,
    }


if __name__ == "__main__":
    main()
