"""The offer in the dock to bring back what a crash left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_unet.engine.saving.session import read_session, write_session
from napari_unet.viewer.layers import labels_layers, new_scribbles
from napari_unet.viewer.saving.autosave import Autosave
from napari_unet.viewer.saving.restore import found
from napari_unet.viewer.session import Session
from napari_unet.widgets.restore_panel import RestorePanel


@pytest.fixture
def root(tmp_path: Path, qtbot: Any) -> Path:  # noqa: ARG001 (Qt's loop)
    """A session with a painted layer that seems to have died at noon."""
    viewer = ViewerModel()
    session = Session.of(viewer)
    saving = Autosave(session, tmp_path)
    new_scribbles(viewer, viewer.add_image(np.zeros((60, 80)), name="cells")).paint((30, 40), 2)
    assert saving.save_now()
    saving.close(clean=False)
    session.close()
    assert saving.folder is not None
    died = replace(read_session(saving.folder), created=1.0)
    write_session(saving.folder, died)
    return tmp_path


@pytest.fixture
def opened(viewer: Any, qtbot: Any) -> Callable[[Path], tuple[RestorePanel, QWidget]]:
    """Open the panel in a dock of a real viewer."""

    def open_it(root: Path) -> tuple[RestorePanel, QWidget]:
        panel = RestorePanel(Session.of(viewer), root)
        assert not panel.widget.native.isVisible(), "no window of its own"
        viewer.window.add_dock_widget(panel.widget, name="restore")
        viewer.window.main_menu.window().show()
        qtbot.wait(20)
        return panel, panel.widget.native

    return open_it


def text_in(widget: QWidget) -> str:
    """All sentences that can be read."""
    said = " ".join(label.text() for label in widget.findChildren(QLabel) if label.isVisible())
    return said.replace("\N{NO-BREAK SPACE}", " ")


def click(qtbot: Any, widget: QWidget, text: str) -> None:
    """Click on a button, as a person does: one that can be seen."""
    (button,) = [b for b in widget.findChildren(QPushButton) if b.text() == text]
    assert button.isVisible()
    assert button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.wait(20)


def test_where_nothing_crashed_nothing_is_seen(opened: Any, tmp_path: Path) -> None:
    """Not even a frame."""
    _, widget = opened(tmp_path / "nowhere")

    assert not any(child.isVisible() for child in widget.findChildren(QWidget))


def test_restoring_takes_one_click(
    viewer: Any, opened: Any, root: Path, qtbot: Any, messages: Any
) -> None:
    """The labels are there, the offer goes away, and what came back is told."""
    _, widget = opened(root)
    assert "Live U-Net did not close properly at " in text_in(widget)
    assert "1 labels layer was saved." in text_in(widget)
    click(qtbot, widget, "Restore")

    (labels,) = labels_layers(viewer)
    assert labels.data[30, 40] == 2
    assert text_in(widget) == ""
    assert found(root) == []
    (info,), (warning,) = ([m for s, m in messages() if s == kind] for kind in ("info", "warning"))
    assert info.startswith("Restored: ")
    assert info.endswith("1 labels layer (cells, 1 cell).")
    assert "Image 'cells' could not be opened again" in warning


def test_while_a_job_runs_nothing_is_restored_and_the_offer_stays(
    viewer: Any, opened: Any, root: Path, qtbot: Any, messages: Any
) -> None:
    """A training would overwrite the restored model a step later."""
    session = Session.of(viewer)
    _, widget = opened(root)
    offered = text_in(widget)
    session.jobs.start("Training", lambda stop: iter(lambda: stop.wait(5), True), on_event=id)
    click(qtbot, widget, "Restore")

    assert list(viewer.layers) == []
    assert text_in(widget) == offered
    assert messages() == [("error", "Training is still running; stop it or wait for its end.")]
    session.jobs.stop()
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)
    click(qtbot, widget, "Restore")
    assert len(labels_layers(viewer)) == 1
    assert text_in(widget) == ""


def test_dismissing_takes_one_click(viewer: Any, opened: Any, root: Path, qtbot: Any) -> None:
    """Nothing is opened, and the offer does not come again."""
    _, widget = opened(root)
    click(qtbot, widget, "Dismiss")

    assert list(viewer.layers) == []
    assert text_in(widget) == ""
    assert found(root) == []


def test_two_crashes_are_offered_one_after_the_other(
    viewer: Any, opened: Any, root: Path, qtbot: Any
) -> None:
    """The newest first."""
    (folder,) = root.iterdir()
    older = folder.with_name("20200101-120000-1")
    shutil.copytree(folder, older)
    write_session(older, replace(read_session(older), saved=1577880000.0))
    _, widget = opened(root)
    click(qtbot, widget, "Dismiss")

    assert " Jan " in text_in(widget)
    click(qtbot, widget, "Restore")
    assert len(labels_layers(viewer)) == 1
    assert text_in(widget) == ""


def test_trouble_with_the_folder_is_told(
    opened: Any, root: Path, qtbot: Any, messages: Any
) -> None:
    """The folder cannot be written: an error in words, and the program goes on."""
    (folder,) = root.iterdir()
    _, widget = opened(root)
    (folder / "session.2.json").unlink(missing_ok=True)
    (folder / "session.2.json" / "in the way").mkdir(parents=True)
    (folder / "session.1.json").write_text("{}")
    click(qtbot, widget, "Dismiss")

    ((severity, message),) = messages()
    assert severity == "error"
    assert "it will be offered again" in message
    assert text_in(widget) == ""
