"""The small parts that all panels are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence

from magicgui.widgets import ComboBox, Container, Label, PushButton
from magicgui.widgets.bases import Widget
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
)

from napari_unet.widgets.scroll import hold_still

__all__ = [
    "button",
    "form",
    "narrow",
    "row",
    "sentence",
    "show_row",
    "stack",
    "unbroken",
]

UNBROKEN = "\N{NO-BREAK SPACE}"
TOGETHER = re.compile(r"(?<=\d) (?=%|x \d|(\d{3}|px|s|µm|[kMGT]B)\b)|(?<=\d x) (?=\d)")
"""Blanks as in 12 345, 95 %, 30 px, and 128 x 128."""


class _OneClick(QObject):
    """Lets a double click be one click: the second would meet what the first has changed."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802, ARG002 (Qt's)
        """Take the second press away."""
        return event is not None and event.type() == QEvent.Type.MouseButtonDblClick


def button(text: str, tooltip: str, *, repeated: bool = False) -> PushButton:
    """Return a button with its explanation; a double click is two only where it is ``repeated``."""
    made = PushButton(text=text, tooltip=tooltip)
    native: QPushButton = made.native
    if not repeated:
        native.installEventFilter(_OneClick(native))
    return made


def narrow(combo: ComboBox) -> ComboBox:
    """Let a choice be narrower than its longest text, so that the dock can be narrow too."""
    native: QComboBox = combo.native
    policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    native.setSizeAdjustPolicy(policy)
    native.setMinimumContentsLength(8)
    native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def unbroken(text: str) -> str:
    """Return a text whose lines never end between the digits of a number, or before its unit."""
    return TOGETHER.sub(UNBROKEN, text)


class _Sentence(Label):
    """A text that is shown `unbroken`, read as it was said, and moves nothing under the mouse."""

    def get_value(self) -> str:
        return super().get_value().replace(UNBROKEN, " ")

    def set_value(self, value: str) -> None:
        if value != self.get_value():
            hold_still(self.native)
        super().set_value(unbroken(value))


def sentence() -> Label:
    """Return a text that wraps, as wide as the dock."""
    made = _Sentence()
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
