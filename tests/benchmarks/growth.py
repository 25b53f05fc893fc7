"""How time and memory grow with what there is to do.

One command, a few minutes::

    python tests/benchmarks/growth.py --json growth.json --plot docs/images/growth.png

Every point is a process of its own that does one thing with the default network (16 channels,
depth 3) and reports its time and the memory it grew by. The exponent is the slope in a plot of
logarithms: 1 is linear, 0 is flat. ``pip install matplotlib`` brings the plot.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sidebyside import Result, machine, torch, write

from napari_unet.core.annotation import Annotation
from napari_unet.core.boundary import boundary_weight_map
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.unet import UNet
from napari_unet.engine.cells import find_cells
from napari_unet.engine.inference import predict, segment
from napari_unet.engine.learning.learner import Learner
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.recipe import recipe_named
from napari_unet.engine.segmenter import Segmenter

Work = Callable[[], object]

SERIES = {
    "pixels": ("predict a plane, disk to disk", [1024, 2048, 4096, 8192], "side", 1.0, 0.0),
    "planes": ("predict planes of 1024 x 1024, disk to disk", [2, 4, 8, 16], "planes", 1.0, 0.0),
    "segment": ("segment a plane in memory", [1024, 2048, 4096], "side", 1.0, None),
    "weights": ("weight map, 2048 x 2048", [64, 256, 1024, 4096], "cells", 0.0, 0.0),
    "cells": ("find cells, 2048 x 2048", [64, 256, 1024, 4096], "cells", 0.0, 0.0),
    "prepare": ("prepare painted labels, 4096 x 4096", [1, 4, 16, 64], "64ths painted", None, None),
    "steps": ("50 steps of training, 4096 x 4096", [1, 4, 16, 64], "64ths painted", 0.0, 0.0),
}
"""Of each: what it does, sizes, their meaning, exponents hoped for of time and memory."""


def model() -> Segmenter:
    """The default network with random weights."""
    torch.manual_seed(0)
    empty = Segmenter(weights={}, in_channels=1, n_classes=2, base_channels=16, depth=3)
    return empty.with_weights(UNet(1, 2, 16, 3))


def discs(side: int, cells: int) -> NDArray[np.uint16]:
    """Discs on a grid, as large as there is room, nearly touching."""
    rows = round(cells**0.5)
    step = side / rows
    y, x = np.ogrid[:side, :side]
    row, column = (y // step).astype(int), (x // step).astype(int)
    inside = ((y % step - step / 2) ** 2 + (x % step - step / 2) ** 2) < (0.48 * step) ** 2
    return np.where(inside, row * rows + column + 1, 0).astype(np.uint16)


def stored(folder: str, shape: tuple[int, ...], dtype: Any, name: str) -> Any:
    """A zarr array in chunks of 512 x 512."""
    import zarr

    chunks = (*(1 for _ in shape[:-2]), 512, 512)
    return zarr.create_array(f"{folder}/{name}", shape=shape, chunks=chunks, dtype=dtype)


def noise(array: Any) -> None:
    """Fill an image on disk, band by band."""
    rng = np.random.default_rng(0)
    for index in np.ndindex(array.shape[:-2]):
        for top in range(0, array.shape[-2], 512):
            array[(*index, slice(top, top + 512))] = rng.integers(
                0, 4096, (512, array.shape[-1]), np.uint16
            )


def predicting(folder: str, spatial: tuple[int, ...]) -> Work:
    """Predict the classes of an image on disk."""
    image, out = stored(folder, (1, *spatial), "u2", "in"), stored(folder, spatial, "u1", "out")
    noise(image)
    segmenter = model()
    list(predict(segmenter, np.zeros((64, 64), np.uint16), np.zeros((64, 64), np.uint8)))
    return lambda: sum(1 for _ in predict(segmenter, image, out, PredictConfig(device="cpu")))


def segmenting(side: int) -> Work:
    """Segment discs in memory."""
    image = (discs(side, side**2 // 1024) > 0).astype(np.float32)
    segmenter = model()
    return lambda: segment(segmenter, image, PredictConfig(device="cpu"))


def painted(share: int) -> Annotation:
    """The first 64ths of a large plane are painted, the rest is not labelled."""
    side = 4096
    labels = discs(side, 4096) + np.uint16(1)
    labels[side * share // 64 :] = 0
    image = (labels > 1).astype(np.float32)
    return Annotation(image, labels, "scribbles")


def preparing(share: int) -> Work:
    """From painted labels to what is trained on."""
    annotation = painted(share)
    return lambda: prepare([annotation], TrainConfig(device="cpu"), None, torch.device("cpu"))


def stepping(share: int) -> Work:
    """Steps, when all is prepared."""
    data = prepare([painted(share)], TrainConfig(device="cpu"), None, torch.device("cpu"))
    learner = Learner(model(), recipe_named("default"), 0, torch.device("cpu"))
    learner.take_step(data, 0.0)

    def steps() -> None:
        for _ in range(50):
            learner.take_step(data, 0.0)

    return steps


def work(what: str, size: int, folder: str) -> Work:
    """Return what is to be timed, with all before it done."""
    if what in ("weights", "cells"):
        labels = discs(2048, size)
        foreground = np.where(labels > 0, np.float32(0.9), np.float32(0.1))
        boundary_weight_map(labels[:64, :64])
        tasks: dict[str, Work] = {
            "weights": lambda: boundary_weight_map(labels),
            "cells": lambda: find_cells(model(), foreground, PredictConfig(min_size=0)),
        }
        return tasks[what]
    if what in ("pixels", "planes"):
        spatial = (size, size) if what == "pixels" else (size, 1024, 1024)
        return predicting(folder, spatial)
    return {"segment": segmenting, "prepare": preparing, "steps": stepping}[what](size)


def status(name: str) -> int:
    """Return a figure of Linux's account of the memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def measure(what: str, size: int) -> None:
    """Do one thing; print its seconds and bytes. For a process of its own."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        task = work(what, size, folder)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before, began = status("VmRSS"), time.process_time()
        task()
        seconds = time.process_time() - began
        print(json.dumps({"seconds": seconds, "bytes": status("VmHWM") - before}))


def exponent(sizes: list[float], values: list[float]) -> float:
    """Return the slope of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def plot(path: str, found: dict[str, list[dict[str, float]]]) -> None:
    """Draw time and memory of every series."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(2.6 * len(found), 4.6), sharex="col")
    for column, (what, points) in enumerate(found.items()):
        title, sizes, unit = SERIES[what][:3]
        for row, (key, scale, name) in enumerate(
            (("seconds", 1.0, "CPU seconds"), ("bytes", 2.0**-20, "MiB beside the input"))
        ):
            axis = axes[row, column]
            axis.plot(sizes, [point[key] * scale for point in points], "o-")
            axis.set(xscale="log", yscale="log")
            axis.set_xticks(sizes, [str(size) for size in sizes], minor=False)
            axis.minorticks_off()
            values = [point[key] * scale for point in points]
            axis.set_ylim(min(values) / 4, max(values) * 4)
            axis.grid(alpha=0.3)
            if column == 0:
                axis.set_ylabel(name)
        axes[0, column].set_title(title.replace(", ", ",\n"), fontsize=8)
        axes[1, column].set_xlabel(unit)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run every point in a process, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FILE")
    parser.add_argument("--only", choices=SERIES)
    parser.add_argument("--point", nargs=2, metavar=("WHAT", "SIZE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.point:
        measure(args.point[0], int(args.point[1]))
        return
    result = Result("Growth, 16 channels, depth 3, one thread, CPU time")
    found: dict[str, list[dict[str, float]]] = {}
    for what, (title, sizes, unit, time_hoped, memory_hoped) in SERIES.items():
        if args.only not in (None, what):
            continue
        points = []
        for size in sizes:
            command = [sys.executable, __file__, "--point", what, str(size)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            points.append(json.loads(ran.stdout.splitlines()[-1]))
            note = f"{points[-1]['bytes'] / 2**20:.0f} MiB"
            result.add(f"{title}: {size} {unit}", (points[-1]["seconds"],), note=note)
        found[what] = points
        grown = [float(size) ** 2 if unit == "side" else float(size) for size in sizes]
        for name, key, hoped in (
            ("time", "seconds", time_hoped),
            ("memory", "bytes", memory_hoped),
        ):
            slope = exponent(grown, [max(point[key], 1e-9) for point in points])
            result.add(
                f"    exponent of the {name}",
                (slope,),
                unit="",
                target="" if hoped is None else f"<= {hoped:g} + 0.1",
                met=None if hoped is None else slope <= hoped + 0.1,
            )
    write(args.json, result, machine("torch", "numpy", "zarr"))
    if args.plot:
        plot(args.plot, found)


if __name__ == "__main__":
    main()
