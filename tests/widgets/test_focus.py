"""The dock with the keyboard alone."""

from __future__ import annotations

from typing import Any

import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QPushButton
from small_things import make_segmenter

from napari_unet.viewer.learning.history import Version
from napari_unet.widgets.history_table import HistoryTable


@pytest.fixture(autouse=True)
def _in_an_active_window(hand: Any, viewer: Any, qtbot: Any) -> None:  # noqa: ARG001 (opened first)
    """The keyboard is for the window of the viewer."""
    window = viewer.window._qt_window
    window.show()
    window.activateWindow()
    qtbot.wait_until(window.isActiveWindow, timeout=100_000)


def remember_models(hand: Any) -> None:
    """As if two trainings had ended."""
    for seed in (1, 2):
        hand.session.history.add(Version(make_segmenter(seed=seed), "SEG 0.80"))
    hand.dock._renew()


def test_tab_goes_through_the_whole_dock(hand: Any, qtbot: Any) -> None:
    """Each place once; out of a table, too, and not to a curve with which nothing can be done."""
    remember_models(hand)
    hand.dock.panels.data.choice.image_box.native.setFocus()
    seen: list[Any] = []
    while (now := QApplication.focusWidget()) is not None and now not in seen and len(seen) < 80:
        seen.append(now)
        qtbot.keyClick(now, Qt.Key.Key_Tab)

    texts = [one.text() for one in seen if isinstance(one, QPushButton)]
    assert {"Train on current labels", "Segment", "Accept all in view", "Load ..."} <= set(texts)
    assert any(isinstance(one, HistoryTable) for one in seen)
    assert texts.index("Load ...") < texts.index("▸  Settings")
    assert hand.dock.panels.training.curve not in seen


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_has_the_focus_is_framed(hand: Any, viewer: Any, theme: str) -> None:
    """Otherwise nobody knows what the space bar would press."""
    viewer.theme = "light" if theme == "dark" else "dark"
    viewer.theme = theme
    button = hand.button("Accept all in view")

    def edge() -> str:
        shown = button.grab().toImage()
        return str(shown.pixelColor(shown.width() // 2, 0).name())

    text = get_theme(theme).text.as_hex(format="long")
    before = edge()
    button.setFocus()
    assert before != text
    assert edge() == text


def test_enter_does_in_a_table_what_a_click_does(hand: Any, qtbot: Any) -> None:
    """The present model is another one then."""
    remember_models(hand)
    (table,) = hand.dock.native.findChildren(HistoryTable)
    table.setFocus()
    table.setCurrentCell(0, 0)
    qtbot.keyClick(table, Qt.Key.Key_Down)
    qtbot.keyClick(table, Qt.Key.Key_Return)

    assert hand.session.segmenter is hand.session.history[0].segmenter
