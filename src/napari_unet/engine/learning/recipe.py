"""The two ways to train: what reaches a useful result soonest, and what the paper did."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from napari_unet.core.augment import Augmentation

__all__ = [
    "Recipe",
    "is_reviving",
    "learning_rate",
    "recipe_named",
]

WARM_UP_SHARE = 0.1
"""Of a budget, at most, that is spent on warming up."""

REVIVING_SHARE = 0.5
"""Of a budget, after which silent nodes are left alone: they could not learn much any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything about training that is not a user's knob.

    Attributes
    ----------
    optimiser : {"adam", "sgd"}
        AdamW, or stochastic gradient descent with momentum.
    rate : float
        Peak learning rate.
    momentum : float
        Momentum of SGD.
    warm_up : int
        Steps over which the rate grows to its peak, but at most a tenth of the budget; 0 begins
        with the peak. Without it the first steps silence deep layers for good.
    fan_in : int
        Weights of nodes with more incoming ones than this learn at a rate that is lower in
        proportion; 0 is one rate for all. One step of an adaptive optimiser moves all weights of a
        node alike, so its sum moves in proportion to their number, and rectified nodes fall silent.
    revive : int
        Every so many steps, in the first half of the budget, nodes that learned nothing in the last
        so many get new random weights (see `napari_unet.core.silent`); 0 leaves them.
    anneal : bool
        Follow half a cosine to a hundredth over the budget; otherwise the rate is constant.
    average : float
        Decay per step of the running average of the weights that is validated and kept; 0 keeps
        the weights themselves.
    patch : int
        Smallest side of the network's output in a training patch.
    batch : int
        Patches per step.
    balance : float
        Exponent of the class weights w_c: 1 gives every class the same total weight, 0 every
        pixel.
    border_limit : float
        Most that the border weights add to background pixels on average; 0 is no limit.
    clip : float
        Largest norm of the gradient; 0 does not clip.
    half : bool
        Compute with 16 bits (bfloat16) where the device is fast with them. Weights, loss and all
        that is added up stay float32.
    scales : int
        How many resolutions (the working resolution, half of it, ...) are averaged by models of
        classes, and of cells that fill the image.
    augmentation : Augmentation
        How strongly patches are varied.
    """

    optimiser: Literal["adam", "sgd"]
    rate: float
    momentum: float = 0.0
    warm_up: int = 0
    fan_in: int = 0
    revive: int = 0
    anneal: bool
    average: float
    patch: int
    batch: int
    balance: float
    border_limit: float = 0.0
    clip: float
    half: bool = False
    scales: int = 1
    augmentation: Augmentation


DEFAULT = Recipe(
    optimiser="adam",
    rate=3e-3,
    warm_up=200,
    fan_in=144,
    revive=50,
    anneal=True,
    average=0.98,
    patch=132,
    batch=1,
    balance=0.0,
    border_limit=1.0,
    clip=1.0,
    half=True,
    scales=2,
    augmentation=Augmentation(
        elastic=5.0,
        rotate=True,
        mirror=True,
        scale=1.0,
        contrast=0.7,
        brightness=0.3,
        gamma=0.5,
        blur=1.5,
        illumination=0.8,
    ),
)

# Section 3 and 3.1: SGD with momentum 0.99, one large tile per batch, elastic deformation with
# 10 pixels, "shift and rotation invariance ... and gray value variations". The learning rate is
# not given in the paper.
PAPER = Recipe(
    optimiser="sgd",
    rate=1e-3,
    momentum=0.99,
    anneal=False,
    average=0.0,
    patch=388,
    batch=1,
    balance=1.0,
    clip=0.0,
    augmentation=Augmentation(
        elastic=10.0, rotate=True, mirror=True, contrast=0.25, brightness=0.1
    ),
)


def recipe_named(name: str) -> Recipe:
    """Return the recipe of `TrainConfig.recipe`."""
    return {"default": DEFAULT, "paper": PAPER}[name]


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    recipe : Recipe
        Peak rate and whether it is annealed.
    step : int
        1, 2, ...
    progress : float
        Used share of the budget, 0 ... 1; stays 0 without a budget.
    """
    rate = recipe.rate
    if recipe.warm_up:
        rate *= min(1.0, max(step / recipe.warm_up, progress / WARM_UP_SHARE))
    if recipe.anneal:
        rate *= 0.01 + 0.99 * (1 + math.cos(math.pi * min(progress, 1))) / 2
    return rate


def is_reviving(recipe: Recipe, step: int, progress: float) -> bool:
    """Tell whether silent nodes get new weights before a step; as for `learning_rate`."""
    return bool(
        recipe.revive and step > 1 and (step - 1) % recipe.revive == 0 and progress < REVIVING_SHARE
    )
