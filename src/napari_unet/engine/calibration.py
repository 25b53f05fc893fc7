"""Fit the cutting of touching cells to the cells that somebody painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.engine.cells import find_cells
from napari_unet.engine.quality import at_working_resolution, overlaps
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.trainingset import TrainingSet
from napari_unet.engine.window import predict_window

__all__ = ["fit_split"]

CHOICES = [(core, split) for core in (0.0, 0.8, 0.95) for split in (0.2, 0.1, 0.4, 0.0)]
"""Pairs of core and split, tried in this order; a later one must be better."""

MAX_PLANES = 2
WINDOW = 448
"""Side in network pixels of what is looked at of each plane."""

View = tuple[NDArray[np.float32], NDArray[np.integer]]


def fit_split(segmenter: Segmenter, data: TrainingSet) -> Segmenter:
    """Return the Segmenter with the core and split that recover the painted cells best.

    Every pair is tried on the network's own prediction of the training planes, at the working
    resolution. A painted cell scores the intersection over union with the found cell that covers
    more than half of it, so a cell that is cut in two and a cell that is left merged with a
    neighbour, painted or not, both count as errors. Held-out cells count too: the network has not
    learned them by heart, so its mistakes there are those that it makes elsewhere.

    Parameters
    ----------
    segmenter : Segmenter
        Of cells; one of classes is returned as it is.
    data : TrainingSet
        What it was trained on.
    """
    if segmenter.kind == "classes":
        return segmenter
    network = segmenter.network(data.planes[0].image.device)
    views: list[View] = []
    for index in range(min(len(data.planes), MAX_PLANES)):
        box, cells = _window(data, index)
        views.append((predict_window(network, data.planes[index].image, box)[1], cells))
    choices = [replace(segmenter, core=core, split=split) for core, split in CHOICES]
    return choices[int(np.argmax([_score(views, choice) for choice in choices]))]


def _window(data: TrainingSet, index: int) -> tuple[tuple[slice, slice], NDArray[np.integer]]:
    """Return the part of a plane around its painted cells that is not too large to look at."""
    cells = data.cells[index]
    box = []
    for axis in (0, 1):
        painted = np.flatnonzero(cells.any(axis=1 - axis))
        middle = int(np.median(painted)) if len(painted) else cells.shape[axis] // 2
        start = int(np.clip(middle - WINDOW // 2, 0, max(cells.shape[axis] - WINDOW, 0)))
        box.append(slice(start, min(start + WINDOW, cells.shape[axis])))
    return (box[0], box[1]), cells[box[0], box[1]]


def _score(views: Sequence[View], segmenter: Segmenter) -> float:
    """Return the mean score of the painted cells."""
    scores: list[float] = []
    for foreground, cells in views:
        model = at_working_resolution(segmenter, cells)
        scores += overlaps(cells, find_cells(model, foreground, PredictConfig()))
    return float(np.mean(scores)) if scores else 0.0
