"""The scrolling of the dock, which may be lower than what it holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from magicgui.widgets import Container
from magicgui.widgets.bases import Widget
from qtpy.QtCore import QPoint, QSize, Qt, QTimer
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QFrame, QScrollArea, QStyle, QWidget

__all__ = ["Scroll", "hold_still", "scroll_to"]

DOCK_WIDTH = 360
SETTLING_ROUNDS = 5
"""Rounds of events in which heights settle, from the inside outwards, with one to spare."""


def scroll_to(part: QWidget) -> None:
    """Scroll the dock until a part of it is seen."""
    if (around := _around(part)) is not None:
        around.show_soon(part)


def hold_still(part: QWidget) -> None:
    """Let what is under the mouse stay there while a part of the dock changes its height.

    Sentences come and go by themselves, and a click is not to meet another button.
    """
    if (around := _around(part)) is not None:
        around.hold()


def _around(part: QWidget) -> Scroll | None:
    around = part.parentWidget()
    while around is not None and not isinstance(around, Scroll):
        around = around.parentWidget()
    return around


class Scroll(QScrollArea):
    """Lets the dock be lower than what it holds; magicgui's own scrolling is lost in a dock."""

    def __init__(self, content: Container[Widget]) -> None:
        super().__init__()
        content.margins = (6, 6, 6, 6)
        content.native.layout().addStretch()
        self._content: QWidget = content.native
        self._aim: Callable[[], object] = lambda: None
        self._rounds, self._holds = 0, False
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._take_round)
        self.setWidget(self._content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        bar = self.verticalScrollBar()
        assert bar is not None  # Qt makes one
        self._bar = bar

    def show_soon(self, part: QWidget) -> None:
        """Scroll to a part once it has its height: until it is seen, or its top if it is high."""
        self._aim, self._holds = partial(self._show, part), False
        self._settle()

    def hold(self) -> None:
        """Keep what is under the mouse where it is, as far as there is something to scroll."""
        if self._rounds == 0:
            mouse = self._content.mapFromGlobal(QCursor.pos())
            under = self._content.childAt(mouse)
            if under is None or not self._content.visibleRegion().contains(mouse):
                return
            self._aim, self._holds = partial(self._stay, under, self._height(under)), True
        if self._holds:  # and does not show anything
            self._settle()

    def _settle(self) -> None:
        self._rounds = SETTLING_ROUNDS
        self._later.start(0)

    def _take_round(self) -> None:
        self._aim()
        self._rounds -= 1
        if self._rounds > 0:
            self._later.start(0)

    def _show(self, part: QWidget) -> None:
        self.ensureWidgetVisible(part, 0, 0)
        top = part.mapTo(self._content, QPoint(0, 0)).y()
        self._bar.setValue(min(self._bar.value(), top))

    def _stay(self, part: QWidget, height: int) -> None:
        self._bar.setValue(self._bar.value() + self._height(part) - height)

    def _height(self, part: QWidget) -> int:
        """Return how high a part is seen, in pixels from the top."""
        return part.mapTo(self, QPoint(0, 0)).y()

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return the width below which something would be cut off."""
        style = self.style()
        bar = style.pixelMetric(QStyle.PixelMetric.PM_ScrollBarExtent) if style is not None else 0
        return QSize(self._content.minimumSizeHint().width() + bar, 100)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return a width in which most sentences need one line."""
        width = max(DOCK_WIDTH, self.minimumSizeHint().width())
        return QSize(width, self._content.sizeHint().height())
