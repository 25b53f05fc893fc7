"""Editors of the configurations, and the fold they lie behind."""

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qtpy.QtWidgets import QWidget

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.widgets.form import ConfigForm
from napari_unet.widgets.settings_panel import NEW_MODEL, TRAINING, SettingsPanel

CONFIGS = [TrainConfig, PredictConfig]


@pytest.fixture
def forms(qtbot: Any) -> dict[type, ConfigForm[Any]]:
    """One form per configuration."""
    made = {kind: ConfigForm(kind()) for kind in CONFIGS}
    for form in made.values():
        qtbot.add_widget(form.widget.native)
    return made


def values(kind: type) -> st.SearchStrategy[Any]:
    """Draw legal configurations."""
    drawn = {}
    for field in dataclasses.fields(kind):
        low, high = field.metadata["minimum"], field.metadata["maximum"]
        if isinstance(field.default, bool):
            drawn[field.name] = st.booleans()
        elif isinstance(field.default, float):
            drawn[field.name] = st.floats(low, high)
        elif isinstance(field.default, int):
            drawn[field.name] = st.integers(low, high)
    return st.builds(kind, **drawn)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.one_of(*(values(kind) for kind in CONFIGS)))
def test_a_form_gives_back_what_it_was_given(
    forms: dict[type, ConfigForm[Any]], config: Any
) -> None:
    """Every digit of it, also where an editor shows fewer."""
    form = forms[type(config)]
    form.set_config(config)

    assert form.config() == config


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_edit_changes_one_field(forms: dict[type, ConfigForm[Any]], kind: type) -> None:
    """To the smallest and the largest legal value."""
    form = forms[kind]
    for field in dataclasses.fields(kind):
        for bound in ("minimum", "maximum"):
            value = field.metadata[bound]
            if value is None:
                continue
            form.set_config(kind())
            form._editors[field.name].value = type(field.default)(value)
            assert form.config() == dataclasses.replace(kind(), **{field.name: value})


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_field_is_explained(forms: dict[type, ConfigForm[Any]], kind: type) -> None:
    """By the help that the command line prints too."""
    for field in dataclasses.fields(kind):
        assert forms[kind]._editors[field.name].tooltip == field.metadata["help"]


def test_every_knob_of_training_can_be_reached() -> None:
    """In the fold, beside the button, or with the weight map."""
    shown = {*NEW_MODEL, *TRAINING, "seconds", "steps", "w0", "sigma"}

    assert shown == {field.name for field in dataclasses.fields(TrainConfig)}


def test_the_fold_opens_and_closes(qtbot: Any) -> None:
    """And says which it is."""
    panel = SettingsPanel()
    qtbot.add_widget(panel.widget.native)
    panel.widget.native.show()
    content: QWidget = panel.fold._content.native

    assert not content.isVisible()
    assert panel.fold._button.text == "▸  Settings"
    panel.fold._button.native.click()
    assert content.isVisible()
    assert panel.fold._button.text == "▾  Settings"
    panel.fold._button.native.click()
    assert not content.isVisible()


def test_settings_are_read_from_all_forms(qtbot: Any) -> None:
    """Those of new models, of training and of prediction."""
    panel = SettingsPanel()
    qtbot.add_widget(panel.widget.native)
    training = TrainConfig(depth=2, sigma=3.25, recipe="paper", device="cpu")
    prediction = PredictConfig(threshold=0.25, rotations=7)
    panel.set_configs(training, prediction)
    assert panel.train_config() == training
    assert panel.predict_config() == prediction
    panel._of_new_models._editors["depth"].value = 4
    panel._of_training._editors["seed"].value = 7

    assert panel.train_config() == dataclasses.replace(training, depth=4, seed=7)
