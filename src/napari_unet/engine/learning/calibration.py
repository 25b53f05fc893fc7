"""Fit what a training ends with to the cells that somebody painted: outlines, cutting, weights."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.cellclasses import foreground
from napari_unet.core.coarseness import FILLED
from napari_unet.core.overlaps import Numbered, Overlaps, numbered
from napari_unet.engine.cells import at_working_resolution, find_cells_of_each
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.learning.window import predict_window
from napari_unet.engine.segmenter import Segmenter

__all__ = ["calibrate"]

CHOICES = [(core, split) for core in (0.8, 0.95, 0.0) for split in (0.1, 0.2, 0.4, 0.0)]
"""Pairs of core and split in the order of preference; a later one must be `CLEARLY` better, or find
more of the painted cells. On images that were not painted, cores at 0.8 are the safest."""

THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7)
"""Probabilities that may become 0.5, tried in this order; a later one must be `CLEARLY` better."""

CLEARLY = 0.01
"""Less than this, a painted plane that the network has learned by heart does not tell."""

BY_HEART = 0.03
"""What several resolutions may score below one on painted cells, which the network knows by heart
at the working resolution. One that cannot tell cells apart at the lower resolution scores less."""

PRIOR = 10_000
"""Labelled pixels that count as much as all that the model knew with which a training began."""

LESS = 0.25
"""Of the share that they give the weights of a new model, this part is enough where it does as
well. Not of a model that is trained further: many painted cells are those that it found itself and
somebody accepted, so they cannot tell that the weights before are as good."""

MAX_PLANES, WINDOW = 2, 448
"""Planes with cells that are looked at, and side in network pixels of what is looked at of each."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A part of a plane (Y, X): what a model says of it, and its painted cells.

    The model in it knows how large those are at the working resolution.
    """

    foreground: NDArray[np.float32]
    painted: Numbered
    model: Segmenter


def calibrate(
    segmenter: Segmenter, data: TrainingSet, start: Segmenter | None = None, *, scales: int = 1
) -> Segmenter:
    """Return the Segmenter with the core, split and threshold that recover the painted cells best.

    Where cells fill the image, what is learned are the lines between them, and the surroundings
    tell which lines they are: there several resolutions are averaged, unless that costs painted
    cells.

    Every pair of core and split is tried on the network's own prediction of the training planes, at
    the working resolution, and at each threshold: cells that are one at a threshold are apart at
    the next, so the best pair depends on it. The border weights count background near cells several
    times, so a network that is unsure says background too often; and what is painted is not always
    drawn along the same grey value. A painted cell scores the intersection over union with the
    found cell that covers more than half of it, so a cell that is cut in two and a cell that is
    left merged with a neighbour, painted or not, both count as errors. Held-out cells count too:
    the network has not learned them by heart, so its mistakes there are those that it makes
    elsewhere.

    Of a training that began with a model of other images, the weights are averaged with those of
    that model, the more so the less is painted, and of a new model still more so where that is no
    worse; but no painted cell may be lost with it. That costs little on the painted image and is
    better on others (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models",
    arXiv:2109.01903).

    Parameters
    ----------
    segmenter : Segmenter
        Of cells; one of classes is returned as it is.
    data : TrainingSet
        What it was trained on.
    start : Segmenter, optional
        The model of other images that the training began with.
    scales : int
        How many resolutions may be averaged where cells cover more than `FILLED` of a plane.

    Returns
    -------
    Segmenter
        With core and split, and a last bias that turns the best threshold into 0.5.
    """
    if segmenter.kind == "classes":
        return segmenter
    segmenter = replace(segmenter, scales=1)
    models = [segmenter]
    if start is not None:
        painted = sum(int((plane.weight > 0).sum()) for plane in data.planes)
        share = painted / (painted + PRIOR)
        trained_before = start.provenance.get("steps", 0) > 0
        shares = (share,) if trained_before else (LESS * share, share)
        models = [_averaged(segmenter, start, each) for each in shares] + models
    fitted = [_fitted(model, data) for model in models]
    best = max((scores for _, scores in fitted), key=np.mean)
    index = next(i for i, (_, scores) in enumerate(fitted) if _as_good(scores, best))
    found, scores = fitted[index]
    if scales > 1 and _is_filled(segmenter, data):
        averaged, others = _fitted(replace(models[index], scales=scales), data)
        if others.mean() >= scores.mean() - BY_HEART:
            return averaged
    return found


def _is_filled(segmenter: Segmenter, data: TrainingSet) -> bool:
    """Whether most of what lies around the painted cells is cells, as the network says."""
    network = segmenter.network(data.planes[0].image.device)
    first, *_ = _with_cells(data)
    box, _ = _window(data, first)
    said = predict_window(network, data.planes[first].image, box)
    return bool(foreground(said).mean() > FILLED)


def _as_good(scores: Scores, best: Scores) -> bool:
    """Whether painted cells are found about as well as they can be, and no more of them missed."""
    return bool(
        np.mean(scores) >= np.mean(best) - CLEARLY and np.sum(scores == 0) <= np.sum(best == 0)
    )


def _averaged(segmenter: Segmenter, start: Segmenter, share: float) -> Segmenter:
    """Return the mean of two models, with a share of the trained one."""
    own, other = np.float32(share), np.float32(1 - share)
    weights = {
        name: own * values + other * start.weights[name]
        for name, values in segmenter.weights.items()
    }
    return replace(segmenter, weights=weights)


def _fitted(segmenter: Segmenter, data: TrainingSet) -> tuple[Segmenter, Scores]:
    """Return a model of cells with what fits best, and the scores of the painted cells."""
    network = segmenter.network(data.planes[0].image.device)
    views: list[_View] = []
    for index in _with_cells(data):
        box, cells = _window(data, index)
        said = predict_window(network, data.planes[index].image, box, segmenter.coarser_factors)
        model = at_working_resolution(segmenter, cells)
        views.append(_View(foreground(said), numbered(cells), model))
    best, threshold, scores = _best(views, segmenter)
    bias = best.weights["head.bias"].copy()
    bias[1:] -= np.log(threshold / (1 - threshold))  # of all classes of cells alike
    return replace(best, weights={**best.weights, "head.bias": bias}), scores


def _best(views: Sequence[_View], segmenter: Segmenter) -> tuple[Segmenter, float, Scores]:
    """Return the core and split, and the threshold, that score best, and the scores."""
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        best, *others = threads.map(partial(_best_cut, views), THRESHOLDS)
    for other in others:
        if other[2].mean() > best[2].mean() + CLEARLY:
            best = other
    (core, split), threshold, scores = best
    return replace(segmenter, core=core, split=split), threshold, scores


def _best_cut(
    views: Sequence[_View], threshold: float
) -> tuple[tuple[float, float], float, Scores]:
    """Return the pair of core and split that scores best at a threshold, that, and the scores."""
    each_view = [
        _scores(replace(view, foreground=_shifted(view.foreground, threshold))) for view in views
    ]
    scores = [np.concatenate(each) for each in zip(*each_view, strict=True)]
    scores = [each if each.size else np.zeros(1) for each in scores]
    most = max(scores, key=np.mean)
    index = next(i for i, each in enumerate(scores) if _as_good(each, most))
    return CHOICES[index], threshold, scores[index]


def _shifted(probability: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Return the probabilities with a logit shifted so that a threshold becomes 0.5."""
    odds = (1 - threshold) / threshold
    return probability * odds / (probability * odds + 1 - probability)


