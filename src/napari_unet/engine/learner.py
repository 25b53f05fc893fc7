"""What takes the steps: a network, its running average, its optimiser and its random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_unet.core.augment import Patch, cut_patch
from napari_unet.core.unet import valid_size, weighted_cross_entropy
from napari_unet.engine.recipe import Recipe, learning_rate, make_optimiser
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.trainingset import TrainingSet
from napari_unet.errors import JobError

__all__ = ["Learner"]

MOST_BAD_STEPS = 10


class Learner:
    """Learns from a training set, one step at a time; the same seed takes the same steps.

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

    Attributes
    ----------
    network, average : UNet
        What is trained, and the running average of its weights (the network itself, where the
        recipe does not average).
    step : int
        Steps taken.
    """

    def __init__(self, start: Segmenter, recipe: Recipe, seed: int, device: torch.device) -> None:
        self._recipe, self._seed = recipe, seed
        self.network = start.network(device)
        self.average = start.network(device) if recipe.average else self.network
        self._optimiser = make_optimiser(recipe, self.network.parameters())
        self._rng = np.random.default_rng(seed)
        self._size = valid_size(recipe.patch + self.network.context, self.network.depth)
        self.step, self._bad_steps = 0, 0

    def take_step(self, data: TrainingSet, progress: float) -> float:
        """Take one optimiser step; return its loss.

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
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._recipe, self.step, progress)
        patches = [self._draw_patch(data) for _ in range(self._recipe.batch)]
        image, target, weight = (
            torch.stack([getattr(patch, name) for patch in patches])
            for name in ("image", "target", "weight")
        )
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            # dropout depends on the seed and the step only
            torch.manual_seed(self._seed * 1_000_003 + self.step)
            logits = self.network(image.contiguous(memory_format=torch.channels_last))
        loss = weighted_cross_entropy(logits, target, weight)
        value = float(loss.detach())
        if not np.isfinite(value):
            self._skip_bad_step(value)
            return value
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self._recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._recipe.clip)
        self._optimiser.step()
        self._update_average()
        return value

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on: tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "rng": self._rng.bit_generator.state,
            "step": self.step,
            "bad_steps": self._bad_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._rng.bit_generator.state = state["rng"]
        self.step, self._bad_steps = state["step"], state["bad_steps"]

    def _draw_patch(self, data: TrainingSet) -> Patch:
        plane, y, x = data.draw_centre(self._rng)
        reach = (self._size - self.network.context) / 4
        y, x = y + self._rng.uniform(-reach, reach), x + self._rng.uniform(-reach, reach)
        return cut_patch(
            data.planes[plane],
            (y, x),
            self._size,
            self.network.context,
            self._rng,
            self._recipe.augmentation,
        )

    def _skip_bad_step(self, loss: float) -> None:
        self._bad_steps += 1
        if self._bad_steps >= MOST_BAD_STEPS:
            raise JobError(
                f"Training stopped at step {self.step}: the loss became {loss}. The model is as "
                f"it was at the last validation; check the image for extreme values."
            )

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is self.network:
            return
        # the first steps are far from anything worth averaging
        keep = min(self._recipe.average, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)
