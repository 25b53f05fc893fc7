"""How good a network is on the pixels of labels that are held out, while it learns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from napari_unet.core.cellclasses import ANY_CELL
from napari_unet.core.unet import UNet, weighted_cross_entropy
from napari_unet.engine.learning.heldout import MAX_BLOCKS, block_box
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.learning.window import predict_window

__all__ = ["is_worse", "measure"]

TOLERANCE = 0.15
"""What the IoU on `MAX_BLOCKS` held-out blocks may lie below the best one of a training.

Often a cell or two are held out, so smaller differences are chance, and the later network saw more:
0.05 threw away five sixths of a training on ten nuclei, at a cost of 0.1 in SEG."""

LEAST = float(np.finfo(np.float32).tiny)
"""Probability that counts where the network says 0, whose logarithm nobody could count with."""


def measure(network: UNet, data: TrainingSet, factors: Sequence[int] = ()) -> tuple[float, float]:
    """Return weighted cross entropy and mean IoU on the held-out blocks.

    The mean is over the classes; of cells, without the background.

    Parameters
    ----------
    network : UNet
        On the device of the images.
    data : TrainingSet
        What it is trained on, and what was held out.
    factors : sequence of int
        Of the coarser resolutions that are averaged, see `Segmenter.coarser_factors`.
    """
    several = data.kind == "cells" and data.n_classes > 2
    total, pixels = 0.0, 0
    confusion = torch.zeros(data.n_classes, data.n_classes)
    for block in data.held_out:
        plane, held_out = data.planes[block.plane], data.held_out_weights[block.plane]
        box = block_box(block, plane.target.shape)
        weight = held_out[box].cpu()[None]
        known = weight > 0
        target = torch.where(known, plane.target[box].cpu().long()[None], 0)
        said = predict_window(network, plane.image, box, factors)
        logits = torch.from_numpy(np.log(np.maximum(said, LEAST)))[None]
        loss = weighted_cross_entropy(logits, target, weight, any_cell=several)
        total += float(loss) * int(known.sum())
        pixels += int(known.sum())
        classes = logits.argmax(1)
        if several:
            classes, target = _with_classes(logits, target)
        pair = target[known] * data.n_classes + classes[known]
        confusion += torch.bincount(pair, minlength=confusion.numel()).view_as(confusion)
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    iou = confusion.diagonal() / union.clamp(min=1)
    if data.kind == "cells":
        iou, union = iou[1:], union[1:]
    if data.kind == "classes" or (several and union.any()):
        iou = iou[union > 0]
    return total / max(pixels, 1), float(iou.mean())


def is_worse(iou: float, best: float, blocks: int) -> bool:
    """Tell whether a later network of a training is worse than the best one, and not by chance.

    What is chance grows as the standard error of a mean does where fewer blocks are held out.

    Parameters
    ----------
    iou, best : float
        On the held-out blocks, now and at best; NaN where nothing is held out, which is not worse.
    blocks : int
        How many are held out.
    """
    return iou < best - TOLERANCE * math.sqrt(MAX_BLOCKS / max(blocks, 1))


def _with_classes(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is said of each pixel, and what should be: a cell first, and then its class.

    A cell whose class nobody told counts as one of the likeliest class.
    """
    likeliest = logits[:, 1:].argmax(1) + 1
    cell = torch.logsumexp(logits[:, 1:], dim=1) >= logits[:, 0]
    said = torch.where(cell, likeliest, 0)
    return said, torch.where(target == ANY_CELL, likeliest, target)
