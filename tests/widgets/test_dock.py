"""The dock as a whole: opening, closing, one click from labels to a segmentation."""

import gc
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.settings import get_settings
from napari.utils import progress
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMenu, QProgressBar, QPushButton, QScrollArea
from shared_fixtures import LOOKS_MS
from small_things import make_segmenter

from napari_unet.core.annotation import Annotation
from napari_unet.core.summary import summarise
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.session import Session


def actions(menu: QMenu) -> Iterator[Any]:
    """Walk through a menu and what lies below it."""
    menu.aboutToShow.emit()
    for action in menu.actions():
        yield action
        if action.menu() is not None:
            yield from actions(action.menu())


@pytest.mark.parametrize("way", ["Plugins", "Layers > Segment", "command palette"])
def test_the_dock_opens_from_both_menus_and_from_the_palette(viewer: Any, way: str) -> None:
    """As napari itself opens plugins."""
    if way == "command palette":
        get_app_model().commands.execute_command("napari-live-unet.dock").result()
    else:
        menu = viewer.window.plugins_menu if way == "Plugins" else viewer.window.layers_menu
        (entry,) = [action for action in actions(menu) if "U-Net" in action.text()]
        entry.trigger()

    (dock,) = viewer.window.dock_widgets.values()
    assert type(dock).__name__ == "LiveUNet"


def test_the_sample_that_the_dock_names_is_in_the_menu(viewer: Any, open_dock: Any) -> None:
    """Under the title that napari gives it there."""
    titles = [action.text() for action in actions(viewer.window.file_menu)]
    (sample,) = [title for title in titles if "U-Net" in title]

    open_dock().wait_to_read(f"File > Open Sample > {sample}.")


OPENING = """
import sys, warnings
warnings.simplefilter("error", UserWarning)
import napari
viewer = napari.Viewer(show=False)
viewer.open_sample("napari-live-unet", "touching_cells")
viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
print("torch", "torch" in sys.modules)
viewer.close()
"""


