"""How smoothly one paints while training or a segmentation runs.

    xvfb-run -a -s "-screen 0 1366x720x24" python tests/benchmarks/smoothness.py [--json FILE]

Opens napari with the dock, an image of 1024 x 1024 pixels and its labels, and paints at 60 Hz all
the while: mouse events handed to the canvas, because they take the way of a user's hand through
Qt, vispy and napari's painting to the picture on the screen. (``Labels.paint`` called from a timer
would leave out most of what can stall.) A second timer is due every 5 ms; how much later than that
it comes is how long the event loop was busy.

Without a job, with training, and with one segmentation after the other, in turns within one run, so
that whatever else the computer does falls on all three. What counts is the difference to no job.
``--blame`` also says in which lines the main thread was during the stalls.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from first_tile import DEFAULT_NETWORK, live, make_segmenter, pause, wait_until_warm
from qtpy.QtCore import QEvent, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.session import Session

PROBE_MS, HAND_MS = 5, 16
STALL_MS = 50
JOBS = ("no job", "training", "segmenting")


def ticking(milliseconds: int, call: Callable[[], object]) -> QTimer:
    """Call something at a precise rate, from the event loop."""
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(call)
    timer.start(milliseconds)
    return timer


class Hand:
    """Paints loops on the canvas, one mouse event at each tick."""

    def __init__(self, canvas: Any) -> None:
        self._canvas = canvas
        self._ticks = 0
        self.events = 0

    def move(self) -> None:
        """Go on a bit; lift the brush every two seconds."""
        step = self._ticks % 120
        kind = QEvent.Type.MouseMove
        if step == 0:
            kind = QEvent.Type.MouseButtonPress
        elif step == 119:
            kind = QEvent.Type.MouseButtonRelease
        size, angle = self._canvas.size(), self._ticks / 17
        radius = (
            0.35 * min(size.width(), size.height()) * (0.3 + 0.7 * ((self._ticks // 7) % 50) / 50)
        )
        x = size.width() / 2 + radius * np.cos(angle)
        y = size.height() / 2 + radius * np.sin(angle)
        place = QPointF(x, y)
        left = Qt.MouseButton.LeftButton
        event = QMouseEvent(
            kind,
            place,
            QPointF(self._canvas.mapToGlobal(place.toPoint())),
            Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else left,
            Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else left,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self._canvas, event)
        self._ticks += 1
        self.events += 1


class Probe:
    """Notes by how much the event loop is late, in milliseconds."""

    def __init__(self) -> None:
        self.late: dict[str, list[float]] = {job: [] for job in JOBS}
        self.job: str | None = None
        self.last = time.perf_counter()

    def tick(self) -> None:
        """Take a note."""
        now = time.perf_counter()
        if self.job is not None:
            self.late[self.job].append(max(0.0, 1000 * (now - self.last) - PROBE_MS))
        self.last = now


class Blame:
    """Looks where the main thread is while the probe is late; a thread of its own."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._main = threading.main_thread().ident
        self.seen: dict[str, Counter[str]] = {job: Counter() for job in JOBS}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(0.01)
            job, late = self._probe.job, time.perf_counter() - self._probe.last
            if job is None or 1000 * late < STALL_MS:
                continue
            stack = traceback.extract_stack(sys._current_frames()[self._main])
            ours = [frame for frame in stack if "napari_unet" in frame.filename]
            for frame in (ours[-1:] or []) + stack[-1:]:
                name = "/".join(Path(frame.filename).parts[-2:])
                self.seen[job][f"{name}:{frame.lineno} {frame.name}"] += 1


def canvas_of(viewer: Any) -> QWidget:
    """Find the widget that the user paints on."""
    widgets = viewer.window.main_menu.window().findChildren(QWidget)
    (canvas,) = [w for w in widgets if type(w).__name__ == "CanvasBackendDesktop"]
    return canvas


def start(session: Session, job: str, layers: tuple[Any, Any]) -> None:
    """Start a job, if it is one."""
    image, labels = layers
    if job == "training":
        session.train(image, labels, None, TrainConfig(seconds=3600, device="cpu"))
    elif job == "segmenting":
        session.segmenter = make_segmenter(**DEFAULT_NETWORK)
        session.segment(image, "current plane", PredictConfig(device="cpu"))


def measure(
    session: Session, job: str, layers: tuple[Any, Any], probe: Probe, seconds: float
) -> None:
    """Let a job run for a while, once it is under way, and stop it."""
    events: list[Any] = []
    session.jobs.event.connect(events.append)
    start(session, job, layers)
    if job != "no job":
        live(lambda: len(events) > 1, 60)
    end = time.perf_counter() + seconds
    probe.job = job
    while time.perf_counter() < end:
        live(lambda: time.perf_counter() > end or session.jobs.state == "idle", seconds + 10)
        if job == "segmenting" and session.jobs.state == "idle":
            start(session, job, layers)
        elif session.jobs.state == "idle":
            live(lambda: time.perf_counter() > end, seconds + 10)
    probe.job = None
    session.jobs.event.disconnect(events.append)
    session.jobs.stop()
    live(lambda: session.jobs.state == "idle", 10)
    pause(0.5)


def table(probe: Probe) -> list[dict[str, Any]]:
    """Return a row for each job."""
    rows: list[dict[str, Any]] = []
    for job in JOBS:
        late = np.array(probe.late[job])
        row: dict[str, Any] = {"job": job, "ticks": len(late)}
        row |= {f"p{q}": round(float(np.percentile(late, q)), 1) for q in (50, 95, 99)}
        row["max"] = round(float(late.max()), 1)
        row[f"> {STALL_MS} ms"] = int((late > STALL_MS).sum())
        row["p99 - no job"] = round(row["p99"] - (rows[0]["p99"] if rows else row["p99"]), 1)
        rows.append(row)
    return rows


def main() -> None:
    """Paint, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--seconds", type=float, default=15, help="of each job, in all rounds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blame", action="store_true", help="say where the stalls are")
    arguments = parser.parse_args()
    viewer = napari.Viewer(title="smoothness")
    viewer.window.resize(1366, 720)
    pixels, truth = touching_cells((1024, 1024))
    image = viewer.add_image(pixels, name="cells")
    labels = viewer.add_labels(painted_scribbles(truth).astype(np.uint16), name="painted")
    set_meaning(labels, "scribbles")
    viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
    viewer.layers.selection.active = labels
    labels.mode, labels.selected_label, labels.brush_size = "paint", 2, 10
    session = Session.of(viewer)
    wait_until_warm(session)
    probe, hand = Probe(), Hand(canvas_of(viewer))
    blame = Blame(probe) if arguments.blame else None
    before = np.count_nonzero(labels.data)
    timers = [ticking(PROBE_MS, probe.tick), ticking(HAND_MS, hand.move)]
    pause(3)
    painted = np.count_nonzero(labels.data) - before
    for _ in range(arguments.rounds):
        for job in JOBS:
            measure(session, job, (image, labels), probe, arguments.seconds / arguments.rounds)
    for timer in timers:
        timer.stop()
    viewer.close()
    rows = table(probe)
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores; {hand.events} mouse")
    print(f"events, {painted} pixels painted in the first 3 s; lateness of the event loop in ms:")
    print("".join(f"{name:>14s}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value!s:>14s}" for value in row.values()))
    if blame is not None:
        for job, seen in blame.seen.items():
            print(f"\nwhere it stalled, {job}:")
            print("\n".join(f"{count:5d} {place}" for place, count in seen.most_common(15)))
    if arguments.json:
        result = {"load": os.getloadavg()[0], "cores": os.cpu_count(), "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
