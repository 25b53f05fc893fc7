"""What a dock showed when it was closed, for the next one of the same viewer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.segmenter import Segmenter

__all__ = ["Shown"]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The settings of a dock.

    Attributes
    ----------
    start : TrainConfig
        What it started with: the preferences of then.
    training : TrainConfig
        With its budget.
    prediction : PredictConfig
        Of segmentations.
    segmenter : Segmenter or None
        The model of then.
    """

    start: TrainConfig
    training: TrainConfig
    prediction: PredictConfig
    segmenter: Segmenter | None

    def prediction_with(self, segmenter: Segmenter | None) -> PredictConfig:
        """Return what segmentations go on with; another model has another magnification."""
        if segmenter is self.segmenter:
            return self.prediction
        return dataclasses.replace(self.prediction, magnification=1.0)
