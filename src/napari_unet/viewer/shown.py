"""What a dock showed when it was closed, for the next one of the same viewer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import ref

from napari.layers import Layer

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.segmenter import Segmenter

__all__ = ["Shown"]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The settings of a dock, and what was chosen in it.

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
    chosen : tuple of weak references
        The image and the labels, of which a layer may be gone since.
    others : bool
        Whether the other painted images are trained on too.
    """

    start: TrainConfig
    training: TrainConfig
    prediction: PredictConfig
    segmenter: Segmenter | None
    chosen: tuple[ref[Layer] | None, ...]
    others: bool

    @staticmethod
    def weakly(layers: Iterable[Layer | None]) -> tuple[ref[Layer] | None, ...]:
        """Return what does not keep layers."""
        return tuple(None if layer is None else ref(layer) for layer in layers)

    def prediction_with(self, segmenter: Segmenter | None) -> PredictConfig:
        """Return what segmentations go on with; another model has another magnification."""
        if segmenter is self.segmenter:
            return self.prediction
        return dataclasses.replace(self.prediction, magnification=1.0)
