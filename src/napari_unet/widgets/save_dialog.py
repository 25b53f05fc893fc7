"""Ask where to save a file."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.widgets.telling import ask

__all__ = ["ask_where_to_save"]


def ask_where_to_save(parent: QWidget, title: str, proposed: str, kinds: str) -> str:
    """Return a path with the ending of the proposed name; "" if nothing is to be saved.

    The dialog asks before a file is replaced, but about the name as it was typed. Not all dialogs
    of a system add an ending to it.
    """
    path, _ = QFileDialog.getSaveFileName(parent, title, proposed, kinds)
    ending = Path(proposed).suffix
    if not path or path.endswith(ending):
        return path
    path += ending
    question = f"{Path(path).name} is there already. Replace it?"
    return path if not Path(path).exists() or ask(parent, question) else ""