@pytest.mark.usefixtures("qapp")
def test_the_dock_opens_without_torch() -> None:
    """In a fresh napari, whose user would wait for it."""
    done = subprocess.run(
        [sys.executable, "-c", OPENING], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "torch False" in done.stdout.splitlines()


def test_one_click_trains_and_shows_the_plane_in_view(
    hand: Any, sample: Any, viewer: Any, messages: Any
) -> None:
    """The dock says what it learned from, how it went and what was found, each in a sentence."""
    image, labels = sample
    painted = summarise([Annotation(image.data, labels.data, "scribbles")])
    hand.wait_to_read(f"128 x 128 px, 1 channel\n{painted}")
    hand.click("Train on current labels")
    assert not hand.button("Train").isEnabled()
    assert hand.button("Stop").isEnabled()
    hand.wait_until_idle()

    layer = viewer.layers["cells segmentation"]
    assert layer.data.shape == (128, 128)
    assert hand.reads("Trained 3 steps in ")
    assert hand.reads("Segmented ")
    assert hand.reads("Model: 1 channel to cells, 3 steps.")
    assert hand.button("Train").isEnabled()
    assert hand.button("Segment").isEnabled()
    assert not hand.button("Stop").isEnabled()
    assert viewer.layers.selection.active is sample[1]
    assert messages() == []
    assert not progress._all_instances


@pytest.mark.parametrize("button", ["Train", "Segment"])
def test_a_double_click_starts_one_job(hand: Any, qtbot: Any, messages: Any, button: str) -> None:
    """The second click finds the button disabled, also while the first one is still handled."""
    started: list[str] = []
    hand.session.segmenter = make_segmenter()
    hand.session.jobs.started.connect(started.append)
    clicked = hand.button(button)
    for milliseconds in (0, 1, 5):  # napari handles events while it makes a progress bar
        QTimer.singleShot(
            milliseconds, lambda: qtbot.mouseClick(clicked, Qt.MouseButton.LeftButton)
        )
    qtbot.mouseClick(clicked, Qt.MouseButton.LeftButton)
    qtbot.mouseDClick(clicked, Qt.MouseButton.LeftButton)
    hand.wait_until_idle()

    assert started == {"Train": ["Training", "Segmenting"], "Segment": ["Segmenting"]}[button]
    assert messages() == []


def test_finish_ends_a_long_training_as_if_its_time_were_up(
    hand: Any, viewer: Any, messages: Any
) -> None:
    """The model is fitted, scored and kept, and shown on the plane in view."""
    hand.dock.panels.training.set_budget(seconds=1000)
    assert not hand.button("Finish").isVisibleTo(hand.dock.native)
    hand.click("Train")
    hand.wait_to_read("Step ")
    hand.click("Finish")
    assert not hand.button("Finish").isEnabled()
    assert hand.button("Stop").isEnabled()
    hand.wait_until_idle()

    assert hand.reads("Trained ")
    assert hand.reads("Segmented ")
    assert not hand.button("Finish").isVisibleTo(hand.dock.native)
    assert not hand.button("Resume").isVisibleTo(hand.dock.native)
    assert [layer.name for layer in viewer.layers if is_result(layer, "segmentation")]
    assert messages() == []


def test_finish_ends_live_mode(hand: Any, viewer: Any) -> None:
    """As its tick would: the last stroke is learned from, and the plane in view segmented."""
    hand.dock.panels.training.set_live(True)
    hand.wait_to_read("Step ")
    hand.click("Finish")
    assert not hand.dock.panels.training.live.on
    hand.wait_until_idle()

    assert hand.reads("Trained ")
    assert [layer for layer in viewer.layers if is_result(layer, "segmentation")]


def test_stop_keeps_the_model_and_segments_nothing(hand: Any, viewer: Any, qtbot: Any) -> None:
    """Whoever stops wants nothing more to happen."""
    hand.dock.panels.training.set_budget(seconds=100)
    hand.click("Train")
    hand.wait_to_read("Model: 1 channel")  # which comes after the first step that is read
    hand.click("Stop")
    hand.wait_until_idle()

    qtbot.wait(200)
    assert hand.session.jobs.state == "idle"
    assert not [layer for layer in viewer.layers if is_result(layer, "segmentation")]
    assert hand.reads("Stopped; the best model so far is kept.")
    assert hand.button("Save ...").isEnabled()


def test_resume_is_advised_as_long_as_it_is_there(hand: Any, viewer: Any, sample: Any) -> None:
    """What was stopped cannot go on without its labels; the model that it left stays."""
    hand.dock.panels.training.set_budget(seconds=100)
    hand.click("Train")
    hand.wait_to_read("Model: 1 channel")  # which comes after the first step that is read
    hand.click("Stop")
    hand.wait_until_idle()
    stopped, advice = "Stopped; the best model so far is kept.", "Resume, then Finish, makes it"
    assert hand.reads(f"{stopped} {advice} better.")
    viewer.layers.remove(sample[1])

    assert not hand.button("Resume").isVisibleTo(hand.dock.native)
    assert hand.reads(stopped)
    assert not hand.reads(advice)


def test_stop_after_the_last_step_segments_nothing_either(
    hand: Any, viewer: Any, qtbot: Any
) -> None:
    """However late it comes."""
    last: list[Any] = []
    trained: list[Any] = []

    def stop_at_the_end(event: Any) -> None:
        if type(event).__name__ == "Trained":
            last.append(event)
            hand.session.jobs.stop()

    hand.session.jobs.event.connect(stop_at_the_end)
    hand.session.trained.connect(trained.append)
    hand.click("Train")
    hand.wait_until_idle()
    assert last
    assert trained == []
    qtbot.wait(100)

    assert not [layer for layer in viewer.layers if is_result(layer, "segmentation")]


def test_training_again_goes_on_and_new_model_starts_afresh(hand: Any) -> None:
    """By the steps that the model remembers."""
    for expected in (3, 6):
        hand.click("Train")
        hand.wait_until_idle()
        assert hand.session.segmenter.provenance["steps"] == expected
    hand.click("New model")
    assert hand.reads("No model yet: Segment shows what the starter model finds.")
    assert hand.button("Segment").isEnabled()
    hand.click("Train")
    hand.wait_until_idle()

    assert hand.session.segmenter.provenance["steps"] == 3


def test_the_running_job_is_shown_in_the_panel_and_in_the_activity_dock(
    hand: Any, qtbot: Any
) -> None:
    """With its name and its share; both are empty afterwards."""
    (bar,) = hand.dock.native.findChildren(QProgressBar)
    seen: list[tuple[str, int]] = []
    hand.dock.panels.training.set_budget(steps=40)
    hand.click("Train")

    def look() -> bool:
        names = [p.desc.strip(" :") for p in progress._all_instances]
        if bar.value() and "Training" in names:
            seen.append((bar.format(), bar.value()))
        return hand.session.jobs.state == "idle"

    qtbot.wait_until(look, timeout=100_000)
    hand.wait_until_idle()

    assert ("Training %p %", pytest.approx(50, abs=50)) in seen
    assert (bar.format(), bar.value()) == ("idle", 0)


def test_a_closed_dock_stays_closed_and_an_opened_one_goes_on(
    hand: Any, viewer: Any, open_dock: Callable[[], Any], messages: Any
) -> None:
    """The training goes on meanwhile; the new dock has the curve, the bar and Stop."""
    hand.dock.panels.training.set_budget(seconds=100)
    hand.click("Train")
    hand.wait_to_read("Step ")
    viewer.window.remove_dock_widget(hand.dock.native)
    old = hand.dock
    viewer.layers[0].name = "renamed"

    assert hand.session.jobs.state == "running"
    again = open_dock()
    assert again.dock is not old
    assert again.session is hand.session
    assert again.reads("Step ")
    assert again.button("Stop").isEnabled()
    assert not again.button("Train").isEnabled()
    assert again.dock.panels.training.curve.points() > 0
    again.click("Stop")
    again.wait_until_idle()
    assert again.reads("Stopped; the best model")
    assert not hand.reads("Stopped")
    assert messages() == []


def test_only_an_open_dock_segments_after_a_training(
    hand: Any, viewer: Any, qtbot: Any, messages: Any
) -> None:
    """Nothing happens behind a dock that was closed."""
    hand.click("Train")
    viewer.window.remove_dock_widget(hand.dock.native)
    hand.wait_until_idle()
    qtbot.wait(100)

    assert not [layer for layer in viewer.layers if is_result(layer, "segmentation")]
    assert hand.session.segmenter is not None
    assert messages() == []


def test_a_training_without_a_budget_goes_on_until_stop(hand: Any, qtbot: Any) -> None:
    """The bar then names the job and no share."""
    (bar,) = hand.dock.native.findChildren(QProgressBar)
    hand.dock.panels.training.set_budget()
    hand.click("Train")
    hand.wait_to_read("Step ")
    assert bar.format() == "Training ..."
    qtbot.wait(200)
    assert hand.session.jobs.state == "running"
    hand.click("Stop")
    hand.wait_until_idle()

    assert hand.reads("Stopped; the best model so far is kept.")
    hand.click("Resume")
    assert hand.session.training is not None
    assert not hand.dock.panels.training.live.on, "it was not live before either"
    hand.click("Stop")
    hand.wait_until_idle()


def test_no_button_comes_where_stop_is(hand: Any) -> None:
    """Whoever clicks on it once more, because it takes a moment, must not resume."""
    row = hand.button("Stop").parentWidget().layout()
    places = {text: row.indexOf(hand.button(text)) for text in ("Finish", "Resume", "Stop")}

    assert places["Stop"] == row.count() - 1
    assert sorted(places.values()) == [1, 2, 3]


def test_a_live_training_that_was_stopped_goes_on_live(hand: Any, qtbot: Any) -> None:
    """Though it began with a budget, and became live later."""
    panel = hand.dock.panels.training
    panel.set_budget(seconds=100)
    hand.click("Train")
    qtbot.wait_until(lambda: bool(hand.session.record.seconds), timeout=100_000)
    panel.set_live(True)
    hand.click("Stop")
    hand.wait_until_idle()
    assert not panel.live.on
    hand.click("Resume")

    assert panel.live.on
    assert hand.session.training.live
    hand.click("Stop")
    hand.wait_until_idle()


def test_two_viewers_know_nothing_of_each_other(
    hand: Any, make_napari_viewer: Any, host: Any
) -> None:
    """Each has its own model, its own jobs, and its own results."""
    other = make_napari_viewer()
    Session.of(other).host = host
    _, dock = other.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
    hand.click("Train")
    hand.wait_until_idle()

    assert dock.session is not hand.session
    assert dock.session.segmenter is None
    assert len(other.layers) == 0
    assert dock.session.jobs.state == "idle"


def test_the_dock_is_narrow_and_all_of_it_can_be_reached(
    make_napari_viewer: Any, host: Any, qtbot: Any
) -> None:
    """On a screen of 1366 x 720 what matters is visible at once, and the rest by scrolling."""
    viewer = make_napari_viewer(show=True)
    Session.of(viewer).host = host
    viewer.window.resize(1366, 720)
    viewer.open_sample("napari-live-unet", "touching_cells")
    wrapper, dock = viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
    qtbot.wait(600)
    scroll = dock.native.findChild(QScrollArea)

    assert 340 <= wrapper.width() <= 380
    assert scroll.widget().width() <= scroll.viewport().width()
    assert viewer.window._qt_window.height() == 720
    from_top = {
        name: widget.mapTo(scroll.widget(), widget.rect().bottomLeft()).y()
        for name, widget in {
            "Train": dock.panels.training._train.native,
            "Stop": dock.panels.training.job._stop.native,
            "curve": dock.panels.training.curve,
            "Segment": dock.panels.segmentation._segment.native,
        }.items()
    }
    assert max(from_top.values()) < scroll.viewport().height()
    dock.panels.settings.fold.toggle()
    qtbot.wait(100)
    assert viewer.window._qt_window.height() == 720
    bar = scroll.verticalScrollBar()
    assert bar.maximum() > 0
    assert scroll.widget().width() <= scroll.viewport().width()
    viewer.window._qt_window.resizeDocks([wrapper], [500], Qt.Orientation.Horizontal)
    qtbot.wait(50)
    assert wrapper.width() == 500


@pytest.mark.parametrize("size", [9, 14])
def test_no_button_is_cut_off_with_a_larger_font(
    make_napari_viewer: Any, host: Any, qtbot: Any, size: int
) -> None:
    """The dock becomes as wide as its buttons need."""
    get_settings().appearance.font_size = size
    viewer = make_napari_viewer(show=True)
    Session.of(viewer).host = host
    viewer.window.resize(1366, 720)
    _, dock = viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
    dock.panels.batch.source.what.value = "files or a folder"
    for fold in (dock.panels.adjust_fold, dock.panels.link_fold, dock.panels.batch_fold):
        fold.toggle()
    qtbot.wait(600)

    shown = [b for b in dock.native.findChildren(QPushButton) if b.isVisible() and b.text()]
    narrow = [
        b.text() for b in shown if b.width() < b.fontMetrics().horizontalAdvance(b.text()) + 4
    ]
    assert len(shown) > 20
    assert narrow == []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_curve_follows_the_theme(hand: Any, viewer: Any, theme: str) -> None:
    """So that its numbers can be read on either ground."""
    viewer.theme = "light" if theme == "dark" else "dark"
    viewer.theme = theme
    colour = hand.dock.panels.training.curve.getPlotItem().getAxis("left").textPen().color()

    assert (colour.lightness() > 128) == (theme == "dark")


def test_a_namesake_is_reported(
    viewer: Any, open_dock: Any, messages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project that owns the name on the package index installs a package of the same name."""
    folder = tmp_path / "napari_unet-1.0.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: napari-unet\nVersion: 1.0.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.metadata.version("napari-unet") == "1.0.0"
    open_dock()

    ((severity, message),) = messages()
    assert severity == "warning"
    assert "napari-unet 1.0.0, is installed" in message
    assert "pip uninstall napari-unet" in message
    # what is uninstalled takes our files along
    assert "pip install --force-reinstall --no-deps napari-live-unet" in message
    # which pip does not find on the package index if it came from a copy of the repository
    assert "pip install --force-reinstall --no-deps -e ." in message
    assert viewer.layers == []


def test_painting_between_training_and_result_is_not_disturbed(
    hand: Any, sample: Any, viewer: Any
) -> None:
    """The brush stays in hand, and undo takes back the strokes."""
    image, labels = sample
    viewer.layers.selection.active = labels
    labels.mode = "paint"
    before = labels.data.copy()
    hand.click("Train")
    labels.paint((64, 64), 201)
    hand.wait_until_idle()
    labels.paint((20, 20), 202)

    assert "cells segmentation" in viewer.layers
    assert viewer.layers.selection.active is labels
    assert labels.mode == "paint"
    assert image in viewer.layers
    labels.undo()
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_every_fold_opens_and_closes(hand: Any, qtbot: Any) -> None:
    """What is rarely used is out of the way and one click away."""
    panels = hand.dock.panels
    for fold in (
        panels.adjust_fold,
        panels.score_fold,
        panels.weights_fold,
        panels.settings.fold,
        panels.shortcuts.fold,
    ):
        content = fold._content.native
        assert not content.isVisibleTo(hand.dock.native)
        gc.collect()
        qtbot.mouseClick(fold._button.native, Qt.MouseButton.LeftButton)
        assert content.isVisibleTo(hand.dock.native)
        qtbot.mouseClick(fold._button.native, Qt.MouseButton.LeftButton)
        assert not content.isVisibleTo(hand.dock.native)


@pytest.mark.parametrize("painted", [True, False])
def test_a_window_closed_while_live_mode_is_on_ends_it(
    hand: Any, sample: Any, viewer: Any, qtbot: Any, painted: bool
) -> None:
    """Whether it trains or waits: no slot asks widgets that are gone."""
    live = hand.dock.panels.training.live
    if not painted:
        sample[1].data[:] = 0
    hand.dock.panels.training.set_live(True)
    if painted:
        hand.wait_to_read("Step ")
    viewer.close()
    qtbot.wait(LOOKS_MS)

    assert not live._timer.isActive()
    assert not live.on


def test_live_mode_says_what_is_missing_when_its_labels_are_removed(
    hand: Any, sample: Any, viewer: Any
) -> None:
    """The training ends, and the toggle stays on for the next labels."""
    hand.dock.panels.training.set_live(True)
    hand.wait_to_read("Step ")
    viewer.layers.remove(sample[1])
    hand.wait_to_read("Live: paint in labels of the chosen image (New makes some).")

    assert hand.dock.panels.training.live.on
    assert hand.session.jobs.state == "idle"
    hand.dock.panels.training.set_live(False)
