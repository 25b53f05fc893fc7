"""Decide before a training what is learned: channels, classes, and the working resolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.cellclasses import ModelKind
from napari_unet.core.coarseness import are_filled, choose_factor, coarsest_factor
from napari_unet.core.config import TrainConfig
from napari_unet.core.diameters import smallest_diameter, typical_diameter
from napari_unet.engine.greycolour import grey_plane
from napari_unet.engine.learning.checks import (
    check_channels,
    check_labelled,
    class_names,
    object_diameters,
    painted_cells,
)
from napari_unet.engine.learning.heldout import Seen
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.segmenter import Segmenter

__all__ = ["prepare"]


def prepare(
    annotations: Sequence[Annotation],
    config: TrainConfig,
    segmenter: Segmenter | None,
    device: torch.device,
    seen: Seen | None = None,
) -> TrainingSet:
    """Turn annotations into a training set at the working resolution.

    Parameters
    ----------
    annotations, config, segmenter
        As for `napari_unet.engine.training.train`.
    device : torch.device
        Of the tensors.
    seen : Seen, optional
        What was trained on before; by default what the Segmenter says.

    Raises
    ------
    InputError
        If nothing or only one class is labelled, or annotations and Segmenter do not fit.
    """
    summary = check_labelled(annotations)
    planes = [plane for annotation in annotations for plane in annotation.planes()]
    if 1 in {segmenter.in_channels if segmenter else 0, *(plane.channels for plane in planes)}:
        planes = [grey_plane(plane) for plane in planes]
    check_channels((plane.channels for plane in planes), segmenter)
    kind: ModelKind = "classes" if planes[0].meaning == "classes" else "cells"
    sizes = np.concatenate([object_diameters(plane) for plane in planes])
    # pieces of classes range from specks to networks through the whole image: count, not area
    classes = kind == "classes"
    diameter = float(np.median(sizes)) if classes and len(sizes) else typical_diameter(sizes)
    smallest = smallest_diameter(sizes)
    if segmenter is not None:
        factor, diameter = segmenter.downsample, segmenter.diameter or diameter
        smallest = segmenter.smallest or smallest
        seen = seen or Seen.of(segmenter.seen)
    elif config.downsample:
        factor = config.downsample
    elif classes:
        factor = coarsest_factor([plane.labels for plane in planes], diameter)
    else:
        factor = choose_factor(diameter, filled=are_filled(map(painted_cells, planes)))
    n_classes, names = class_names(summary, planes, kind, segmenter)
    return TrainingSet(
        planes,
        config,
        device,
        seen or Seen(),
        kind=kind,
        n_classes=n_classes,
        class_names=names,
        downsample=factor,
        diameter=diameter,
        smallest=smallest,
    )
