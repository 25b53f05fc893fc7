"""A part of the dock that can be folded away."""

from __future__ import annotations

from magicgui.widgets import Container
from magicgui.widgets.bases import Widget

from napari_unet.widgets.parts import button, stack
from napari_unet.widgets.scroll import scroll_to

__all__ = ["Fold"]


class Fold:
    """A title that shows and hides what is under it, which is hidden first.

    Parameters
    ----------
    title : str
        What is under it.
    tooltip : str
        What it is for.
    content : Container
        What is shown and hidden.

    Attributes
    ----------
    unfolded : bool
        Whether it is shown.
    """

    def __init__(self, title: str, tooltip: str, content: Container[Widget]) -> None:
        self._title, self._content = title, content
        self._button = button("", tooltip)
        self._button.native.setStyleSheet("text-align: left; padding-left: 8px")
        self.widget = stack(self._button, content)
        self._button.changed.connect(self._on_click)
        self.unfolded = False
        self._show()

    def _on_click(self) -> None:
        self.toggle()
        if self.unfolded:
            scroll_to(self.widget.native)

    def toggle(self) -> None:
        """Show or hide what is under the title."""
        self.unfolded = not self.unfolded
        self._show()

    def _show(self) -> None:
        self._content.visible = self.unfolded
        self._button.text = ("▾" if self.unfolded else "▸") + f"  {self._title}"
