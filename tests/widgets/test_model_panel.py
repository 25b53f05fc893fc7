"""Saving, loading and dropping the model."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QApplication,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QMessageBox,
)
from small_things import make_segmenter

from napari_unet.engine.segmenter import Segmenter


def test_a_model_survives_saving_and_loading(hand: Any, tmp_path: Path) -> None:
    """With the ending that the program looks for, whether or not it was typed."""
    model = hand.session.segmenter = make_segmenter()
    hand.dock.panels.model.save(str(tmp_path / "mine"))
    assert hand.reads("Saved as mine.safetensors.")
    hand.click("New model")
    assert hand.session.segmenter is None
    assert not hand.reads("Saved as")
    hand.dock.panels.model.load(str(tmp_path / "mine.safetensors"))
    assert hand.reads("Loaded mine.safetensors.")

    loaded = hand.session.segmenter
    assert hand.reads("Model: 1 channel to cells, 0 steps.")
    assert hand.dock.panels.model._about.tooltip == model.describe()
    for name, weight in model.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], weight)


def test_what_was_said_of_a_training_goes_with_its_model(hand: Any) -> None:
    """The sentence and the curve are not about a new model."""
    hand.click("Train on current labels")
    hand.wait_until_idle(60)
    assert hand.reads("Trained 3 steps in")
    hand.click("New model")

    assert not hand.reads("Trained 3 steps in")
    assert not hand.session.record.seconds


def test_a_file_that_is_no_model_is_refused_and_the_present_one_stays(
    hand: Any, tmp_path: Path, messages: Any
) -> None:
    """As a notification that names the file."""
    model = hand.session.segmenter = make_segmenter()
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no model")
    hand.dock.panels.model.load(str(path))

    ((severity, message),) = messages()
    assert severity == "error"
    assert "broken.safetensors is damaged" in message
    assert hand.reads(message)  # napari cuts it off
    assert hand.session.segmenter is model


def test_a_place_that_cannot_be_written_is_told(hand: Any, tmp_path: Path, messages: Any) -> None:
    """And the model is still there."""
    hand.session.segmenter = make_segmenter()
    (tmp_path / "file").write_text("no folder")
    hand.dock.panels.model.save(str(tmp_path / "file" / "model"))

    ((severity, message),) = messages()
    assert severity == "error"
    assert "The model could not be saved to " in message
    assert hand.session.segmenter is not None


def test_a_model_is_exported_with_the_plane_in_view(hand: Any, tmp_path: Path) -> None:
    """In the compute process; then the dock says where, and that the plane is in it."""
    assert not hand.button("Export ...").isEnabled()
    hand.session.segmenter = make_segmenter()
    hand.dock.panels.model.export(str(tmp_path / "cells"))

    hand.wait_to_read("A part of the plane in view is in it")
    hand.wait_until_idle()

    assert hand.reads(f"Exported to {tmp_path / 'cells.zip'}.")
    with zipfile.ZipFile(tmp_path / "cells.zip") as files, files.open("image.npy") as file:
        example = np.load(io.BytesIO(file.read()))
    plane = np.asarray(hand.session.viewer.layers[0].data)
    y, x = ((n - m) // 2 for n, m in zip(plane.shape, example.shape[2:], strict=True))
    wanted = plane[y : y + example.shape[2], x : x + example.shape[3]]
    np.testing.assert_allclose(example[0, 0], wanted)


def test_a_model_that_cannot_be_exported_is_told_beside_it(
    hand: Any, tmp_path: Path, messages: Any
) -> None:
    """For want of a folder that can be written to, or of the right number of channels."""
    panel = hand.dock.panels.model
    hand.session.segmenter = make_segmenter()
    (tmp_path / "file").write_text("no folder")
    panel.export(str(tmp_path / "file" / "cells.zip"))
    hand.wait_to_read("could not be exported to")
    hand.wait_until_idle()
    hand.session.segmenter = make_segmenter(in_channels=2)
    panel.export(str(tmp_path / "cells.zip"))

    assert hand.reads("The model was trained on 2 channel(s) and cannot be used on")
    assert len(messages()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_with_a_model_from_elsewhere_nobody_is_told_to_paint_first(
    hand: Any, tmp_path: Path
) -> None:
    """It can segment."""
    make_segmenter().save(tmp_path / "model.safetensors")
    assert hand.reads("Paint a few cells and some background, then train.")
    hand.dock.panels.model.load(str(tmp_path / "model.safetensors"))
    assert hand.reads("Segment with this model, or paint where it is wrong and train again.")
    hand.click("New model")
    assert hand.reads("Paint a few cells and some background, then train.")


@pytest.mark.parametrize("button", ["Save ...", "Load ...", "Export ..."])
def test_the_buttons_ask_for_a_file(hand: Any, tmp_path: Path, button: str) -> None:
    """In a dialog of Qt, in which one can also think better of it."""
    path = tmp_path / "model.safetensors"
    model = make_segmenter()
    model.save(path)
    hand.session.segmenter = model
    seen: list[str] = []

    def close() -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QFileDialog):
            seen.append(box.windowTitle())
            box.reject()
        else:
            QTimer.singleShot(20, close)

    QTimer.singleShot(0, close)
    hand.click(button)

    assert seen == [button.replace(" ...", " model")]
    assert hand.session.segmenter is model
    assert Segmenter.load(path).describe() == model.describe()


def type_into_dialog(path: Path, answer: str, asked: list[str]) -> None:
    """Save under a name as soon as a dialog asks for one, and answer the question that follows."""

    def look() -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            asked.append(box.text())
            found = box.button(QMessageBox.StandardButton[answer])
            assert found is not None
            found.click()
            return
        QTimer.singleShot(20, look)
        if isinstance(box, QFileDialog):
            line, buttons = box.findChild(QLineEdit), box.findChild(QDialogButtonBox)
            assert line is not None
            assert buttons is not None
            line.setText(str(path))
            save = buttons.button(QDialogButtonBox.StandardButton.Save)
            assert save is not None
            save.click()

    QTimer.singleShot(0, look)


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_a_model_is_not_replaced_unasked(hand: Any, tmp_path: Path, answer: str) -> None:
    """Though its ending was not typed, and the dialog knows of no file with the name without it."""
    path = tmp_path / "mine.safetensors"
    earlier, model = make_segmenter(seed=1), make_segmenter(seed=2)
    earlier.save(path)
    hand.session.segmenter = model
    asked: list[str] = []
    type_into_dialog(tmp_path / "mine", answer, asked)
    hand.click("Save ...")

    assert asked == ["mine.safetensors is there already. Replace it?"]
    wanted = model if answer == "Yes" else earlier
    for name, weight in Segmenter.load(path).weights.items():
        np.testing.assert_array_equal(weight, wanted.weights[name])
    assert hand.reads("Saved as mine.safetensors.") is (answer == "Yes")
