"""The buttons that copy what the dock would do."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QLabel, QMessageBox, QPushButton
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.errors import InputError
from napari_unet.viewer.notes import link, set_meaning
from napari_unet.viewer.session import Session
from napari_unet.widgets.code_panel import CodePanel
from napari_unet.widgets.data_panel import DataPanel

TRAIN = TrainConfig(seconds=0, steps=7)
PREDICT = PredictConfig(rotations=3)


class Panel:
    """A code panel beside a data panel, and a hand that clicks."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.session, self.data = Session.of(viewer), DataPanel(viewer)
        self.scope, self.training = "current plane", TRAIN
        self.code = CodePanel(
            self.session,
            self.data,
            self._train_config,
            lambda: PREDICT,
            lambda: self.scope,
        )
        self._qtbot = qtbot
        for widget in (self.data.widget.native, self.code.widget.native):
            qtbot.add_widget(widget)
        QApplication.clipboard().setText("what was there before")

    def _train_config(self) -> TrainConfig:
        if self.training is None:
            raise InputError("A setting is wrong.")
        return self.training

    def copy(self, kind: str) -> str:
        """Click on a button; return what is in the clipboard then."""
        native = self.code.widget.native
        (found,) = [b for b in native.findChildren(QPushButton) if kind in b.text()]
        self._qtbot.mouseClick(found, Qt.MouseButton.LeftButton)
        return QApplication.clipboard().text()

    @property
    def said(self) -> str:
        """What stands below the buttons, if anything can be seen there."""
        native = self.code.widget.native
        (label,) = native.findChildren(QLabel)
        return label.text() if label.isVisibleTo(native) else ""


@pytest.fixture
def panel(viewer: Any, qtbot: Any) -> Iterator[Panel]:
    """The panel, following the viewer."""
    made = Panel(viewer, qtbot)
    made.data.follow()
    yield made
    made.data.leave()
    vars(made).clear()  # pytest keeps what fixtures return until after the check for leaks


@pytest.mark.usefixtures("sample")
def test_a_script_is_in_the_clipboard_after_a_click(panel: Panel) -> None:
    """With the layers and settings of now; a sentence says so, and what comes first."""
    assert panel.said == ""
    script = panel.copy("Python")

    ast.parse(script)
    assert "meaning='scribbles'" in script
    assert "TrainConfig(seconds=0, steps=7)" in script
    assert "PredictConfig(rotations=3)" in script
    assert panel.said == "Copied as Python. Its first lines say what to save before."


@pytest.mark.usefixtures("sample")
def test_commands_are_in_the_clipboard_after_a_click(panel: Panel) -> None:
    """Training, going on from the present model, then segmenting."""
    panel.session.segmenter = make_segmenter()
    panel.scope = "all open images"
    *_, train, segment = [shlex.split(line) for line in panel.copy("command line").splitlines()]

    assert train[:3] == ["napari-unet", "train", "cells.tif"]
    assert train[train.index("--continue") + 1] == "model.safetensors"
    assert train[-4:] == ["--seconds", "0", "--steps", "7"]
    assert segment[:4] == ["napari-unet", "segment", "cells.safetensors", "cells.tif"]
    assert panel.said.startswith("Copied as a command line.")


def test_what_else_is_trained_on_comes_along(panel: Panel, sample: Any, viewer: Any) -> None:
    """Each image with its own labels."""
    image = viewer.add_image(np.random.default_rng(0).random((40, 50)), name="more")
    cells = np.kron([[1, 2], [3, 0]], np.ones((20, 25), dtype=int))
    labels = viewer.add_labels(cells, name="more painted")
    panel.data.choice.image_box.value, panel.data.choice.labels = sample
    link(labels, image)
    panel.data.choice.follow()
    script = panel.copy("Python")

    assert "read_labels('cells_labels.tif')" in script
    assert "read_labels('more_labels.tif')" in script


def test_without_labels_a_model_is_enough(panel: Panel, viewer: Any) -> None:
    """Then only segmenting is left to do."""
    viewer.add_image(np.zeros((40, 50)), name="cells")
    panel.session.segmenter = make_segmenter()

    assert "train" not in panel.copy("command line").splitlines()[-1]
    assert "Annotation" not in panel.copy("Python")


@pytest.mark.parametrize("kind", ["Python", "command line"])
def test_what_cannot_be_copied_is_told(panel: Panel, viewer: Any, kind: str, messages: Any) -> None:
    """Below the buttons and as a notification; the clipboard keeps what it has."""
    image = viewer.add_image(np.zeros((40, 50)), name="cells")
    assert panel.copy(kind) == "what was there before"
    assert panel.said.startswith("No labels are chosen; press New beside Labels")
    viewer.add_labels(np.zeros((40, 50), int), name="empty")
    panel.data.choice.image_box.value = image
    assert panel.copy(kind) == "what was there before"
    assert panel.said.startswith("Nothing is painted in layer 'empty' yet")

    assert [text for _, text in messages()][-1] == panel.said


@pytest.mark.usefixtures("sample")
def test_a_setting_that_is_wrong_is_told(panel: Panel) -> None:
    """As the train button would."""
    panel.training = None

    assert panel.copy("Python") == "what was there before"
    assert panel.said == "A setting is wrong."


def test_labels_that_contradict_their_meaning_are_asked_about(panel: Panel, sample: Any) -> None:
    """As before a training: a script would not ask. Without an answer nothing is copied."""
    labels: Labels = sample[1]
    labels.data = np.where(labels.data < 4, labels.data, 0)
    set_meaning(labels, "instances")
    asked: list[str] = []

    def answer(button: QMessageBox.StandardButton) -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            asked.append(box.text())
            box.button(button).click()
        else:
            QTimer.singleShot(20, partial(answer, button))

    QTimer.singleShot(0, partial(answer, QMessageBox.StandardButton.Cancel))
    assert panel.copy("Python") == "what was there before"
    assert panel.said == ""
    QTimer.singleShot(0, partial(answer, QMessageBox.StandardButton.Yes))
    assert "meaning='scribbles'" in panel.copy("Python")
    assert [text.split(".")[0] for text in asked] == [asked[0].split(".")[0]] * 2


def test_every_button_explains_itself(panel: Panel) -> None:
    """What for, and what to do before."""
    tips = [b.toolTip() for b in panel.code.widget.native.findChildren(QPushButton)]

    assert len(tips) == 2
    assert all("what to save first" in tip for tip in tips)
