"""Make a model that has learned nothing yet, of the size that is asked for."""

from __future__ import annotations

import torch

from napari_unet.core.config import TrainConfig
from napari_unet.core.unet import UNet
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import begins_with_starter, with_starter_weights
from napari_unet.engine.trainingset import TrainingSet

__all__ = ["new_model"]


def new_model(data: TrainingSet, config: TrainConfig) -> Segmenter:
    """Return a model for a training set; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = UNet(data.channels, data.n_classes, config.base_channels, config.depth)
    new = Segmenter(
        weights={},
        in_channels=data.channels,
        n_classes=data.n_classes,
        base_channels=config.base_channels,
        depth=config.depth,
        kind=data.kind,
        downsample=data.downsample,
        diameter=data.diameter,
    ).with_weights(network, steps=0, seconds=0.0)
    return with_starter_weights(new) if begins_with_starter(config, data.kind) else new
