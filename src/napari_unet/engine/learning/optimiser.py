"""The optimisers of the recipes, for all weights as one vector."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from napari_unet.engine.learning.recipe import Recipe

__all__ = ["Optimiser", "skips_by_itself"]

SKIPPING = ("cpu", "cuda")
"""Types of devices whose optimisers of one kernel heed that a step is to be skipped."""


def skips_by_itself(device: torch.device) -> bool:
    """Tell whether the optimisers of a device skip steps by themselves, without a wait."""
    return device.type in SKIPPING


class Optimiser:
    """Takes the steps of `torch.optim.AdamW` or `SGD`, by the functions that those call.

    The classes load the compiler of torch, which takes a second of every process that trains, and
    compiles nothing here.

    Parameters
    ----------
    recipe : Recipe
        Which one.
    weights : Tensor
        What it changes, against its ``grad``.
    rate, skip : Tensor
        Scalars on the same device: learning rate, and 1 where a step must change nothing (where
        `skips_by_itself` says so; elsewhere that is left to the caller). They are read in each
        step.
    """

    def __init__(self, recipe: Recipe, weights: Tensor, rate: Tensor, skip: Tensor) -> None:
        self._recipe, self._weights, self._rate = recipe, weights, rate
        skips = skips_by_itself(weights.device)
        self._fused = skips or None
        self._skip = skip if skips else None
        self._state = {"momentum_buffer": torch.zeros_like(weights)}
        if recipe.optimiser == "adam":
            # the one kernel counts on the device, all others on the CPU
            count = torch.zeros((), device=weights.device if skips else None)
            averages = {name: torch.zeros_like(weights) for name in ("exp_avg", "exp_avg_sq")}
            self._state = {"step": count} | averages

    def step(self) -> None:
        """Change the weights."""
        weights, gradient, state = self._weights, self._weights.grad, self._state
        assert gradient is not None
        if self._recipe.optimiser == "sgd":
            sgd(
                [weights],
                [gradient],
                [state["momentum_buffer"]],
                fused=self._fused,
                found_inf=self._skip,
                weight_decay=0.0,
                momentum=self._recipe.momentum,
                lr=self._rate,  # type: ignore[arg-type]  # a tensor too, as of the class
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            return
        # its own numbers, but for a hundredth of its weight decay
        adamw(
            [weights],
            [gradient],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            fused=self._fused,
            found_inf=self._skip,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._rate,
            weight_decay=1e-4,
            eps=1e-8,
            maximize=False,
        )

    def state(self) -> dict[int, dict[str, Tensor]]:
        """Return what it remembers, as the ``state_dict`` of the class holds it."""
        return {0: self._state}

    def restore(self, state: dict[int, dict[str, Tensor]]) -> None:
        """Go on where `state` was taken."""
        for name, values in state.get(0, {}).items():
            self._state[name].copy_(values)
