"""Give a network back its silent nodes, without a change of what it says.

A rectified node that is 0 at every pixel has no gradient: it never learns again. Here it gets new
random incoming weights, and outgoing ones of 0, so all that follows is as before. The outgoing ones
have a gradient again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from kinds import Array
from torch import Tensor, nn

from napari_unet.engine.segmenter import Segmenter

__all__ = ["revived", "silent_nodes"]


def silent_nodes(segmenter: Segmenter, images: Iterable[Tensor]) -> dict[str, Array]:
    """Return of each rectified convolution the nodes that are 0 everywhere in (C, Y, X) images."""
    network = segmenter.network()
    active: dict[str, Tensor] = {}

    def look(name: str, output: Tensor) -> None:
        seen = (output > 0).any(dim=3).any(dim=2).any(dim=0)
        active[name] = seen | active.get(name, torch.zeros_like(seen))

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and name != "head":
            module.register_forward_hook(lambda _, __, output, name=name: look(name, output))
    for image in images:
        # a pass that keeps nothing for gradients would not go through the modules
        network(image[None])
    return {name: np.flatnonzero(~seen.numpy()) for name, seen in active.items()}


def revived(segmenter: Segmenter, silent: dict[str, Array], rng: np.random.Generator) -> Segmenter:
    """Return the Segmenter with new weights for silent nodes."""
    weights = {name: array.copy() for name, array in segmenter.weights.items()}
    following = _following(segmenter.depth)
    for name, nodes in silent.items():
        for reader in following[name]:
            kernels = weights[f"{reader}.weight"]
            if reader.startswith("up."):  # of a transposed convolution the inputs come first
                kernels[nodes] = 0
            else:
                kernels[:, nodes] = 0
    for name, nodes in silent.items():
        kernels = weights[f"{name}.weight"]
        spread = np.sqrt(2 / kernels[0].size)
        kernels[nodes] = rng.normal(0, spread, kernels[nodes].shape)
        weights[f"{name}.bias"][nodes] = 0
    return replace(segmenter, weights=weights)


def _following(depth: int) -> dict[str, list[str]]:
    """Return which layers read each rectified convolution; of two inputs, skips come first."""
    found = {"bottom.0": ["bottom.2"], "bottom.2": ["up.0"]}
    for level in range(depth):
        deeper = f"down.{level + 1}.0" if level < depth - 1 else "bottom.0"
        higher = f"up.{level + 1}" if level < depth - 1 else "head"
        found[f"down.{level}.0"] = [f"down.{level}.2"]
        found[f"down.{level}.2"] = [deeper, f"merge.{depth - 1 - level}.0"]
        found[f"merge.{level}.0"] = [f"merge.{level}.2"]
        found[f"merge.{level}.2"] = [higher]
    return found
