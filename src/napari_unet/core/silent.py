"""Nodes that fell silent, and how they get a new start without a change of what a network says.

A rectified node that is 0 at every pixel has no gradient, so it never learns again. Given new
random weights, and read with weights of 0 by the layers behind it, it changes no output at first,
but those layers have a gradient there (Sokar et al. 2023, "The dormant neuron phenomenon in deep
reinforcement learning", arXiv:2302.12902).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_unet.core.unet import UNet

__all__ = ["Rectified", "fresh_weights", "rectified"]


@dataclass(frozen=True, slots=True)
class Rectified:
    """The nodes of a convolution that a ReLU follows.

    Attributes
    ----------
    convolution : Conv2d
        What makes the nodes.
    read_by : tuple of Tensor
        Weights of the layers behind, as views; the first axis is that of the nodes.
    """

    convolution: nn.Conv2d
    read_by: tuple[Tensor, ...]

    @property
    def bias(self) -> Tensor:
        """Of the convolution; its gradient is 0 where a node is 0 at every pixel."""
        assert self.convolution.bias is not None
        return self.convolution.bias

    @torch.no_grad()
    def restart(self, nodes: Tensor, weights: Tensor) -> None:
        """Give nodes new weights and a bias of 0, and let nobody hear them yet.

        Parameters
        ----------
        nodes : (n,) bool Tensor
            Which of them.
        weights : Tensor
            For all nodes, see `fresh_weights`.
        """
        own = self.convolution.weight
        own.copy_(torch.where(nodes[:, None, None, None], weights, own))
        self.bias.mul_(~nodes)
        for view in self.read_by:
            view.mul_(~nodes[:, None, None, None])


def rectified(network: UNet) -> Iterator[Rectified]:
    """Yield the rectified convolutions of a network, from its input to its output."""
    down, merge = (
        [_convolutions(block) for block in blocks] for blocks in (network.down, network.merge)
    )
    bottom, up = _convolutions(network.bottom), [_weight(module) for module in network.up]
    for level, (first, second) in enumerate(down):
        below = down[level + 1][0] if level + 1 < network.depth else bottom[0]
        # of what comes together there, the copied skip is first
        across = _inputs(merge[-1 - level][0])[: second.out_channels]
        yield Rectified(first, (_inputs(second),))
        yield Rectified(second, (_inputs(below), across))
    for (first, second), above in zip([bottom, *merge], [*up, _inputs(network.head)], strict=True):
        yield Rectified(first, (_inputs(second),))
        yield Rectified(second, (above,))


def fresh_weights(convolution: nn.Conv2d, generator: torch.Generator) -> Tensor:
    """Return weights for all nodes of a convolution: He-initialised, but each kernel sums to 0.

    What comes in is above 0 and much the same everywhere. Of plain random weights half would give
    nodes that are below 0 at every pixel; these give nodes that are above 0 at about half of them.
    """
    like = convolution.weight
    spread = math.sqrt(2 / like[0].numel())
    weights = torch.randn(like.shape, generator=generator) * spread
    return (weights - weights.mean((2, 3), keepdim=True)).to(like.device)


def _convolutions(block: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d]:
    first, second = (layer for layer in block.children() if isinstance(layer, nn.Conv2d))
    return first, second


def _inputs(convolution: nn.Conv2d) -> Tensor:
    """View the weights of a convolution with the axis of its inputs first."""
    return _weight(convolution).transpose(0, 1)


def _weight(module: nn.Module) -> Tensor:
    """View the weights of a layer; those of an up-convolution have the axis of inputs first."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach()
