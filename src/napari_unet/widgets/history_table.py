"""The models of a session in a table; a click goes back to one."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_unet.viewer.learning.history import Version
from napari_unet.viewer.session import Session
from napari_unet.widgets.focus import RowKeys
from napari_unet.widgets.parts import unbroken
from napari_unet.widgets.telling import telling_errors

__all__ = ["HistoryTable"]

COLUMNS = ("Time", "Quality", "Trained on")
MOST_ROWS = 4


class HistoryTable(QTableWidget):
    """Newest first; the present model is bold. Invisible before the first training has ended.

    Parameters
    ----------
    session : Session
        Whose history is shown, and whose model a click replaces.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(0, len(COLUMNS))
        self._session = session
        self._shown: tuple[object, ...] = ()
        self.setHorizontalHeaderLabels(list(COLUMNS))
        self.setToolTip("Click a row to go back to that model, or forward again.")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.hide()
        columns.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        columns.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        columns.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.cellClicked.connect(self._on_click)
        RowKeys(self, self._on_click)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return a height for the rows there are, up to four."""
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert columns is not None
        shown = min(self.rowCount(), MOST_ROWS)
        height = columns.sizeHint().height() + shown * rows.defaultSectionSize() + 4
        return QSize(280, height)

    def renew(self) -> None:
        """Show the versions there are, and which one is used."""
        versions = list(reversed(list(self._session.history)))
        shown = (*versions, self._session.segmenter)
        if shown == self._shown:
            return
        self._shown = shown
        self.setRowCount(len(versions))
        for row, version in enumerate(versions):
            self._fill(row, version)
        self.setVisible(bool(versions))
        self.setFixedHeight(self.sizeHint().height())

    def _fill(self, row: int, version: Version) -> None:
        texts = (f"{version.time:%H:%M}", version.summary, version.trained_on)
        for column, text in enumerate(texts):
            item = QTableWidgetItem(unbroken(text))
            font = item.font()
            font.setBold(version.segmenter is self._session.segmenter)
            item.setFont(font)
            item.setToolTip(f"{text}. Click to use this model.")
            self.setItem(row, column, item)

    def _on_click(self, row: int, _: int = 0) -> None:
        versions = list(reversed(list(self._session.history)))
        with telling_errors():
            if row < len(versions):
                self._session.go_back(versions[row])
