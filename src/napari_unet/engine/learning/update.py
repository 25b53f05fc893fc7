"""How a loss changes weights: its gradient, clipped, the optimiser, the running average."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_unet.core.silent import fresh_weights, rectified
from napari_unet.core.unet import UNet, incoming_nodes
from napari_unet.engine.learning.flatweights import FlatWeights
from napari_unet.engine.learning.optimiser import Optimiser, skips_by_itself
from napari_unet.engine.learning.ranks import ALONE, Ranks
from napari_unet.engine.learning.recipe import Recipe

__all__ = ["Update"]


class Update:
    """Takes the steps of a training, none of which waits for the device it is on.

    Every tensor stays where it is, so that a graph can hold a step (see
    `napari_unet.engine.learning.stepgraph`). A step whose loss or gradient is not finite changes no
    weight and nothing that later steps depend on; that is decided on the device too.

    Parameters
    ----------
    network, average : UNet
        What learns, and what follows it; the same where nothing follows.
    recipe : Recipe
        Optimiser, clipping, average.
    ranks : Ranks
        Which of several processes, that all take the same steps, this is.

    Attributes
    ----------
    told : (2,) Tensor
        The loss of the last step, or NaN if it was not taken; and how many were not taken.
    """

    def __init__(self, network: UNet, average: UNet, recipe: Recipe, ranks: Ranks = ALONE) -> None:
        self._recipe, self._ranks = recipe, ranks
        self._weights = FlatWeights(network)
        self._average = None if average is network else FlatWeights(average).vector
        vector = self._weights.vector
        self._rate, self._follow, self._skip = (
            torch.zeros((), device=vector.device) for _ in range(3)
        )
        self._paces: Tensor | None = None
        if recipe.fan_in:
            paces = [min(1.0, recipe.fan_in / nodes) for nodes in incoming_nodes(network)]
            self._paces, self._before = self._weights.spread(paces), torch.empty_like(vector)
        self._rectified = [list(rectified(one)) for one in dict.fromkeys((network, average))]
        self._heard = self._weights.index_of([r.bias for r in self._rectified[0]])
        self._idle = torch.zeros(len(self._heard), dtype=torch.int32, device=vector.device)
        self.told = torch.zeros(2, device=vector.device)
        self._optimiser = Optimiser(recipe, vector, self._rate, self._skip)

    def prepare(self, step: int, rate: float) -> None:
        """Set what differs from step to step.

        Parameters
        ----------
        step : int
            1, 2, ...
        rate : float
            Learning rate.
        """
        self._rate.fill_(rate)
        # the first steps are far from anything worth averaging
        self._follow.fill_(1 - min(self._recipe.average, (1 + step) / (10 + step)))

    def apply(self, loss: Tensor, weight: Tensor) -> None:
        """Change the weights, against the gradient of a loss.

        Parameters
        ----------
        loss : scalar Tensor
            A mean over labelled pixels.
        weight : Tensor
            Of the pixels; above 0 where they are labelled.
        """
        weights = self._weights
        gradient = weights.gather(torch.autograd.grad(loss, weights.parameters))
        loss = self._ranks.join(gradient, loss.detach(), weight)
        norm = torch.linalg.vector_norm(gradient)
        fine = loss.isfinite() & norm.isfinite()
        self.told[0] = torch.where(fine, loss, torch.nan)
        self.told[1].add_(~fine)
        if self._recipe.revive:
            # what is 0 everywhere has a gradient of exactly 0; one that is no number tells nothing
            self._idle.add_(fine).mul_((gradient[self._heard] == 0) | ~fine)
        if self._recipe.clip:
            # as torch.nn.utils.clip_grad_norm_ does
            gradient.mul_((self._recipe.clip / (norm + 1e-6)).clamp(max=1))
        if self._paces is None:
            self._step(fine)
        else:
            self._before.copy_(weights.vector)
            self._step(fine)
            torch.lerp(self._before, weights.vector, self._paces, out=weights.vector)
        if self._average is not None:
            self._average.lerp_(weights.vector, self._follow * fine)

    def revive(self, seed: int) -> None:
        """Give all nodes new weights that had no gradient in the last steps (`Recipe.revive`).

        Parameters
        ----------
        seed : int
            Of the new weights.
        """
        generator = torch.Generator().manual_seed(seed)
        counts = [r.convolution.out_channels for r in self._rectified[0]]
        silent = (self._idle >= self._recipe.revive).split(counts)
        for nodes, *layers in zip(silent, *self._rectified, strict=True):
            weights = fresh_weights(layers[0].convolution, generator)
            for layer in layers:
                layer.restart(nodes, weights)

    def state(self) -> dict[str, Any]:
        """Return the state of the optimiser, and how many steps were not taken."""
        return {
            "optimiser": self._optimiser.state(),
            "idle": self._idle.clone(),
            "bad_steps": int(self.told[1]),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; a graph of an earlier step is of no use any more."""
        self._optimiser.restore(state["optimiser"])
        self._idle.copy_(state["idle"])
        self.told[1] = state["bad_steps"]

    def _step(self, fine: Tensor) -> None:
        if skips_by_itself(fine.device):
            self._skip.copy_(~fine)
            self._optimiser.step()
        elif fine:
            self._optimiser.step()
