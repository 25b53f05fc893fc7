"""From foreground probabilities to numbered cells, alike in the whole plane and in a part of it.

What becomes of a component depends on the component, and on others nearer than the outlines are
smoothed; never on what is elsewhere: no order of a queue, no largest value of the image. So a plane
can be done in parts (`napari_unet.core.islands`) with exactly the cells of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.flood import flood
from napari_unet.core.giveback import give_border_back
from napari_unet.core.lookup import count_labels, look_up, row_bands
from napari_unet.core.necks import Bulges

__all__ = [
    "BORDER",
    "CellRules",
    "find_pieces",
    "first_pixels",
    "instances",
    "instances_of_each",
]

BORDER = 1.5
"""Pixels (at the working resolution) given back to a cell: the background border that training put
between touching cells is one pixel wide, and half of it and a pixel's rounding are the cell's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRules:
    """What makes pixels cells.

    Attributes
    ----------
    threshold : float
        Foreground from this probability on.
    min_size : int
        Cells with fewer pixels are dropped.
    cut_size : int, optional
        The same of cells that the edge of the plane cuts; by default as ``min_size``.
    max_hole : int, optional
        Larger holes (in pixels) stay: 0 fills none; by default all holes are filled.
    core : float
        Probability of the cores; below ``threshold``, components of the foreground are cores.
    split : float
        How readily components are cut; 0 never cuts.
    border : float
        Width in pixels of the border that is given back; 0 gives nothing back.
    smooth : float
        Pixels to which outlines are smoothed before necks are looked for.
    """

    threshold: float = 0.5
    min_size: int = 0
    cut_size: int | None = None
    max_hole: int | None = None
    core: float = 0.0
    split: float = 0.0
    border: float = BORDER
    smooth: float = BORDER


def instances(foreground: NDArray[np.floating], **rules: Any) -> NDArray[np.uint32]:
    """Number the cells of one plane.

    Pixels at or above ``threshold`` are foreground. Every 4-connected component of the surer pixels
    (at or above ``core``), cut where it is narrow (`napari_unet.core.necks`), is the core of one
    cell; the foreground goes to the core that reaches it first from the surer side. Holes inside a
    cell are filled, specks are dropped, and the thin background border that the network learned to
    keep between touching cells is given back to the nearest cell.

    Parameters
    ----------
    foreground : array
        (Y, X) probabilities 0 ... 1.
    **rules
        The fields of `CellRules`.

    Returns
    -------
    uint32 array
        (Y, X): 0 background, 1 ... n cells in the order of their first pixels, row by row, before
        any border is given back.
    """
    chosen = CellRules(**rules)
    pieces = find_pieces(np.asarray(foreground), chosen)
    return give_border_back(pieces, chosen.border).astype(np.uint32)


def instances_of_each(
    foreground: NDArray[np.floating], rules: CellRules, cuts: Sequence[tuple[float, float]]
) -> Iterator[NDArray[np.uint32]]:
    """Number the cells as `instances` does, with each of some pairs of core and split.

    What they have in common is found once, which takes half the time. Give pairs of one core after
    each other.

    Parameters
    ----------
    foreground : float array
        (Y, X) probabilities.
    rules : CellRules
        All but core and split.
    cuts : sequence of (float, float)
        Core and split.

    Yields
    ------
    uint32 array
        (Y, X), for each pair.
    """
    for pieces in _pieces_of_each(np.asarray(foreground), rules, cuts):
        yield give_border_back(pieces, rules.border).astype(np.uint32)


def find_pieces(foreground: NDArray[np.floating], rules: CellRules) -> NDArray[np.integer]:
    """Number the cells as `instances`, without the border between them."""
    (pieces,) = _pieces_of_each(foreground, rules, [(rules.core, rules.split)])
    return pieces


