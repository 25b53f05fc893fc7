"""Whole data sets through the command line: train on a little, segment all of it, score.

    python tests/benchmarks/batches.py --out results [--only nuclei tissue movie mosaic ovule]

Every case is what a user would type: ``napari-unet train`` on painted labels for a minute, then
``napari-unet segment`` on files. The commands and what came of them are printed and written to
``results.json``; what is segmented stays in the folder. Images come from NAPARI_UNET_DATA or
``../shared/data``. The painted image counts in no score.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from kinds import DATA, UNSEEN, Array, largest_pieces, read, strokes
from sidebyside import machine

from napari_unet import metrics

SIDE = 16_384
"""Of the mosaic, in pixels."""

VOXEL = (0.284, 0.127, 0.127)
"""Of the ovule, in micrometres."""

Facts = dict[str, Any]


def run(*arguments: object) -> Facts:
    """Run the program; return what it took."""
    words = [str(word) for word in arguments]
    print("$ napari-unet", *words, flush=True)
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run([sys.executable, "-m", "napari_unet.cli", *words], check=True)
    facts: Facts = {"seconds": round(time.perf_counter() - began, 1)}
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if peak > before:  # else one that ran earlier was larger
        facts["MiB"] = peak // 1024
    return facts


def train(folder: Path, images: Array, labels: Array, meaning: str, seconds: float) -> Path:
    """Save painted images (Y, X) or (C, Y, X), one file each, and train on them."""
    for name, arrays in {"painted": images, "labels": labels}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index, array in enumerate(arrays):
            axes = "CYX" if array.ndim == 3 else "YX"
            tifffile.imwrite(folder / name / f"{index}.tif", array, metadata={"axes": axes})
    model = folder / "model.unet"
    run(
        "train", folder / "painted", "--labels", folder / "labels", "--meaning", meaning,
        "-o", model, "--seconds", seconds,
    )  # fmt: skip
    return model


def mean_score(truth: Array, found: Array, without: tuple[int, ...] = ()) -> float:
    """Return the mean SEG over planes."""
    planes = [k for k in range(len(truth)) if k not in without]
    return round(float(np.mean([metrics.seg_score(truth[k], found[k]) for k in planes])), 3)


def nuclei(folder: Path, seconds: float) -> Facts:
    """Ten nuclei painted on one of 140 fluorescence images; all of them segmented.

    Those that the starter model was trained on count in no score.
    """
    images, truth = (read(f"nuclei_dsb2018/fluo520x696-{part}.tif") for part in ("images", "masks"))
    painted = strokes(truth[19], 10, np.random.default_rng(0))
    model = train(folder, images[19:20], painted[None], "scribbles", seconds)
    files = [DATA / f"nuclei_dsb2018/{name}-images.tif" for name in UNSEEN]
    facts = run("segment", model, *files, "-o", folder / "out", "--measure", "csv")
    for name, unseen in UNSEEN.items():
        found = tifffile.imread(folder / "out" / f"{name}-images_labels.tif")
        masks = read(f"nuclei_dsb2018/{name}-masks.tif")
        without = {*range(len(masks))} - unseen | ({19} if name == "fluo520x696" else set())
        facts[f"SEG {name}"] = mean_score(masks, found, tuple(without))
    return facts


def tissue(folder: Path, seconds: float) -> Facts:
    """Two of twelve images of stained tissue painted; all of them segmented."""
    images, truth = (read(f"nuclei_dsb2018/rgb256x320-{part}.tif") for part in ("images", "masks"))
    chosen = (3, 9)
    colours = np.moveaxis(images, -1, 1)
    model = train(folder, colours[[*chosen]], truth[[*chosen]], "instances", seconds)
    file = DATA / "nuclei_dsb2018/rgb256x320-images.tif"
    facts = run("segment", model, file, "-o", folder / "out", "--measure", "csv")
    found = tifffile.imread(folder / "out" / "rgb256x320-images_labels.tif")
    return {**facts, "SEG": mean_score(truth, found, chosen)}


def movie(folder: Path, seconds: float) -> Facts:
    """Twenty nuclei painted on the first frame of a movie; all frames segmented and tracked."""
    images, truth = (read(f"movie_hela/{part}.tif") for part in ("images", "masks"))
    painted = strokes(truth[0], 20, np.random.default_rng(0))
    model = train(folder, images[:1], painted[None], "scribbles", seconds)
    file = DATA / "movie_hela/images.tif"
    facts = run("segment", model, file, "-o", folder / "out", "--link", "tracks")
    found = tifffile.imread(folder / "out" / "images_labels.tif")
    frames = [set(np.unique(plane)) - {0} for plane in found]
    facts["tracks"] = len(set.union(*frames))
    facts["in every frame"] = len(set.intersection(*frames))
    return {**facts, "SEG": mean_score(truth, found, (0,))}


def mosaic(folder: Path, seconds: float) -> Facts:
    """One phase contrast field painted; a plane of 16 384 x 16 384 pixels made of the others."""
    images, truth = (read(f"phase_t98g/{part}.tif") for part in ("images", "masks"))
    labels = largest_pieces(truth[0])[None]
    model = train(folder, images[:1], labels, "instances", seconds)
    step = min(images.shape[1:])
    plane = zarr.create_array(
        folder / "mosaic.zarr", shape=(SIDE, SIDE), chunks=(step, step), dtype=images.dtype
    )
    rng = np.random.default_rng(0)
    for y in range(0, SIDE, step):
        for x in range(0, SIDE, step):
            field = np.rot90(images[rng.integers(1, len(images)), :step, :step], rng.integers(4))
            room = plane[y : y + step, x : x + step].shape
            plane[y : y + step, x : x + step] = field[: room[0], : room[1]]
    facts = run(
        "segment", model, folder / "mosaic.zarr", "-o", folder / "out", "--format", "ome-zarr"
    )
    found = zarr.open_array(folder / "out" / "mosaic_labels.ome.zarr" / "0", mode="r")
    numbers = np.unique(
        np.concatenate([np.unique(found[..., y : y + 2048, :]) for y in range(0, SIDE, 2048)])
    )
    gaps = int(numbers.max()) - len(numbers) + 1
    return {**facts, "cells": int(numbers.max()), "numbers missing": gaps}


def ovule(folder: Path, seconds: float) -> Facts:
    """Three of a hundred sections painted; all segmented, and made into nuclei in both ways."""
    image, truth = (read(f"nuclei_3d/{part}.tif") for part in ("image", "mask"))
    chosen = [30, 50, 70]
    model = train(folder, image[chosen], truth[chosen], "instances", seconds)
    file = folder / "ovule.tif"
    size = dict(zip(("PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"), VOXEL, strict=True))
    tifffile.imwrite(file, image, ome=True, metadata={"axes": "ZYX", **size})
    facts: Facts = {"nuclei": len(np.unique(truth)) - 1}
    for link in ("objects", "volume"):
        took = run("segment", model, file, "-o", folder / link, "--link", link)
        found = tifffile.imread(folder / link / "ovule_labels.tif")
        facts[link] = took | {
            "objects": len(np.unique(found)) - 1,
            "SEG": round(metrics.seg_score(truth, found), 3),
            "AP50": round(metrics.average_precision(truth, found), 3),
        }
    return facts


CASES: dict[str, Callable[[Path, float], Facts]] = {
    "nuclei": nuclei,
    "tissue": tissue,
    "movie": movie,
    "mosaic": mosaic,
    "ovule": ovule,
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for results")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seconds", type=float, default=60, help="of each training")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"There is no folder {DATA}; set NAPARI_UNET_DATA.")
    found = {"machine": machine("torch", "numpy", "zarr", "tifffile")}
    for name in arguments.only:
        found[name] = CASES[name](arguments.out / name, arguments.seconds)
        print(name, json.dumps(found[name]), flush=True)
    (arguments.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
