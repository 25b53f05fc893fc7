"""Keys that act on the viewer while the hand stays on the image, and the list of them."""

from __future__ import annotations

import html
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QKeySequence

from napari_unet.widgets.fold import Fold
from napari_unet.widgets.parts import sentence, stack
from napari_unet.widgets.telling import telling_errors

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Shortcut", "Shortcuts", "dock_shortcuts"]

Call = Callable[[], object]

WHERE = "These keys work while the mouse is over the image, whichever layer is selected."


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A key and what it does.

    Attributes
    ----------
    key : str
        As Qt and napari write it: "K", "Shift+T".
    title : str
        What it does, in words.
    call : callable
        Does it; a `UNetError` it raises is shown.
    """

    key: str
    title: str
    call: Call


def dock_shortcuts(
    *,
    train: Call,
    live: Call,
    stop: Call,
    segment: Call,
    accept: Call,
    accept_in_view: Call,
    verify: Call,
    fly: Call,
) -> list[Shortcut]:
    """Return the keys of the dock.

    A letter alone acts on what is under the mouse; with Shift it starts or ends more, so that no
    slip of a finger starts a training. Napari binds none of them in 2D or 3D, for any kind of
    layer, and none has Alt, which types special characters on macOS.
    """
    return [
        Shortcut("Shift+T", "Train on current labels", train),
        Shortcut("Shift+W", "Watch me paint: live training on or off", live),
        Shortcut("Shift+Q", "Stop what is running", stop),
        Shortcut("Shift+S", "Segment what is in view", segment),
        Shortcut("K", "Keep (accept) the object under the mouse: copy it into the labels", accept),
        Shortcut("Shift+K", "Keep (accept) all objects in view", accept_in_view),
        Shortcut("G", "Good: mark the cell under the mouse as verified", verify),
        Shortcut("N", "Next: fly to the next uncertain place", fly),
    ]


class Shortcuts:
    """Binds keys on a viewer, between `follow` and `leave`, and lists them behind a fold.

    A key that the selected layer binds itself goes to the layer, as everywhere in napari.

    Parameters
    ----------
    viewer : napari viewer
        On which keys are bound, the viewer itself and not a proxy of it.
    shortcuts : sequence of Shortcut
        Of different keys.
    """

    def __init__(self, viewer: ViewerModel, shortcuts: Sequence[Shortcut]) -> None:
        self._viewer, self._shortcuts = viewer, shortcuts
        self._bound: list[tuple[str, Callable[[Any], None], Any]] = []  # key, ours, what was before
        table = sentence()
        table.value, table.tooltip = _table(shortcuts), WHERE
        self.fold = Fold("Keys", f"The keys of this dock. {WHERE}", stack(table))
        self.widget = self.fold.widget

    def follow(self) -> None:
        """Bind the keys."""
        if self._bound:
            return
        for shortcut in self._shortcuts:
            ours = _pressed(weakref.ref(self), shortcut.key)
            before = self._viewer.bind_key(shortcut.key, ours, overwrite=True)
            self._bound.append((shortcut.key, ours, before))

    def press(self, key: str) -> None:
        """Do what a key does."""
        with telling_errors():
            next(shortcut.call() for shortcut in self._shortcuts if shortcut.key == key)

    def leave(self) -> None:
        """Bind again what was bound before; what others bound over ours stays."""
        for key, ours, before in self._bound:
            found = self._viewer.bind_key(key, before, overwrite=True)
            if found is not ours:
                self._viewer.bind_key(key, found, overwrite=True)
        self._bound = []


def _pressed(keys: weakref.ref[Shortcuts], key: str) -> Callable[[Any], None]:
    # a plain function that returns nothing: napari asks for its name, and calls what it returns;
    # and a weak reference: a viewer must not keep a dock alive
    def live_unet_key(_: object) -> None:
        if (listening := keys()) is not None:
            listening.press(key)

    return live_unet_key


def _table(shortcuts: Sequence[Shortcut]) -> str:
    rows = [
        f"<tr><td><b>{html.escape(_native(shortcut.key))}</b>&nbsp;&nbsp;</td>"
        f"<td>{html.escape(shortcut.title)}</td></tr>"
        for shortcut in shortcuts
    ]
    return f"<table>{''.join(rows)}</table>"


def _native(key: str) -> str:
    """Return a key as this computer's keyboard and menus have it: Shift+T, or ⇧T on a Mac."""
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
