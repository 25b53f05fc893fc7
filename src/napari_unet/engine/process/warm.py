"""Importing this loads what is otherwise loaded at the first step of the first job.

That is 1100 modules, of torch and others, and the kernels of a convolution forward and backward,
two or three seconds; and the kernels of the weight map and of finding cells, which are compiled the
very first time. The time passes here while the user still paints.
"""

from __future__ import annotations

import torch

from napari_unet.core import (  # noqa: F401 (importing them compiles)
    flood_numba,
    nearesttwo_numba,
    necks_numba,
)
from napari_unet.core.unet import UNet, valid_size
from napari_unet.engine.memory import cost_of_pass

__all__: list[str] = []


def _take_a_step() -> None:
    network = UNet(1, 2, 1, 1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters())
    side = valid_size(network.context + 1, network.depth)
    cost_of_pass(1, 2, 1, 1, (side, side))
    network(torch.zeros(1, 1, side, side)).square().mean().backward()
    optimiser.step()


_take_a_step()
