"""How good a network is on labels that are held out: pixels while it learns, cells at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.cellclasses import ANY_CELL, foreground
from napari_unet.core.config import PredictConfig
from napari_unet.core.instances import diameters, smallest_diameter, typical_diameter
from napari_unet.core.metrics import seg_score
from napari_unet.core.unet import UNet, weighted_cross_entropy
from napari_unet.engine.cells import find_cells
from napari_unet.engine.events import Score
from napari_unet.engine.learning.heldout import MAX_BLOCKS, block_box
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.learning.window import predict_window
from napari_unet.engine.segmenter import Segmenter

__all__ = ["at_working_resolution", "compare", "is_worse", "measure"]

MARGIN = 64
"""Network pixels around a held-out cell in which cells are looked for."""

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


def compare(before: Segmenter | None, after: Segmenter, data: TrainingSet) -> Score | None:
    """Score two models on the same held-out labels, which neither was trained on.

    Each is taken as it is, with the core and split that were fitted to its painted cells, the
    held-out ones among them: two numbers of a dozen choices, against thousands of weights.

    Parameters
    ----------
    before : Segmenter or None
        What training started from, if that was trained before.
    after : Segmenter
        What it ended with.
    data : TrainingSet
        What it was trained on, and what was held out.
    """
    if not data.held_out:
        return None
    count = sum(len(ids) for ids in data.held_out_cells)
    cells = data.kind == "cells" and count > 0
    values: list[float | None] = []
    for segmenter in (before, after):
        if segmenter is None:
            values.append(None)
            continue
        network = segmenter.network(data.planes[0].image.device)
        if cells:
            values.append(_seg(network, segmenter, data))
        else:
            values.append(measure(network, data, segmenter.coarser_factors)[1])
    assert values[1] is not None
    if not cells:
        count = len(data.held_out)
    metric: Literal["SEG", "IoU"] = "SEG" if cells else "IoU"
    return Score(metric=metric, before=values[0], after=values[1], count=count)


def _seg(network: UNet, segmenter: Segmenter, data: TrainingSet) -> float:
    """Return the mean over the held-out cells of their overlap with what is found there."""
    scores: list[float] = []
    for plane, cells, ids in zip(data.planes, data.cells, data.held_out_cells, strict=True):
        model = at_working_resolution(segmenter, cells)
        for cell in ids:
            box = _around(cells == cell)
            said = predict_window(network, plane.image, box, segmenter.coarser_factors)
            found = find_cells(model, foreground(said), PredictConfig())
            scores.append(seg_score(cells[box] == cell, found))
    return float(np.mean(scores))


def at_working_resolution(segmenter: Segmenter, cells: NDArray[np.integer]) -> Segmenter:
    """Return a Segmenter whose sizes are those of cells (Y, X) in network pixels."""
    sizes = diameters(cells)
    return replace(
        segmenter,
        downsample=1,
        diameter=typical_diameter(sizes),
        smallest=smallest_diameter(sizes),
    )


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    (y, x) = ndimage.find_objects(mask.astype(np.uint8))[0]
    height, width = mask.shape
    return (
        slice(max(y.start - MARGIN, 0), min(y.stop + MARGIN, height)),
        slice(max(x.start - MARGIN, 0), min(x.stop + MARGIN, width)),
    )
