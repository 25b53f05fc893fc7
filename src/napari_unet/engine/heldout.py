"""Blocks of labelled pixels that are held out of training, to measure the quality on.

A block that was held out once stays so, and a block that was trained on once is never held out, as
long as one model is trained on and on: `Seen` goes with the model. So the scores of a model and of
the one it was made from are both taken on pixels that neither was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.augment import Plane
from napari_unet.core.tiles import mirror_indices
from napari_unet.core.unet import UNet

__all__ = [
    "BLOCK",
    "Block",
    "Seen",
    "block_mask",
    "cells_mostly_in",
    "cut_block",
    "fingerprint",
    "hold_out",
]

BLOCK = 64
"""Side in network pixels of the blocks that are held out of training as a whole."""

HELD_OUT = 0.15
MAX_BLOCKS = 12

Corner = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Block:
    """A held-out block: labelled pixels of this square of a plane are never trained on."""

    plane: int
    y: int
    x: int


@dataclass(slots=True)
class Seen:
    """Which labelled blocks a model was trained on, and which were held out, plane by plane.

    Planes are known by their `fingerprint`, so that it holds after files were renamed and in
    another program.
    """

    trained: dict[str, set[Corner]] = field(default_factory=dict)
    held_out: dict[str, set[Corner]] = field(default_factory=dict)

    @classmethod
    def of(cls, record: dict[str, Any]) -> Self:
        """Read what `record` wrote."""
        trained, held_out = (
            {key: {(int(y), int(x)) for y, x in corners} for key, corners in part.items()}
            for part in (record.get("trained", {}), record.get("held_out", {}))
        )
        return cls(trained, held_out)

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            name: {key: sorted(map(list, corners)) for key, corners in part.items()}
            for name, part in (("trained", self.trained), ("held_out", self.held_out))
        }

    def note(self, key: str, labelled: set[Corner], held_out: set[Corner]) -> None:
        """Remember what happens to the labelled blocks of a plane from now on."""
        self.held_out.setdefault(key, set()).update(held_out)
        self.trained.setdefault(key, set()).update(labelled - held_out)


def fingerprint(image: NDArray[np.float32]) -> str:
    """Return a name of a plane that depends on its pixels only."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).hexdigest()


def hold_out(
    targets: Sequence[NDArray[np.uint8]],
    keys: Sequence[str],
    n_classes: int,
    seed: int,
    seen: Seen,
) -> list[Block]:
    """Choose blocks so that training keeps most labelled pixels of every class.

    Parameters
    ----------
    targets : sequence of (Y, X) uint8 array
        The classes of the labelled pixels of every plane.
    keys : sequence of str
        The fingerprints of the planes.
    n_classes : int
        Classes 0 ... n_classes - 1 are labelled.
    seed : int
        Of the choice among blocks that are new.
    seen : Seen
        What was chosen before; the present choice is noted in it.
    """
    blocks, counts = _labelled_blocks(targets, n_classes)
    left = np.sum(counts, axis=0) if blocks else np.zeros(n_classes)
    floor = left * (1 - 2 * HELD_OUT)
    chosen: list[Block] = []
    fresh = []
    for index, block in enumerate(blocks):
        key, corner = keys[block.plane], (block.y, block.x)
        if corner in seen.held_out.get(key, ()):
            chosen.append(block)
            left = left - counts[index]
        elif corner not in seen.trained.get(key, ()):
            fresh.append(index)
    wanted = min(MAX_BLOCKS, int(HELD_OUT * len(blocks)))
    for index in np.random.default_rng([seed, 1]).permutation(fresh).astype(int):
        # a block without the rarest things tells nothing about them
        if (
            len(chosen) < wanted
            and (left - counts[index] >= floor).all()
            and counts[index][1:].any()
        ):
            chosen.append(blocks[index])
            left = left - counts[index]
    for plane, key in enumerate(keys):
        seen.note(key, _corners(blocks, plane), _corners(chosen, plane))
    return chosen


def _labelled_blocks(
    targets: Sequence[NDArray[np.uint8]], n_classes: int
) -> tuple[list[Block], list[NDArray[np.intp]]]:
    blocks, counts = [], []
    for index, target in enumerate(targets):
        for y in range(0, target.shape[0], BLOCK):
            for x in range(0, target.shape[1], BLOCK):
                count = np.bincount(target[y : y + BLOCK, x : x + BLOCK].ravel(), minlength=256)
                if count[:n_classes].any():
                    blocks.append(Block(index, y, x))
                    counts.append(count[:n_classes])
    return blocks, counts


def _corners(blocks: Sequence[Block], plane: int) -> set[Corner]:
    return {(block.y, block.x) for block in blocks if block.plane == plane}


def block_mask(blocks: Sequence[Block], plane: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where the blocks of one plane lie."""
    mask = np.zeros(shape, dtype=bool)
    for block in blocks:
        if block.plane == plane:
            mask[block.y : block.y + BLOCK, block.x : block.x + BLOCK] = True
    return mask


def cells_mostly_in(mask: NDArray[np.bool_], cells: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the ids of the cells (1 ... n) that have more than half of their pixels in a mask."""
    sizes = np.bincount(cells.ravel())
    inside = np.bincount(cells[mask], minlength=len(sizes))
    mostly = 2 * inside > sizes
    mostly[0] = False
    return np.flatnonzero(mostly)


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
