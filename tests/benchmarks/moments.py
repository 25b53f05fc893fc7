"""How long the short things take that a user waits for without being told to.

    xvfb-run -a -s "-screen 0 1366x720x24" python tests/benchmarks/moments.py [--json FILE]

A dock that opens, ``--help``, the sample, a key that flies to an uncertain place, a look at a
stroke, a stroke that a live training learns from, a training that is stopped, a viewer that is
closed while it trains. Each has a limit above which it would be felt.
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

WHILE_TRAINING = """
import time
import napari
import numpy as np
from psutil import Process, wait_procs
from qtpy.QtWidgets import QApplication
from napari_unet import TrainConfig, sample_data
from napari_unet.viewer.session import Session

def wait(until):
    while not until():
        QApplication.processEvents()
        time.sleep(0.002)

viewer, steps = napari.Viewer(show=False), []
picture, truth = sample_data.touching_cells()
painted = sample_data.painted_scribbles(truth)
image = viewer.add_image(np.stack([picture, picture]))
labels = viewer.add_labels(np.stack([painted, np.zeros_like(painted)]))
viewer.dims.set_point(0, 0)
session = Session.of(viewer)
session.jobs.event.connect(steps.append)
session.train(image, labels, None, TrainConfig(seconds=100, device="cpu"), live=True)
wait(lambda: len(steps) > 50)
start = time.perf_counter()
"""

STROKE = """
training = session.training
labels.paint((1, 250, 250), 50)
wait(lambda: len(training._painting._numbers) == 2 and not training._mailbox._messages)
sent = len(steps)
wait(lambda: len(steps) > sent + 1)
"""

STOP = """
session.jobs.stop()
wait(lambda: session.jobs.state == "idle")
"""

CLOSE = """
computing = [c for c in Process().children() if "tracker" not in c.cmdline()[-1]]
viewer.close()
wait_procs(computing)
"""

TOOK = """
print(time.perf_counter() - start)
"""

HELP = """
import subprocess, sys, time
command = [sys.executable, "-m", "napari_unet.cli", "--help"]
start = time.perf_counter()
subprocess.run(command, check=True, capture_output=True)
print(time.perf_counter() - start)
"""

MOMENTS = {
    "a stroke is learned from, live": 2.0,
    "a training stops": 2.0,
    "a viewer that trains is closed": 2.0,
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
    learned, stopped, closed, opening, helped, drawn, found, stroke, turn, warped = MOMENTS
    during = {learned: STROKE, stopped: STOP, closed: CLOSE}
    functions = {drawn: touching_cells, found: place, warped: warp}
    took = in_turns({opening: ["-c", OPENING], helped: ["-c", HELP]}, 3)
    took |= in_turns({k: ["-c", WHILE_TRAINING + during[k] + TOOK] for k in during}, 3)
    took |= interleaved(functions, 3, time.perf_counter)
    took |= {stroke: looks_at_strokes(), turn: turns_of_a_refresh()}
    result = Result("What should not be felt")
    for name, most in MOMENTS.items():
        met = statistics.median(took[name]) < most
        result.add(name, took[name], target=f"< {most:g} s", met=met)
    write(args.json, result, machine("napari-live-unet", "napari"))


if __name__ == "__main__":
    main()