def _pieces_of_each(
    foreground: NDArray[np.floating], rules: CellRules, cuts: Sequence[tuple[float, float]]
) -> Iterator[NDArray[np.integer]]:
    hole = foreground.size if rules.max_hole is None else rules.max_hole
    cut = rules.min_size if rules.cut_size is None else rules.cut_size
    components = _components(foreground >= rules.threshold, hole)
    # a component that is too small is no cell, and nor is any piece of it
    components = _drop_small(components, rules.min_size, cut)
    if not components.any():
        yield from [components] * len(cuts)
        return

    def cores(core: float) -> NDArray[np.integer]:
        if core <= rules.threshold:
            return components
        sure = (foreground >= core) & (components > 0)
        found = _components(sure, hole)
        _leave_others(found, components, sure)
        # what is left of an outline is no cell: a core is at least a quarter of one
        return _drop_small(found, rules.min_size // 4, cut // 4)

    for core, pairs in groupby(cuts, key=itemgetter(0)):
        for seeds in _cut(cores(core), [split for _, split in pairs], rules.smooth):
            pieces = components
            if seeds is not components:
                grown = _grow(seeds, components, foreground)
                _clear_gaps(grown, foreground >= rules.threshold)
                pieces = _drop_small(grown, rules.min_size, cut)
            yield _in_reading_order(pieces)


def _cut(
    cores: NDArray[np.integer], splits: Sequence[float], smooth: float
) -> list[NDArray[np.integer]]:
    """Return cores cut at necks as deep as each of some; as they are for 0."""
    bulges = Bulges.of(cores, smooth) if any(splits) else None
    return [bulges.cut(split) if bulges and split > 0 else cores for split in splits]


def _components(mask: NDArray[np.bool_], max_hole: int) -> NDArray[np.integer]:
    labels: NDArray[np.integer] = ndimage.label(mask)[0]
    return _fill_holes(labels, max_hole) if max_hole > 0 and labels.any() else labels


def _grow(
    cores: NDArray[np.integer], components: NDArray[np.integer], foreground: NDArray[np.floating]
) -> NDArray[np.integer]:
    """Grow cores, which change, over the foreground; a component without any core is its own."""
    lonely = np.ones(int(components.max()) + 1, dtype=bool)
    lonely[components[cores > 0]] = False
    lonely[0] = False
    most = cores.max()
    for rows in row_bands(components):
        alone = lonely[components[rows]]
        cores[rows][alone] = most + components[rows][alone]
    return flood(cores, (components > 0) & (cores == 0), foreground)


def _drop_small(labels: NDArray[np.integer], min_size: int, cut_size: int) -> NDArray[np.integer]:
    sizes = count_labels(labels, int(labels.max(initial=0)))
    keep = sizes >= max(min_size, 1)
    at_edge = np.unique(np.concatenate(_edges(labels)))
    keep[at_edge] = sizes[at_edge] >= max(cut_size, 1)
    keep[0] = False
    return look_up((np.cumsum(keep) * keep).astype(labels.dtype), labels)


def _edges(labels: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    return [labels[0], labels[-1], labels[:, 0], labels[:, -1]]


def _fill_holes(labels: NDArray[np.integer], max_size: int) -> NDArray[np.integer]:
    """Give every small background component that exactly one cell encloses to that cell."""
    holes, count = ndimage.label(labels == 0, structure=np.ones((3, 3)))
    fillable = count_labels(holes, count) <= max_size
    fillable[0] = False
    fillable[np.concatenate(_edges(holes))] = False
    if not fillable.any():
        return labels
    # most planes have few: all that follows looks at their pixels only
    y, x = np.nonzero(look_up(fillable, holes))
    filled = labels.copy()
    filled[y, x] = _enclosing(labels, y, x, holes[y, x])
    return filled


def _leave_others(
    cores: NDArray[np.integer], components: NDArray[np.integer], sure: NDArray[np.bool_]
) -> None:
    """Take out of filled cores what is not of their component: background, or another cell."""
    y, x, hole = _pixels_of_holes((cores > 0) & ~sure)
    own = _enclosing(np.where(sure, components, 0), y, x, hole)
    cores[y, x] *= own == components[y, x]


def _clear_gaps(labels: NDArray[np.integer], mask: NDArray[np.bool_]) -> None:
    """Make background again of what was filled between several cells; it is no hole of one."""
    y, x, hole = _pixels_of_holes((labels > 0) & ~mask)
    labels[y, x] = 0
    labels[y, x] = _enclosing(labels, y, x, hole)


def _pixels_of_holes(
    filled: NDArray[np.bool_],
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]:
    """Return the pixels (y, x) of holes that were filled, and the number of the hole of each."""
    y, x = np.nonzero(filled)
    if not len(y):
        return y, x, y
    holes: Any = ndimage.label(filled, structure=np.ones((3, 3)))[0]
    return y, x, holes[y, x]


def _enclosing(
    labels: NDArray[np.integer],
    y: NDArray[np.integer],
    x: NDArray[np.integer],
    hole: NDArray[np.integer],
) -> NDArray[np.int64]:
    """Return of each pixel of some holes the cell that alone encloses its hole, or 0.

    Pixels of holes never lie at the edge of the plane, so all of their neighbours are there.
    """
    lowest = np.full(int(hole.max(initial=0)) + 1, np.iinfo(np.int64).max)
    highest = np.zeros(len(lowest), dtype=np.int64)
    for cell in (labels[y - 1, x], labels[y + 1, x], labels[y, x - 1], labels[y, x + 1]):
        np.minimum.at(lowest, hole[cell > 0], cell[cell > 0])
        np.maximum.at(highest, hole[cell > 0], cell[cell > 0])
    owner: NDArray[np.int64] = np.where(lowest == highest, highest, 0)[hole]
    return owner


def first_pixels(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return where each label 1 ... n first is, row by row; past the end if nowhere, as for 0."""
    first = np.full(int(labels.max()) + 1, labels.size, dtype=np.int64)
    for rows in reversed(list(row_bands(labels))):
        flat = labels[rows].ravel()
        inside = np.flatnonzero(flat)[::-1]
        first[flat[inside]] = inside + rows.start * labels.shape[1]  # the last one written stays
    return first


def _in_reading_order(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Number labels 1 ... n, all of which occur, by their first pixels."""
    number = np.zeros(int(labels.max()) + 1, dtype=np.int32)
    number[1:][np.argsort(first_pixels(labels)[1:])] = np.arange(1, len(number))
    return look_up(number, labels)
