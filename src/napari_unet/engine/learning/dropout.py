"""Dropout that depends on a seed alone, and takes a CPU next to no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["SeededDropout"]


class SeededDropout(nn.Dropout):
    """Sets half of the values to 0 at random and doubles the others, while it is in training.

    On a CPU one random bit is drawn for each value; a random number for each, as torch draws it,
    takes one part in thirty of a training step. On a GPU torch draws.
    """

    def __init__(self) -> None:
        super().__init__(0.5)
        self._rngs = [np.random.default_rng()]

    @contextmanager
    def seeded(
        self, seed: int, device: torch.device, patches: Sequence[int] = (0,)
    ) -> Iterator[None]:
        """Draw from a seed; what others draw from torch afterwards is as if nothing had been drawn.

        A CUDA graph draws anew at each launch, from the seed of that launch.

        Parameters
        ----------
        seed : int
            At least 0.
        device : torch.device
            Of what passes; of a GPU with its number, as the device of a tensor has it.
        patches : sequence of int
            Numbers of the patches that pass. On a CPU what is drawn for each depends on its number
            and the seed, whatever passes with it; a GPU draws for all at once.
        """
        self._rngs = [np.random.default_rng([seed, n] if n else seed) for n in patches]
        if device.type == "cpu":
            yield
            return
        get_state, manual_seed, set_state = _drawing(device)
        state = get_state()
        manual_seed(seed + (patches[0] << 32))
        try:
            yield
        finally:
            set_state(state)

    def forward(self, x: Tensor) -> Tensor:
        """Drop half of (N, C, Y, X) values."""
        if x.device.type != "cpu" or not self.training:
            return super().forward(x)
        n, channels, height, width = x.shape
        each = x.numel() // len(self._rngs)
        drawn = [np.frombuffer(rng.bytes(-(-each // 8)), dtype=np.uint8) for rng in self._rngs]
        bits = torch.from_numpy(np.concatenate([np.unpackbits(some, count=each) for some in drawn]))
        # as the values of a channels-last tensor lie
        kept = bits.to(x.dtype).mul_(2).view(n, height, width, channels).permute(0, 3, 1, 2)
        return x * kept


def _drawing(device: torch.device) -> tuple[Callable[..., Any], ...]:
    """Return how to read, seed and write what a GPU draws from."""
    if device.type == "mps":
        return torch.mps.get_rng_state, torch.mps.manual_seed, torch.mps.set_rng_state
    generator = torch.cuda.default_generators[device.index]
    return generator.get_state, generator.manual_seed, generator.set_state
