"""How long a training takes: seconds, or steps, whichever is used up first."""

from __future__ import annotations

import dataclasses

from magicgui.widgets import FloatSpinBox, Label, SpinBox

from napari_unet.core.config import TrainConfig
from napari_unet.viewer.preferences import preferences
from napari_unet.widgets.parts import row

__all__ = ["Budget"]


class Budget:
    """Two numbers; 0 is no limit."""

    def __init__(self) -> None:
        self._seconds = FloatSpinBox(value=preferences().seconds, min=0, max=1e7, step=15)
        self._seconds.tooltip = "Training time (0: until Finish or Stop). Live has no limit."
        self._seconds.native.setDecimals(0)
        self._steps = SpinBox(value=0, min=0, max=10**9, step=100)
        self._steps.tooltip = "Maximum number of training steps (0: no limit). Live has no limit."
        self.widget = row(
            Label(value="Seconds"), self._seconds, Label(value="or steps"), self._steps,
            stretch=(0, 1, 0, 1),
        )  # fmt: skip

    def over(self, config: TrainConfig) -> TrainConfig:
        """Put this budget over that of a configuration."""
        return dataclasses.replace(config, seconds=self._seconds.value, steps=self._steps.value)

    def set(self, *, seconds: float = 0, steps: float = 0) -> None:
        """Show a budget."""
        self._seconds.value, self._steps.value = seconds, int(steps)
