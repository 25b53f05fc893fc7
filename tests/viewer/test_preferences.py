"""Our page of napari's Preferences, with napari's own settings, kept in a folder of each test."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from napari import settings as napari_settings
from napari._qt.dialogs.preferences_dialog import PreferencesDialog
from napari.settings import get_plugin_settings
from npe2 import PluginManifest
from qtpy.QtWidgets import QLabel, QListWidget, QMenu, QPushButton, QSpinBox

import napari_unet
from napari_unet.core.config import TrainConfig
from napari_unet.errors import InputError
from napari_unet.viewer.preferences import (
    LONGEST,
    PAGE,
    PLUGIN,
    SHORTEST,
    Preferences,
    preferences,
)

MANIFEST = PluginManifest.from_file(Path(napari_unet.__file__).with_name("napari.yaml"))


@pytest.fixture
def installed(plugin_settings: Any, npe2pm: Any) -> None:  # noqa: ARG001 (settings of this test)
    """The plugin, known to napari; its settings lie in the folder of the test."""
    npe2pm.register(MANIFEST)


@pytest.fixture
def file(installed: None, tmp_path: Path) -> Path:  # noqa: ARG001
    """Where napari keeps our page."""
    return tmp_path / f"{PLUGIN}.yaml"


def page() -> Any:
    """Return napari's model of our page."""
    return getattr(get_plugin_settings(PLUGIN), PAGE)


def test_the_page_and_the_program_agree_on_defaults_and_limits() -> None:
    """Every preference has a title, an explanation, and the limits of the setting it is for."""
    (declared,) = MANIFEST.contributions.configurations.values()
    knobs = {field.name: field.metadata for field in dataclasses.fields(TrainConfig)}

    assert list(declared.properties) == [field.name for field in dataclasses.fields(Preferences)]
    for name, shown in declared.properties.items():
        default = getattr(Preferences(), name)
        assert (shown.default, shown.python_type) == (default, type(default))
        assert shown.title
        assert shown.description
        if name in knobs:
            limits = (knobs[name]["minimum"], knobs[name]["maximum"])
            assert (shown.minimum, shown.maximum) == limits
            assert default == getattr(TrainConfig(), name)
    live = declared.properties["live_seconds"]
    assert (live.minimum, live.maximum) == (SHORTEST, LONGEST)


@pytest.mark.usefixtures("installed")
def test_nothing_set_is_the_defaults() -> None:
    """Of a program that is started for the first time."""
    assert preferences() == Preferences()
    assert preferences().train_config() == TrainConfig()


def test_what_is_set_is_kept_for_the_next_start(file: Path) -> None:
    """In a file beside napari's own settings."""
    page().seconds = 120
    page().autosave = False
    napari_settings._clear_plugin_settings_cache()

    assert preferences() == Preferences(seconds=120, autosave=False)
    assert preferences().train_config() == TrainConfig(seconds=120)
    assert "seconds: 120" in file.read_text()


def test_what_was_set_in_one_test_is_not_there_in_the_next(file: Path) -> None:
    """The test before has set other values."""
    assert not file.exists()
    assert preferences() == Preferences()


@pytest.mark.parametrize(
    "line",
    [
        "seconds: a minute",
        "seconds: .nan",
        "seconds: -1",
        "base_channels: 1000",
        "device: gpu",
        "live_seconds: .inf",
        "autosave: perhaps",
    ],
)
def test_a_bad_value_in_the_file_is_replaced_by_its_default(
    file: Path, line: str, caplog: Any
) -> None:
    """With a warning that names it; the other values of the file count."""
    name = line.partition(":")[0]
    other = "device: cpu" if name != "device" else "seconds: 120"
    file.write_text(f"dock:\n  {line}\n  {other}\n")

    expected = Preferences(device="cpu") if name != "device" else Preferences(seconds=120)
    assert preferences() == expected
    assert f"('dock', '{name}')" in caplog.text


@pytest.mark.usefixtures("plugin_settings")
def test_without_the_plugin_in_napari_there_are_the_defaults() -> None:
    """In a script, or while the plugin is switched off."""
    assert preferences() == Preferences()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"seconds": -1}, "seconds.*-1.*from 0"),
        ({"base_channels": 0}, "base_channels.*from 1 to 256"),
        ({"base_channels": "16"}, "'16'.*type int"),
        ({"live_seconds": 0.1}, "are 0.1; give a value from 0.5 to 600"),
    ],
)
def test_preferences_are_checked_as_the_settings_they_are_for(
    values: dict[str, Any], complaint: str
) -> None:
    """The message says what was wrong, the value, and what is right."""
    with pytest.raises(InputError, match=complaint):
        Preferences(**values)


@pytest.mark.usefixtures("installed")
def test_the_page_is_in_the_dialog_and_cancel_undoes_it(make_napari_viewer: Any) -> None:
    """Under the name of the plugin, with every title, and what is typed counts at once."""
    window = make_napari_viewer().window.main_menu.window()
    actions = {a.text(): a for menu in window.findChildren(QMenu) for a in menu.actions()}
    actions["Preferences"].trigger()
    (dialog,) = window.findChildren(PreferencesDialog)
    (pages,) = [found for found in dialog.findChildren(QListWidget) if found.count() > 6]
    names = [pages.item(row).text() for row in range(pages.count())]
    pages.setCurrentRow(names.index("Live U-Net"))
    shown = dialog._stack.currentWidget()
    texts = {label.text() for label in shown.findChildren(QLabel)}
    (channels,) = [spin for spin in shown.findChildren(QSpinBox) if spin.value() == 16]
    assert "time and memory" in channels.toolTip()

    channels.setValue(32)
    assert preferences() == Preferences(base_channels=32)
    (cancel,) = [b for b in dialog.findChildren(QPushButton) if b.text() == "Cancel"]
    cancel.click()
    assert preferences() == Preferences()
    (declared,) = MANIFEST.contributions.configurations.values()
    assert {shown.title for shown in declared.properties.values()} <= texts
