"""Did it get better: two models on the same held-out labels, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.cellclasses import foreground
from napari_unet.core.config import PredictConfig
from napari_unet.core.metrics import seg_score
from napari_unet.core.resolution import coarse_box, coarsen_labels, refine
from napari_unet.core.tiles import widened
from napari_unet.engine.cells import at_working_resolution, find_cells
from napari_unet.engine.events import Score
from napari_unet.engine.learning.quality import measure
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.learning.window import predict_window
from napari_unet.engine.segmenter import Segmenter

__all__ = ["compare"]

Box = tuple[slice, slice]

MARGIN = 64
"""Network pixels around a held-out cell in which cells are looked for."""

ALIKE = 0.9
"""IoU with what a model finds, from which it is looked whether the model drew the cell itself."""


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

    Returns
    -------
    Score or None
        None where nothing is held out, or all of it was drawn by ``before``.
    """
    if not data.held_out:
        return None
    if next(_held_out_cells(after, data), None) is not None:
        return _compare_cells(before, after, data)
    then = None if before is None else _iou(before, data)
    return Score(metric="IoU", before=then, after=_iou(after, data), count=len(data.held_out))


def _compare_cells(before: Segmenter | None, after: Segmenter, data: TrainingSet) -> Score | None:
    """Score two models on the held-out cells, but for those that the first of them drew itself.

    Whoever accepts what a model found, and trains on, would read that it was perfect before.
    """
    now = _overlaps(after, data)
    if before is None:
        return Score(metric="SEG", before=None, after=float(now.mean()), count=len(now))
    then = _overlaps(before, data)
    told = ~_drawn(before, data, then)
    if not told.any():
        return None
    return Score(
        metric="SEG",
        before=float(then[told].mean()),
        after=float(now[told].mean()),
        count=int(told.sum()),
        drawn=int((~told).sum()),
    )


def _iou(segmenter: Segmenter, data: TrainingSet) -> float:
    network = segmenter.network(data.planes[0].image.device)
    return measure(network, data, segmenter.coarser_factors)[1]


def _overlaps(segmenter: Segmenter, data: TrainingSet) -> NDArray[np.float64]:
    """Return of each held-out cell its overlap with what is found there, as SEG counts it."""
    network = segmenter.network(data.planes[0].image.device)
    scores: list[float] = []
    for cell in _held_out_cells(segmenter, data):
        image = data.planes[cell.plane].image
        said = predict_window(network, image, cell.box, segmenter.coarser_factors)
        found = find_cells(cell.model, foreground(said), PredictConfig())
        scores.append(seg_score(cell.mask[cell.box], found))
    return np.array(scores)


def _drawn(
    segmenter: Segmenter, data: TrainingSet, overlaps: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell which held-out cells are, to the pixel of the image, what a model finds there."""
    network, factor = segmenter.network(data.planes[0].image.device), segmenter.downsample
    drawn = np.zeros(len(overlaps), dtype=bool)
    for number, cell in enumerate(_held_out_cells(segmenter, data)):
        if overlaps[number] < ALIKE:
            continue
        labels, image = data.labels(cell.plane), data.planes[cell.plane].image
        height, width = labels.shape
        y, x = (
            slice(s.start * factor, min(s.stop * factor, n))
            for s, n in zip(cell.box, labels.shape, strict=True)
        )
        rows, columns = coarse_box((y, x), factor, labels.shape)
        said = predict_window(network, image, (rows, columns), segmenter.coarser_factors)
        if factor > 1:
            said = refine(said, factor, (rows.start, columns.start), (y, x), (height, width))
        found = find_cells(segmenter, foreground(said), PredictConfig())
        # each of its network pixels tells its number, though at its rim not by all pixels in it
        row, column = np.argwhere(cell.mask)[0] * factor
        block = labels[row : row + factor, column : column + factor]
        inside = labels[y, x] == coarsen_labels(block, factor)
        same = found == np.bincount(found[inside]).argmax()
        drawn[number] = np.array_equal(same, inside)
    return drawn


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """A held-out cell: its plane, where it lies, a box around it, and who looks for it there."""

    plane: int
    mask: NDArray[np.bool_]
    box: Box
    model: Segmenter


def _held_out_cells(segmenter: Segmenter, data: TrainingSet) -> Iterator[_Cell]:
    """Yield the held-out cells, to be found by a model at its working resolution.

    Without specks, smaller than a cell may be: of a slip of the brush, or the corner of a cell that
    hangs on by one at a coarser resolution. No model finds them.
    """
    for plane, (cells, ids) in enumerate(zip(data.cells, data.held_out_cells, strict=True)):
        model = at_working_resolution(segmenter, cells)
        least = model.smallest_cut_cell()
        for cell in ids:
            mask = cells == cell
            if np.count_nonzero(mask) >= least:
                yield _Cell(plane, mask, _around(mask), model)


def _around(mask: NDArray[np.bool_]) -> Box:
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    y, x = widened(box, (MARGIN, MARGIN), (MARGIN, MARGIN), mask.shape)
    return y, x
