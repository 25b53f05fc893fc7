"""The keys of the dock: they clash with none of napari's, each acts once, and all are listed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import napari.layers
import numpy as np
import pytest
from app_model.types import KeyBinding, StandardKeyBinding
from napari._app_model import get_app_model
from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence, QShortcut
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QMenu, QPushButton

from napari_unet.errors import InputError
from napari_unet.widgets.shortcuts import Shortcut, Shortcuts, dock_shortcuts

NAMES = list(inspect.signature(dock_shortcuts).parameters)
MODIFIERS = {"Shift": Qt.KeyboardModifier.ShiftModifier}


@pytest.fixture
def calls() -> list[str]:
    """The names of what was called, in order."""
    return []


@pytest.fixture
def shortcuts(calls: list[str]) -> list[Shortcut]:
    """The keys of the dock, each of which tells its name."""
    return dock_shortcuts(**{name: lambda name=name: calls.append(name) for name in NAMES})


@pytest.fixture
def keys(viewer: Any, shortcuts: list[Shortcut], qtbot: Any) -> Iterator[Shortcuts]:
    """These keys on a real viewer, not bound yet."""
    made = Shortcuts(viewer, shortcuts)
    qtbot.add_widget(made.widget.native)
    yield made
    made.leave()


def press(viewer: Any, key: str) -> None:
    """Press a key, as Qt writes it, while the canvas has the focus."""
    *modifiers, letter = key.split("+")
    held = Qt.KeyboardModifier.NoModifier
    for modifier in modifiers:
        held |= MODIFIERS[modifier]
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, getattr(Qt.Key, f"Key_{letter}"), held)


def layer_classes() -> list[type]:
    """List what can be selected in the layer list, and what it inherits keys from."""
    kinds = [kind for _, kind in inspect.getmembers(napari.layers, inspect.isclass)]
    return list({base for kind in kinds for base in kind.__mro__ if hasattr(base, "class_keymap")})


def bindings_of_napari(viewer: Any) -> dict[str, KeyBinding]:
    """Collect every key napari binds: viewer, layers in any mode, menus, for every platform."""
    found = {}
    for name, bound in get_settings().shortcuts.shortcuts.items():
        found |= {f"settings {name} {key}": key for key in bound}
    for provider in (ViewerModel, *type(viewer).__mro__, *layer_classes()):
        keymap = getattr(provider, "class_keymap", {})
        found |= {f"{provider.__name__} {key}": key for key in keymap if key is not ...}
    app = get_app_model()
    found |= {
        f"{entry.command_id} {entry.keybinding}": entry.keybinding for entry in app.keybindings
    }
    for command in app.registered_actions.values():
        for rule in command.keybindings or ():
            for where in ("primary", "win", "mac", "linux"):
                if key := getattr(rule, where):
                    found[f"{command.id} {where}"] = KeyBinding.validate(key)
    for standard in StandardKeyBinding:
        rule = standard.to_keybinding_rule()
        for where in ("primary", "win", "mac", "linux"):
            if key := getattr(rule, where):
                found[f"{standard.name} {where}"] = KeyBinding.validate(key)
    return found


def without_platform(key: KeyBinding) -> frozenset[tuple[frozenset[str], str]]:
    """Return the key with the modifiers Cmd, Ctrl, Meta and Alt as one: none may stand for one."""
    return frozenset(
        (
            frozenset(
                "command" if name in ("ctrl", "meta", "alt") else name
                for name in ("ctrl", "shift", "alt", "meta")
                if getattr(part, name)
            ),
            str(part.key),
        )
        for part in key.parts
    )


def test_no_key_is_one_of_naparis(viewer: Any, shortcuts: list[Shortcut]) -> None:
    """Neither of the viewer's, nor of any layer in any mode, nor of a menu, on any platform."""
    theirs = bindings_of_napari(viewer)
    assert len(theirs) > 150, "napari keeps its keys somewhere else now"
    ours = {without_platform(coerce_keybinding(shortcut.key)) for shortcut in shortcuts}

    clashes = {name for name, key in theirs.items() if without_platform(key) in ours}
    assert clashes == set()
    assert len(ours) == len(shortcuts)


