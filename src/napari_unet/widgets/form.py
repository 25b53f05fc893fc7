"""Editors of the configurations: one field, one widget, one explanation."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

from magicgui.widgets import CheckBox, create_widget
from magicgui.widgets.bases import ValueWidget

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.widgets.fields import Fields
from napari_unet.widgets.parts import form

__all__ = ["ConfigForm"]

C = TypeVar("C", TrainConfig, PredictConfig)


class ConfigForm(Generic[C]):
    """Edits a configuration: ``config()`` reads it, ``set_config()`` shows one.

    Parameters
    ----------
    config : TrainConfig or PredictConfig
        What is shown first.
    names : sequence of str, optional
        Fields to show, all by default; the others keep their values.
    """

    def __init__(self, config: C, names: Sequence[str] | None = None) -> None:
        hints = typing.get_type_hints(type(config))
        fields = {f.name: f for f in dataclasses.fields(config)}
        self._editors = {
            name: _editor(fields[name], hints[name], getattr(config, name))
            for name in names or fields
        }
        self.widget = form(*self._editors.values())
        self._fields: Fields[C] = Fields(self._editors, config)

    def config(self, over: C | None = None) -> C:
        """Return what is shown, validated, over the configuration that was given or ``over``.

        Raises
        ------
        InputError
            If a value is not legal.
        """
        return self._fields.over(over or self._fields.config)

    def set_config(self, config: C) -> None:
        """Show a configuration."""
        self._fields.show(config)


def _editor(field: dataclasses.Field[Any], kind: Any, value: object) -> ValueWidget[Any]:
    options: dict[str, Any] = {"tooltip": field.metadata["help"]}
    if typing.get_origin(kind) is Literal:
        options["choices"] = typing.get_args(kind)
    elif field.metadata["minimum"] is not None:
        options |= {"min": field.metadata["minimum"], "max": field.metadata["maximum"]}
        if kind is float:
            options["step"] = 0.05 if field.metadata["maximum"] == 1 else 1.0
    label = field.name.replace("_", " ")
    widget = create_widget(value, annotation=kind, name=field.name, label=label, options=options)
    assert isinstance(widget, ValueWidget)
    if isinstance(widget, CheckBox):
        widget.text = ""  # the form has a column of names
    widget.native.setMinimumWidth(60)
    return widget
