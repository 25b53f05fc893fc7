"""Score images at other magnifications than the painted one, as they are and as it is found.

    python tests/benchmarks/magnifications.py [--kinds phase ...] [--images report] [--steps 1200]

Each image that was not painted is drawn smaller and larger, and segmented as if it had been taken
at the magnification of the painted ones, at the one `find_magnification` finds, and at the true
one. Prints a line of JSON a kind and size: means over the images.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
import torch
from choices import trained
from kinds import DATA, KINDS, Kind
from numpy.typing import NDArray
from skimage.transform import resize

import napari_unet as nu

SIZES = (0.5, 0.71, 1.0, 1.41, 2.0)
LARGEST = 1536
"""Pixels of a side of what is scored; of a larger image, the upper left."""

SCORES = ("SEG", "IoU", "pixel error")


def drawn(
    image: NDArray[Any], truth: NDArray[Any], size: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image (C, Y, X) and its truth (Y, X) so many times as large."""
    shape = tuple(round(n * size) for n in truth.shape)
    if size != 1:
        grey = [resize(c.astype(np.float32), shape, order=1, anti_aliasing=size < 1) for c in image]
        image = np.stack(grey)
        options = {"order": 0, "preserve_range": True, "anti_aliasing": False}
        truth = resize(truth, shape, **options).astype(truth.dtype)
    return image[:, :LARGEST, :LARGEST], truth[:LARGEST, :LARGEST]


def scored(
    kind: Kind, model: nu.Segmenter, image: NDArray[Any], truth: NDArray[Any], size: float
) -> float:
    """Return the first score of a kind that is known, at a magnification."""
    config = nu.PredictConfig(magnification=size)
    labels = nu.segment(model, image, config)
    scores = kind.score(truth, labels, nu.probabilities(model, image, config))
    return next(scores[name] for name in SCORES if name in scores)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    kinds = [name for name in KINDS if name != "artefact"]
    parser.add_argument("--kinds", nargs="*", choices=kinds, default=kinds)
    parser.add_argument("--images", choices=["develop", "report"], default="develop")
    parser.add_argument("--steps", type=int, default=1200, help="of each training")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    torch.set_num_threads(1)
    for name in arguments.kinds:
        kind = KINDS[name](arguments.images)
        model = trained(kind, nu.TrainConfig(seconds=0, steps=arguments.steps, device="cpu"), None)
        for size in SIZES:
            rows = []
            for image, truth in (drawn(*pair, size) for pair in kind.images):
                found = nu.find_magnification(model, [image])
                at = {found: 0.0, 1.0: 0.0, size: 0.0}
                at = {one: scored(kind, model, image, truth, one) for one in at}
                rows.append((at[1.0], at[found], at[size], found))
            means = np.mean([row[:3] for row in rows], axis=0).round(3).tolist()
            row = dict(zip(("as it is", "found", "true"), means, strict=True))
            found_at = [row[3] for row in rows]
            print(json.dumps({"images": name, "size": size, **row, "at": found_at}), flush=True)


if __name__ == "__main__":
    main()
