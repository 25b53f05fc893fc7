"""The small parts that all panels are made of."""

from __future__ import annotations

from collections.abc import Sequence

from magicgui.widgets import ComboBox, Container, Label, PushButton
from magicgui.widgets.bases import Widget
from qtpy.QtCore import QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QWidget,
)

__all__ = [
    "Scroll",
    "button",
    "form",
    "narrow",
    "row",
    "scroll_to",
    "sentence",
    "show_row",
    "stack",
]

DOCK_WIDTH = 360


def button(text: str, tooltip: str) -> PushButton:
    """Return a button with its explanation."""
    made = PushButton(text=text, tooltip=tooltip)
    made.native.setMinimumWidth(40)
    return made


def narrow(combo: ComboBox) -> ComboBox:
    """Let a choice be narrower than its longest text, so that the dock can be narrow too."""
    native: QComboBox = combo.native
    policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    native.setSizeAdjustPolicy(policy)
    native.setMinimumContentsLength(8)
    native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def sentence() -> Label:
    """Return a text that wraps, as wide as the dock."""
    made = Label()
    made.native.setWordWrap(True)
    made.native.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    made.native.setSizePolicy(_as_high_as_the_text_at_this_width())
    made.native.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def _as_high_as_the_text_at_this_width() -> QSizePolicy:
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    policy.setHeightForWidth(True)
    return policy


def row(
    *widgets: Widget, label: str = "", tooltip: str = "", stretch: Sequence[int] = ()
) -> Container[Widget]:
    """Put widgets side by side; ``stretch`` says how they share the width."""
    made = Container(
        widgets=list(widgets), layout="horizontal", labels=False, label=label, tooltip=tooltip
    )
    made.margins = (0, 0, 0, 0)
    layout = made.native.layout()
    layout.setSpacing(6)
    for index, share in enumerate(stretch):
        layout.setStretch(index, share)
    return made


def stack(*widgets: Widget) -> Container[Widget]:
    """Put widgets one under the other."""
    made = Container(widgets=list(widgets), labels=False)
    made.margins = (0, 0, 0, 0)
    made.native.layout().setSpacing(4)
    return made


def form(*widgets: Widget) -> Container[Widget]:
    """Put labelled widgets one under the other, aligned; whoever calls keeps the widgets."""
    made = stack()
    layout = QFormLayout()  # magicgui measures its labels before napari's style changes their font
    layout.setSpacing(4)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for widget in widgets:
        text = QLabel(widget.label)
        text.setToolTip(widget.tooltip or "")
        layout.addRow(text, widget.native)
    made.native.layout().addLayout(layout)
    return made


def show_row(of: Container[Widget], widget: Widget, *, shown: bool) -> None:
    """Show or hide a row of a `form`."""
    layout = of.native.findChild(QFormLayout)
    assert layout is not None
    layout.setRowVisible(widget.native, shown)


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
        self._part = self._content
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._show)
        self.setWidget(self._content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def show_soon(self, part: QWidget) -> None:
        """Scroll to a part once it has its height: until it is seen, or its top if it is high."""
        self._part = part
        self._later.start(0)

    def _show(self) -> None:
        self.ensureWidgetVisible(self._part, 0, 0)
        top = self._part.mapTo(self._content, QPoint(0, 0)).y()
        bar = self.verticalScrollBar()
        if bar is not None:
            bar.setValue(min(bar.value(), top))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return the width below which something would be cut off."""
        style = self.style()
        bar = style.pixelMetric(QStyle.PixelMetric.PM_ScrollBarExtent) if style is not None else 0
        return QSize(self._content.minimumSizeHint().width() + bar, 100)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return a width in which most sentences need one line."""
        width = max(DOCK_WIDTH, self.minimumSizeHint().width())
        return QSize(width, self._content.sizeHint().height())
