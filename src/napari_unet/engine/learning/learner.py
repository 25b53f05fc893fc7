"""What takes the steps: a network, its running average, its optimiser and its random numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

from napari_unet.core.augment import Patch, cut_patch
from napari_unet.core.unet import valid_size, weighted_cross_entropy
from napari_unet.engine.device import is_fast_with_bfloat16
from napari_unet.engine.learning.dropout import SeededDropout
from napari_unet.engine.learning.ranks import ALONE, Ranks
from napari_unet.engine.learning.recipe import Recipe, is_reviving, learning_rate
from napari_unet.engine.learning.stepgraph import Captured, Late
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.learning.update import Update
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import JobError

__all__ = ["Learner"]

MOST_BAD_STEPS = 10
"""Steps that are skipped, because loss or gradient is no number, until the training ends."""


class Learner:
    """Learns from a training set, one step at a time; the same seed takes the same steps.

    On CUDA the step is one graph: the CPU cuts the next patch meanwhile, and is told the loss of
    the step before.

    Parameters
    ----------
    start : Segmenter
        The weights to start from.
    recipe : Recipe
        Optimiser, rate, size of patches, augmentation.
    seed : int
        Of patches and dropout.
    device : torch.device
        Where.
    ranks : Ranks
        Which of several processes, that take the same steps together, this is.

    Attributes
    ----------
    network, average : UNet
        What is trained, and the running average of its weights (the network itself, where the
        recipe does not average).
    step : int
        Steps taken.
    """

    def __init__(
        self,
        start: Segmenter,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self._recipe, self._seed, self.step = recipe, seed, 0
        self._any_cell = start.cell_classes > 1
        self._ranks, self._numbers = ranks, ranks.patches(recipe.batch)
        self.network = start.network(device)
        self.average = start.network(device) if recipe.average else self.network
        self.network.dropout = self._dropout = SeededDropout()
        self._update = Update(self.network, self.average, recipe, ranks)
        self._rng = np.random.default_rng(seed)
        self._size = valid_size(recipe.patch + self.network.context, self.network.depth)
        self._device = self._update.told.device  # with its number
        self._precision = _precision(self._device, recipe)
        self._patches = self._empty_patches()
        self._take_up()

    def take_step(self, data: TrainingSet, progress: float) -> float:
        """Take one optimiser step; return its loss, or on CUDA that of the step before.

        The loss is NaN where it, or the gradient, was not finite; such a step changes no weight.

        Parameters
        ----------
        data : TrainingSet
            What patches are cut from.
        progress : float
            Used share of the budget, 0 ... 1, which the learning rate follows.

        Raises
        ------
        JobError
            If the loss stops being a number.
        """
        self.step += 1
        self._cut_patches(data)
        # dropout and new weights depend on the seed and the step only
        seed = self._seed * 1_000_003 + self.step
        if is_reviving(self._recipe, self.step, progress):
            self._update.revive(seed)
        self._update.prepare(self.step, learning_rate(self._recipe, self.step, progress))
        if not self.network.training:
            self.network.train()
        with self._dropout.seeded(seed, self._device, self._numbers):
            self._captured(self._learn)
        loss, bad_steps = self._told.read()
        if bad_steps >= MOST_BAD_STEPS:
            raise JobError(
                f"Training stopped at step {self.step}: the loss became {loss}. The model is as "
                f"it was at the last validation; check the image for extreme values."
            )
        return loss

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on: tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "rng": self._rng.bit_generator.state,
            "step": self.step,
            **self._update.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._update.restore(state)
        self._rng.bit_generator.state = state["rng"]
        self.step = state["step"]
        self._take_up()

    def _take_up(self) -> None:
        # no graph where a step waits for other processes
        self._captured = Captured(self._device if self._ranks.count == 1 else torch.device("cpu"))
        self._told = Late(self._update.told, late=self._device.type == "cuda")

    def _learn(self) -> None:
        """Do the part of a step that is the same each time, but for what the patches hold."""
        image, target, weight = self._patches
        with self._precision():
            logits = self.network(image)
        loss = weighted_cross_entropy(logits.float(), target, weight, any_cell=self._any_cell)
        self._update.apply(loss, weight)

    def _empty_patches(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return room for the images, targets and weights of a step, always the same."""
        count, inner = len(self._numbers), self._size - self.network.context
        return (
            torch.empty(
                (count, self.network.in_channels, self._size, self._size),
                device=self._device,
                memory_format=torch.channels_last,
            ),
            torch.empty((count, inner, inner), dtype=torch.int64, device=self._device),
            torch.empty((count, inner, inner), device=self._device),
        )

    def _cut_patches(self, data: TrainingSet) -> None:
        images, targets, weights = self._patches
        for index, number in enumerate(self._numbers):
            patch = self._draw_patch(data, number)
            images[index].copy_(patch.image)
            targets[index].copy_(patch.target)
            weights[index].copy_(patch.weight)

    def _draw_patch(self, data: TrainingSet, number: int) -> Patch:
        # further patches depend on seed, step and number only, whichever process cuts them
        rng = np.random.default_rng([self._seed, self.step, number]) if number else self._rng
        plane, y, x = data.draw_centre(rng)
        # what was drawn lies anywhere in the middle half of what the network tells
        reach = (self._size - self.network.context) / 4
        y, x = y + rng.uniform(-reach, reach), x + rng.uniform(-reach, reach)
        return cut_patch(
            data.planes[plane],
            (y, x),
            self._size,
            self.network.context,
            rng,
            self._recipe.augmentation,
        )


def _precision(device: torch.device, recipe: Recipe) -> Callable[[], AbstractContextManager[Any]]:
    """Return in what context a network computes, see `Recipe.half`."""
    if not (recipe.half and is_fast_with_bfloat16(device)):
        return nullcontext
    # a CUDA graph must not rely on what was converted before it, and nothing is used twice
    return partial(torch.autocast, device.type, torch.bfloat16, cache_enabled=False)
