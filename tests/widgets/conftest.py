"""The dock in a real viewer, with one warm compute process for all tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton
from shared_fixtures import (  # noqa: F401 (fixtures)
    host,
    lasting_host,
    lasting_light_host,
    light_host,
    live_mode_looks_often,
    manifests_read_once,
    messages,
)

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.host import Host
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.background import Background
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.dock import LiveUNet

IMAGE, TRUTH = touching_cells((128, 128))
SCRIBBLES = painted_scribbles(TRUTH)
SMALL = TrainConfig(seconds=0, steps=3, base_channels=4, depth=2, device="cpu")


@pytest.fixture
def viewer(make_napari_viewer: Any, host: Host, light_host: Host) -> Any:  # noqa: F811 (fixtures)
    """A viewer whose session uses the processes that are there already."""
    notification_manager.records.clear()
    viewer = make_napari_viewer()
    session = Session.of(viewer)
    session.host = host
    session.background.close()
    session.background = Background(light_host)
    return viewer


@pytest.fixture
def session(viewer: Any) -> Session:
    """The session of the viewer."""
    return Session.of(viewer)


@pytest.fixture
def data(viewer: Any, qtbot: Any) -> Iterator[DataPanel]:
    """Where the image is chosen."""
    panel = DataPanel(viewer)
    qtbot.add_widget(panel.widget.native)
    panel.follow()
    yield panel
    panel.leave()


@pytest.fixture
def sample(viewer: Any) -> tuple[Any, Any]:
    """The sample: an image, and a few painted cells."""
    image = viewer.add_image(IMAGE, name="cells")
    labels = viewer.add_labels(SCRIBBLES.copy(), name="painted")
    set_meaning(labels, "scribbles")
    return image, labels


class Hand:
    """Uses the dock as a person does: reads it and clicks."""

    def __init__(self, dock: LiveUNet, qtbot: Any) -> None:
        self.dock, self.session, self._qtbot = dock, dock.session, qtbot

    def button(self, text: str) -> QPushButton:
        """Return the button with that text, or else the one whose text it is a part of."""
        buttons = self.dock.native.findChildren(QPushButton)
        exact = [b for b in buttons if b.text() == text]
        (found,) = exact or [b for b in buttons if text in b.text()]
        return found

    def click(self, text: str) -> None:
        """Click on a button."""
        self._qtbot.mouseClick(self.button(text), Qt.MouseButton.LeftButton)

    def reads(self, text: str) -> bool:
        """Whether a text stands somewhere in the dock."""
        labels = self.dock.native.findChildren(QLabel)
        return any(text in label.text().replace("\N{NO-BREAK SPACE}", " ") for label in labels)

    def wait_to_read(self, text: str, seconds: float = 100.0) -> None:
        """Wait for a text."""
        self._qtbot.wait_until(lambda: self.reads(text), timeout=int(1000 * seconds))

    def wait_until_idle(self, seconds: float = 100.0) -> None:
        """Wait until no job runs, and none follows."""
        self._qtbot.wait_until(
            lambda: self.session.jobs.state == "idle", timeout=int(1000 * seconds)
        )
        self._qtbot.wait(20)


@pytest.fixture
def open_dock(viewer: Any, qtbot: Any) -> Iterator[Callable[[], Hand]]:
    """Open the dock as the menu does, with the settings of a small network."""
    hands: list[Hand] = []

    def open_it() -> Hand:
        _, dock = viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
        dock.panels.set_configs(SMALL, PredictConfig(device="cpu"))
        dock.panels.training.set_budget(steps=3)
        hands.append(Hand(dock, qtbot))
        return hands[-1]

    yield open_it
    for hand in hands:  # pytest keeps what fixtures return until after the check for leaks
        vars(hand).clear()


@pytest.fixture
def hand(sample: Any, open_dock: Any) -> Hand:  # noqa: ARG001 (opened on the sample)
    """The dock, opened on the sample."""
    opened: Hand = open_dock()
    return opened
