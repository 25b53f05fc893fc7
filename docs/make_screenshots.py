"""Draw the pictures of the documentation by driving the real program.

Run on a screen, or with a virtual one: ``xvfb-run -s "-screen 0 1400x900x24" python
docs/make_screenshots.py``. The pictures in ``docs/images`` are written anew.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtWidgets import QAbstractButton, QApplication

from napari_unet.sample_data import touching_cells

IMAGES = Path(__file__).parent / "images"
SIZE = (1366, 720)
PLATE = 12
"""Images of the batch."""


def with_few_colours(window: np.ndarray, canvas: slice) -> Image.Image:
    """Give the noisy canvas and the rest their own part of a palette, so that both look right."""
    inside = np.zeros(window.shape[1], bool)
    inside[canvas] = True
    palette: list[int] = []
    indices = np.zeros(window.shape[:2], np.uint8)
    for part, colours, method in (
        (inside, 160, Image.Quantize.MAXCOVERAGE),
        (~inside, 96, Image.Quantize.MEDIANCUT),
    ):
        reduced = Image.fromarray(window[:, part]).quantize(
            colours, method=method, kmeans=2, dither=Image.Dither.NONE
        )
        indices[:, part] = np.asarray(reduced) + len(palette) // 3
        palette += (reduced.getpalette() or [])[: 3 * colours]
    picture = Image.fromarray(indices)
    picture.putpalette(palette)
    return picture


class Tour:
    """Goes through the program as a new user would, and takes pictures on the way."""

    def __init__(self, theme: str, folder: Path, image: np.ndarray | None = None) -> None:
        os.environ.setdefault("NAPARI_UNET_AUTOSAVE", tempfile.mkdtemp())
        self.folder = folder
        self.suffix = "" if theme == "dark" else f"-{theme}"
        self.viewer = napari.Viewer(title="Live U-Net")
        self.viewer.theme = theme
        self.viewer.window.resize(*SIZE)
        if image is None:
            self.viewer.open_sample("napari-live-unet", "touching_cells")
        else:
            self.viewer.add_image(image, name="Touching cells", axis_labels=("z", "y", "x"))
            self.viewer.dims.set_current_step(0, 0)
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
        self.viewer.layers.selection.active = self.viewer.layers[-1]
        self.wait(2.0)
        self.viewer.reset_view()

    def layer(self, name: str) -> Any:
        """Return a layer by its name."""
        return self.viewer.layers[name]

    def wait(self, seconds: float) -> None:
        """Let the program run."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def wait_until_idle(self) -> None:
        """Let the program run until no job does."""
        self.wait(0.2)
        while self.dock.session.jobs.state == "running":
            self.wait(0.1)
        self.wait(0.5)

    def click(self, text: str) -> None:
        """Click on a button, or a box to tick, of the dock."""
        buttons = self.dock.native.findChildren(QAbstractButton)
        next(button for button in buttons if text in button.text()).click()

    def take(self, name: str) -> None:
        """Write a picture of the whole window."""
        self.wait(0.3)
        window = np.asarray(self.viewer.screenshot(canvas_only=False, flash=False))[..., :3]
        main = self.dock.native.window()
        canvas = main.centralWidget()
        left = canvas.mapTo(main, canvas.rect().topLeft()).x()
        picture = with_few_colours(window, slice(left, left + canvas.width()))
        file = io.BytesIO()
        picture.save(file, format="PNG", optimize=True)
        path = self.folder / f"{name}{self.suffix}.png"
        path.write_bytes(file.getvalue())
        print(path.name, picture.size, f"{len(file.getvalue()) / 1000:.0f} kB")

    def batch(self, count: int) -> None:
        """Segment a folder of drawn images, and look at one before all are done."""
        folder = Path(tempfile.mkdtemp(), "plate 7")
        folder.mkdir()
        for seed in range(1, count + 1):
            tifffile.imwrite(folder / f"well {seed:02d}.tif", touching_cells((512, 512), seed)[0])
        panel = self.dock.panels.batch
        self.click("Batch")
        panel.source.choose([str(folder)])
        self.click("Segment all")
        rows = self.dock.session.batch.rows
        while sum(row.state == "done" for row in rows) < 3:
            self.wait(0.1)
            rows = self.dock.session.batch.rows
        panel.open(rows[0])
        self.take("batch")
        self.wait_until_idle()

    def go(self, seconds: float) -> None:
        """Paint, train, look at the result, look at the weights, segment a folder."""
        self.take("painted")
        self.dock.panels.training.set_budget(seconds=seconds)
        self.dock.panels.training.train()
        self.wait(0.75 * seconds)
        self.take("training")
        self.wait_until_idle()
        print(self.dock.session.said.of_training, self.dock.session.said.of_result)
        self.take("segmentation")
        self.layer("Touching cells segmentation").visible = False
        self.layer("Painted cells").visible = False
        self.click("Weight map")
        self.click("Show while painting")
        self.wait(3.0)
        self.take("weights")
        self.click("Weight map")
        self.batch(PLATE)
        for note in notification_manager.records:
            print(note.severity, note.message)
        self.viewer.close()


def main() -> None:
    """Read the options and go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="training time [60]")
    parser.add_argument("--theme", choices=["dark", "light"], default="dark")
    parser.add_argument("-o", "--output", type=Path, default=IMAGES, help="folder")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    Tour(args.theme, args.output).go(args.seconds)


if __name__ == "__main__":
    main()
