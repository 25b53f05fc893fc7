"""How long and how much memory it takes to segment one huge plane, from disk to disk.

One command; the largest plane takes most of an hour on two cores::

    python tests/benchmarks/huge.py --side 5000 10000 16384 40000 --out huge.json

A zarr array (uint16, made chunk by chunk of cells that touch) is segmented with the starter model
into another one, in a process of its own. Where the plane fits into memory, the cells are compared
with those found in one piece. The exponent is the slope of the logarithms of time and pixels: 1 is
linear; processor time tells whether something else ran.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from children import children
from sidebyside import Result, machine, write

from napari_unet.sample_data import touching_cells

SIDES = [5000, 10_000, 16_384]
PATCH = 1024
IN_ONE_PIECE = 16_384 * 16_384
"""Pixels of the largest plane whose cells are also found in one piece."""


def make(path: Path, side: int) -> None:
    """Make an image, patch by patch: four different ones, turned, each as bright as it likes."""
    import zarr

    image = zarr.create_array(path, shape=(1, side, side), chunks=(1, PATCH, PATCH), dtype="u2")
    drawn = [touching_cells((PATCH, PATCH), seed)[0] for seed in range(4)]
    rng = np.random.default_rng(0)
    for y in range(0, side, PATCH):
        for x in range(0, side, PATCH):
            patch = np.rot90(drawn[rng.integers(4)], rng.integers(4)) * rng.uniform(0.7, 1.0)
            part = image[0, y : y + PATCH, x : x + PATCH].shape
            image[0, y : y + PATCH, x : x + PATCH] = (patch * 50_000)[: part[0], : part[1]]


def alone(function: Callable[..., Any], *args: Any) -> Any:
    """Call in a process of its own, whose largest memory is that of the call."""
    with children() as pool:
        return pool.submit(function, *args).result()


def segment(folder: Path, side: int) -> dict[str, Any]:
    """Segment in this process; return seconds, memory and cells."""
    import zarr

    from napari_unet.core.config import PredictConfig
    from napari_unet.engine.blocks import segment_large
    from napari_unet.engine.starter import starter_model

    image = zarr.open_array(folder / "image.zarr", mode="r")
    shape, chunks = (side, side), (PATCH, PATCH)
    out = zarr.create_array(folder / "cells.zarr", shape=shape, chunks=chunks, dtype="u4")
    config = PredictConfig(device="cpu")
    began = time.perf_counter()
    for event in segment_large(starter_model(), image, out, config, folder / "scratch"):
        last = event
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    return {"seconds": seconds, "cpu": cpu, "MiB": used.ru_maxrss / 1024, "cells": last.objects}


def check(folder: Path, side: int, cells: int) -> str:
    """Look at the numbers, and where there is memory for it compare with the whole plane."""
    import zarr

    from napari_unet.core.config import PredictConfig
    from napari_unet.engine import blocks
    from napari_unet.engine.inference import segment
    from napari_unet.engine.starter import starter_model

    out = zarr.open_array(folder / "cells.zarr", mode="r")
    seen = np.zeros(cells + 1, dtype=bool)
    for top in range(0, side, PATCH):
        seen[out[top : top + PATCH]] = True
    if not seen.all():
        return f"WRONG: {(~seen).sum()} numbers are missing"
    if side * side > IN_ONE_PIECE:
        return f"ids 1 to {cells}, none missing"
    blocks.LARGE = IN_ONE_PIECE
    image = zarr.open_array(folder / "image.zarr", mode="r")
    whole = segment(starter_model(), image[...], PredictConfig(device="cpu"))
    differ = int((whole != out[...]).sum())
    return f"ids 1 to {cells}; {differ} pixels differ from the plane in one piece"


def run(side: int, folder: Path) -> dict[str, Any]:
    """Make, segment in a process, and check one plane."""
    make(folder / "image.zarr", side)
    found: dict[str, Any] = alone(segment, folder, side)
    found["note"] = alone(check, folder, side, found["cells"])
    return found


def main() -> None:
    """Run every side, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, nargs="+", default=SIDES)
    parser.add_argument("--out", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--folder", help="where there is room for planes")
    args = parser.parse_args()
    result = Result("Huge planes: starter model, CPU, zarr to zarr")
    times: dict[str, list[float]] = {"seconds": [], "cpu": []}
    for side in args.side:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            found = run(side, Path(folder))
        for name, values in times.items():
            values.append(found[name])
        speed = side * side / found["seconds"] / 1e6
        note = f"{speed:.3f} Mpixel/s, {found['cpu']:.0f} s of CPU; {found['note']}"
        result.add(f"{side} x {side}", (found["seconds"],), note=note)
        peak = found["MiB"]
        result.add("    peak memory", (peak,), unit="MiB", target="< 2048", met=peak < 2048)
        print(side, found, flush=True)
    if len(args.side) > 1:
        pixels = np.log(np.square(np.array(args.side, dtype=float)))
        for name, values in times.items():
            slope = float(np.polyfit(pixels, np.log(values), 1)[0])
            row = f"exponent of the {'time' if name == 'seconds' else 'processor time'}"
            result.add(row, (slope,), unit="", target="<= 1 + 0.1", met=slope <= 1.1)
    write(args.out, result, machine("torch", "numpy", "zarr"))


if __name__ == "__main__":
    main()
