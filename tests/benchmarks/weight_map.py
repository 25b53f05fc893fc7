"""How long the boundary weight map takes, beside one distance transform per cell.

One command::

    python tests/benchmarks/weight_map.py --json weight_map.json

compares with the loop over cells, on 1024 x 1024 pixels with 50, 500 and 2 000 cells. The loop is
timed for some of the cells and scaled to all of them. Then it measures how time and memory grow
with the image, the same map by torch, what one stroke costs, and how long numba compiles. One
thread, in CPU seconds; what runs on a GPU, and what starts a process, in seconds that pass.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.boundary import (
    around,
    boundary_weight_map,
    boundary_weights_in,
    separate_touching,
)
from napari_unet.core.nearesttwo import nearest_two

sys.path.insert(0, str(Path(__file__).parent))
from sidebyside import Result, interleaved, machine, write

SIDE = 1024
COUNTS = {50: None, 500: 250, 2000: 1500}
"""Cells, and how many times faster than the loop the map has to be."""

TIMED_CELLS = 25
SIDES = (1024, 2048, 4096, 8192)
BRUSH = 20

Labels = NDArray[np.int32]
Transform = Callable[[NDArray[np.bool_]], NDArray[np.floating]]


def field(side: int, count: int) -> Labels:
    """Draw ellipses on a jittered grid; some touch."""
    rng = np.random.default_rng(0)
    labels = np.zeros((side, side), dtype=np.int32)
    per_side = int(np.ceil(count**0.5))
    step = side / per_side
    for number in range(count):
        middle = (np.array(divmod(number, per_side)) + 0.5) * step + rng.uniform(-5, 5, 2)
        radii = rng.uniform(0.32, 0.48, 2) * step
        low = np.clip(middle - radii, 0, side - 1).astype(int)
        high = np.clip(middle + radii + 1, 1, side).astype(int)
        y, x = np.ogrid[low[0] : high[0], low[1] : high[1]]
        inside = ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 <= 1
        labels[low[0] : high[0], low[1] : high[1]][inside] = number + 1
    return labels


def loop(
    cells: Labels, ids: Sequence[int], transform: Transform
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Keep the two smallest of the distances to each cell, as the known programs do."""
    first = np.full(cells.shape, np.inf)
    second = first.copy()
    for number in ids:
        distance = transform(cells != number)
        np.minimum(second, np.maximum(first, distance), out=second)
        np.minimum(first, distance, out=first)
    return first, second


def by_number_of_cells(result: Result, repeats: int) -> None:
    """Time the map beside the loops, by SciPy and by the package ``edt``."""
    transforms: dict[str, Transform] = {"SciPy": ndimage.distance_transform_edt}
    try:
        transforms["edt"] = importlib.import_module("edt").edt
    except ImportError:
        result.add("loop by edt", note="not installed")
    own = {}
    for count, target in COUNTS.items():
        labels = field(SIDE, count)
        cells = separate_touching(labels)
        some = np.linspace(1, count, TIMED_CELLS).astype(int).tolist()
        competitors: dict[str, Callable[[], object]] = {
            "ours": lambda labels=labels: boundary_weight_map(labels)
        }
        for name, transform in transforms.items():
            competitors[name] = lambda c=cells, s=some, t=transform: loop(c, s, t)
        # often enough for a ratio of two short times
        own[count] = interleaved({"": competitors["ours"]}, 5 * repeats)[""]
        took = interleaved(competitors, repeats)
        result.add(f"{count} cells: map", own[count])
        for name in transforms:
            scaled = tuple(value * count / TIMED_CELLS for value in took[name])
            note = f"{TIMED_CELLS} cells timed, scaled to {count}"
            result.add(f"{count} cells: loop by {name}", scaled, note=note)
            times = f"{count} cells: loop by {name} / map"
            if target and name == "SciPy":
                result.ratio(
                    times, scaled, took["ours"], f">= {target}", lambda x, t=target: x >= t
                )
            else:
                ratio = float(np.median(scaled) / np.median(took["ours"]))
                result.add(times, (ratio,), unit="x")
    result.ratio(
        "map of 2000 / map of 50 cells", own[2000], own[50], "<= 1.5", lambda value: value <= 1.5
    )


def distances(result: Result) -> None:
    """Compare all distances, not only those that matter, with the whole loop over 50 cells."""
    cells = separate_touching(field(SIDE, 50))
    expected = loop(cells, range(1, 51), ndimage.distance_transform_edt)
    found = nearest_two(cells, (slice(0, SIDE),) * 2, (1.0, 1.0))
    worst = float(np.abs(np.subtract(found, expected)).max())
    result.add("largest error of d1, d2", (worst,), unit="px", target="<= 1e-4", met=worst <= 1e-4)


