"""Importing this loads what is otherwise loaded at the first step of the first job.

That is 300 modules, of numba and others, and the kernels of a convolution forward and backward,
about a second; and the kernels of the weight map and of finding cells, which are compiled the very
first time. The time passes here while the user still paints.
"""

from __future__ import annotations

import torch

from napari_unet.core import (  # noqa: F401 (importing them compiles)
    flood_numba,
    nearesttwo_numba,
    necks_numba,
)
from napari_unet.core.unet import UNet, valid_size
from napari_unet.engine.learning.recipe import recipe_named
from napari_unet.engine.learning.update import Update
from napari_unet.engine.memory import cost_of_pass

__all__: list[str] = []


def _take_a_step() -> None:
    network = UNet(1, 2, 1, 1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = valid_size(network.context + 1, network.depth)
    cost_of_pass(1, 2, 1, 1, (side, side))
    image, weight = torch.zeros(1, 1, side, side), torch.ones(())
    update = Update(network, network, recipe_named("default"))
    update.prepare(1, 0.0)
    update.apply(network(image).square().mean(), weight)


_take_a_step()
