"""What a training begins with: a model that has learned nothing yet, or one that is continued."""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_unet.core.config import TrainConfig
from napari_unet.core.unet import UNet
from napari_unet.engine.learning.recipe import recipe_named
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import begins_with_starter, with_classes, with_starter_weights

__all__ = ["continued", "new_model"]


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
        # of cells that is told at the end, by how much of the image they fill
        scales=recipe_named(config.recipe).scales if data.kind == "classes" else 1,
        diameter=data.diameter,
        smallest=data.smallest,
        class_names=data.class_names,
    ).with_weights(network, steps=0, seconds=0.0)
    return with_starter_weights(new) if begins_with_starter(config) else new


def continued(segmenter: Segmenter, data: TrainingSet) -> Segmenter:
    """Return a model to continue that knows the classes that are painted."""
    if data.kind == "cells" and data.n_classes > segmenter.n_classes:
        return with_classes(segmenter, data.class_names)
    if data.class_names != segmenter.class_names:
        return replace(segmenter, class_names=data.class_names)
    return segmenter
