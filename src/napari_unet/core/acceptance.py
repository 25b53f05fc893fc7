"""Which predicted objects go with which painted cells, when the prediction is taken over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from napari_unet.core.overlaps import numbered

__all__ = ["Matching", "match_objects"]

SHARE = 0.2
"""A painted stroke and an object are about the same cell if they share this much of the smaller of
the two: less is an outline that differs by a few pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """What becomes of the objects 1 ... n of a plane; entry 0 of each array is for no object.

    Attributes
    ----------
    objects : (Y, X) integer array
        The predicted objects, numbered 1 ... n; 0 is none.
    partner : (n + 1,) integer array
        The painted cell that an object completes; 0 for none.
    new : (n + 1,) bool array
        Objects on no painted cell.
    joining : (n + 1,) bool array
        Objects on more than one: they would join what is painted apart.
    on_background : (n + 1,) bool array
        Objects that lie mostly on painted background.
    on_verified : (n + 1,) bool array
        Objects that cover most of a verified cell, and more beside it than of it.
    """

    objects: NDArray[np.int64]
    partner: NDArray[np.int64]
    new: NDArray[np.bool_]
    joining: NDArray[np.bool_]
    on_background: NDArray[np.bool_]
    on_verified: NDArray[np.bool_]


def match_objects(
    predicted: NDArray[Any], painted: NDArray[Any], *, first: int, verified: Collection[int]
) -> Matching:
    """Match predicted objects with painted cells; objects without an unpainted pixel have no part.

    An object is in at most one of ``partner``, ``new``, ``joining``, ``on_background`` and
    ``on_verified``. It is in none if most of it is verified: then it is that cell, which stays as
    it is.

    Parameters
    ----------
    predicted : (Y, X) integer array
        Objects by number; 0 is none.
    painted : (Y, X) integer array
        0 not painted, below ``first`` background, then cells.
    first : int
        The lowest number of a cell.
    verified : collection of int
        Cells that are never completed.
    """
    objects, ids = numbered(predicted)

    def count(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(objects[mask], minlength=len(ids))

    sizes = np.bincount(objects.ravel(), minlength=len(ids))
    of_verified = np.isin(painted, list(verified))
    free = count(painted == 0) > 0
    free[0] = False
    free &= 2 * count(of_verified) <= sizes
    on_background = free & (2 * count((painted > 0) & (painted < first)) > sizes)
    free &= ~on_background
    met = _meet(objects, np.where(of_verified, painted, 0))
    on_verified = np.zeros(len(sizes), dtype=bool)
    on_verified[met.object[2 * met.shared > met.size]] = True
    on_verified &= free  # what is left of it beside the cell is no cell: a ring, or a neighbour cut
    free &= ~on_verified
    cells = np.where((painted >= first) & ~of_verified, painted, 0)
    partners, partner = _partners(_meet(objects, cells), sizes)
    return Matching(
        objects=objects,
        partner=np.where(free & (partners == 1), partner, 0),
        new=free & (partners == 0),
        joining=free & (partners > 1),
        on_background=on_background,
        on_verified=on_verified,
    )


class _Meeting(NamedTuple):
    """Which object shares how many pixels with a piece of which cell; and the size of the piece."""

    object: NDArray[np.int64]
    cell: NDArray[np.int64]
    shared: NDArray[np.int64]
    size: NDArray[np.int64]


def _meet(objects: NDArray[np.int64], cells: NDArray[Any]) -> _Meeting:
    """Count by the pieces of cells: many people paint all cells with one number."""
    pieces = label(cells, background=0, connectivity=2)
    sizes = np.bincount(pieces.ravel())
    number_of = np.zeros(len(sizes), dtype=np.int64)
    number_of[pieces.ravel()] = cells.ravel()
    both = (objects > 0) & (pieces > 0)
    pairs, shared = np.unique(objects[both] * len(sizes) + pieces[both], return_counts=True)
    object_of, piece_of = np.divmod(pairs, len(sizes))
    return _Meeting(object_of, number_of[piece_of], shared, sizes[piece_of])


def _partners(
    met: _Meeting, sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return on how many painted cells each object lies, and the number of one of them."""
    enough = met.shared >= SHARE * np.minimum(sizes[met.object], met.size)
    object_of, cell_of = np.unique(np.stack([met.object, met.cell])[:, enough], axis=1)
    partner = np.zeros(len(sizes), dtype=np.int64)
    partner[object_of] = cell_of
    return np.bincount(object_of, minlength=len(sizes)), partner
