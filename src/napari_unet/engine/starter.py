"""The starter model: what a new model begins with, so that it need not learn from nothing.

It was trained by ``tests/benchmarks/starter.py`` on drawn images of many kinds and on nuclei that
are free of rights; ``docs/starter-model.md`` is its card. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import TrainConfig
from napari_unet.core.wider import wider
from napari_unet.engine.segmenter import Segmenter

__all__ = ["begins_with_starter", "starter_model", "with_classes", "with_starter_weights"]

FILE = Path(__file__).with_name("starter.safetensors")
FIRST = "down.0.0.weight"
HEAD = "head."


@cache
def _stored() -> Segmenter:
    return Segmenter.load(FILE)


def starter_model(channels: int = 1) -> Segmenter:
    """Return the starter model for images of so many channels, which count alike.

    Parameters
    ----------
    channels : int
        At least 1.

    Returns
    -------
    Segmenter
        Of cells, at full resolution.
    """
    stored = _stored()
    weights = {**stored.weights, FIRST: _spread(stored.weights[FIRST], channels)}
    return replace(stored, weights=weights, in_channels=channels)


def begins_with_starter(config: TrainConfig) -> bool:
    """Tell whether a new model of these settings begins with what the starter knows.

    It can where the network is as deep, and as wide or 2, 3, ... times as wide.
    """
    stored = _stored()
    fits = config.depth == stored.depth and config.base_channels % stored.base_channels == 0
    return config.start == "starter" and config.recipe == "default" and fits


def with_starter_weights(new: Segmenter) -> Segmenter:
    """Return a new model that says what the starter says; of classes, with a head of its own."""
    starter = starter_model(new.in_channels)
    if new.cell_classes > 1:
        starter = with_classes(starter, new.class_names)
    weights = wider(starter.weights, new.base_channels // starter.base_channels)
    if new.kind == "classes":
        weights |= {name: values for name, values in new.weights.items() if name.startswith(HEAD)}
    return replace(new, weights=weights)


def with_classes(segmenter: Segmenter, names: Sequence[str]) -> Segmenter:
    """Return a model of cells that can learn their classes; it finds the same cells.

    Parameters
    ----------
    segmenter : Segmenter
        Of cells of one class. The output for cells is shared out among the classes, alike.
    names : sequence of str
        The classes, two or more.
    """
    weight, bias = segmenter.weights["head.weight"], segmenter.weights["head.bias"]
    outputs = [0] + [1] * len(names)
    shared = bias[outputs]
    shared[1:] -= np.float32(np.log(len(names)))
    weights = {**segmenter.weights, "head.weight": weight[outputs], "head.bias": shared}
    return replace(segmenter, weights=weights, n_classes=len(names) + 1, class_names=tuple(names))


def _spread(kernels: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Return kernels (N, 1, 3, 3) as (N, channels, 3, 3) that see the mean of the channels."""
    spread: NDArray[np.float32] = np.repeat(kernels / channels, channels, axis=1)
    return spread
