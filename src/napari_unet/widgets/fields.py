"""Fields of a configuration in editors: what the user did not edit stays to the last digit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from magicgui.widgets.bases import ValueWidget

from napari_unet.core.config import PredictConfig, TrainConfig

__all__ = ["Fields"]

C = TypeVar("C", TrainConfig, PredictConfig)


class Fields(Generic[C]):
    """Shows fields of a configuration, and puts what was edited over another one.

    Parameters
    ----------
    editors : mapping of str to ValueWidget
        By the names of the fields. An editor may show fewer digits than a value has.
    config : TrainConfig or PredictConfig
        What is shown first.

    Attributes
    ----------
    config : TrainConfig or PredictConfig
        What was shown last, as it was given.
    """

    def __init__(self, editors: Mapping[str, ValueWidget[Any]], config: C) -> None:
        self._editors = editors
        self.show(config)

    def show(self, config: C) -> None:
        """Show a configuration; nobody is told of that."""
        self.config: C = config
        for name, editor in self._editors.items():
            with editor.changed.blocked():
                editor.value = getattr(config, name)
        self._shown = {name: editor.value for name, editor in self._editors.items()}

    def over(self, config: C) -> C:
        """Put what is shown over a configuration.

        Raises
        ------
        InputError
            If a value is not legal.
        """
        defaults, values = type(config)(), {}
        for name, editor in self._editors.items():
            if editor.value == self._shown[name]:
                values[name] = getattr(self.config, name)
            else:  # a slider may say 5 for 5.0, a box of pixels 30.0 for 30
                values[name] = type(getattr(defaults, name))(editor.value)
        return replace(config, **values)
