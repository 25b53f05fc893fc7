"""Which class the selected label has: a name that is typed, kept in the table of the layer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from magicgui.widgets import LineEdit
from napari.layers import Labels
from qtpy.QtCore import QStringListModel, Qt
from qtpy.QtWidgets import QCompleter, QLineEdit

from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of, set_class

if TYPE_CHECKING:
    from napari.utils.theme import Theme

__all__ = ["ClassChoice"]


class ClassChoice:
    """Shows and changes the class of the label that is selected in a layer."""

    def __init__(self) -> None:
        self.widget = LineEdit(label="Class")
        self.widget.tooltip = (
            "Class of the selected label, optional: a name such as dividing. With two or more "
            "classes, the model learns to tell them apart; a cell without a class still teaches "
            "what a cell is. Classes are kept in the features of the layer, in the column class."
        )
        self._edit: QLineEdit = self.widget.native
        self._known = QStringListModel(self._edit)
        self._completer = QCompleter(self._known, self._edit)
        self._completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._edit.setCompleter(self._completer)
        self._edit.editingFinished.connect(self._write)
        self._layer: weakref.ref[Labels] | None = None
        self._label, self._shown = 0, ""

    def follow_theme(self, theme: Theme) -> None:
        """Take the colours of the viewer: the list of known classes is a window of its own."""
        names = ("foreground", "text", "current")
        ground, text, chosen = (getattr(theme, name).as_hex(format="long") for name in names)
        known = self._completer.popup()
        assert known is not None  # Qt makes one
        known.setStyleSheet(
            f"QListView {{background-color: {ground}; color: {text}; "
            f"selection-background-color: {chosen}; selection-color: {text}}}"
        )

    def follow(self, layer: Labels | None) -> None:
        """Show the class of what is selected in a layer, and follow it."""
        self.leave()
        if layer is not None:
            self._layer = weakref.ref(layer)
            for emitter in (layer.events.selected_label, layer.events.features):
                emitter.connect(self._renew)
        self._show()

    def leave(self) -> None:
        """Keep what was typed, and follow no layer any more."""
        layer = self._followed()
        if layer is not None:
            self._write()
            for emitter in (layer.events.selected_label, layer.events.features):
                emitter.disconnect(self._renew)
        self._layer = None

    def _followed(self) -> Labels | None:
        return None if self._layer is None else self._layer()

    def _write(self) -> None:
        """Give the label that is shown the class that was typed."""
        layer, name = self._followed(), self._edit.text().strip()
        if layer is not None and name != self._shown:
            self._shown = name
            set_class(layer, self._label, name)

    def _renew(self, _: object = None) -> None:
        layer = self._followed()
        if layer is not None and layer.selected_label != self._label:
            self._write()  # what was typed is about the label before
        self._show()

    def _show(self) -> None:
        layer = self._followed()
        self.widget.enabled = layer is not None
        self._label = 0 if layer is None else int(layer.selected_label)
        known: dict[int, str] = {}
        if layer is not None:
            try:
                known = classes_of(layer)
                self._edit.setPlaceholderText(f"of label {self._label}: any")
            except InputError as error:
                self._edit.setPlaceholderText(str(error))
        self._known.setStringList(sorted(set(known.values())))
        self._shown = known.get(self._label, "")
        if self._edit.text() != self._shown:
            self._edit.setText(self._shown)
