"""Annotations to tensors: working resolution, targets, weights, held-out blocks, patch centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.annotation import IGNORE, Annotation, encode, summarise
from napari_unet.core.augment import Plane
from napari_unet.core.boundary import boundary_weight_map
from napari_unet.core.config import TrainConfig
from napari_unet.core.instances import diameters, typical_diameter
from napari_unet.core.normalise import grey_statistics, normalise
from napari_unet.core.resolution import choose_factor, coarsen, coarsen_labels
from napari_unet.engine.heldout import Block, block_mask, hold_out
from napari_unet.engine.recipe import recipe_named
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = ["TrainingSet", "prepare"]

MAX_CENTRES = 1 << 18


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainingSet:
    """All that the training loop reads.

    Attributes
    ----------
    planes : list of Plane
        Normalised images, targets and weights; the weight is 0 in held-out blocks.
    held_out : list of Block
        Squares of `BLOCK` pixels.
    held_out_weights : list of Tensor
        Per plane (Y, X): the weights of the held-out pixels, 0 elsewhere.
    cells : list of (Y, X) int array
        Per plane: the painted cells, separated where they touch; 0 elsewhere.
    centres : list of (n, 3) int array
        Per class: (plane, y, x) of labelled pixels to put patches around.
    channels, n_classes : int
        Of the network.
    kind : {"cells", "classes"}
        What is learned.
    downsample : int
        Working resolution.
    diameter : float
        Median diameter of the painted objects in image pixels.
    """

    planes: list[Plane]
    held_out: list[Block]
    held_out_weights: list[torch.Tensor]
    cells: list[NDArray[np.integer]]
    centres: list[NDArray[np.intp]]
    channels: int
    n_classes: int
    kind: Literal["cells", "classes"]
    downsample: int
    diameter: float

    def draw_centre(self, rng: np.random.Generator) -> tuple[int, float, float]:
        """Draw (plane, y, x) of a labelled pixel, every class equally often."""
        present = [centres for centres in self.centres if len(centres)]
        centres = present[rng.integers(len(present))]
        plane, y, x = centres[rng.integers(len(centres))]
        return int(plane), float(y), float(x)


def prepare(
    annotations: Sequence[Annotation],
    config: TrainConfig,
    segmenter: Segmenter | None,
    device: torch.device,
) -> TrainingSet:
    """Turn annotations into a training set at the working resolution.

    Raises
    ------
    InputError
        If nothing or only one class is labelled, or annotations and Segmenter do not fit.
    """
    _check_labelled(annotations)
    planes = [plane for annotation in annotations for plane in annotation.planes()]
    channels = _common_channels(planes, segmenter)
    kind: Literal["cells", "classes"] = "classes" if planes[0].meaning == "classes" else "cells"
    n_classes = _class_count(planes, kind, segmenter)
    sizes = np.concatenate([_object_diameters(plane) for plane in planes])
    # pieces of classes range from specks to networks through the whole image: count, not area
    classes = kind == "classes"
    diameter = float(np.median(sizes)) if classes and len(sizes) else typical_diameter(sizes)
    factor = config.downsample or choose_factor(diameter)
    if segmenter is not None:
        factor, diameter = segmenter.downsample, segmenter.diameter or diameter

    arrays = [_arrays(plane, factor, config) for plane in planes]
    rng = np.random.default_rng(config.seed)
    targets = [target for _, target, _, _ in arrays]
    held_out = hold_out(targets, n_classes, rng) if config.validate else []
    balance = _class_balance(targets, n_classes, recipe_named(config.recipe).balance)
    tensors, held_out_weights = [], []
    for index, (image, target, border, _) in enumerate(arrays):
        weight = np.where(target == IGNORE, 0, balance[target] + border).astype(np.float32)
        inside = block_mask(held_out, index, target.shape)
        held_out_weights.append(torch.from_numpy(np.where(inside, weight, 0)))
        weight[inside] = 0
        tensors.append(Plane(*(torch.from_numpy(a).to(device) for a in (image, target, weight))))
    return TrainingSet(
        planes=tensors,
        held_out=held_out,
        held_out_weights=held_out_weights,
        cells=[cells for _, _, _, cells in arrays],
        centres=_centres(tensors, n_classes, rng),
        channels=channels,
        n_classes=n_classes,
        kind=kind,
        downsample=factor,
        diameter=diameter,
    )


def _check_labelled(annotations: Sequence[Annotation]) -> None:
    if not annotations:
        raise InputError("There is nothing to train on; give at least one image with labels.")
    summary = summarise(list(annotations))
    if summary.classes and summary.unlabelled < summary.total:
        if sum(n > 0 for n in summary.classes) < 2:
            raise InputError(
                f"Only one class is painted ({summary}); paint at least two classes, also some "
                f"background."
            )
        return
    if summary.unlabelled == summary.total:
        raise InputError("Nothing is painted yet; paint a few cells and some background.")
    if summary.objects == 0:
        raise InputError(f"No cell is painted yet ({summary}); paint a few cells.")
    if summary.background == 0:
        raise InputError(
            f"No background is painted yet ({summary}); paint some background with label 1, or "
            f"draw a training region around cells that are all painted."
        )


def _common_channels(planes: Sequence[Annotation], segmenter: Segmenter | None) -> int:
    channels = {plane.channels for plane in planes}
    if len(channels) > 1:
        raise InputError(
            f"The images have different numbers of channels ({sorted(channels)}); train on images "
            f"of one kind."
        )
    (count,) = channels
    if segmenter is not None and segmenter.in_channels != count:
        raise InputError(
            f"The model to continue was trained on {segmenter.in_channels} channel(s), these "
            f"images have {count}; start a new model."
        )
    return count


def _class_count(
    planes: Sequence[Annotation], kind: Literal["cells", "classes"], segmenter: Segmenter | None
) -> int:
    count = 2 if kind == "cells" else max(2, *(int(plane.labels.max()) for plane in planes), 2)
    if segmenter is None:
        return count
    if segmenter.kind != kind or segmenter.n_classes < count:
        known = "cells" if segmenter.kind == "cells" else f"{segmenter.n_classes} classes"
        painted = "cells" if kind == "cells" else f"{count} classes"
        raise InputError(
            f"The model to continue knows {known}, but {painted} are painted; start a new model."
        )
    return segmenter.n_classes


def _object_diameters(plane: Annotation) -> NDArray[np.float64]:
    """Return the diameters in image pixels of the painted objects of one plane."""
    if plane.meaning == "instances":
        return diameters(plane.labels)
    if plane.meaning == "scribbles":
        return diameters(np.where(plane.labels > 1, plane.labels, 0))
    # of classes, objects are the connected pieces of every class but the largest one
    counts = np.bincount(plane.labels.ravel().astype(np.uint8))  # classes are at most 254
    counts[0] = 0
    return diameters(np.where(plane.labels == counts.argmax(), 0, plane.labels))


def _arrays(
    plane: Annotation, factor: int, config: TrainConfig
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32], NDArray[np.integer]]:
    """Return image (C, y, x), and (y, x) target, border weights and cells, all coarsened."""
    image = normalise(coarsen(plane.image, factor), grey_statistics(plane.image))
    region = plane.region
    if region is not None:
        region = coarsen_labels(region.astype(np.uint8), factor) > 0
    labels = plane.labels
    if plane.meaning != "classes":
        labels = _renumber(labels, first=2 if plane.meaning == "scribbles" else 1)
    target = encode(coarsen_labels(labels, factor), plane.meaning, region)
    border = boundary_weight_map(
        target.cells, w0=config.w0, sigma=config.sigma, class_weights=False
    )
    return image, target.classes, border - 1, target.cells


def _renumber(labels: NDArray[np.integer], first: int) -> NDArray[np.int32]:
    """Number the ids from ``first`` on without gaps: later steps count up to the largest."""
    ids, inverse = np.unique(labels, return_inverse=True)
    below = int((ids < first).sum())
    numbers = np.concatenate([ids[:below], np.arange(first, first + len(ids) - below)])
    renumbered: NDArray[np.int32] = numbers.astype(np.int32)[inverse.reshape(labels.shape)]
    return renumbered


def _class_balance(
    targets: Sequence[NDArray[np.uint8]], n_classes: int, exponent: float
) -> NDArray[np.float32]:
    """Return w_c by class over all planes: frequency ** -exponent, mean 1 over labelled pixels."""
    counts = sum(np.bincount(t.ravel(), minlength=256)[:n_classes] for t in targets)
    counts = np.asarray(counts, dtype=np.float64)
    balance = np.zeros(256, dtype=np.float32)
    present = counts > 0
    if present.sum() < 2:
        raise InputError(
            "Too little is painted: only one class is left at the working resolution; paint more "
            "of the others, or set downsample=1."
        )
    raw = counts[present] ** -exponent
    balance[:n_classes][present] = raw * counts.sum() / (raw * counts[present]).sum()
    return balance


def _centres(
    planes: Sequence[Plane], n_classes: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    found: list[list[NDArray[np.intp]]] = [[] for _ in range(n_classes)]
    for index, plane in enumerate(planes):
        known = (plane.weight > 0).cpu().numpy()
        target = plane.target.cpu().numpy()
        for k in range(n_classes):
            y, x = np.nonzero(known & (target == k))
            found[k].append(np.column_stack([np.full_like(y, index), y, x]))
    centres = []
    for parts in found:
        every = np.concatenate(parts)
        if len(every) > MAX_CENTRES:
            every = every[rng.choice(len(every), MAX_CENTRES, replace=False)]
        centres.append(every)
    return centres
