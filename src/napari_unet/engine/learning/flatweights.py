"""All weights of a network in one vector.

What an optimiser, the clipping of gradients and a running average do to dozens of small tensors
one by one takes longer than the arithmetic; on one vector each is a single operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["FlatWeights"]

ALIGNED = 16
"""Weights of each tensor begin at a multiple of so many: 64 bytes, a line of the CPU's cache."""


class FlatWeights:
    """Moves the weights of a network into one vector; the network finds each where it lies there.

    ::

        vector   │ conv 1 weight │ bias │0│ conv 2 weight │ bias │0│ ...    0: unused, always 0

    Parameters
    ----------
    network : Module
        Its parameters become views of the vector, the two-dimensional kernels channels-last.

    Attributes
    ----------
    vector, gradient : (n,) float32 Tensor
        Weights, and room for their gradient, which is also ``vector.grad``.
    parameters : list of Parameter
        Of the network.
    places : list of slice
        Where each lies in the vector.
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        device = self.parameters[0].device
        lengths = [p.numel() for p in self.parameters]
        gaps = [-length % ALIGNED for length in lengths]
        self._gaps = [torch.zeros(gap, device=device) for gap in gaps]
        self.vector = torch.zeros(sum(lengths) + sum(gaps), device=device)
        self.vector.grad = self.gradient = torch.zeros_like(self.vector)
        self.places: list[slice] = []
        start = 0
        for parameter, length, gap in zip(self.parameters, lengths, gaps, strict=True):
            self.places.append(slice(start, start + length))
            place = _placed(self.vector[self.places[-1]], parameter.shape)
            place.copy_(parameter.detach())
            parameter.data = place
            start += length + gap

    def spread(self, values: Sequence[float]) -> Tensor:
        """Return a vector like `vector` with one value for all weights of each parameter."""
        parts = zip(self.parameters, self._gaps, values, strict=True)
        pieces = [self.vector.new_full((p.numel() + len(gap),), v) for p, gap, v in parts]
        return torch.cat(pieces)

    def index_of(self, parameters: Iterable[Tensor]) -> Tensor:
        """Return where in the vector the values of some parameters are, one after the other."""
        places = {id(p): place for p, place in zip(self.parameters, self.places, strict=True)}
        spans = [places[id(parameter)] for parameter in parameters]
        return torch.cat([torch.arange(s.start, s.stop, device=self.vector.device) for s in spans])

    def gather(self, gradients: Sequence[Tensor]) -> Tensor:
        """Write the gradients of the parameters into `gradient`, and return that."""
        parts: list[Tensor] = []
        for gradient, gap in zip(gradients, self._gaps, strict=True):
            parts.append(_lined_up(gradient))
            if len(gap):
                parts.append(gap)
        return torch.cat(parts, out=self.gradient)


def _placed(piece: Tensor, shape: torch.Size) -> Tensor:
    """View a piece of the vector as a parameter."""
    if len(shape) != 4:
        return piece.view(shape)
    first, second, height, width = shape
    return piece.view(first, height, width, second).permute(0, 3, 1, 2)


def _lined_up(values: Tensor) -> Tensor:
    """Return what belongs to a parameter in the order in which the vector holds it."""
    return (values.permute(0, 2, 3, 1) if values.ndim == 4 else values).reshape(-1)
