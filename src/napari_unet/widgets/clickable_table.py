"""A table of texts whose rows lead somewhere; as high as its rows, and invisible without any."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

__all__ = ["ClickableTable"]


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