def growth(result: Result, sides: Sequence[int], repeats: int) -> None:
    """Time images of the same cells, more and more of them; and the memory beside the map."""
    tile = field(1024, 500)
    maps = {side: repeated(tile, side // 1024) for side in sides}
    took = interleaved(
        {str(side): lambda labels=maps[side]: boundary_weight_map(labels) for side in sides},
        repeats,
    )
    for side, labels in maps.items():
        per_pixel = tuple(1e9 * value / labels.size for value in took[str(side)])
        tracemalloc.start()
        weights = boundary_weight_map(labels)
        extra = (tracemalloc.get_traced_memory()[1] - weights.nbytes) / 1e6
        tracemalloc.stop()
        note = f"{int(labels.max())} cells"
        result.add(f"{side} x {side}: per pixel", per_pixel, unit="ns", note=note)
        result.add(f"{side} x {side}: memory beside the map", (extra,), unit="MB")
    small, large = sides[0], sides[-1]
    slope = np.log(np.median(took[str(large)]) / np.median(took[str(small)])) / np.log(
        (large / small) ** 2
    )
    result.add(
        f"growth {small} to {large}: time ~ pixels to the power",
        (float(slope),),
        unit="",
        target="0.9 to 1.1",
        met=bool(0.9 <= slope <= 1.1),
    )


def repeated(tile: Labels, times: int) -> Labels:
    """Lay a field out many times, with new cells each time."""
    steps = np.arange(times**2, dtype=np.int32).reshape(times, times) * tile.max()
    labels = np.tile(tile, (times, times))
    side = len(tile)
    for y in range(times):
        for x in range(times):
            part = labels[y * side : (y + 1) * side, x * side : (x + 1) * side]
            part[part > 0] += steps[y, x]
    return labels


def by_torch(result: Result, repeats: int) -> None:
    """Time the same map on the best device that torch has."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    for count in COUNTS:
        labels = field(SIDE, count)
        maps: dict[str, Callable[[], Any]] = {
            "numba": lambda labels=labels: boundary_weight_map(labels),
            "torch": lambda labels=labels: boundary_weight_map(labels, device=device),
        }
        clock = time.perf_counter if device == "cuda" else time.process_time
        took = interleaved(maps, repeats, clock)
        worst = float(np.abs(maps["torch"]() - maps["numba"]()).max())
        result.add(f"{count} cells: torch on {device}", took["torch"])
        result.add(
            f"{count} cells: largest difference",
            (worst,),
            unit="",
            target="0",
            met=worst == 0,
        )


def strokes(result: Result, repeats: int) -> None:
    """Time what is computed after a dab of the brush."""
    rng = np.random.default_rng(1)
    labels = field(2048, 2000)
    took = []
    for _ in range(repeats):
        y, x = rng.integers(BRUSH, 2048 - BRUSH, 2)
        dab = (slice(y - BRUSH // 2, y + BRUSH // 2), slice(x - BRUSH // 2, x + BRUSH // 2))
        began = time.process_time()
        boundary_weights_in(labels, around(dab, labels.shape, w0=10.0, sigma=5.0))
        took.append(time.process_time() - began)
    result.add(f"around a dab of {BRUSH} px", tuple(took), note="2048 x 2048, 2000 cells")


def start(result: Result, repeats: int) -> None:
    """Time the import that compiles the kernel, in new processes, without and with its cache."""
    code = (
        "import time, numpy, scipy; began = time.perf_counter();"
        "import napari_unet.core.nearesttwo_numba; print(time.perf_counter() - began)"
    )
    took: dict[str, list[float]] = {"first": [], "cached": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for name in took:
                done = subprocess.run(
                    [sys.executable, "-c", code],
                    check=True,
                    capture_output=True,
                    text=True,
                    env=os.environ | {"NUMBA_CACHE_DIR": folder},
                )
                took[name].append(float(done.stdout))
    for name, values in took.items():
        result.add(f"start of the kernel, {name}", tuple(values), note="numba's import included")


def main() -> None:
    """Measure, print a table, and write what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, images to 2048")
    parser.add_argument("--full", action="store_true", help="images to 16384")
    options = parser.parse_args()
    repeats = 2 if options.quick else 5
    sides = SIDES[:2] if options.quick else SIDES + ((16384,) if options.full else ())
    result = Result(f"Boundary weight map, {SIDE} x {SIDE} px unless a size is given")
    by_number_of_cells(result, repeats)
    distances(result)
    growth(result, sides, 1 if options.quick else 3)
    by_torch(result, min(repeats, 3))
    strokes(result, 20 * repeats)
    start(result, min(repeats, 3))
    write(options.json, result, machine("numpy", "scipy", "numba", "torch", "edt"))


if __name__ == "__main__":
    main()
