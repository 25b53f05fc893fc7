"""What is rarely changed, behind a fold."""

from __future__ import annotations

from magicgui.widgets import Label

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.widgets.form import ConfigForm
from napari_unet.widgets.parts import button, stack

__all__ = ["SettingsPanel"]

NEW_MODEL = ["base_channels", "depth", "downsample"]
TRAINING = ["recipe", "w0", "sigma", "validate", "seed", "device"]


class SettingsPanel:
    """Shows and edits every knob that has no place of its own in the dock."""

    def __init__(self) -> None:
        self._of_new_models = ConfigForm(TrainConfig(), NEW_MODEL)
        self._of_training = ConfigForm(TrainConfig(), TRAINING)
        self._of_prediction = ConfigForm(PredictConfig())
        self._fold = button("", "Show or hide what rarely needs a change.")
        self._fold.native.setStyleSheet("text-align: left; padding-left: 8px")
        self._content = stack(
            Label(value="<b>New models</b> (the present one keeps its own)"),
            self._of_new_models.widget,
            Label(value="<b>Training</b>"),
            self._of_training.widget,
            Label(value="<b>Segmenting</b>"),
            self._of_prediction.widget,
        )
        self.widget = stack(self._fold, self._content)
        self._fold.changed.connect(self.toggle)
        self._open = True
        self.toggle()

    def toggle(self) -> None:
        """Open or close the fold."""
        self._open = not self._open
        self._content.visible = self._open
        self._fold.text = ("▾" if self._open else "▸") + "  Settings"

    def set_configs(self, training: TrainConfig, prediction: PredictConfig) -> None:
        """Show configurations; what has a place of its own in the dock is not shown here."""
        self._of_new_models.set_config(training)
        self._of_training.set_config(training)
        self._of_prediction.set_config(prediction)

    def train_config(self) -> TrainConfig:
        """Return the settings of training.

        Raises
        ------
        InputError
            If a value is not legal.
        """
        return self._of_training.config(self._of_new_models.config())

    def predict_config(self) -> PredictConfig:
        """Return the settings of prediction.

        Raises
        ------
        InputError
            If a value is not legal.
        """
        return self._of_prediction.config()
