"""Cut the 3D objects of a stack whose planes come twice: to be looked at, then to be cut.

The first time, the pixels of an object are collected until its last plane, a bit each. Then it is
cut, and what is kept is in which part each place of its box lies. The second time, its pixels get
the numbers of their parts, 1 ... n by the first pixel.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.linking import Links
from napari_unet.core.necks3d import Necks, coarseness, split_object
from napari_unet.core.pieces import Pieces
from napari_unet.core.tiles import lengths

__all__ = ["ObjectCuts"]

Box: TypeAlias = tuple[slice, slice]


class _Piece(NamedTuple):
    """What one plane holds of an object: its box, and which pixels of it, as bits."""

    plane: int
    box: Box
    bits: NDArray[np.uint8]

    def pixels(self) -> NDArray[np.bool_]:
        height, width = lengths(self.box)
        bits = np.unpackbits(self.bits, count=height * width)
        return bits.reshape(height, width).astype(bool)


class _Cut(NamedTuple):
    """The parts of an object: (Z, Y, X), from its first plane and a corner of every step-th pixel.

    ``numbers`` holds the number of each part, from 1.
    """

    plane: int
    corner: tuple[int, int]
    step: int
    parts: NDArray[Any]
    numbers: NDArray[np.uint32]


class ObjectCuts:
    """Cuts the objects of one stack.

    Parameters
    ----------
    tracks : (n, 4) int64 array
        As of `napari_unet.core.linking.Links`: their numbers 1 ... n, first and last planes.
    necks : Necks
        Where to cut.
    """

    def __init__(self, tracks: NDArray[np.int64], necks: Necks) -> None:
        first, last = tracks[:, 1:3].T
        self._last, self._in_several = np.append(-1, last), np.append(False, first < last)
        self._necks, self._used = necks, len(tracks)
        self._pieces: dict[int, list[_Piece]] = {}
        self._cuts: dict[int, _Cut] = {}
        self._final = np.zeros(0, np.uint32)
        self._points: list[NDArray[np.float64]] = []

    def look(self, labels: NDArray[np.uint32], plane: int) -> None:
        """Look at the next plane (Y, X), and cut the objects that end in it."""
        for number, box in _boxes(labels):
            if not self._in_several[number]:
                continue
            pieces = self._pieces.setdefault(number, [])
            pieces.append(_Piece(plane, box, np.packbits(labels[box] == number)))
            if self._last[number] == plane:
                self._cut(number, self._pieces.pop(number))

    def cut(self, labels: NDArray[np.uint32], plane: int) -> NDArray[np.uint32]:
        """Return a plane (Y, X) with the final number of every part, once all were looked at."""
        parts = self._parts(labels, plane)
        pieces = Pieces.of(parts)
        ids = np.zeros(pieces.sizes.size, np.int64)
        ids[pieces.plane.ravel()] = parts.ravel()
        if not self._points:
            self._final = np.zeros(self._used + 1, np.uint32)
        new = ids[self._final[ids] == 0][1:]
        self._final[new] = self._final.max() + np.arange(1, new.size + 1)
        numbers = self._final[ids]
        rows = np.full((ids.size - 1, 1), plane)
        self._points.append(np.hstack([numbers[1:, None], rows, pieces.centroids[1:]]))
        return numbers[pieces.plane]

    def finish(self) -> Links:
        """Return the tables of the parts."""
        return Links.of(np.arange(self._used + 1, dtype=np.uint32), np.concatenate(self._points))

    def _parts(self, labels: NDArray[np.uint32], plane: int) -> NDArray[np.uint32]:
        """Return the plane with another number for every part but the first of an object."""
        out = labels.copy()
        for number, (y, x) in _boxes(labels):
            known = self._cuts.get(number)
            if known is None:
                continue
            rows = np.arange(y.start, y.stop) // known.step - known.corner[0]
            columns = np.arange(x.start, x.stop) // known.step - known.corner[1]
            numbers = known.numbers[known.parts[plane - known.plane][np.ix_(rows, columns)]]
            np.copyto(out[y, x], numbers, where=labels[y, x] == number)
        return out

    def _cut(self, number: int, pieces: list[_Piece]) -> None:
        """Cut one object, if it has necks."""
        first, deep = pieces[0].plane, pieces[-1].plane - pieces[0].plane + 1
        begin = np.min([[side.start for side in piece.box] for piece in pieces], axis=0)
        end = np.max([[side.stop for side in piece.box] for piece in pieces], axis=0)
        step = coarseness((deep, *(end - begin)))
        corner, far = begin // step, (end - 1) // step + 1
        inside = np.zeros((deep, *(far - corner)), bool)
        for piece in pieces:
            # every step-th row and column of the plane, as far as the piece has them
            y, x = (slice(-(-side.start // step), -(-side.stop // step)) for side in piece.box)
            top, left = y.start * step - piece.box[0].start, x.start * step - piece.box[1].start
            inside[
                piece.plane - first,
                y.start - corner[0] : y.stop - corner[0],
                x.start - corner[1] : x.stop - corner[1],
            ] = piece.pixels()[top::step, left::step]
        parts = split_object(inside, self._necks, step)
        count = int(parts.max())
        if count > 1:
            numbers = np.array([0, number, *range(self._used + 1, self._used + count)], np.uint32)
            self._used += count - 1
            small = parts.astype(np.min_scalar_type(count))
            place = int(corner[0]), int(corner[1])
            self._cuts[number] = _Cut(first, place, step, small, numbers)


def _boxes(labels: NDArray[np.uint32]) -> list[tuple[int, Box]]:
    """Return the numbers in a plane, and their boxes."""
    found = ndimage.find_objects(labels.astype(np.int64))
    return [(number, box) for number, box in enumerate(found, start=1) if box is not None]
