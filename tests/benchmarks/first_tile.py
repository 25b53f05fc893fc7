"""How long a click on Segment takes until the first pixels are in the layer.

    xvfb-run -a -s "-screen 0 1366x720x24" python tests/benchmarks/first_tile.py [--json FILE]

Opens napari with a 2048 x 2048 image and a model of 16 channels and depth 3 with random weights
(how long it takes does not depend on what it learned), zooms in on a corner, and segments the image
several times with a compute process that has loaded torch. The first time is named apart: torch
prepares its convolutions then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_unet.core.config import PredictConfig
from napari_unet.core.outward import outward
from napari_unet.engine.events import PlaneDone, TileDone
from napari_unet.viewer.session import Session

sys.path.append(str(Path(__file__).parents[1] / "viewer"))  # tests are not a package
from small_things import make_segmenter

DEFAULT_NETWORK: dict[str, Any] = {"base_channels": 16, "depth": 3, "diameter": 30.0}


def live(until: Callable[[], bool], at_most: float) -> None:
    """Let the viewer live until something holds."""
    start = time.perf_counter()
    while not until():
        if time.perf_counter() - start > at_most:
            raise TimeoutError(f"nothing happened for {at_most} s")
        QApplication.processEvents()
        time.sleep(0.001)


def pause(seconds: float) -> None:
    """Let the viewer live for a while."""
    end = time.perf_counter() + seconds
    live(lambda: time.perf_counter() > end, seconds + 5)


def wait_until_warm(session: Session) -> None:
    """Wait until the compute process has loaded torch: a user paints for longer than that."""
    list(session.host.run(outward, (), None, None))  # any generator, and it yields nothing
    pause(1)


def segment_once(session: Session, image: Any) -> dict[str, float]:
    """Segment, and return when what happened, in milliseconds after the click."""
    times: dict[str, float] = {}
    start = time.perf_counter()

    def note(event: Any) -> None:
        what = "first tile" if isinstance(event.event, TileDone) else "all cells"
        times.setdefault(what, 1000 * (time.perf_counter() - start))
        if isinstance(event.event, PlaneDone):
            layer = session.viewer.layers[f"{image.name} segmentation"]
            assert np.asarray(layer.data).any()

    session.jobs.event.connect(note)
    session.segment(image, "current plane", PredictConfig(device="cpu"))
    times["click handled"] = 1000 * (time.perf_counter() - start)
    live(lambda: session.jobs.state == "idle", 120)
    session.jobs.event.disconnect(note)
    return times


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--side", type=int, default=2048, help="pixels of the image")
    arguments = parser.parse_args()
    viewer = napari.Viewer(title="first tile")
    viewer.window.resize(1366, 720)
    side = arguments.side
    pixels = np.random.default_rng(0).integers(0, 4000, (side, side)).astype(np.uint16)
    image = viewer.add_image(pixels, name="cells")
    session = Session.of(viewer)
    session.segmenter = make_segmenter(**DEFAULT_NETWORK)
    wait_until_warm(session)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, side * 0.8, side * 0.8), 2
    pause(0.5)
    runs = [segment_once(session, image) for _ in range(arguments.repeats + 1)]
    viewer.close()
    print(f"{side} x {side} px, load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    print(f"{'ms after the click':20s} {'first run':>10s} {'median':>8s} {'slowest':>8s}")
    for what in ("click handled", "first tile", "all cells"):
        later = [run[what] for run in runs[1:]]
        print(f"{what:20s} {runs[0][what]:10.0f} {np.median(later):8.0f} {max(later):8.0f}")
    if arguments.json:
        result = {"side": side, "load": os.getloadavg()[0], "cores": os.cpu_count(), "runs": runs}
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