def _with_cells(data: TrainingSet) -> list[int]:
    """Return the planes that are looked at: the first ones on which cells are painted."""
    painted = (index for index, cells in enumerate(data.cells) if cells.any())
    return list(islice(painted, MAX_PLANES))


def _window(data: TrainingSet, index: int) -> tuple[tuple[slice, slice], NDArray[np.integer]]:
    """Return the part of a plane around its painted cells that is not too large to look at."""
    cells = data.cells[index]
    y, x = (int(np.median(np.flatnonzero(cells.any(axis=axis)))) for axis in (1, 0))
    box = _around(y, x, cells.shape)
    if not cells[box].any():  # the middle of places far from each other: one of them
        places = np.argwhere(cells)
        y, x = places[np.square(places - (y, x)).sum(axis=1).argmin()].tolist()
        box = _around(y, x, cells.shape)
    return box, cells[box]


def _around(y: int, x: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of a plane with a place in its middle, or as near to it as can be."""
    height, width = shape
    top, left = (
        min(max(at - WINDOW // 2, 0), max(n - WINDOW, 0)) for at, n in ((y, height), (x, width))
    )
    return slice(top, min(top + WINDOW, height)), slice(left, min(left + WINDOW, width))


def _scores(view: _View) -> list[Scores]:
    """Return the SEG of every painted cell of a view, with each of `CHOICES`."""
    scores = []
    for found in find_cells_of_each(view.model, view.foreground, CHOICES):
        cells = Numbered(found.astype(np.int64), np.arange(found.max() + 1))
        scores.append(Overlaps.between(view.painted, cells).seg())
    return scores
