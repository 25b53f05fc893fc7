"""Train on each kind of image with the default recipe, or with some of its choices made otherwise.

    python tests/benchmarks/choices.py --steps 1200 [--kinds nuclei phase ...] [--start random]
        [--channels 32] [--set fan_in=0 warm_up=20 scale=0.6 ...] [--trainings 3]
        [--rotations 1 8] [--labels painted all]

``--set`` takes numbers of `napari_unet.engine.learning.recipe.Recipe` and of its augmentation. The
budget is steps on one thread, so what else runs on the machine changes nothing but the time. Prints
one line of JSON a training: the scores are means over the images that were not painted. Where there
are several trainings of a kind, the same labels train the model further. Where there are several
numbers of rotated copies to average over, the same model is scored with each. ``--labels all`` also
learns from all labels of the images that are neither painted nor scored.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from kinds import DATA, KINDS, Kind

import napari_unet as nu
from napari_unet.engine.learning import recipe as recipes
from napari_unet.engine.learning.recipe import Recipe


def changed(recipe: Recipe, settings: list[str]) -> Recipe:
    """Return a recipe with other numbers."""
    values = dict(setting.split("=") for setting in settings)
    own = {name: values.pop(name) for name in [*values] if name in {f.name for f in fields(recipe)}}
    augmentation = replace(recipe.augmentation, **numbers(recipe.augmentation, values))
    return replace(recipe, **numbers(recipe, own), augmentation=augmentation)


def numbers(of: object, values: dict[str, str]) -> dict[str, Any]:
    """Read numbers of the type that they have now."""
    return {name: type(getattr(of, name))(float(value)) for name, value in values.items()}


def trained(
    annotations: Sequence[nu.Annotation], config: nu.TrainConfig, start: nu.Segmenter | None
) -> nu.Segmenter:
    """Train a new model, or one further."""
    *_, last = nu.train(annotations, config, segmenter=start)
    return last.segmenter


def scores(kind: Kind, segmenter: nu.Segmenter, config: nu.PredictConfig) -> dict[str, float]:
    """Score on the images that were not painted."""
    each = [
        kind.score(
            truth,
            nu.segment(segmenter, image, config),
            nu.probabilities(segmenter, image, config),
        )
        for image, truth in kind.images
    ]
    return {name: round(float(np.mean([one[name] for one in each])), 3) for name in each[0]}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--images", choices=["develop", "report"], default="develop")
    parser.add_argument("--steps", type=int, default=1200, help="of each training")
    parser.add_argument("--trainings", type=int, default=1, help="of each kind, one after another")
    parser.add_argument("--start", choices=["starter", "random"], default="starter")
    parser.add_argument("--channels", type=int, default=16, help="of the first level")
    parser.add_argument("--rotations", type=int, nargs="+", default=[1], help="to average over")
    parser.add_argument("--labels", nargs="+", choices=["painted", "all"], default=["painted"])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    torch.set_num_threads(1)
    recipes.DEFAULT = changed(recipes.DEFAULT, arguments.set)
    config = nu.TrainConfig(
        seconds=0,
        steps=arguments.steps,
        start=arguments.start,
        base_channels=arguments.channels,
        device="cpu",
    )
    for name, labels in itertools.product(arguments.kinds, arguments.labels):
        kind, segmenter = KINDS[name](arguments.images), None
        annotations = kind.painted + (kind.others if labels == "all" else [])
        for _ in range(arguments.trainings):
            began = time.process_time()
            segmenter = trained(annotations, config, segmenter)
            spent = round(time.process_time() - began, 1)
            found = {"CPU s": spent, "core": segmenter.core, "split": segmenter.split}
            for rotations in arguments.rotations:
                predict = nu.PredictConfig(rotations=rotations, device="cpu")
                row = {"images": name, "labels": labels, "rotations": rotations}
                row |= scores(kind, segmenter, predict) | found
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
