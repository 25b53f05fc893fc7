"""Blocks of labelled pixels that are held out of training, to measure the quality on.

A block that was held out once stays so, and a block that was trained on once is never held out, as
long as one model is trained on and on: `Seen` goes with the model. So the scores of a model and of
the one it was made from are both taken on pixels that neither was trained on. A block that was held
out is trained on after all where most of what is painted of a class would be missing without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import ANY_CELL

__all__ = [
    "BLOCK",
    "MAX_BLOCKS",
    "Block",
    "Seen",
    "block_box",
    "block_mask",
    "cells_mostly_in",
    "count_blocks",
    "fingerprint",
    "hold_out",
]

BLOCK = 64
"""Side in network pixels of the blocks that are held out of training as a whole."""

HELD_OUT, MAX_BLOCKS = 0.15, 12
"""Share of the labelled blocks that is held out, and at most how many are. No class loses more than
twice that share of its pixels."""

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
        trained = labelled - held_out
        self.held_out[key] = (self.held_out.get(key, set()) | held_out) - trained
        self.trained.setdefault(key, set()).update(trained)


def fingerprint(pixels: NDArray[np.generic]) -> str:
    """Return a name of a plane that depends on its pixels only."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8).hexdigest()


def hold_out(
    counts: Sequence[dict[Corner, NDArray[np.intp]]],
    keys: Sequence[str],
    n_classes: int,
    seed: int,
    seen: Seen,
) -> list[Block]:
    """Choose blocks so that training keeps most labelled pixels of every class.

    Parameters
    ----------
    counts : sequence of dict
        Of every plane: its labelled blocks, see `count_blocks`.
    keys : sequence of str
        The fingerprints of the planes.
    n_classes : int
        How many numbers those blocks have.
    seed : int
        Of the choice among blocks that are new.
    seen : Seen
        What was chosen before; the present choice is noted in it.
    """
    left: NDArray[np.intp] = np.sum(
        [count for plane in counts for count in plane.values()], axis=0, initial=0
    ) * np.ones(n_classes, dtype=np.intp)
    floor, half = left * (1 - 2 * HELD_OUT), left / 2
    # one image may be given twice: its planes are held out together
    places: dict[tuple[str, Corner], list[int]] = {}
    for plane, labelled in enumerate(counts):
        for corner in labelled:
            places.setdefault((keys[plane], corner), []).append(plane)
    held = [p for p in places if p[1] in seen.held_out.get(p[0], ())]
    fresh = [p for p in places if p not in held and p[1] not in seen.trained.get(p[0], ())]
    chosen: set[tuple[int, Corner]] = set()
    for key, corner in held:
        lost = np.sum([counts[plane][corner] for plane in places[key, corner]], axis=0)
        # cells that lie mostly in them are lost as wholes: of at most half, something is left
        if (left - lost >= half).all():
            chosen |= {(plane, corner) for plane in places[key, corner]}
            left = left - lost
    wanted = min(MAX_BLOCKS, int(HELD_OUT * sum(map(len, counts))))
    for index in np.random.default_rng([seed, 1]).permutation(len(fresh)):
        key, corner = fresh[index]
        lost = np.sum([counts[plane][corner] for plane in places[key, corner]], axis=0)
        # a block without the rarest things tells nothing about them
        if len(chosen) < wanted and (left - lost >= floor).all() and lost[1:].any():
            chosen |= {(plane, corner) for plane in places[key, corner]}
            left = left - lost
    for plane, key in enumerate(keys):
        seen.note(key, set(counts[plane]), {c for p, c in chosen if p == plane})
    return [Block(plane, y, x) for plane, (y, x) in sorted(chosen)]


def count_blocks(target: NDArray[np.uint8], n_classes: int) -> dict[Corner, NDArray[np.intp]]:
    """Return how many pixels of each class the labelled blocks of a plane (Y, X) have.

    The last number is that of cells whose class nobody told.
    """
    counts = {}
    values = [*range(n_classes), ANY_CELL]
    for y in range(0, target.shape[0], BLOCK):
        for x in range(0, target.shape[1], BLOCK):
            count = np.bincount(target[y : y + BLOCK, x : x + BLOCK].ravel(), minlength=256)
            if count[values].any():
                counts[y, x] = count[values]
    return counts


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


def block_box(block: Block, shape: Sequence[int]) -> tuple[slice, slice]:
    """Return where a block lies in its plane of a shape (Y, X); at the far edges it is smaller."""
    height, width = shape
    return (
        slice(block.y, min(block.y + BLOCK, height)),
        slice(block.x, min(block.x + BLOCK, width)),
    )
