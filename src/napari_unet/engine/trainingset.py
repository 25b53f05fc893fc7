"""Annotations to tensors: working resolution, targets, weights, held-out blocks, patch centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import IGNORE, Annotation, Summary, summarise
from napari_unet.core.augment import Plane
from napari_unet.core.config import TrainConfig
from napari_unet.core.instances import diameters, typical_diameter
from napari_unet.core.resolution import choose_factor
from napari_unet.engine.heldout import Block, Seen, block_mask, cells_mostly_in, hold_out
from napari_unet.engine.mailbox import Repainted
from napari_unet.engine.paintedplane import PaintedPlane
from napari_unet.engine.recipe import recipe_named
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = ["TrainingSet", "prepare"]

MAX_CENTRES = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class _Tensors:
    """What is made of one plane, and of which state of the labels it was made."""

    state: object
    plane: Plane
    cells: NDArray[np.integer]
    held_out_cells: NDArray[np.intp]
    held_out_weights: torch.Tensor
    centres: list[NDArray[np.intp]]


class TrainingSet:
    """All that the training loop reads; what is painted may change between two steps.

    Attributes
    ----------
    planes : list of Plane
        Normalised images, targets and weights; the weight is 0 where something is held out.
    held_out : list of Block
        Squares of `BLOCK` pixels.
    held_out_weights : list of Tensor
        Per plane (Y, X): the weights of the held-out pixels, 0 elsewhere.
    cells : list of (Y, X) int array
        Per plane: the connected pieces of the painted cells, 1 ... n; 0 elsewhere.
    held_out_cells : list of int array
        Per plane: the ids of the cells that lie mostly in held-out blocks. All their pixels are
        held out.
    centres : list of (n, 3) int array
        Per class: (plane, y, x) of labelled pixels to put patches around.
    seen : Seen
        What was trained on, and what was held out, since the model was new.
    channels, n_classes : int
        Of the network.
    kind : {"cells", "classes"}
        What is learned.
    downsample : int
        Working resolution.
    diameter : float
        Median diameter of the painted objects in image pixels.
    """

    def __init__(
        self,
        planes: Sequence[Annotation],
        config: TrainConfig,
        device: torch.device,
        seen: Seen,
        *,
        kind: Literal["cells", "classes"],
        n_classes: int,
        downsample: int,
        diameter: float,
    ) -> None:
        self._config, self._device = config, device
        self.seen, self.kind, self.n_classes = seen, kind, n_classes
        self.downsample, self.diameter = downsample, diameter
        self.channels = planes[0].channels
        self._painted = [self._painted_plane(plane) for plane in planes]
        self._images = [torch.from_numpy(p.image).to(device) for p in self._painted]
        self._tensors: list[Any] = [None] * len(self._painted)  # of planes, or not made yet
        self.renew()

    def renew(self) -> None:
        """Make tensors of what is painted now.

        Raises
        ------
        InputError
            If only one class is left; all is then as it was before.
        """
        config = self._config
        counts = [plane.blocks(self.n_classes) for plane in self._painted]
        balance = _class_balance(counts, self.n_classes, recipe_named(config.recipe).balance)
        keys = [plane.key for plane in self._painted]
        self.held_out: list[Block] = []
        if config.validate:
            self.held_out = hold_out(counts, keys, self.n_classes, config.seed, self.seen)
        else:
            for key, labelled in zip(keys, counts, strict=True):
                self.seen.note(key, set(labelled), set())
        for index, plane in enumerate(self._painted):
            blocks = [block for block in self.held_out if block.plane == index]
            state = (plane.version, tuple(blocks), balance.tobytes())
            if self._tensors[index] is None or self._tensors[index].state != state:
                self._tensors[index] = self._make(index, blocks, balance, state)
        made = self._tensors
        self.planes = [tensors.plane for tensors in made]
        self.cells = [tensors.cells for tensors in made]
        self.held_out_cells = [tensors.held_out_cells for tensors in made]
        self.held_out_weights = [tensors.held_out_weights for tensors in made]
        self.centres = _centres([tensors.centres for tensors in made], config.seed)

    def _make(
        self, index: int, blocks: list[Block], balance: NDArray[np.float32], state: object
    ) -> _Tensors:
        painted = self._painted[index]
        # pieces and not ids: many people paint all cells with one number
        cells: NDArray[np.integer] = ndimage.label(painted.cells > 0)[0]
        inside = block_mask(blocks, index, painted.target.shape)
        ids = cells_mostly_in(inside, cells)
        inside |= np.isin(cells, ids)
        weight = np.where(painted.target == IGNORE, 0, balance[painted.target] + painted.border)
        weight = weight.astype(np.float32)
        held_out_weights = torch.from_numpy(np.where(inside, weight, 0))
        weight[inside] = 0
        target = torch.from_numpy(painted.target.copy()).to(self._device)
        known = weight > 0
        return _Tensors(
            state,
            Plane(self._images[index], target, torch.from_numpy(weight).to(self._device)),
            cells,
            ids,
            held_out_weights,
            [
                np.column_stack([np.full(len(y), index), y, x])
                for y, x in (
                    np.nonzero(known & (painted.target == k)) for k in range(self.n_classes)
                )
            ],
        )

    def repaint(self, strokes: Sequence[Repainted]) -> None:
        """Take over what was painted while the training ran; `renew` makes it count.

        Raises
        ------
        InputError
            If a class was painted that the network has no output for.
        """
        for stroke in strokes:
            if self.kind == "classes":
                _check_classes(int(stroke.labels.max(initial=0)), self.kind, self)
            if stroke.plane < len(self._painted):
                self._painted[stroke.plane].repaint(stroke.box, stroke.labels, stroke.region)
                continue
            assert stroke.image is not None  # the first of a plane brings its image
            plane = Annotation(stroke.image, stroke.labels, stroke.meaning, stroke.region)
            self._painted.append(self._painted_plane(plane))
            self._images.append(torch.from_numpy(self._painted[-1].image).to(self._device))
            self._tensors.append(None)

    def summary(self) -> Summary:
        """Return what is painted now."""
        return summarise([plane.annotation for plane in self._painted])

    def draw_centre(self, rng: np.random.Generator) -> tuple[int, float, float]:
        """Draw (plane, y, x) of a labelled pixel, every class equally often."""
        present = [centres for centres in self.centres if len(centres)]
        centres = present[rng.integers(len(present))]
        plane, y, x = centres[rng.integers(len(centres))]
        return int(plane), float(y), float(x)

    def _painted_plane(self, plane: Annotation) -> PaintedPlane:
        return PaintedPlane(plane, self.downsample, self._config.w0, self._config.sigma)


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
    _check_labelled(annotations)
    planes = [plane for annotation in annotations for plane in annotation.planes()]
    _check_channels(planes, segmenter)
    kind: Literal["cells", "classes"] = "classes" if planes[0].meaning == "classes" else "cells"
    sizes = np.concatenate([_object_diameters(plane) for plane in planes])
    # pieces of classes range from specks to networks through the whole image: count, not area
    classes = kind == "classes"
    diameter = float(np.median(sizes)) if classes and len(sizes) else typical_diameter(sizes)
    factor = config.downsample or choose_factor(diameter)
    if segmenter is not None:
        factor, diameter = segmenter.downsample, segmenter.diameter or diameter
        seen = seen or Seen.of(segmenter.seen)
    return TrainingSet(
        planes,
        config,
        device,
        seen or Seen(),
        kind=kind,
        n_classes=_class_count(planes, kind, segmenter),
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


def _check_channels(planes: Sequence[Annotation], segmenter: Segmenter | None) -> None:
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


def _class_count(
    planes: Sequence[Annotation], kind: Literal["cells", "classes"], segmenter: Segmenter | None
) -> int:
    count = 2 if kind == "cells" else max(2, *(int(plane.labels.max()) for plane in planes), 2)
    if segmenter is None:
        return count
    _check_classes(count, kind, segmenter)
    return segmenter.n_classes


def _check_classes(
    count: int, kind: Literal["cells", "classes"], known: Segmenter | TrainingSet
) -> None:
    if known.kind != kind or known.n_classes < count:
        classes = "cells" if known.kind == "cells" else f"{known.n_classes} classes"
        painted = "cells" if kind == "cells" else f"{count} classes"
        raise InputError(
            f"The model to continue knows {classes}, but {painted} are painted; start a new model."
        )


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


def _class_balance(
    counts: Sequence[dict[tuple[int, int], NDArray[np.intp]]], n_classes: int, exponent: float
) -> NDArray[np.float32]:
    """Return w_c by class over all planes: frequency ** -exponent, mean 1 over labelled pixels."""
    total = np.zeros(n_classes)
    for blocks in counts:
        total += sum(blocks.values(), np.zeros(n_classes))
    balance = np.zeros(256, dtype=np.float32)
    present = total > 0
    if present.sum() < 2:
        raise InputError(
            "Too little is painted: only one class is left at the working resolution; paint more "
            "of the others, or set downsample=1."
        )
    raw = total[present] ** -exponent
    balance[:n_classes][present] = raw * total.sum() / (raw * total[present]).sum()
    return balance


def _centres(planes: Sequence[Sequence[NDArray[np.intp]]], seed: int) -> list[NDArray[np.intp]]:
    """Join the labelled pixels of all planes, class by class; of very many, a part."""
    rng = np.random.default_rng([seed, 2])
    centres = []
    for parts in zip(*planes, strict=True):
        every = np.concatenate(parts)
        if len(every) > MAX_CENTRES:
            every = every[rng.choice(len(every), MAX_CENTRES, replace=False)]
        centres.append(every)
    return centres
