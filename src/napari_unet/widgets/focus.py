"""The keyboard in the dock: it is seen where it is, and rows of tables can be chosen with it."""

from __future__ import annotations

from collections.abc import Callable

from napari.utils.theme import Theme
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QTableView

__all__ = ["RowKeys", "focus_style"]

CHOOSES = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)


def focus_style(theme: Theme) -> str:
    """Return a style that frames what has the focus: that of napari shows it nowhere."""
    kinds = ("QPushButton", "QComboBox", "QAbstractSpinBox", "QLineEdit", "QTableView")
    frame = f"border: 1px solid {theme.text.as_hex(format='long')}"
    return (
        f"{', '.join(f'{kind}:focus' for kind in kinds)} {{{frame}}}"
        # napari pads these by the pixel that the frame takes; around all of it, it would hide text
        f" QCheckBox::indicator:focus {{{frame}; padding: 0px}}"
        f" QSlider::handle:horizontal:focus {{{frame}}}"
    )


class RowKeys(QObject):
    """Lets keys do in a table what a click does; Tab leads on to what is below it.

    Parameters
    ----------
    table : QTableView
        Whose rows lead somewhere.
    on_click : callable
        Given the number of the row that is meant, from 0.
    """

    def __init__(self, table: QTableView, on_click: Callable[[int], object]) -> None:
        super().__init__(table)
        self._table, self._on_click = table, on_click
        table.setTabKeyNavigation(False)  # it would go round among the cells for ever
        table.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802, ARG002 (Qt's)
        """Take Enter and the space bar."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            row = self._table.currentIndex().row()
            if event.key() in CHOOSES and row >= 0:
                self._on_click(row)
                return True
        return False
