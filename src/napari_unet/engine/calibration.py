"""Fit the cutting of touching cells to the cells that somebody painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.config import PredictConfig
from napari_unet.core.instances import diameters, instances, typical_diameter
from napari_unet.engine.inference import probabilities
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.trainingset import TrainingSet

__all__ = ["fit_split"]

CHOICES = [(core, split) for core in (0.0, 0.8, 0.95) for split in (0.2, 0.1, 0.4, 0.0)]
"""Pairs of core and split, tried in this order; a later one must be better."""

MAX_PLANES = 2
WINDOW = 448
"""Side in network pixels of what is looked at of each plane."""


def fit_split(segmenter: Segmenter, data: TrainingSet) -> Segmenter:
    """Return the Segmenter with the core and split that recover the painted cells best.

    Every pair is tried on the network's own prediction of the training planes, at the working
    resolution. A painted cell scores the intersection over union with the found cell that covers
    more than half of it, so a cell that is cut in two and a cell that is left merged with a
    neighbour, painted or not, both count as errors.

    Parameters
    ----------
    segmenter : Segmenter
        Of cells; one of classes is returned as it is.
    data : TrainingSet
        What it was trained on.
    """
    if segmenter.kind == "classes":
        return segmenter
    views = [_window(data, index) for index in range(min(len(data.planes), MAX_PLANES))]
    coarse = replace(segmenter, downsample=1)
    config = PredictConfig(device=str(data.planes[0].image.device))
    found = [(probabilities(coarse, image, config)[1], cells) for image, cells in views]
    scores = [_score(found, core, split) for core, split in CHOICES]
    core, split = CHOICES[int(np.argmax(scores))]
    return replace(segmenter, core=core, split=split)


def _window(data: TrainingSet, index: int) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Cut the part of a plane around its painted cells that is not too large to look at."""
    cells = data.cells[index]
    box = []
    for axis in (0, 1):
        painted = np.flatnonzero(cells.any(axis=1 - axis))
        middle = int(np.median(painted)) if len(painted) else cells.shape[axis] // 2
        start = int(np.clip(middle - WINDOW // 2, 0, max(cells.shape[axis] - WINDOW, 0)))
        box.append(slice(start, start + WINDOW))
    image = data.planes[index].image[:, box[0], box[1]].cpu().numpy()
    return image, cells[box[0], box[1]]


def _score(
    found: Sequence[tuple[NDArray[np.float32], NDArray[np.integer]]], core: float, split: float
) -> float:
    """Return the mean score of the painted cells."""
    scores: list[float] = []
    for foreground, cells in found:
        area = np.pi / 4 * typical_diameter(diameters(cells)) ** 2
        labels = instances(
            foreground,
            min_size=round(0.1 * area),
            max_hole=round(0.3 * area),
            core=core,
            split=split,
        )
        scores += _overlaps(cells, labels)
    return float(np.mean(scores)) if scores else 0.0


def _overlaps(cells: NDArray[np.integer], labels: NDArray[np.integer]) -> list[float]:
    """Return for each painted cell its IoU with the found cell that covers most of it, or 0."""
    sizes = np.bincount(labels.ravel())
    scores = []
    for cell, box in enumerate(ndimage.find_objects(cells), start=1):
        if box is None:
            continue
        inside = np.bincount(labels[box][cells[box] == cell], minlength=2)
        painted = int(inside.sum())
        best = int(inside[1:].argmax()) + 1
        overlap = int(inside[best])
        # as in the Cell Tracking Challenge, half a cell is no match
        covered = 2 * overlap > painted
        scores.append(overlap / (painted + int(sizes[best]) - overlap) if covered else 0.0)
    return scores
