"""Boxes in which a layer is chosen."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox, Container, PushButton
from magicgui.widgets.bases import Widget

from napari_unet.widgets.parts import narrow, row

__all__ = ["layer_box", "offer_anew", "with_button"]


def layer_box(label: str, choices: Any, tooltip: str) -> ComboBox:
    """Return a box that offers what ``choices`` returns, and no layer."""
    return narrow(ComboBox(label=label, nullable=True, choices=choices, tooltip=tooltip))


def with_button(box: ComboBox, new: PushButton) -> Container[Widget]:
    """Put a button beside a box that makes a layer to choose."""
    return row(box, new, label=box.label, tooltip=box.tooltip or "", stretch=(1, 0))


def offer_anew(combo: ComboBox) -> None:
    """Offer the layers that are there; what was chosen stays, whatever it is called now."""
    chosen = combo.value
    with combo.changed.blocked():  # magicgui looks for its name, and may choose another layer
        combo.reset_choices()
        if chosen in combo.choices:
            combo.value = chosen
    if combo.value is not chosen:
        combo.changed.emit(combo.value)
