"""The boundary weight map of Ronneberger et al. 2015, section 3, equation 2.

The cost follows the painted area, not cells times pixels: beyond ``reach`` pixels of a cell its
share of the exponential is below float32 resolution, so each cell needs a distance transform of
its own neighbourhood only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.errors import InputError

__all__ = ["balanced_class_weights", "boundary_weight_map", "separate_touching"]


def boundary_weight_map(
    labels: NDArray[np.integer],
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: bool = True,
    spacing: float | Sequence[float] | None = None,
    ignore: int | NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Compute ``w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))``.

    ``d1`` and ``d2`` are the distances from ``x`` to the nearest and the second nearest cell (0
    inside a cell). Cells that touch are first separated by a one-pixel background border
    (`separate_touching`). With fewer than two cells the second term is 0.

    Parameters
    ----------
    labels : integer array
        Instances, any number of axes: 0 is background, every positive value one cell.
    w0 : float
        Height of the border term (the paper: 10).
    sigma : float
        Width of the border term, in units of ``spacing`` (the paper: about 5 pixels).
    class_weights : bool
        ``w_c`` balances background and foreground so that both weigh the same in total and a
        labelled pixel weighs 1 on average; otherwise ``w_c`` is 1.
    spacing : float or sequence of float, optional
        Distance between neighbouring pixels along each axis (anisotropic stacks), default 1.
    ignore : int or bool array, optional
        Pixels that are not labelled: those with this value, or those that are True. They get
        weight 0 and count neither as cell nor as background.

    Returns
    -------
    float32 array
        The weights, of the shape of ``labels``.

    Raises
    ------
    InputError
        If ``labels`` is not an integer array or holds negative values that are not ignored, or
        ``w0``, ``sigma``, ``spacing`` or ``ignore`` does not fit.
    """
    labels = _checked(labels, w0, sigma)
    unlabelled = _ignored(labels, ignore)
    if unlabelled is not None:
        labels = np.where(unlabelled, 0, labels)
    if labels.size and labels.min() < 0:
        raise InputError(
            f"The labels hold {labels.min()}; cells are positive. Pass `ignore` for those that are "
            f"not labelled."
        )
    cells = separate_touching(labels)
    weights = _border_term(cells, w0, sigma, _spacing(spacing, labels.ndim))
    if class_weights:
        weights += balanced_class_weights((cells > 0).astype(np.uint8), unlabelled)
    else:
        weights += 1
    if unlabelled is not None:
        weights[unlabelled] = 0
    return weights


def separate_touching(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Put a one-pixel background border between cells that share a face.

    Of two neighbouring pixels of different cells the later one (in memory order) becomes
    background, so the gap is one pixel wide and no two cells are left 4-connected (6 in 3D).
    """
    separated = labels.copy()
    for axis in range(labels.ndim):
        before = labels[(slice(None),) * axis + (slice(None, -1),)]
        after = labels[(slice(None),) * axis + (slice(1, None),)]
        touching = (before != after) & (before != 0) & (after != 0)
        separated[(slice(None),) * axis + (slice(1, None),)][touching] = 0
    return separated


def balanced_class_weights(
    classes: NDArray[np.integer], unlabelled: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return ``w_c``: every class present gets the same total weight, the mean weight is 1.

    Parameters
    ----------
    classes : integer array
        Class of each pixel, 0 ... K-1; values where ``unlabelled`` do not matter.
    unlabelled : bool array, optional
        Pixels that do not count and get weight 0.

    Returns
    -------
    float32 array
        Of the shape of ``classes``.
    """
    if unlabelled is not None:
        classes = np.where(unlabelled, 255, classes)
    counts = np.bincount(classes.ravel(), minlength=256).astype(np.float64)
    counts[255] = 0
    present = counts > 0
    table = np.zeros(len(counts), dtype=np.float32)
    table[present] = counts.sum() / (present.sum() * counts[present])
    weights: NDArray[np.float32] = table[classes]
    return weights


def _border_term(
    cells: NDArray[np.integer], w0: float, sigma: float, spacing: tuple[float, ...]
) -> NDArray[np.float32]:
    term = np.zeros(cells.shape, dtype=np.float32)
    if w0 <= 0:
        return term
    reach = sigma * math.sqrt(2 * math.log(max(w0, 1.0) / 1e-8))
    nearest = np.full(cells.shape, np.inf, dtype=np.float32)
    second = np.full(cells.shape, np.inf, dtype=np.float32)
    owner = np.zeros(cells.shape, dtype=cells.dtype)
    for cell, piece, box in _pieces(cells, [math.ceil(reach / s) for s in spacing]):
        distance = ndimage.distance_transform_edt(~piece, sampling=spacing).astype(np.float32)
        d1, d2, own = nearest[box], second[box], owner[box]
        # a cell in several pieces competes with other cells only, never with itself
        closer = distance < d1
        changed = closer & (own != cell)
        d2[changed] = d1[changed]
        d1[closer] = distance[closer]
        own[changed] = cell
        behind = ~closer & (own != cell) & (distance < d2)
        d2[behind] = distance[behind]
    near = np.isfinite(second)
    total = nearest[near] + second[near]
    term[near] = w0 * np.exp(-(total**2) / (2 * sigma**2))
    return term


def _pieces(
    cells: NDArray[np.integer], reach: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.bool_], tuple[slice, ...]]]:
    """Yield each connected piece of each cell: its id, its mask and the box it can matter in."""
    # separated cells share no face, so pieces of one component all have one id
    components, _ = ndimage.label(cells > 0)
    for index, extent in enumerate(ndimage.find_objects(components), start=1):
        box = tuple(
            slice(max(span.start - r, 0), min(span.stop + r, n))
            for span, r, n in zip(extent, reach, cells.shape, strict=True)
        )
        piece = components[box] == index
        inside = tuple(
            slice(span.start - b.start, span.stop - b.start)
            for span, b in zip(extent, box, strict=True)
        )
        yield int(cells[box][inside][piece[inside]][0]), piece, box


def _checked(labels: NDArray[np.integer], w0: float, sigma: float) -> NDArray[np.integer]:
    labels = np.asarray(labels)
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim == 0:
        raise InputError(
            f"A boundary weight map is made from an integer label image; this one has dtype "
            f"{labels.dtype} and shape {labels.shape}."
        )
    if not 0 < sigma < math.inf or not 0 <= w0 < math.inf:
        raise InputError(f"w0 = {w0} and sigma = {sigma}; give w0 >= 0 and sigma > 0.")
    return labels


def _ignored(
    labels: NDArray[np.integer], ignore: int | NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    if ignore is None:
        return None
    if isinstance(ignore, (int, np.integer)) and not isinstance(ignore, bool):
        return np.asarray(labels == ignore)
    mask = np.asarray(ignore, dtype=bool)
    if mask.shape != labels.shape:
        raise InputError(
            f"ignore has shape {mask.shape}, the labels have {labels.shape}; give a mask of the "
            f"same shape, or the label value to ignore."
        )
    return mask


def _spacing(spacing: float | Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    values = np.asarray(1.0 if spacing is None else spacing, dtype=float)
    if values.shape not in ((), (ndim,)) or not (np.isfinite(values) & (values > 0)).all():
        raise InputError(f"spacing = {spacing}; give {ndim} positive distances between pixels.")
    return tuple(np.broadcast_to(values, ndim).tolist())
