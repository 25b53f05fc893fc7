"""From foreground probabilities to numbered cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

__all__ = ["diameters", "instances", "smallest_diameter", "split_necks", "typical_diameter"]

BORDER = 1.5
"""Pixels (at the working resolution) given back to a cell: the background border that training put
between touching cells is one pixel wide, and half of it and a pixel's rounding are the cell's."""


def instances(
    foreground: NDArray[np.floating],
    *,
    threshold: float = 0.5,
    min_size: int = 0,
    max_hole: int | None = None,
    core: float = 0.0,
    split: float = 0.0,
    border: float = BORDER,
    smooth: float = BORDER,
) -> NDArray[np.uint32]:
    """Number the cells of one plane.

    Pixels at or above ``threshold`` are foreground. Every 4-connected component of the surer pixels
    (at or above ``core``), cut where it is narrow (`split_necks`), is the core of one cell; the
    foreground goes to the core that reaches it first from the surer side. Holes inside a cell are
    filled, specks are dropped, and the thin background border that the network learned to keep
    between touching cells is given back to the nearest cell.

    Parameters
    ----------
    foreground : array
        (Y, X) probabilities 0 ... 1.
    threshold : float
        Foreground from this probability on.
    min_size : int
        Cells with fewer pixels are dropped.
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

    Returns
    -------
    uint32 array
        (Y, X): 0 background, 1 ... n cells in reading order of their components.
    """
    foreground = np.asarray(foreground)
    hole = foreground.size if max_hole is None else max_hole
    labels = _components(foreground >= threshold, hole)
    if not labels.any():
        return np.zeros(foreground.shape, dtype=np.uint32)
    cores = labels
    if core > threshold:
        cores = _components((foreground >= core) & (labels > 0), hole)
        # what is left of an outline is no cell: a core is at least a quarter of one
        cores = _drop_small(cores, min_size // 4)
    if split > 0:
        cores = split_necks(cores, split, smooth=smooth)
    if cores is not labels:
        labels = _grow(cores, labels, foreground)
    labels = _drop_small(labels, min_size)
    if border > 0:
        labels = _give_border_back(labels, border)
    return labels.astype(np.uint32)


def _components(mask: NDArray[np.bool_], max_hole: int) -> NDArray[np.integer]:
    labels: NDArray[np.integer] = ndimage.label(mask)[0]
    return _fill_holes(labels, max_hole) if max_hole > 0 and labels.any() else labels


def _grow(
    cores: NDArray[np.integer], labels: NDArray[np.integer], foreground: NDArray[np.floating]
) -> NDArray[np.integer]:
    """Grow cores over the foreground; a component without any core is its own."""
    lonely = np.ones(int(labels.max()) + 1, dtype=bool)
    lonely[np.unique(labels[cores > 0])] = False
    cores = np.where(lonely[labels] & (labels > 0), cores.max() + labels, cores)
    # a thousand levels: equal results whatever the last bits of the probabilities are
    level = np.round(-1000 * foreground).astype(np.int16)
    grown: NDArray[np.integer] = watershed(level, cores, mask=labels > 0)
    return grown


def split_necks(
    labels: NDArray[np.integer], depth: float, *, smooth: float = 1.0
) -> NDArray[np.integer]:
    """Cut components at their necks.

    The depth of a neck is the logarithm of how many times narrower it is than the narrower of the
    two bulges it joins, so large and small cells are judged alike. Bulges are the maxima of the
    distance to the outline; the cut is the watershed of that distance.

    Parameters
    ----------
    labels : integer array
        (Y, X) components; 0 is background.
    depth : float
        Necks at least this deep are cut: 0.2 is a neck of 0.82 times the width of the bulge.
    smooth : float
        Standard deviation in pixels of the smoothing of the distance, against ragged outlines.

    Returns
    -------
    integer array
        (Y, X), same background.
    """
    inside = np.pad(labels > 0, 1)  # the image border is an outline too
    distance = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
    width = np.log1p(ndimage.gaussian_filter(distance, smooth)).astype(np.float32)
    bulges, _ = ndimage.label(h_maxima(width, depth), structure=np.ones((3, 3)))
    bulges[labels == 0] = 0
    # a component without a bulge of its own (all of it shallow) stays one piece
    lonely = np.ones(labels.max() + 1, dtype=bool)
    lonely[np.unique(labels[bulges > 0])] = False
    bulges = np.where(lonely[labels] & (labels > 0), bulges.max() + labels, bulges)
    pieces: NDArray[np.integer] = watershed(-width, bulges, mask=labels > 0)
    return pieces


def diameters(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the equivalent diameter, ``2 sqrt(area / pi)``, of every connected piece of a label.

    Pieces and not labels: many people paint all cells with one number.
    """
    pieces: Any = label(labels, background=0, connectivity=1)
    areas = np.bincount(pieces.ravel())[1:]
    result: NDArray[np.float64] = 2 * np.sqrt(areas / np.pi)
    return result


