"""Record a session of two minutes with the real program, as a GIF and as pictures.

Run on a screen, or with a virtual one: ``xvfb-run -s "-screen 0 1400x900x24" python
docs/make_tour.py``. A stack of two planes is opened; a few cells and some background are painted
with the mouse; the network learns live; mistakes are corrected; cells are accepted; it is trained
again, and the whole stack is segmented.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from make_screenshots import IMAGES, Tour
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_unet import metrics
from napari_unet.sample_data import painted_scribbles, touching_cells

FRAME_SECONDS = 1.2
FRAME_WIDTH = 910
SHOWN_MILLISECONDS = 300


class LiveTour(Tour):
    """Paints, looks, corrects, accepts: with the mouse and the keys."""

    def __init__(self, folder: Path) -> None:
        self.frames: list[Image.Image] = []
        self.next_frame = float("inf")
        planes = [touching_cells((512, 512), seed=seed) for seed in (0, 3)]
        self.truth = np.stack([truth for _, truth in planes])
        super().__init__("dark", folder, np.stack([image for image, _ in planes]))
        self.panels = self.dock.panels
        self.next_frame = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Let the program run, and take a frame now and then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            super().wait(min(0.1, max(end - time.monotonic(), 0.01)))
            if time.monotonic() >= self.next_frame:
                self.next_frame = time.monotonic() + FRAME_SECONDS
                window = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
                frame = Image.fromarray(np.asarray(window))
                height = round(frame.height * FRAME_WIDTH / frame.width)
                self.frames.append(frame.resize((FRAME_WIDTH, height), Image.Resampling.LANCZOS))

    def on_canvas(self, y: float, x: float) -> QPoint:
        """Return where on the canvas a pixel of the image is shown."""
        native = self.canvas()
        camera = self.viewer.scene.camera
        _, cy, cx = camera.center
        return QPoint(
            round(native.width() / 2 + (x - cx) * camera.zoom),
            round(native.height() / 2 + (y - cy) * camera.zoom),
        )

    def canvas(self) -> Any:
        """Return the widget that shows the image."""
        return self.viewer.window._qt_viewer.canvas.native  # noqa: SLF001 (napari offers no other way)

    def stroke(self, points: Iterable[tuple[float, float]], label: int) -> None:
        """Drag the mouse through points of the image, painting a label."""
        painted = self.panels.data.labels
        painted.selected_label, painted.mode = label, "paint"
        native, places = self.canvas(), [self.on_canvas(y, x) for y, x in points]
        QTest.mouseMove(native, places[0])
        QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(native, place)
            self.wait(0.02)
        QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=places[-1])
        self.wait(0.05)

    def paint_cell(self, plane: int, cell: int, label: int) -> None:
        """Fill a cell with the brush, as somebody does who knows it."""
        painted = self.panels.data.labels
        mask = self.truth[plane] == cell
        inside = _eroded(mask, painted.brush_size / 2)
        rows = np.flatnonzero(inside.any(axis=1))[:: max(int(painted.brush_size // 2), 1)]
        points: list[tuple[float, float]] = []
        for index, row in enumerate(rows):
            columns = np.flatnonzero(inside[row])
            ends = (columns[0], columns[-1]) if index % 2 == 0 else (columns[-1], columns[0])
            points += [(float(row), float(column)) for column in np.linspace(*ends, 4)]
        if points:
            self.stroke(points, label)

    def key(self, key: Qt.Key, shift: bool = False) -> None:
        """Press a key on the canvas."""
        modifier = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        QTest.keyClick(self.canvas(), key, modifier)
        self.wait(0.2)

    def go(self, seconds: float) -> None:
        """Take the tour."""
        began = time.monotonic()
        self.click("New")
        self.wait(1.0)
        self.viewer.layers[-1].brush_size = 7
        scribbles = painted_scribbles(self.truth[0], n_cells=10)
        for line in _background_lines(scribbles == 1):
            self.stroke(line, 1)
        painted = [int(np.bincount(self.truth[0][scribbles == n]).argmax()) for n in range(2, 12)]
        for label, cell in enumerate(painted, start=2):
            self.paint_cell(0, cell, label)
        self.take("tour-painted")
        self.panels.training.set_live(True)
        self.wait(seconds * 0.5)
        self.take("tour-live")
        self.viewer.scene.camera.zoom *= 2
        self.wait(4.0)
        missed = [cell for cell in np.unique(self.truth[0][150:350, 150:350]) if cell][:4]
        for label, cell in enumerate(missed, start=20):
            self.paint_cell(0, int(cell), label)
        self.wait(seconds * 0.25)
        self.take("tour-zoomed")
        self.viewer.reset_view()
        self.panels.training.set_live(False)
        self.wait_until_idle()
        self.say("after live training")
        self.take("tour-segmentation")
        for y, x in self.right_ones(12):
            QTest.mouseMove(self.canvas(), self.on_canvas(y, x))
            self.wait(0.1)
            self.key(Qt.Key.Key_K)
        self.take("tour-accepted")
        self.key(Qt.Key.Key_N)
        self.wait(1.5)
        self.viewer.reset_view()
        self.panels.training.set_budget(seconds=seconds * 0.5)
        self.panels.training.train()
        self.wait_until_idle()
        self.say("trained on")
        self.panels.segmentation.segment(self.panels.data.image, "whole layer")
        self.wait_until_idle()
        self.viewer.dims.set_current_step(0, 1)
        self.panels.data.labels.visible = False
        self.wait(2.0)
        self.say("whole stack")
        self.take("tour-stack")
        print(f"{time.monotonic() - began:.0f} s, {len(self.frames)} frames")
        self.save_gif()
        self.viewer.close()

    def right_ones(self, most: int) -> list[tuple[float, float]]:
        """Return a point in each of the cells that were found best, as somebody would pick them."""
        found, truth = np.asarray(self.result().data[0]), self.truth[0]
        scores = []
        for number in np.unique(found[found > 0]):
            mask = found == number
            cell = int(np.bincount(truth[mask]).argmax())
            if cell:
                overlap = (mask & (truth == cell)).sum() / (mask | (truth == cell)).sum()
                y, x = np.nonzero(mask)
                middle = int(np.hypot(y - y.mean(), x - x.mean()).argmin())
                scores.append((float(overlap), float(y[middle]), float(x[middle])))
        scores.sort(reverse=True)
        return [(y, x) for overlap, y, x in scores[:most] if overlap > 0.75]

    def result(self) -> Any:
        """Return the layer of the segmentation."""
        return next(layer for layer in self.viewer.layers if "segmentation" in layer.name)

    def say(self, when: str) -> None:
        """Print what the dock says, and the score of what is shown."""
        session = self.dock.session
        print(f"{when}: {session.said.of_training} {session.said.of_result}")
        result = self.result()
        for plane, truth in enumerate(self.truth):
            found = np.asarray(result.data[plane])
            if found.any():
                print(f"  plane {plane}: SEG {metrics.seg_score(truth, found):.2f}")

    def save_gif(self) -> None:
        """Write the frames with one palette for all of them."""
        few = self.frames[:: max(1, len(self.frames) // 12)] + self.frames[-1:]
        sheet = Image.fromarray(np.concatenate([np.asarray(frame) for frame in few]))
        palette = sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
        frames = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in self.frames]
        path = self.folder / "tour.gif"
        frames[0].save(
            path,
            save_all=True,
            append_images=frames[1:],
            duration=[SHOWN_MILLISECONDS] * (len(frames) - 1) + [3000],
            loop=0,
            optimize=True,
        )
        print(path.name, f"{path.stat().st_size / 1e6:.1f} MB")


def _eroded(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    from scipy import ndimage

    inside: NDArray[np.bool_] = ndimage.distance_transform_edt(mask) > radius
    return inside if inside.any() else mask


def _background_lines(strokes: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Return a few points along each stroke of background that the sample has."""
    from scipy import ndimage

    numbered, count = ndimage.label(strokes)
    lines = []
    for stroke in range(1, count + 1):
        y, x = np.nonzero(numbered == stroke)
        if len(y) < 120:
            continue
        order = np.argsort(x if np.ptp(x) > np.ptp(y) else y)[:: max(1, len(y) // 12)]
        lines.append([(float(y[i]), float(x[i])) for i in order])
    return lines[:8]


def main() -> None:
    """Read the options and go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="training time in all [60]")
    parser.add_argument("-o", "--output", type=Path, default=IMAGES, help="folder")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    LiveTour(args.output).go(args.seconds)


if __name__ == "__main__":
    main()
