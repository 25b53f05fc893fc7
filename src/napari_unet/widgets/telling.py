"""Tell the user what went wrong, and ask what is not clear."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from magicgui.widgets import Label
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_unet.errors import UNetError
from napari_unet.widgets.scroll import scroll_to

__all__ = ["ask", "tell", "telling_errors"]


@contextmanager
def telling_errors(place: Label | None = None) -> Iterator[None]:
    """Show a `UNetError` raised inside as a notification; anything else is a bug and passes.

    Napari cuts long notifications off, so the sentence is also put into a place in the dock.
    """
    try:
        yield
    except UNetError as error:
        if place is not None:
            tell(place, str(error))
        show_error(str(error))


def tell(place: Label, text: str) -> None:
    """Put a sentence into a place in the dock, and scroll there; without any, hide the place."""
    place.value, place.visible = text, bool(text)
    if text:
        scroll_to(place.native)


def ask(parent: QWidget, question: str) -> bool | None:
    """Ask a question; return the answer, or None if there is none."""
    box = QMessageBox(parent)
    box.setWindowTitle("Live U-Net")
    box.setText(question)
    answers = QMessageBox.StandardButton
    box.setStandardButtons(answers.Yes | answers.No | answers.Cancel)
    box.setDefaultButton(answers.Cancel)
    given = box.exec()
    box.deleteLater()
    return {answers.Yes.value: True, answers.No.value: False}.get(int(given))