def typical_diameter(diameters: NDArray[np.floating]) -> float:
    """Return the diameter of the object that a random object pixel lies in, or 0 without any.

    The median over pixels; specks are many but cover little, so they do not count.
    """
    ordered = np.sort(diameters)
    covered = np.cumsum(ordered**2)
    if not len(ordered):
        return 0.0
    return float(ordered[np.searchsorted(covered, covered[-1] / 2)])


def smallest_diameter(diameters: NDArray[np.floating]) -> float:
    """Return the diameter that the smallest objects have, or 0 without any.

    All smaller ones together cover a hundredth of the object pixels: those may be specks.
    """
    ordered = np.sort(diameters)
    covered = np.cumsum(ordered**2)
    if not len(ordered):
        return 0.0
    return float(ordered[np.searchsorted(covered, covered[-1] / 100)])


def _drop_small(labels: NDArray[np.integer], min_size: int) -> NDArray[np.integer]:
    sizes = np.bincount(labels.ravel())
    keep = sizes >= max(min_size, 1)
    keep[0] = False
    renumber = np.cumsum(keep) * keep
    result: NDArray[np.integer] = renumber[labels]
    return result


def _fill_holes(labels: NDArray[np.integer], max_size: int) -> NDArray[np.integer]:
    """Give every small background component that exactly one cell encloses to that cell."""
    holes, count = ndimage.label(labels == 0, structure=np.ones((3, 3)))
    fillable = np.bincount(holes.ravel(), minlength=count + 1) <= max_size
    fillable[0] = False
    fillable[np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]])] = False
    # most planes have few: all that follows looks at their pixels only
    inside = fillable[holes]
    if not inside.any():
        return labels
    lowest = np.full(count + 1, np.iinfo(np.int64).max)
    highest = np.zeros(count + 1, dtype=np.int64)
    y, x = np.nonzero(inside)  # never at the edge of the plane, so all neighbours are there
    hole = holes[y, x]
    for cell in (labels[y - 1, x], labels[y + 1, x], labels[y, x - 1], labels[y, x + 1]):
        np.minimum.at(lowest, hole[cell > 0], cell[cell > 0])
        np.maximum.at(highest, hole[cell > 0], cell[cell > 0])
    owner = np.where(lowest == highest, highest, 0)
    filled = labels.copy()
    filled[y, x] = owner[hole]
    return filled


def _give_border_back(labels: NDArray[np.integer], border: float) -> NDArray[np.integer]:
    """Let cells grow over the thin background between them, the nearer one first."""
    disk = _disk(border)
    between = _between(labels, disk)
    if not between.any():
        return labels
    distance = _distance_to_cells(labels, between, disk)
    grown: NDArray[np.integer] = watershed(distance, labels, mask=(labels > 0) | between)
    return grown


def _disk(radius: float) -> NDArray[np.bool_]:
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disk: NDArray[np.bool_] = y**2 + x**2 <= radius**2
    return disk


def _between(labels: NDArray[np.integer], disk: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the background pixels that see two different cells within a disk."""
    highest = _disk_maximum(labels, disk)
    none = -labels.max() - 1
    lowest = -_disk_maximum(np.where(labels > 0, -labels, none), disk)
    between: NDArray[np.bool_] = (highest > 0) & (lowest != highest) & (labels == 0)
    return between


def _disk_maximum(values: NDArray[np.integer], disk: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Return the maximum over the disk around each pixel, one row of the disk after the other."""
    reach, n = len(disk) // 2, len(values)
    result = values.copy()
    for dy in range(min(reach, n - 1) + 1):
        rows = ndimage.maximum_filter1d(values, int(disk[reach + dy].sum()), axis=1)
        np.maximum(result[dy:], rows[: n - dy], out=result[dy:])
        np.maximum(result[: n - dy], rows[dy:], out=result[: n - dy])
    return result


def _distance_to_cells(
    labels: NDArray[np.integer], where: NDArray[np.bool_], disk: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the distance to the nearest cell at some pixels that see one within a disk."""
    reach = len(disk) // 2
    cells = np.pad(labels > 0, reach)
    distance = np.zeros(labels.shape)
    y, x = np.nonzero(where)
    offsets = sorted((int(dy**2 + dx**2), dy, dx) for dy, dx in np.argwhere(disk) - reach)
    for squared, dy, dx in offsets:
        found = cells[y + reach + dy, x + reach + dx]
        distance[y[found], x[found]] = np.sqrt(squared)
        y, x = y[~found], x[~found]
        if not len(y):
            break
    return distance
