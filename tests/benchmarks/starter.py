"""Train the starter model: from drawn images of many kinds, and openly licensed nuclei.

    python tests/benchmarks/starter.py --out starter.safetensors [--seconds 3600]

Real images are the fluorescence images of BBBC038 (CC0), found through NAPARI_UNET_DATA or in
``../shared/data``; those in colour are left out, and so are the larger ones that
``tests/benchmarks/kinds.py`` paints on or scores. Every fifth of the smaller ones is not trained
on, nor are images drawn from another seed: on these it is scored at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from kinds import DATA, UNSEEN, read
from procedural import KINDS, draw
from torch import nn

import napari_unet as nu
from napari_unet.core.unet import UNet, output_size
from napari_unet.engine.learning.learner import Learner
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.recipe import recipe_named
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.segmenter import Segmenter

DRAWN = 70
"""Images of each drawn kind."""
SIDE = 256
DIAMETER = 20.0
"""Of the smaller cells, in pixels: specks below a tenth of their area are dropped."""

CONFIG = nu.TrainConfig(start="random", downsample=1, validate=False)
DEFAULT = recipe_named("default")
RECIPE = replace(
    DEFAULT,
    warm_up=400,
    average=0.999,
    border_limit=0.0,
    augmentation=replace(
        DEFAULT.augmentation, scale=0.6, contrast=0.5, brightness=0.15, illumination=0.5
    ),
)
"""Drawn images vary by themselves, so they are varied less than painted ones."""


def drawn(count: int, seed: int) -> list[nu.Annotation]:
    """Return drawn images of every kind."""
    pairs = [
        draw(kind, (SIDE, SIDE), np.random.default_rng([seed, number, which]))
        for which, kind in enumerate(KINDS)
        for number in range(count)
    ]
    return [nu.Annotation(image, labels) for image, labels in pairs]


def nuclei(name: str, *, seen: bool) -> list[nu.Annotation]:
    """Return real images that are trained on, in pieces of the side, or those that are not."""
    images, masks = (read(f"nuclei_dsb2018/{name}-{part}.tif") for part in ("images", "masks"))
    places = product(*(range(0, n - SIDE + 1, SIDE) for n in images.shape[1:]))
    pieces = [(slice(y, y + SIDE), slice(x, x + SIDE)) for y, x in places]
    chosen = [k for k in range(len(images)) if (k in UNSEEN[name]) != seen]
    return [nu.Annotation(images[k][piece], masks[k][piece]) for k in chosen for piece in pieces]


def prepared(images: list[nu.Annotation], seed: int = 0) -> TrainingSet:
    """Return images as a training sees them."""
    return prepare(images, replace(CONFIG, seed=seed), None, torch.device("cpu"))


def train(seconds: float, seed: int = 0) -> Segmenter:
    """Train for so long; the weights are averaged over more steps than when a user waits."""
    real = [one for name in UNSEEN for one in nuclei(name, seen=True)]
    data = prepared([*drawn(DRAWN, seed), *real], seed)
    torch.manual_seed(seed)
    start = Segmenter(
        weights={}, in_channels=1, n_classes=2,
        base_channels=CONFIG.base_channels, depth=CONFIG.depth, diameter=DIAMETER,
    ).with_weights(UNet(1, 2, CONFIG.base_channels, CONFIG.depth))  # fmt: skip
    learner, told = Learner(start, RECIPE, seed, data.planes[0].image.device), 0
    began, losses = time.process_time(), list[float]()
    while (spent := time.process_time() - began) < seconds:
        losses.append(learner.take_step(data, spent / seconds))
        if spent > told:
            print(f"{spent:6.0f} s  step {learner.step:6d}  loss {np.mean(losses[-500:]):.4f}")
            sys.stdout.flush()
            told += 60
    return start.with_weights(
        learner.average, steps=learner.step, seconds=round(seconds), version=nu.__version__
    )


def scores(segmenter: Segmenter) -> dict[str, float]:
    """Return SEG on images that were not trained on, kind by kind."""
    found = {}
    fresh = drawn(6, 1)
    groups = {kind: fresh[6 * i : 6 * i + 6] for i, kind in enumerate(KINDS)}
    for name, images in {**groups, "BBBC038": nuclei("fluo256", seen=False)}.items():
        each = [
            nu.metrics.seg_score(one.labels, nu.segment(segmenter, one.image)) for one in images
        ]
        found[name] = round(float(np.mean(each)), 3)
    return found


def silent_nodes(segmenter: Segmenter) -> int:
    """Return how many nodes behind a ReLU are 0 at every pixel of drawn images."""
    network = segmenter.network()
    highest: dict[nn.Module, torch.Tensor] = {}

    def look(module: nn.Module, _: object, said: torch.Tensor) -> None:
        """Keep the highest value of each node."""
        now = said.amax((0, 2, 3))
        highest[module] = torch.maximum(highest.get(module, now), now)

    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(look)
    side = max(each for each in range(SIDE) if output_size(each, network.depth))
    with torch.inference_mode():
        for plane in prepared(drawn(6, 1)).planes:
            network(plane.image[None, :, :side, :side])
    return int(sum((each == 0).sum() for each in highest.values()))


def main() -> None:
    """Train, score, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="model file to write")
    parser.add_argument("--seconds", type=float, default=3600, help="of CPU time for the training")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    segmenter = train(arguments.seconds)
    segmenter.save(arguments.out)
    print(json.dumps(scores(segmenter) | {"silent nodes": silent_nodes(segmenter)}))


if __name__ == "__main__":
    main()
