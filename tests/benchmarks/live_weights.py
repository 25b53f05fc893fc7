"""How long the weight map takes to follow a stroke, beside a full recomputation.

One command, on a machine with a display (or under ``xvfb-run -a``)::

    python tests/benchmarks/live_weights.py --json weights.json

draws 2 000 cells on 2048 x 2048 pixels and makes strokes at random places. Each is timed twice:
the computation alone, and in a real viewer from `Labels.paint` until the pixels of the map are
new. All maps are compared with the full recomputation; a single different bit ends the run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication

from napari_unet.core.boundary import around, boundary_weight_map, boundary_weights_in
from napari_unet.viewer.session import Session
from napari_unet.viewer.weightmap.weights import LiveWeights

SIDE, CELLS, BRUSH = 2048, 2000, 20
FULL_RUNS = 5
WAIT_SECONDS = 60.0

Pixels = NDArray[np.uint16]


def field(rng: np.random.Generator) -> Pixels:
    """Draw ellipses on a jittered grid; some touch."""
    labels = np.zeros((SIDE, SIDE), dtype=np.uint16)
    per_side = int(np.ceil(CELLS**0.5))
    step = SIDE / per_side
    for number in range(CELLS):
        middle = (np.array(divmod(number, per_side)) + 0.5) * step + rng.uniform(-5, 5, 2)
        radii = rng.uniform(0.32, 0.48, 2) * step
        low = np.clip(middle - radii, 0, SIDE - 1).astype(int)
        high = np.clip(middle + radii + 1, 1, SIDE).astype(int)
        y, x = np.ogrid[low[0] : high[0], low[1] : high[1]]
        inside = ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 <= 1
        labels[low[0] : high[0], low[1] : high[1]][inside] = number + 1
    return labels


def whole(labels: Pixels) -> NDArray[np.float32]:
    """Compute the map from nothing."""
    return boundary_weight_map(labels, class_weights=False)


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds that a call took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def require_equal(kept: NDArray[np.float32], labels: Pixels) -> None:
    """End the run if a map is not that of its labels."""
    if not np.array_equal(kept, whole(labels)):
        sys.exit("The map that followed the strokes differs from the full recomputation.")


def computation(labels: Pixels, places: NDArray[np.integer]) -> list[float]:
    """Time the recomputation around each stroke."""
    kept, took = whole(labels), []
    for number, (y, x) in enumerate(places.tolist(), start=1):
        stroke = (slice(y - BRUSH // 2, y + BRUSH // 2), slice(x - BRUSH // 2, x + BRUSH // 2))
        labels[stroke] = CELLS + number

        def follow(stroke: tuple[slice, slice] = stroke) -> None:
            dirty = around(stroke, labels.shape, w0=10.0, sigma=5.0)
            kept[dirty] = boundary_weights_in(labels, dirty)

        took.append(timed(follow))
    require_equal(kept, labels)
    return took


def in_a_viewer(labels: Pixels, places: NDArray[np.integer]) -> list[float]:
    """Time each stroke from the brush to the new pixels of the map."""
    viewer = napari.Viewer(title="Weight map")
    image = viewer.add_image(np.zeros(labels.shape, np.uint8), name="cells")
    painted = viewer.add_labels(labels)
    painted.brush_size = BRUSH
    session = Session.of(viewer)
    live = LiveWeights(
        session.background, viewer, image, painted, None, w0=10.0, sigma=5.0, factor=1
    )
    shown = live.layer.data
    wait_until(lambda: np.array_equal(shown, whole(labels)))
    # strokes are rehearsed on a layer that nobody follows, to know what has to come
    rehearsal = Labels(labels.copy())
    rehearsal.brush_size = BRUSH
    took = []
    for number, (y, x) in enumerate(places.tolist(), start=1):
        near = (slice(max(y - 60, 0), y + 60), slice(max(x - 60, 0), x + 60))
        rehearsal.paint((y, x), CELLS + number)
        expected = boundary_weights_in(rehearsal.data, near)
        start = time.perf_counter()
        painted.paint((y, x), CELLS + number)
        wait_until(lambda near=near, expected=expected: np.array_equal(shown[near], expected))
        took.append(time.perf_counter() - start)
    require_equal(shown, labels)
    live.close()
    viewer.close()
    return took


def wait_until(condition: Callable[[], bool]) -> None:
    """Let the viewer work until something is true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"The weight map did not follow within {WAIT_SECONDS:.0f} s.")
        QApplication.processEvents()
        time.sleep(0.0005)


def main() -> None:
    """Measure, print a table, and write what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--strokes", type=int, default=50, help="how many (default 50)")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = field(rng)
    places = rng.integers(BRUSH, SIDE - BRUSH, (options.strokes, 2))
    rows = {
        "full recomputation": [timed(lambda: whole(labels)) for _ in range(FULL_RUNS)],
        "around a stroke": computation(labels.copy(), places),
        "stroke to new pixels, in a viewer": in_a_viewer(labels.copy(), places),
    }
    found = {
        name: {
            "runs": len(took),
            "median_ms": 1e3 * statistics.median(took),
            "worst_ms": 1e3 * max(took),
        }
        for name, took in rows.items()
    }
    print(f"{SIDE} x {SIDE} px, {CELLS} cells, brush of {BRUSH} px; milliseconds")
    print(f"{'':34} {'runs':>5} {'median':>8} {'worst':>8}")
    for name, row in found.items():
        print(f"{name:34} {row['runs']:5} {row['median_ms']:8.1f} {row['worst_ms']:8.1f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
