"""What a dock showed when it was closed, for the next one of the same viewer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import ref

from napari.layers import Layer

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.segmenter import Segmenter

__all__ = ["Choices", "Shown"]


class Choices:
    """What was chosen in boxes, in their order; layers are not kept alive by it.

    Parameters
    ----------
    chosen : iterable
        Layers, texts, numbers and None.
    """

    def __init__(self, chosen: Iterable[object]) -> None:
        self._chosen = [ref(one) if isinstance(one, Layer) else one for one in chosen]

    def __iter__(self) -> Iterator[Any]:
        """Iterate over what was chosen; None stands for a layer that is gone."""
        return (one() if isinstance(one, ref) else one for one in self._chosen)


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
    choices : Choices
        In its boxes, from top to bottom.
    unfolded : tuple of bool
        Which of its parts were unfolded, from top to bottom.
    """

    start: TrainConfig
    training: TrainConfig
    prediction: PredictConfig
    segmenter: Segmenter | None
    choices: Choices
    unfolded: tuple[bool, ...]

    def prediction_with(self, segmenter: Segmenter | None) -> PredictConfig:
        """Return what segmentations go on with; another model has another magnification."""
        if segmenter is self.segmenter:
            return self.prediction
        return dataclasses.replace(self.prediction, magnification=1.0)