def test_the_search_for_clashes_finds_naparis_own_keys(viewer: Any) -> None:
    """One key each of the viewer, a layer mode, a layer's undo and the menus, with any modifier."""
    found = {without_platform(key) for key in bindings_of_napari(viewer).values()}

    for taken in ("V", "Ctrl-Y", "Meta-Y", "P", "Shift-P", "Shift-A", "Ctrl-Z", "Ctrl-S", "Alt-S"):
        assert without_platform(coerce_keybinding(taken)) in found, taken


def test_no_key_is_one_of_the_windows(viewer: Any, shortcuts: list[Shortcut]) -> None:
    """No menu entry or hidden shortcut of napari's window takes a key before the canvas does."""
    window = viewer.window.main_menu.window()
    actions = {action for menu in window.findChildren(QMenu) for action in menu.actions()}
    actions |= set(window.findChildren(QAction))
    taken = {sequence.toString() for action in actions for sequence in action.shortcuts()}
    taken |= {found.key().toString() for found in window.findChildren(QShortcut)}

    assert "Ctrl+S" in taken
    assert taken.isdisjoint(QKeySequence(shortcut.key).toString() for shortcut in shortcuts)


@pytest.mark.parametrize("mode", ["paint", "polygon", "pick"])
def test_each_key_acts_once_while_labels_are_painted(
    viewer: Any, keys: Shortcuts, shortcuts: list[Shortcut], calls: list[str], mode: str
) -> None:
    """Whatever the mode of the selected labels layer, which the key does not change."""
    layer = viewer.add_labels(np.zeros((32, 32), np.uint16))
    layer.mode, layer.selected_label = mode, 3
    keys.follow()
    keys.follow()
    for shortcut in shortcuts:
        press(viewer, shortcut.key)

    assert calls == NAMES
    assert (layer.mode, layer.selected_label, layer.data.max()) == (mode, 3, 0)


@pytest.mark.parametrize("kind", ["image", "shapes", "points", None])
def test_each_key_acts_once_whatever_layer_is_selected(
    viewer: Any, keys: Shortcuts, shortcuts: list[Shortcut], calls: list[str], kind: str | None
) -> None:
    """Also without any layer."""
    if kind is not None:
        arguments = [np.zeros((32, 32))] if kind == "image" else []
        getattr(viewer, f"add_{kind}")(*arguments)
    keys.follow()
    for shortcut in shortcuts:
        press(viewer, shortcut.key)

    assert calls == NAMES


def test_a_dock_that_is_left_gives_the_keys_back(
    viewer: Any, keys: Shortcuts, calls: list[str]
) -> None:
    """What was bound before is bound again, and no key of ours is left."""
    viewer.bind_key("K", lambda _: calls.append("theirs"))
    keys.follow()
    press(viewer, "K")
    keys.leave()
    press(viewer, "K")
    press(viewer, "Shift+T")

    assert calls == ["accept", "theirs"]
    assert [str(key) for key in viewer.keymap] == ["K"]


def test_a_key_that_another_plugin_took_over_stays_with_it(
    viewer: Any, keys: Shortcuts, calls: list[str]
) -> None:
    """Leaving does not undo what others did meanwhile."""
    keys.follow()
    viewer.bind_key("N", lambda _: calls.append("theirs"), overwrite=True)
    keys.leave()
    press(viewer, "N")

    assert calls == ["theirs"]


def test_an_error_of_a_key_is_told(viewer: Any, messages: Any, qtbot: Any) -> None:
    """As the dock tells its own, and the next key works."""

    def fail() -> None:
        raise InputError("There is no cell under the cursor.")

    keys = Shortcuts(viewer, [Shortcut("G", "Mark it", fail)])
    qtbot.add_widget(keys.widget.native)
    keys.follow()
    press(viewer, "G")
    press(viewer, "G")
    keys.leave()

    assert messages() == [("error", "There is no cell under the cursor.")] * 2


def test_the_keys_are_listed_behind_a_fold(keys: Shortcuts, qtbot: Any) -> None:
    """Each with what it does; the fold is closed at first."""
    native = keys.widget.native
    (fold,), (text,) = native.findChildren(QPushButton), native.findChildren(QLabel)
    assert not text.isVisibleTo(native)
    qtbot.mouseClick(fold, Qt.MouseButton.LeftButton)

    assert text.isVisibleTo(native)
    for shortcut in keys._shortcuts:
        shown = QKeySequence(shortcut.key).toString(QKeySequence.SequenceFormat.NativeText)
        assert f"<b>{shown}</b>" in text.text()
        assert shortcut.title in text.text()
    assert "while the mouse is over the image" in fold.toolTip()
