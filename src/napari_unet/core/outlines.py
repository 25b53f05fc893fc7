"""The outlines of objects, along the edges of their pixels.

A ring is a list of corners, in pixels from the corner of the image: the pixel (y, x) lies between
(y, x) and (y + 1, x + 1), as in ImageJ and QuPath. What is filled inside the rings of an object are
exactly its pixels::

    . a a        (0, 1) ─── (0, 3)         clockwise on the screen: the object lies to the
    . a .           │ (1, 2) ─ (1, 3)      right of who walks along it; around a hole the
    . a .        (3, 1) ─ (3, 2)           other way

Pixels that meet at a corner only are two pieces.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.overlaps import numbered

__all__ = ["Outline", "Piece", "outlines"]

Block = tuple[tuple[slice, slice], NDArray[np.integer]]
Ring = NDArray[np.int32]
Mask = NDArray[np.bool_]
Part = tuple[int, int, Mask]
"""Rows and columns before a mask, and the mask."""

RIGHT, DOWN, LEFT, UP = range(4)
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Pixels that hang together by their edges.

    Attributes
    ----------
    outer : int32 array
        (N, 2), the corners (y, x) around it, the first not again.
    holes : tuple of int32 array
        The same around each hole in it.
    """

    outer: Ring
    holes: tuple[Ring, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """An object and its pieces, mostly one."""

    label: int
    pieces: tuple[Piece, ...]


def outlines(blocks: Callable[[], Iterable[Block]]) -> Iterator[Outline]:
    """Yield the outline of every object of a plane.

    Parameters
    ----------
    blocks : callable
        Returns where each block of the plane lies, and its labels (Y, X), 0 background. They are
        taken twice: what is in one block alone is outlined at once, and of an object in several the
        pixels are kept until all are there.
    """
    left = Counter[int]()
    for _, labels in blocks():
        left.update(numbered(labels).ids[1:].tolist())
    parts: defaultdict[int, list[Part]] = defaultdict(list)
    for (rows, columns), labels in blocks():
        regions = numbered(labels)
        for k, (y, x) in enumerate(ndimage.find_objects(regions.numbers), start=1):
            label = int(regions.ids[k])
            part = rows.start + y.start, columns.start + x.start, regions.numbers[y, x] == k
            parts[label].append(part)
            left[label] -= 1
            if not left[label]:
                yield Outline(label, _pieces(*_joined(parts.pop(label))))


def _joined(parts: list[Part]) -> Part:
    """Put the parts of an object from several blocks together."""
    if len(parts) == 1:
        return parts[0]
    top, left = min(y for y, _, _ in parts), min(x for _, x, _ in parts)
    bottom = max(y + mask.shape[0] for y, _, mask in parts)
    right = max(x + mask.shape[1] for _, x, mask in parts)
    whole = np.zeros((bottom - top, right - left), np.bool_)
    for y, x, mask in parts:
        whole[y - top : y - top + mask.shape[0], x - left : x - left + mask.shape[1]] |= mask
    return top, left, whole


def _pieces(top: int, left: int, mask: Mask) -> tuple[Piece, ...]:
    """Return the pieces of an object."""
    local, count = ndimage.label(mask)
    pieces = []
    for k, (y, x) in enumerate(ndimage.find_objects(local), start=1):
        place = np.array([top + y.start, left + x.start], np.int32)
        rings = [ring + place for ring in _rings(mask if count == 1 else local[y, x] == k)]
        pieces.append(Piece(rings[0], tuple(rings[1:])))
    return tuple(pieces)


def _rings(mask: Mask) -> list[Ring]:
    """Return the rings of a piece: around it, which begins in its first row, and around its holes.

    A walk begins at the first edge to the right that no walk has gone along. Where two ways lead on
    it turns right, which stays with the same pixel.
    """
    ways = _ways(mask)
    there = ways.tolist()
    gone: set[tuple[int, int]] = set()
    rings = []
    for y, x in np.argwhere(ways[RIGHT]).tolist():
        start, way, last = (y, x), RIGHT, UP
        if start in gone:
            continue
        ring: list[tuple[int, int]] = []
        while (y, x, way) != (*start, RIGHT) or not ring:
            if way != last:
                ring.append((y, x))
            if way == RIGHT:
                gone.add((y, x))
            y, x, last = y + STEPS[way][0], x + STEPS[way][1], way
            turns = ((last + 1) % 4, last, (last - 1) % 4)
            way = next(turn for turn in turns if there[turn][y][x])
        rings.append(np.array(ring, np.int32))
    return rings


def _ways(mask: Mask) -> Mask:
    """Return from which corners edges lead in each direction: (4, Y + 1, X + 1)."""
    height, width = mask.shape
    around = np.pad(mask, 1)
    inside = around[1:-1, 1:-1]
    ways = np.zeros((4, height + 1, width + 1), np.bool_)
    ways[RIGHT, :-1, :-1] = inside & ~around[:-2, 1:-1]
    ways[DOWN, :-1, 1:] = inside & ~around[1:-1, 2:]
    ways[LEFT, 1:, 1:] = inside & ~around[2:, 1:-1]
    ways[UP, 1:, :-1] = inside & ~around[1:-1, :-2]
    return ways
