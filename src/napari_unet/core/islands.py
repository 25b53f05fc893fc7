"""Find the cells of a block of a plane exactly as in the whole plane, from a window around it.

::

    ┌───────────────── window ─────────────────┐
    │                                          │      Islands that touch the block lie in the
    │   ┌── block ───┐  ┌──┐                   │      window as wholes, and so do those that are
    │   │   ┌────────┼──┘  └─┐                 │      nearer to them than outlines are smoothed.
    │   │   │        │  A    │   ┌───┐         │      What lies further away has no influence,
    │   │   └────────┼───────┘ B │ C │         │      so it may be cut.
    └───┴────────────┴───────────┴───┴─────────┘

An island is a component of the foreground with its holes and what is in them. The window grows
until no island that matters is cut, or until it would be too large for memory; then an island
beyond it is cut there, alike for every size of tile and number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.giveback import give_border_back, giving_reach
from napari_unet.core.instances import CellRules, find_pieces, first_pixels
from napari_unet.core.lookup import count_labels, look_up, named
from napari_unet.core.necks import smoothing_reach
from napari_unet.core.tiles import lengths, widened, within

__all__ = ["Box", "CellsOfBlock", "cells_of_block", "find_window"]

Box: TypeAlias = tuple[slice, slice]
Read: TypeAlias = Callable[[Box], NDArray[np.float32]]
Mask: TypeAlias = NDArray[np.bool_]

MOST_PIXELS = 1 << 24
"""Pixels of the largest window; finding cells in it takes half a gigabyte."""

MARGIN = 128
"""Pixels around a block that are looked at in any case."""

SIDES = ((0, 0), (0, -1), (1, 0), (1, -1))
"""Axis and end of the four sides: top, bottom, left, right."""


@dataclass(frozen=True, slots=True, eq=False)
class CellsOfBlock:
    """The cells that a block has pixels of.

    Attributes
    ----------
    labels : int32 array
        The pixels of the block: 0 background, 1 ... n.
    first : int64 array
        (n,) the first pixel of each cell, counted row by row through the plane, without the border
        that was given back; it may lie outside of the block. A cell is the same in every block by
        it, and in the whole plane cells are numbered in its order.
    """

    labels: NDArray[np.int32]
    first: NDArray[np.int64]


def cells_of_block(
    read: Read, block: Box, shape: tuple[int, int], rules: CellRules, *, most: int = MOST_PIXELS
) -> CellsOfBlock:
    """Find the cells of a block.

    Parameters
    ----------
    read : callable
        Returns the probabilities of a box of the plane.
    block : (slice, slice)
        Of the plane.
    shape : (int, int)
        Of the plane.
    rules : CellRules
        As for the whole plane.
    most : int
        Pixels of the largest window; islands that do not fit are cut.
    """
    (y, x), foreground = find_window(read, block, shape, rules, most=most)
    pieces = find_pieces(foreground, rules)
    del foreground
    rows, columns = np.divmod(first_pixels(pieces), pieces.shape[1])
    first = (rows + y.start) * shape[1] + columns + x.start
    labels = give_border_back(pieces, rules.border)[within(block, (y, x))]
    here = np.zeros(len(first), dtype=bool)
    here[labels] = True
    here[0] = False
    number = (np.cumsum(here) * here).astype(np.int32)
    return CellsOfBlock(number[labels], first[here])


def find_window(
    read: Read, block: Box, shape: tuple[int, int], rules: CellRules, *, most: int = MOST_PIXELS
) -> tuple[Box, NDArray[np.float32]]:
    """Return a window around a block that decides all of its cells, and the probabilities in it.

    Parameters and limits as for `cells_of_block`.
    """
    near = giving_reach(rules.border)
    margins = np.full((2, 2), max(MARGIN, near))
    window = _around(block, margins, shape)
    while True:
        foreground = read(window)
        for axis, end in _cut_sides(foreground, block, window, shape, rules):
            margins[axis, end] *= 2
        wider = _around(block, margins, shape)
        if wider == window or math.prod(lengths(wider)) > most:
            return window, foreground
        window = wider


def _around(block: Box, margins: NDArray[np.integer], shape: tuple[int, int]) -> Box:
    before, after = margins.T.tolist()
    y, x = widened(block, before, after, shape)
    return y, x


def _cut_sides(
    foreground: NDArray[np.float32],
    block: Box,
    window: Box,
    shape: tuple[int, int],
    rules: CellRules,
) -> list[tuple[int, int]]:
    """Return the sides of a window beyond which something matters for the block."""
    ends = [((s.start > 0), (s.stop < n)) for s, n in zip(window, shape, strict=True)]
    opened = [(axis, end) for axis, end in SIDES if ends[axis][end]]
    if not opened:
        return []
    islands, count = ndimage.label(_with_holes(foreground >= rules.threshold, opened, rules))
    near = giving_reach(rules.border)
    box = tuple(
        slice(max(b.start - near - w.start, 0), b.stop + near - w.start)
        for b, w in zip(block, window, strict=True)
    )
    matters = look_up(named(islands[box], count), islands)
    if rules.split > 0:
        side = 2 * smoothing_reach(rules.smooth) + 1
        around = ndimage.maximum_filter(matters.view(np.uint8), side).view(bool)
        matters = around | look_up(named(islands[around], count), islands)
    return [(axis, end) for axis, end in opened if matters.take(end, axis).any()]


def _with_holes(mask: Mask, opened: list[tuple[int, int]], rules: CellRules) -> Mask:
    """Return a mask with all that is, or beyond the open sides may be, a hole to be filled."""
    if rules.max_hole == 0:
        return mask
    holes, count = ndimage.label(~mask, structure=np.ones((3, 3)))
    fillable = np.ones(count + 1, dtype=bool)
    if rules.max_hole is not None:
        fillable = count_labels(holes, count) <= rules.max_hole
    for axis, end in SIDES:
        if (axis, end) not in opened:  # what ends with the plane is not a hole
            fillable[holes.take(end, axis)] = False
    fillable[0] = True
    return look_up(fillable, holes)
