"""Blocks of labelled pixels that are held out of training, to measure the quality on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.augment import Plane
from napari_unet.core.tiles import mirror_indices
from napari_unet.core.unet import UNet

__all__ = ["BLOCK", "Block", "block_mask", "cut_block", "hold_out"]

BLOCK = 64
"""Side in network pixels of the blocks that are held out of training as a whole."""

HELD_OUT = 0.15
MAX_BLOCKS = 12


@dataclass(frozen=True, slots=True)
class Block:
    """A held-out block: labelled pixels of this square of a plane are never trained on."""

    plane: int
    y: int
    x: int


def hold_out(
    targets: Sequence[NDArray[np.uint8]], n_classes: int, rng: np.random.Generator
) -> list[Block]:
    """Choose blocks so that training keeps most labelled pixels of every class."""
    blocks, counts = [], []
    for index, target in enumerate(targets):
        for y in range(0, target.shape[0], BLOCK):
            for x in range(0, target.shape[1], BLOCK):
                count = np.bincount(target[y : y + BLOCK, x : x + BLOCK].ravel(), minlength=256)
                if count[:n_classes].any():
                    blocks.append(Block(index, y, x))
                    counts.append(count[:n_classes])
    left = np.sum(counts, axis=0)
    floor = left * (1 - 2 * HELD_OUT)
    chosen: list[Block] = []
    wanted = min(MAX_BLOCKS, int(HELD_OUT * len(blocks)))
    for index in rng.permutation(len(blocks)):
        # a block without the rarest things tells nothing about them
        if (
            len(chosen) < wanted
            and (left - counts[index] >= floor).all()
            and counts[index][1:].any()
        ):
            chosen.append(blocks[index])
            left = left - counts[index]
    return chosen


def block_mask(blocks: Sequence[Block], plane: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where the blocks of one plane lie."""
    mask = np.zeros(shape, dtype=bool)
    for block in blocks:
        if block.plane == plane:
            mask[block.y : block.y + BLOCK, block.x : block.x + BLOCK] = True
    return mask


def cut_block(
    plane: Plane, weights: torch.Tensor, block: Block, network: UNet
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut a held-out block out of its plane, unvaried.

    Parameters
    ----------
    plane : Plane
        The plane of the block.
    weights : Tensor
        (Y, X): the weights of its held-out pixels, 0 elsewhere.
    block : Block
        Which one.
    network : UNet
        Decides how much context is read around it.

    Returns
    -------
    image, target, weight : Tensor
        (1, C, h, w), (1, y, x) and (1, y, x); the weight is 0 outside the block.
    """
    size = network.valid_size(BLOCK + network.context)
    output = size - network.context
    half = network.context // 2
    height, width = plane.target.shape
    y = mirror_indices(block.y - half, block.y - half + size, height)
    x = mirror_indices(block.x - half, block.x - half + size, width)
    image = plane.image[:, y][:, :, x][None]
    weight = torch.zeros(1, output, output)
    target = torch.zeros(1, output, output, dtype=torch.long)
    inside = slice(block.y, block.y + BLOCK), slice(block.x, block.x + BLOCK)
    held_out = weights[inside]
    rows, columns = held_out.shape
    weight[0, :rows, :columns] = held_out
    target[0, :rows, :columns] = plane.target[inside].cpu().long()
    return image, torch.where(weight > 0, target, 0), weight
