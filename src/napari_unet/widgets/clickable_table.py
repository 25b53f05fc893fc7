"""A table of texts whose rows lead somewhere; as high as its rows, and invisible without any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_unet.widgets.focus import RowKeys

__all__ = ["ClickableTable", "Rows"]


class Rows(QAbstractTableModel):
    """Makes texts of rows when they are shown: there may be many thousands.

    Parameters
    ----------
    columns : sequence of str
        Their names.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__()
        self._columns = columns

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, ARG002 (Qt's)
        """Return how many there are."""
        return len(self._columns)

    def headerData(  # noqa: N802 (Qt's name)
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column."""
        shown = role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal
        return self._columns[section] if shown else None


class ClickableTable(QTableView):
    """Shows a model; a click tells which row it met.

    Parameters
    ----------
    model : QAbstractTableModel
        What is shown.
    tooltip : str
        What a click does.
    most_rows : int
        More than these are scrolled.
    on_click : callable
        Given the number of the row that was clicked, from 0.
    """

    def __init__(
        self,
        model: QAbstractTableModel,
        tooltip: str,
        most_rows: int,
        on_click: Callable[[int], object],
    ) -> None:
        super().__init__()
        self._on_click, self._most_rows = on_click, most_rows
        self.setModel(model)
        self.setToolTip(tooltip)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        rows = self.verticalHeader()
        assert rows is not None
        rows.hide()
        self.columns.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.clicked.connect(self._on_clicked)
        RowKeys(self, on_click)
        self.setVisible(False)

    @property
    def columns(self) -> QHeaderView:
        """The header above the columns."""
        header = self.horizontalHeader()
        assert header is not None
        return header

    def fit(self, count: int) -> None:
        """Make room for so many rows."""
        rows = self.verticalHeader()
        assert rows is not None
        shown = min(count, self._most_rows)
        self.setFixedHeight(
            self.columns.sizeHint().height() + shown * rows.defaultSectionSize() + 4
        )
        self.setVisible(bool(count))

    def _on_clicked(self, index: QModelIndex) -> None:
        self._on_click(index.row())
