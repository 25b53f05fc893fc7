"""The table of models: what each was trained on, and one click back."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt

from napari_unet.widgets.history_table import HistoryTable


def texts(table: HistoryTable, row: int) -> list[str]:
    """What a row says."""
    items = [table.item(row, column) for column in range(table.columnCount())]
    return [item.text() for item in items if item is not None]


def bold(table: HistoryTable) -> list[bool]:
    """Which rows are bold."""
    items = [table.item(row, 0) for row in range(table.rowCount())]
    return [item.font().bold() for item in items if item is not None]


def test_a_click_goes_back_to_an_earlier_model(hand: Any, qtbot: Any) -> None:
    """Newest first, the present model in bold; training again goes on from the clicked one."""
    (table,) = hand.dock.native.findChildren(HistoryTable)
    assert not table.isVisibleTo(hand.dock.native)
    for _ in range(2):
        hand.click("Train")
        hand.wait_until_idle()
    assert table.isVisibleTo(hand.dock.native)
    assert bold(table) == [True, False]
    time, quality, labels = texts(table, 1)
    assert ":" in time
    assert "held" in quality
    assert "cells" in labels
    row = table.visualItemRect(table.item(1, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=row)
    assert bold(table) == [False, True]
    assert hand.session.segmenter is hand.session.history[0].segmenter
    assert hand.reads("Model: 1 channel to cells, 3 steps.")
    assert hand.reads(f"The model of {time} is used now: {quality}.")
    hand.click("Train")
    hand.wait_until_idle()
    assert hand.session.segmenter.provenance["steps"] == 6
    assert bold(table) == [True, False, False]


def test_a_click_while_a_job_runs_changes_nothing(hand: Any, qtbot: Any) -> None:
    """The training goes on from where it began."""
    (table,) = hand.dock.native.findChildren(HistoryTable)
    hand.click("Train")
    hand.wait_until_idle()
    hand.dock.panels.training.set_budget(seconds=100)
    hand.click("Train")
    hand.wait_to_read("Step ")
    before = hand.session.segmenter
    row = table.visualItemRect(table.item(0, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=row)
    assert hand.session.jobs.state == "running"
    assert hand.session.segmenter.provenance["steps"] >= before.provenance["steps"]
    hand.click("Stop")
    hand.wait_until_idle()
    assert hand.button("Resume").isVisibleTo(hand.dock.native)


def test_a_click_while_a_job_runs_is_answered(hand: Any, qtbot: Any, messages: Any) -> None:
    """Nothing changes then, and nobody should have to guess why."""
    hand.click("Train")
    hand.wait_until_idle()
    (table,) = hand.dock.native.findChildren(HistoryTable)
    model = hand.session.segmenter
    hand.click("Segment")
    assert hand.session.jobs.state == "running"
    row = table.visualItemRect(table.item(0, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=row)

    assert messages() == [("error", "Segmenting is still running; stop it or wait for its end.")]
    assert hand.session.segmenter is model
    hand.wait_until_idle()
