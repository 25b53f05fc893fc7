"""What a training learns from, as tensors: targets, weights, held-out blocks, patch centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.annotation import IGNORE, Annotation
from napari_unet.core.augment import Plane
from napari_unet.core.cellclasses import ANY_CELL, ModelKind
from napari_unet.core.config import TrainConfig
from napari_unet.core.summary import Summary, summarise
from napari_unet.engine.greycolour import grey_plane
from napari_unet.engine.learning.checks import check_channels, check_classes
from napari_unet.engine.learning.heldout import Block, Seen, block_mask, cells_mostly_in, hold_out
from napari_unet.engine.learning.lossweights import border_share, cell_balance, class_balance
from napari_unet.engine.learning.paintedplane import PaintedPlane
from napari_unet.engine.learning.recipe import recipe_named
from napari_unet.engine.process.mailbox import Repainted

__all__ = ["TrainingSet"]

MAX_CENTRES = 1 << 18
"""Pixels of each class that patches are put around; of more, these many are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class _Tensors:
    """What is made of one plane, and of which state of the labels it was made.

    ``labelled`` holds, per class, and of cells of any class, the pixels to put patches around, as
    in the flattened plane.
    """

    state: object
    plane: Plane
    cells: NDArray[np.integer]
    held_out_cells: NDArray[np.intp]
    held_out_weights: torch.Tensor
    labelled: list[NDArray[np.intp]]


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
        Per plane: the connected pieces of the cells as they were painted, touching or not,
        1 ... n; 0 elsewhere.
    held_out_cells : list of int array
        Per plane: the ids of the cells that lie mostly in held-out blocks. All their pixels are
        held out.
    centres : list of (n, 3) int array
        Per class, and of cells of any class: (plane, y, x) of labelled pixels to put patches
        around.
    seen : Seen
        What was trained on, and what was held out, since the model was new.
    channels, n_classes : int
        Of the network.
    kind : {"cells", "classes"}
        What is learned.
    class_names : tuple of str
        What the classes are called.
    downsample : int
        Working resolution.
    diameter, smallest : float
        Typical diameter of the painted objects in image pixels, and that of the smallest ones.
    """

    def __init__(
        self,
        planes: Sequence[Annotation],
        config: TrainConfig,
        device: torch.device,
        seen: Seen,
        *,
        kind: ModelKind,
        n_classes: int,
        class_names: tuple[str, ...],
        downsample: int,
        diameter: float,
        smallest: float,
    ) -> None:
        self._config, self._device = config, device
        self.seen, self.kind, self.n_classes = seen, kind, n_classes
        self.class_names, self.downsample = class_names, downsample
        self.diameter, self.smallest = diameter, smallest
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
        recipe = recipe_named(config.recipe)
        nothing = np.zeros(self.n_classes + 1)
        total = sum((block for plane in counts for block in plane.values()), nothing)
        balance = class_balance(total, recipe.balance)
        if self.kind == "cells" and self.n_classes > 2:
            balance[: self.n_classes] *= cell_balance(total)
        border = border_share(self._painted, recipe.border_limit)
        keys = [plane.key for plane in self._painted]
        self.held_out: list[Block] = []
        if config.validate:
            self.held_out = hold_out(counts, keys, self.n_classes + 1, config.seed, self.seen)
        else:
            for key, labelled in zip(keys, counts, strict=True):
                self.seen.note(key, set(labelled), set())
        for index, plane in enumerate(self._painted):
            blocks = [block for block in self.held_out if block.plane == index]
            state = (plane.version, tuple(blocks), balance.tobytes(), border)
            if self._tensors[index] is None or self._tensors[index].state != state:
                self._tensors[index] = self._make(index, blocks, balance, border, state)
        made = self._tensors
        self.planes = [tensors.plane for tensors in made]
        self.cells = [tensors.cells for tensors in made]
        self.held_out_cells = [tensors.held_out_cells for tensors in made]
        self.held_out_weights = [tensors.held_out_weights for tensors in made]
        self.centres = _centres(made, config.seed)

    def _make(
        self,
        index: int,
        blocks: list[Block],
        balance: NDArray[np.float32],
        border: float,
        state: object,
    ) -> _Tensors:
        painted = self._painted[index]
        cells = painted.pieces()
        inside = block_mask(blocks, index, painted.target.shape)
        ids = cells_mostly_in(inside, cells)
        inside |= np.isin(cells, ids)
        cost = balance[painted.target] + np.float32(border) * painted.border
        weight = np.where(painted.target == IGNORE, np.float32(0), cost)
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
                np.flatnonzero(known & (painted.target == k))
                for k in (*range(self.n_classes), ANY_CELL)
            ],
        )

    def repaint(self, strokes: Sequence[Repainted]) -> None:
        """Take over what was painted while the training ran; `renew` makes it count.

        Raises
        ------
        InputError
            If a class was painted that the network has no output for, or a plane with other
            channels.
        """
        for stroke in strokes:
            if self.kind == "classes":
                count = int(stroke.labels.max(initial=0))
                check_classes(count, self.kind, self.kind, self.n_classes)
            if stroke.plane < len(self._painted):
                self._painted[stroke.plane].repaint(
                    stroke.box, stroke.labels, stroke.region, stroke.classes
                )
                continue
            assert stroke.image is not None  # the first of a plane brings its image
            plane = Annotation(
                stroke.image, stroke.labels, stroke.meaning, stroke.region, stroke.classes
            )
            if self.channels == 1:
                plane = grey_plane(plane)
            check_channels((self.channels, plane.channels), None)
            self._painted.append(self._painted_plane(plane))
            self._images.append(torch.from_numpy(self._painted[-1].image).to(self._device))
            self._tensors.append(None)

    def labels(self, plane: int) -> NDArray[np.integer]:
        """Return what is painted on a plane now: (Y, X) in image pixels."""
        return self._painted[plane].annotation.labels

    def learned_from(self) -> list[str]:
        """Return names of the painted planes, in any order, that change with what is painted."""
        return sorted(filter(None, (plane.learned_from() for plane in self._painted)))

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
        on = self._device if self._device.type == "cuda" else None
        w0, sigma = self._config.w0, self._config.sigma
        names = self.class_names if self.kind == "cells" else ()
        return PaintedPlane(plane, self.downsample, w0, sigma, on, names=names)


def _centres(planes: Sequence[_Tensors], seed: int) -> list[NDArray[np.intp]]:
    """Join the labelled pixels of all planes, class by class; of very many, a part."""
    rng = np.random.default_rng([seed, 2])
    widths = np.array([tensors.cells.shape[1] for tensors in planes])
    centres = []
    for parts in zip(*(tensors.labelled for tensors in planes), strict=True):
        stops = np.cumsum([len(part) for part in parts])
        chosen = np.arange(stops[-1])
        if len(chosen) > MAX_CENTRES:
            chosen = rng.choice(len(chosen), MAX_CENTRES, replace=False)
        plane = np.searchsorted(stops, chosen, side="right")
        y, x = np.divmod(np.concatenate(parts)[chosen], widths[plane])
        centres.append(np.column_stack([plane, y, x]))
    return centres
