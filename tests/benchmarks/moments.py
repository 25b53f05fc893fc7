"""How long the short things take that a user waits for without being told to.

    xvfb-run -a -s "-screen 0 1366x720x24" python tests/benchmarks/moments.py [--json FILE]

A dock that opens, ``--help``, the sample, a key that flies to an uncertain place, a look at a
stroke. Each has a limit above which it would be felt.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from sidebyside import Result, in_turns, interleaved, machine, write

from napari_unet import metrics
from napari_unet.core.uncertainty import most_uncertain
from napari_unet.sample_data import touching_cells
from napari_unet.viewer.edits import Edits

OPENING = """
import time
import napari
viewer = napari.Viewer(show=False)
viewer.open_sample("napari-live-unet", "touching_cells")
start = time.perf_counter()
viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
print(time.perf_counter() - start)
viewer.close()
"""

HELP = """
import subprocess, sys, time
command = [sys.executable, "-m", "napari_unet.cli", "--help"]
start = time.perf_counter()
subprocess.run(command, check=True, capture_output=True)
print(time.perf_counter() - start)
"""

MOMENTS = {
    "the dock opens in a napari that runs": 2.0,
    "napari-unet --help": 0.5,
    "the sample is drawn, 512 x 512": 2.0,
    "an uncertain place is found, 1024 x 1024": 1.0,
    "a stroke is looked at, 2048 x 2048": 0.005,
    "a turn of looking at a refresh, 6000 x 6000": 0.01,
    "metrics.warping_error, 512 x 512": 10.0,
}
"""What is measured, and how many seconds it may take."""


def place() -> None:
    """Look for the next uncertain place."""
    plane = np.random.default_rng(0).random((1024, 1024), np.float32)
    most_uncertain(plane, np.zeros(plane.shape, bool), 20, [(5, 5)] * 20)


def warp() -> None:
    """Compare cells that share nothing."""
    metrics.warping_error(*(touching_cells((512, 512), seed=seed)[1] for seed in (2, 3)))


@contextmanager
def followed(side: int) -> Iterator[tuple[ViewerModel, Edits]]:
    """Follow a labels layer of a side."""
    viewer = ViewerModel()
    edits = Edits(viewer.add_labels(np.zeros((side, side), np.uint16)), viewer)
    try:
        yield viewer, edits
    finally:
        edits.close()


def timed(function: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def looks_at_strokes() -> tuple[float, ...]:
    """Return the seconds of a look at each of some strokes."""
    took = []
    with followed(2048) as (viewer, edits):
        (layer,) = viewer.layers
        layer.brush_size = 30
        for i in range(20):
            layer.paint((100 * i + 20, 1000), i + 1)
            took.append(timed(edits._take_turn))
    return tuple(took)


def turns_of_a_refresh() -> tuple[float, ...]:
    """Return the seconds of each turn of a look at all labels."""
    took = []
    with followed(6000) as (viewer, edits):
        (layer,) = viewer.layers
        layer.data[5000, 5000] = 1
        layer.refresh()
        while edits._timer.isActive():
            edits._timer.stop()
            took.append(timed(edits._take_turn))
    return tuple(took)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    _app = QApplication.instance() or QApplication([])
    opening, helped, drawn, found, stroke, turn, warped = MOMENTS
    functions = {drawn: touching_cells, found: place, warped: warp}
    took = in_turns({opening: ["-c", OPENING], helped: ["-c", HELP]}, 3)
    took |= interleaved(functions, 3, time.perf_counter)
    took |= {stroke: looks_at_strokes(), turn: turns_of_a_refresh()}
    result = Result("What should not be felt")
    for name, most in MOMENTS.items():
        met = statistics.median(took[name]) < most
        result.add(name, took[name], target=f"< {most:g} s", met=met)
    write(args.json, result, machine("napari-live-unet", "napari"))


if __name__ == "__main__":
    main()
