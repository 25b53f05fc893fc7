"""The scrolling of the dock, which may be lower than what it holds."""

from __future__ import annotations

from magicgui.widgets import Container
from magicgui.widgets.bases import Widget
from qtpy.QtCore import QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import QFrame, QScrollArea, QStyle, QWidget

__all__ = ["Scroll", "scroll_to"]

DOCK_WIDTH = 360
SETTLING_ROUNDS = 5
"""Rounds of events in which heights settle, from the inside outwards, with one to spare."""


def scroll_to(part: QWidget) -> None:
    """Scroll the dock until a part of it is seen."""
    around = part.parentWidget()
    while around is not None and not isinstance(around, Scroll):
        around = around.parentWidget()
    if around is not None:
        around.show_soon(part)


class Scroll(QScrollArea):
    """Lets the dock be lower than what it holds; magicgui's own scrolling is lost in a dock."""

    def __init__(self, content: Container[Widget]) -> None:
        super().__init__()
        content.margins = (6, 6, 6, 6)
        content.native.layout().addStretch()
        self._content: QWidget = content.native
        self._part, self._rounds = self._content, 0
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._show)
        self.setWidget(self._content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def show_soon(self, part: QWidget) -> None:
        """Scroll to a part once it has its height: until it is seen, or its top if it is high."""
        self._part, self._rounds = part, SETTLING_ROUNDS
        self._later.start(0)

    def _show(self) -> None:
        self.ensureWidgetVisible(self._part, 0, 0)
        top = self._part.mapTo(self._content, QPoint(0, 0)).y()
        bar = self.verticalScrollBar()
        if bar is not None:
            bar.setValue(min(bar.value(), top))
        self._rounds -= 1
        if self._rounds > 0:
            self._later.start(0)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return the width below which something would be cut off."""
        style = self.style()
        bar = style.pixelMetric(QStyle.PixelMetric.PM_ScrollBarExtent) if style is not None else 0
        return QSize(self._content.minimumSizeHint().width() + bar, 100)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return a width in which most sentences need one line."""
        width = max(DOCK_WIDTH, self.minimumSizeHint().width())
        return QSize(width, self._content.sizeHint().height())
