"""A model as one graph for other programs: grey values in, probabilities of the same size out.

Other programs know nothing of valid convolutions, working resolutions or compressed grey values, so
all of that is in the graph::

    grey values ─ means of f x f ─ compress ─┬─ mirror ─ network ─ softmax ──────────────────┐
                                             └─ means of 2 x 2 ─ mirror ─ network ─ softmax ─┤
                     probabilities ◄─ interpolate (f x f) ◄─ mean ◄── interpolate (2 x 2) ◄──┘

It fixes how far it mirrors, so the sides of its input are multiples of a `PortablePlan.step`. An
image of such sides gets the probabilities that this program gives it. So does an image in tiles
that begin at multiples of a step, once the `PortablePlan.halo` of each is cut off: no pixel of the
graph sees farther.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.core.normalise import HIGHEST, LOWEST
from napari_unet.core.unet import UNet

__all__ = ["SPARE", "PortableNetwork", "PortablePlan"]

SPARE = 4
"""Pixels that a legal output is longer than a multiple of the stride; they are cut off."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PortablePlan:
    """What a graph does around the network.

    Attributes
    ----------
    grey : float32 array
        (C, 4), `napari_unet.core.normalise.grey_statistics` of what it is given.
    depth : int
        Of the network.
    downsample : int
        Working resolution: pixels per network pixel and side.
    scales : int
        How many resolutions are averaged: the working resolution, half of it, ...
    """

    grey: NDArray[np.float32]
    depth: int
    downsample: int = 1
    scales: int = 1

    @property
    def step(self) -> int:
        """Sides are multiples of this, in pixels: where the coarsest look has whole poolings."""
        return self.downsample << (self.scales - 1 + self.depth)

    @property
    def halo(self) -> int:
        """Pixels at each edge of a tile that depend on what lies beyond it: a multiple of a step.

        Half of what the network loses, 6 strides less 4 pixels, and what is interpolated.
        """
        return 6 * self.step

    @property
    def smallest(self) -> int:
        """The smallest side: what is left of it without the halo is a step."""
        return 2 * self.halo + self.step

    @property
    def mirrored(self) -> tuple[int, int]:
        """Network pixels that are mirrored before an image and after it."""
        half = 6 * 2**self.depth - 4
        return half, half + SPARE


class PortableNetwork(nn.Module):
    """The graph, in PyTorch.

    Parameters
    ----------
    network : UNet
        In evaluation mode.
    plan : PortablePlan
        What is done around it.
    """

    grey: Tensor

    def __init__(self, network: UNet, plan: PortablePlan) -> None:
        super().__init__()
        self.network = network
        self._plan = plan
        self.register_buffer("grey", torch.from_numpy(plan.grey.T.copy())[:, None, :, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """Map grey values (N, C, Y, X) to probabilities (N, K, Y, X)."""
        factor = self._plan.downsample
        values = (F.avg_pool2d(image, factor) - self.grey[0]) / self.grey[1]
        values = ((torch.asinh(values) - self.grey[2]) / self.grey[3]).clamp(LOWEST, HIGHEST)
        factors = [2**k for k in range(self._plan.scales)]
        looks = [_larger(self._look(F.avg_pool2d(values, k)), k) for k in factors]
        return _larger(torch.stack(looks).mean(0), factor)

    def _look(self, values: Tensor) -> Tensor:
        before, after = self._plan.mirrored
        seen = F.pad(values, (before, after, before, after), mode="reflect")
        return F.softmax(self.network.whole_pass(seen), dim=1)[:, :, :-SPARE, :-SPARE]


def _larger(values: Tensor, factor: int) -> Tensor:
    """Interpolate as `napari_unet.core.resolution.refine` does."""
    return F.interpolate(values, scale_factor=float(factor), mode="bilinear", align_corners=False)
