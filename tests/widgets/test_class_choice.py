"""A name is typed beside Class, and the selected label has that class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QLineEdit

from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.layers import new_scribbles

SCRIBBLES = painted_scribbles(touching_cells((128, 128))[1])


def field(hand: Any) -> QLineEdit:
    """Return where the class is typed."""
    widget: QLineEdit = hand.dock.panels.data.class_choice.widget.native
    return widget


def test_typing_a_name_gives_the_selected_label_a_class(hand: Any, sample: Any, qtbot: Any) -> None:
    """It is counted, offered again, and taken away when it is deleted; no pixel changes."""
    _, labels = sample
    labels.selected_label = 2
    assert field(hand).placeholderText() == "of label 2: any"
    qtbot.keyClicks(field(hand), "dividing")
    field(hand).editingFinished.emit()
    assert classes_of(labels) == {2: "dividing"}
    hand.wait_to_read("(1 dividing, ", 100)
    labels.selected_label = 3
    assert field(hand).text() == ""
    qtbot.keyClicks(field(hand), "healthy")
    labels.selected_label = 2  # before Enter: it was meant for the label that was selected
    assert classes_of(labels) == {2: "dividing", 3: "healthy"}
    assert field(hand).text() == "dividing"
    field(hand).clear()
    field(hand).editingFinished.emit()
    assert classes_of(labels) == {3: "healthy"}
    np.testing.assert_array_equal(labels.data, SCRIBBLES)


def test_the_field_follows_the_table_and_the_chosen_layer(hand: Any, sample: Any) -> None:
    """What others write into the table is shown; without labels, nothing can be typed."""
    _, labels = sample
    labels.selected_label = 4
    labels.features = {"index": [4], "class": ["dead"]}
    assert field(hand).text() == "dead"
    labels.features = {"index": [4], "class": [-1]}
    assert field(hand).text() == "", "or it would hide what is wrong"
    assert "The class of label 4 is -1" in field(hand).placeholderText()
    hand.session.viewer.layers.remove(labels)
    assert not field(hand).isEnabled()


def test_what_was_typed_is_kept_when_other_labels_are_chosen(
    hand: Any, sample: Any, viewer: Any, qtbot: Any
) -> None:
    """The field is left with the mouse, which Qt tells when the choice has been made already."""
    image, labels = sample
    other = new_scribbles(viewer, image)
    choice = hand.dock.panels.data.choice
    choice.labels, labels.selected_label = labels, 2
    qtbot.keyClicks(field(hand), "dividing")
    choice.labels = other

    assert (classes_of(labels), classes_of(other)) == ({2: "dividing"}, {})
    assert field(hand).text() == ""


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_known_classes_have_the_colours_of_the_viewer(
    hand: Any, sample: Any, viewer: Any, qtbot: Any, theme: str
) -> None:
    """A white list in a dark window blinds."""
    _, labels = sample
    labels.features = {"index": [2], "class": ["dividing"]}
    labels.selected_label = 3
    viewer.theme = "light" if theme == "dark" else "dark"
    viewer.theme = theme
    viewer.window._qt_window.show()
    qtbot.keyClicks(field(hand), "d")
    known = field(hand).completer().popup()
    shown = known.grab().toImage()

    ground = shown.pixelColor(shown.width() - 5, shown.height() // 2)
    assert ground.name() == get_theme(theme).foreground.as_hex(format="long")
    known.hide()
