"""The boundary weight map of Ronneberger et al. 2015, section 3, equation 2.

The exponential is cut off where it is below float32 resolution: it is exactly 0 from `reach` on.
So the cost follows the painted area, not cells times pixels, and a weight depends on the labels
near it only: after a stroke `boundary_weights_in` computes just what is `around` it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.borderterm import border_term, reach, relative
from napari_unet.errors import InputError

__all__ = [
    "around",
    "balanced_class_weights",
    "boundary_weight_map",
    "boundary_weights_in",
    "reach",
    "separate_touching",
]


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
    cells = _cells(labels, unlabelled)
    whole = tuple(slice(0, n) for n in labels.shape)
    weights = border_term(cells, whole, w0, sigma, _spacing(spacing, labels.ndim))
    if class_weights:
        weights += balanced_class_weights((cells > 0).astype(np.uint8), unlabelled)
    else:
        weights += 1
    if unlabelled is not None:
        weights[unlabelled] = 0
    return weights


def boundary_weights_in(
    labels: NDArray[np.integer],
    box: Sequence[slice],
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    spacing: float | Sequence[float] | None = None,
    ignore: int | NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Compute the weights of a box only, with ``w_c = 1``.

    Bit for bit ``boundary_weight_map(labels, class_weights=False, ...)[box]``, in the time that the
    box takes: only the labels `around` it are looked at. Balancing the classes would need all.

    Parameters
    ----------
    labels, w0, sigma, spacing, ignore
        As for `boundary_weight_map`.
    box : sequence of slice
        One slice of step 1 for each axis.

    Returns
    -------
    float32 array
        The weights, of the shape of the box.

    Raises
    ------
    InputError
        As for `boundary_weight_map`, or if ``box`` does not fit.
    """
    labels = _checked(labels, w0, sigma)
    box = _checked_box(box, labels.shape)
    unlabelled = _ignored(labels, ignore)
    near = around(box, labels.shape, w0=w0, sigma=sigma, spacing=spacing)
    inside = relative(box, near)
    cells = _cells(labels[near], None if unlabelled is None else unlabelled[near])
    weights = border_term(cells, inside, w0, sigma, _spacing(spacing, labels.ndim))
    weights += 1
    if unlabelled is not None:
        weights[unlabelled[box]] = 0
    return weights


def around(
    box: Sequence[slice],
    shape: Sequence[int],
    *,
    w0: float,
    sigma: float,
    spacing: float | Sequence[float] | None = None,
) -> tuple[slice, ...]:
    """Return the pixels whose labels count for the weights of a box.

    The other way round, these are the pixels whose weights may change when labels in the box do.

    Parameters
    ----------
    box : sequence of slice
        Start and stop along each axis.
    shape : sequence of int
        Of the whole label image; nothing lies outside.
    w0, sigma, spacing
        As for `boundary_weight_map`.
    """
    distance = reach(w0, sigma)
    # one pixel more: whether a pixel separates two cells is seen at the pixel before it
    margins = [math.ceil(distance / step) + 1 for step in _spacing(spacing, len(shape))]
    return tuple(
        slice(max(span.start - margin, 0), min(span.stop + margin, n))
        for span, margin, n in zip(box, margins, shape, strict=True)
    )


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


def _cells(
    labels: NDArray[np.integer], unlabelled: NDArray[np.bool_] | None
) -> NDArray[np.integer]:
    if unlabelled is not None:
        labels = np.where(unlabelled, 0, labels)
    if labels.size and labels.min() < 0:
        raise InputError(
            f"The labels hold {labels.min()}; cells are positive. Pass `ignore` for those that are "
            f"not labelled."
        )
    return separate_touching(labels)


def _checked_box(box: Sequence[slice], shape: tuple[int, ...]) -> tuple[slice, ...]:
    spans = [span.indices(n) for span, n in zip(box, shape, strict=False)]
    if len(box) != len(shape) or any(step != 1 or stop < start for start, stop, step in spans):
        raise InputError(
            f"box = {tuple(box)} does not fit labels of shape {shape}; give {len(shape)} slices "
            f"of step 1."
        )
    return tuple(slice(start, stop) for start, stop, _ in spans)


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
