"""A network with more channels that says the same as the one it is made of.

Every node is copied, and whatever reads it shares its weight out among the copies. The shares are
drawn at random: copies that were read alike would have equal gradients and stay copies for ever
(Chen, Goodfellow & Shlens 2016, "Net2Net: accelerating learning via knowledge transfer",
arXiv:1511.05641, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["wider"]

Array = NDArray[np.float32]

READS_IMAGE = "down.0.0."
HEAD = "head."
UP_CONVOLUTION = "up."


def wider(weights: Mapping[str, Array], times: int) -> dict[str, Array]:
    """Return the weights of a U-Net with ``times`` as many channels at every level.

    Parameters
    ----------
    weights : mapping of str to array
        Of a `napari_unet.UNet`, by the names of its parameters.
    times : int
        At least 1. The same network always gives the same weights.

    Returns
    -------
    dict of str to array
        float32. On any image the logits are those of the narrower network, but for rounding.
    """
    rng = np.random.default_rng(0)
    return {name: _wider(name, values, times, rng) for name, values in weights.items()}


def _wider(name: str, values: Array, times: int, rng: np.random.Generator) -> Array:
    inputs, outputs = (0, 1) if name.startswith(UP_CONVOLUTION) else (1, 0)
    is_bias = values.ndim == 1
    if not name.startswith(HEAD):
        values = np.repeat(values, times, axis=0 if is_bias else outputs)
    if is_bias or name.startswith(READS_IMAGE):
        return values
    shares = rng.dirichlet(np.ones(times), values.shape).astype(np.float32)
    shared = np.moveaxis(values[..., None] * shares, -1, inputs + 1)
    sides = [*values.shape]
    sides[inputs] *= times
    return shared.reshape(sides)
