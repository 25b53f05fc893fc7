"""What is rarely changed, behind a fold."""

from __future__ import annotations

from magicgui.widgets import Label

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.widgets.fold import Fold
from napari_unet.widgets.form import ConfigForm
from napari_unet.widgets.parts import stack

__all__ = ["SettingsPanel"]

NEW_MODEL = ["start", "base_channels", "depth", "downsample"]
TRAINING = ["recipe", "batch", "validate", "seed", "device"]
PREDICTION = ["tile_size", "split", "spacing", "rotations", "device"]


class SettingsPanel:
    """Shows and edits every knob that has no place of its own in the dock.

    Parameters
    ----------
    training : TrainConfig, optional
        What is shown first.
    """

    def __init__(self, training: TrainConfig | None = None) -> None:
        training = training or TrainConfig()
        self._of_new_models = ConfigForm(training, NEW_MODEL)
        self._of_training = ConfigForm(training, TRAINING)
        self._of_prediction = ConfigForm(PredictConfig(device=training.device), PREDICTION)
        content = stack(
            Label(value="<b>New models</b> (the current one keeps its own)"),
            self._of_new_models.widget,
            Label(value="<b>Training</b>"),
            self._of_training.widget,
            Label(value="<b>Segmenting</b>"),
            self._of_prediction.widget,
        )
        self.fold = Fold("Settings", "Settings that rarely need changing.", content)
        self.widget = self.fold.widget

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
