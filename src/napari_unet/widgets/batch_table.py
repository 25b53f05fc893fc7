"""Every image of a batch with its state, in a table; a click opens its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import QHeaderView, QStyledItemDelegate, QStyleOptionViewItem

from napari_unet.viewer.batches.batch import Batch, BatchRow
from napari_unet.widgets.clickable_table import ClickableTable, Rows

__all__ = ["BatchTable"]

COLUMNS = ("Image", "State")
MOST_ROWS = 6

_Role = Qt.ItemDataRole


class _Rows(Rows):
    def __init__(self) -> None:
        super().__init__(COLUMNS)
        self.batch = Batch()
        self._count = 0

    def show(self, batch: Batch) -> bool:
        """Show a batch as it is now; return whether there are other rows than before."""
        if batch is self.batch and len(batch.rows) == self._count:
            if self._count:
                last = self.index(self._count - 1, len(COLUMNS) - 1)
                self.dataChanged.emit(self.index(0, 0), last)
            return False
        self.beginResetModel()
        self.batch, self._count = batch, len(batch.rows)
        self.endResetModel()
        return True

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, ARG002 (Qt's)
        return self._count

    def data(self, index: QModelIndex, role: int = _Role.DisplayRole) -> Any:
        row = self.batch.rows[index.row()]
        if role == _Role.DisplayRole:
            return (row.name, row.text)[index.column()]
        if role == _Role.ToolTipRole:
            return f"{row.name}: {row.text}"
        return None


class _Names(QStyledItemDelegate):
    """Cuts long names in the middle: they differ at their ends."""

    def initStyleOption(  # noqa: N802 (Qt's name)
        self, option: QStyleOptionViewItem | None, index: QModelIndex
    ) -> None:
        super().initStyleOption(option, index)
        if option is not None:
            option.textElideMode = Qt.TextElideMode.ElideMiddle


class BatchTable(ClickableTable):
    """One row for each image; invisible without any.

    Parameters
    ----------
    on_click : callable
        Given the row that was clicked.
    """

    def __init__(self, on_click: Callable[[BatchRow], object]) -> None:
        self._rows = rows = _Rows()
        tooltip = "Click a row to see the result, or why there is none."
        super().__init__(rows, tooltip, MOST_ROWS, lambda row: on_click(rows.batch.rows[row]))
        self._names = _Names(self)
        self.setItemDelegateForColumn(0, self._names)
        self.columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)

    def show_batch(self, batch: Batch) -> bool:
        """Show a batch as it is now; return whether there are other rows than before."""
        if not self._rows.show(batch):
            return False
        self.fit(len(batch.rows))
        return True
