"""The small parts that all panels are made of."""

from typing import Any

import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_unet.widgets.parts import button, sentence


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("7 135 px background, 95 % unlabelled.", "7_135_px background, 95_% unlabelled."),
        ("1 234 567 px, 10 cells in 3.5 s.", "1_234_567_px, 10 cells in 3.5_s."),
        (
            "6 planes along T of 512 x 512 px, 1 channel",
            "6 planes along T of 512_x_512_px, 1 channel",
        ),
        ("Layer 'x 12' at plane 3", "Layer 'x 12' at plane 3"),
    ],
)
def test_no_line_ends_within_a_number_or_before_its_unit(qtbot: Any, said: str, shown: str) -> None:
    """Whoever reads '95' at the end of a line looks for what it counts."""
    text = sentence()
    qtbot.add_widget(text.native)
    text.value = said

    assert text.native.text() == shown.replace("_", "\N{NO-BREAK SPACE}")
    assert text.value == said


@pytest.mark.parametrize(("repeated", "clicks"), [(False, 1), (True, 2)])
def test_a_double_click_is_one_click(qtbot: Any, repeated: bool, clicks: int) -> None:
    """The second would stop what was begun, or dismiss the offer that came up."""
    made = button("Segment all", "Begin.", repeated=repeated)
    qtbot.add_widget(made.native)
    made.native.show()
    seen: list[str] = []
    made.changed.connect(lambda: seen.append(made.text))
    qtbot.mouseClick(made.native, Qt.MouseButton.LeftButton)
    place, left = QPointF(made.native.rect().center()), Qt.MouseButton.LeftButton
    for kind in (QEvent.Type.MouseButtonDblClick, QEvent.Type.MouseButtonRelease):
        event = QMouseEvent(
            kind, place, made.native.mapToGlobal(place), left, left, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(made.native, event)
    assert len(seen) == clicks

    qtbot.mouseClick(made.native, Qt.MouseButton.LeftButton)
    assert len(seen) == clicks + 1
