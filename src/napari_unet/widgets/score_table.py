"""What became of every object, in a table; a click goes there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHeaderView

from napari_unet.core.comparison import ERROR_COLOURS
from napari_unet.viewer.scores.score import Row
from napari_unet.widgets.clickable_table import ClickableTable, Rows

__all__ = ["ScoreTable"]

COLUMNS = ("What", "Cell", "IoU", "Pixels")
MOST_ROWS = 8

_Role = Qt.ItemDataRole


class _Rows(Rows):
    def __init__(self) -> None:
        super().__init__(COLUMNS)
        self.rows: Sequence[Row] = ()

    def show(self, rows: Sequence[Row]) -> None:
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, ARG002 (Qt's)
        return len(self.rows)

    def data(self, index: QModelIndex, role: int = _Role.DisplayRole) -> Any:
        plane, one = self.rows[index.row()]
        if role == _Role.DisplayRole:
            place = "".join(f"{number}: " for number in plane)
            cell = f"{place}{one.side} {one.label}"
            return (one.fate, cell, f"{one.iou:.2f}", f"{one.area}")[index.column()]
        if role == _Role.DecorationRole and index.column() == 0 and one.fate in ERROR_COLOURS:
            return QColor(ERROR_COLOURS[one.fate])
        if role == _Role.ToolTipRole:
            other = "predicted" if one.side == "truth" else "true"
            overlaps = f"most with {other} {one.partner}" if one.partner else f"no {other} cell"
            return f"{one.fate}; overlaps {overlaps}. Click to go there."
        return None


class ScoreTable(ClickableTable):
    """The worst first; invisible without rows.

    Parameters
    ----------
    on_click : callable
        Given the row that was clicked.
    """

    def __init__(self, on_click: Callable[[Row], object]) -> None:
        self._rows = rows = _Rows()
        tooltip = (
            "The outcome for each cell, worst first; in a stack, the plane comes first. Click a "
            "row to go there."
        )
        super().__init__(rows, tooltip, MOST_ROWS, lambda row: on_click(rows.rows[row]))
        self.columns.setResizeContentsPrecision(100)  # rows, not all of many thousands
        self.columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.columns.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows, from the first on."""
        self._rows.show(rows)
        self.fit(len(rows))
