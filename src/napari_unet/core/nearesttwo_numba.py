"""The passes of `napari_unet.core.nearesttwo`, compiled by numba.

Importing this module compiles the kernel, or loads it where it was compiled before: one or two
seconds once, a few tenths later. What wants to be quick at its first map imports it early.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.compiled import inlined, kept
from napari_unet.core.nearesttwo import Pass

__all__ = ["squares_of_nearest_two"]

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]

CHUNK = 512
"""Pixels that are worked on together: they stay in the fastest memory, and stop together."""

PATIENCE = 4
"""Steps along a line between two looks whether a chunk is done."""


def squares_of_nearest_two(cells: Ids, passes: Iterable[Pass]) -> tuple[Floats, Floats]:
    """Return the squared distances to the nearest and the second nearest cell, one after another.

    Parameters
    ----------
    cells : int32 array
        As for `napari_unet.core.nearesttwo.nearest_two`.
    passes : iterable of Pass
        One for each axis, in their order.
    """
    along, *others = passes
    ids = cells.flatten()  # a copy: it is written, and a kernel takes no read-only array
    steps = np.where(ids != 0, np.float32(0), np.float32(np.inf))
    every = steps, ids, np.full_like(steps, np.inf), np.zeros_like(ids)
    _sweep(*every, along.length, along.inner, along.step)
    wanted = slice(along.begin * along.inner, along.stop * along.inner)
    known = every[0][wanted], every[1][wanted], every[2][wanted], every[3][wanted]
    for along in others:
        shape = 2, along.outer * (along.stop - along.begin) * along.inner
        floats, numbers = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.int32)
        found = floats[0], numbers[0], floats[1], numbers[1]
        sides = along.outer, along.length, along.begin, along.inner
        _spread(*known, along.squares, np.float32(along.half), *sides, *found)
        known = found
    return known[0], known[2]


@inlined
def _search(
    known1: Floats,
    ids1: Ids,
    known2: Floats,
    ids2: Ids,
    squares: Floats,
    half: np.float32,
    chunk: tuple[int, int, int, int, int, int],
    barred: Ids,
    barred_from: int,
    nearest: Floats,
    out: Floats,
    out_ids: Ids,
) -> None:
    """Find for each pixel of a chunk the nearest cell that is not the barred one."""
    width, at, start, before, behind, inner = chunk
    for k in range(len(squares)):
        square = squares[k]
        if k % PATIENCE == 1:
            waiting = 0
            # unsigned, as negative indices would be looked for, and the loops not vectorised
            for x in range(np.uint64(width)):
                here = np.uint64(at) + x
                waiting += (out[here] > square) & ((square < half) | (nearest[here] < half))
            if waiting == 0:
                break
        for side in (-1, 1):
            shift = side * k * inner
            first, stop = max(0, -shift - before), min(width, behind - shift)
            for x in range(np.uint64(max(0, stop - first))):
                here, there = np.uint64(at + first) + x, np.uint64(start + first + shift) + x
                # all is loaded before a choice is made, or the loop is not vectorised either
                old, old_id = out[here], out_ids[here]
                value1, id1, value2, id2 = known1[there], ids1[there], known2[there], ids2[there]
                taken = id1 == barred[np.uint64(barred_from + first) + x]
                value = (value2 if taken else value1) + square
                nearer = value < old
                out[here] = value if nearer else old
                out_ids[here] = (id2 if taken else id1) if nearer else old_id


_FOUR = "float32[::1], int32[::1], float32[::1], int32[::1]"


@kept(f"void({_FOUR}, float32[::1], float32, int64, int64, int64, int64, {_FOUR})")
def _spread(
    known1: Floats,
    ids1: Ids,
    known2: Floats,
    ids2: Ids,
    squares: Floats,
    half: np.float32,
    outer: int,
    length: int,
    begin: int,
    inner: int,
    nearest: Floats,
    nearest_ids: Ids,
    second: Floats,
    second_ids: Ids,
) -> None:
    """Look along an axis, of which the pixels before and after it are taken as one axis each.

    Parameters
    ----------
    known1, ids1, known2, ids2 : (outer * length * inner,) arrays
        What each pixel knows: squared distance and id of the nearest, then of the second cell.
    squares : (steps,) array
        Squared distances along the axis.
    half : float
        A pixel with no cell nearer than this needs no second one (squared).
    outer, length, inner : int
        The axes; at most ``length`` steps.
    begin : int
        The first pixel along the axis that is wanted.
    nearest, nearest_ids, second, second_ids : (outer * wanted * inner,) arrays
        Receive what each pixel then knows.
    """
    nobody = np.full(CHUNK, -1, dtype=np.int32)
    whole, wanted = length * inner, nearest.size // max(outer, 1)
    for line in range(outer):
        for part in range(0, wanted, CHUNK):
            width, at = min(CHUNK, wanted - part), line * wanted + part
            before = begin * inner + part
            nearest[at : at + width] = second[at : at + width] = np.inf
            nearest_ids[at : at + width] = second_ids[at : at + width] = 0
            chunk = width, at, line * whole + before, before, whole - before, inner
            known = known1, ids1, known2, ids2, squares, half, chunk
            _search(*known, nobody, 0, nearest, nearest, nearest_ids)
            _search(*known, nearest_ids, at, nearest, second, second_ids)


@inlined
def _take_over(
    steps1: Floats, ids1: Ids, steps2: Floats, ids2: Ids, at: int, source: int, width: int
) -> None:
    """Let the pixels of a line know what those of the next line know."""
    for x in range(np.uint64(width)):
        here, there = np.uint64(at) + x, np.uint64(source) + x
        own1, own_id1, own2, own_id2 = steps1[here], ids1[here], steps2[here], ids2[here]
        new1, new_id1, new2, new_id2 = steps1[there], ids1[there], steps2[there], ids2[there]
        new1, new2 = new1 + np.float32(1), new2 + np.float32(1)
        closer = new1 < own1
        first, first_id = (new1 if closer else own1), (new_id1 if closer else own_id1)
        second, second_id = (new2 if closer else own2), (new_id2 if closer else own_id2)
        # of whoever has not the nearest: its nearest, unless that is the same cell
        loser, loser_id = (own1 if closer else new1), (own_id1 if closer else new_id1)
        same = loser_id == first_id
        loser2, loser_id2 = (own2 if closer else new2), (own_id2 if closer else new_id2)
        other, other_id = (loser2 if same else loser), (loser_id2 if same else loser_id)
        before = other < second
        steps1[here], ids1[here] = first, first_id
        steps2[here] = other if before else second
        ids2[here] = other_id if before else second_id


@kept(f"void({_FOUR}, int64, int64, float64)")
def _sweep(
    nearest: Floats,
    nearest_ids: Ids,
    second: Floats,
    second_ids: Ids,
    length: int,
    inner: int,
    step: float,
) -> None:
    """Go to and fro along the first axis, where every pixel knows itself only: `_spread`, faster.

    Parameters
    ----------
    nearest, nearest_ids, second, second_ids : (length * inner,) arrays
        How many pixels away the cells are; squared distances afterwards.
    length, inner : int
        Of the first axis, and of those after it as one.
    step : float
        Distance between two pixels of the first axis.
    """
    known = nearest, nearest_ids, second, second_ids
    for i in range(1, length):
        _take_over(*known, i * inner, (i - 1) * inner, inner)
    for i in range(length - 2, -1, -1):
        _take_over(*known, i * inner, (i + 1) * inner, inner)
    for x in range(np.uint64(length * inner)):
        nearest[x] = np.float32((np.float64(nearest[x]) * step) ** 2)
        second[x] = np.float32((np.float64(second[x]) * step) ** 2)
