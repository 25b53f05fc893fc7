"""The boundary weight map of Ronneberger et al. 2015, section 3, equation 2.

The exponential is cut off where it is below float32 resolution: it is exactly 0 from `reach` on.
So a weight depends on the labels near it only: after a stroke `boundary_weights_in` computes just
what is `around` it, and a large map is made part by part. The time follows the number of pixels
near cells, whatever the number of cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.borderterm import border_term, parts, reach
from napari_unet.core.given import check_pixels
from napari_unet.core.tiles import lengths, widened, within
from napari_unet.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "around",
    "boundary_weight_map",
    "boundary_weights_in",
    "separate_touching",
]

Ignore = int | NDArray[np.bool_] | None

PART = 1 << 19
"""Pixels that are computed at once: 30 MB are in use meanwhile, in 3D more for what is around."""


def boundary_weight_map(
    labels: NDArray[np.integer],
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: bool = True,
    spacing: float | Sequence[float] | None = None,
    ignore: int | NDArray[np.bool_] | None = None,
    device: torch.device | str | None = None,
) -> NDArray[np.float32]:
    """Compute ``w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))``.

    This is equation 2 of Ronneberger et al. 2015 (section 3).
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
    device : torch.device or str, optional
        Where torch is to compute the distances, e.g. "cuda". By default numba does on the CPU,
        with one thread. The map is bit for bit the same.

    Returns
    -------
    float32 array
        The weights, of the shape of ``labels``.

    Raises
    ------
    InputError
        If ``labels`` is not an integer array or holds negative values that are not ignored, or
        ``w0``, ``sigma``, ``spacing`` or ``ignore`` does not fit.
    DeviceError
        If torch cannot use ``device``.
    """
    labels = _checked(labels, w0, sigma)
    ignore = _checked_ignore(ignore, labels.shape)
    class_weight = _balance_of_cells(labels, ignore) if class_weights else None
    whole = tuple(slice(0, n) for n in labels.shape)
    return _weights(labels, whole, w0, sigma, spacing, ignore, device, class_weight)


def boundary_weights_in(
    labels: NDArray[np.integer],
    box: Sequence[slice],
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    spacing: float | Sequence[float] | None = None,
    ignore: int | NDArray[np.bool_] | None = None,
    device: torch.device | str | None = None,
) -> NDArray[np.float32]:
    """Compute the weights of a box only, with ``w_c = 1``.

    Bit for bit ``boundary_weight_map(labels, class_weights=False, ...)[box]``, in the time that the
    box takes: only the labels `around` it are looked at. Balancing the classes would need all.

    Parameters
    ----------
    labels, w0, sigma, spacing, ignore, device
        As for `boundary_weight_map`.
    box : sequence of slice
        One slice of step 1 for each axis.

    Returns
    -------
    float32 array
        The weights, of the shape of the box.

    Raises
    ------
    InputError, DeviceError
        As for `boundary_weight_map`, or if ``box`` does not fit.
    """
    labels = _checked(labels, w0, sigma)
    box = _checked_box(box, labels.shape)
    ignore = _checked_ignore(ignore, labels.shape)
    return _weights(labels, box, w0, sigma, spacing, ignore, device)


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
    return widened(box, margins, margins, shape)


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


def _balance_of_cells(labels: NDArray[np.integer], ignore: Ignore) -> NDArray[np.float32]:
    """Return the weights of background and cells."""
    counts = np.zeros(2, dtype=np.int64)
    for part in parts(tuple(slice(0, n) for n in labels.shape), PART):
        # the border between two cells is seen at the pixel before it
        near = around(part, labels.shape, w0=0, sigma=1)
        cells = _cells(labels, near, ignore)[within(part, near)]
        unlabelled = _unlabelled(labels, part, ignore)
        known = cells.size - (0 if unlabelled is None else np.count_nonzero(unlabelled))
        found = np.count_nonzero(cells)
        counts += known - found, found
    present, weights = counts > 0, np.zeros(2, dtype=np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present].astype(np.float64))
    return weights


def _weights(
    labels: NDArray[np.integer],
    box: tuple[slice, ...],
    w0: float,
    sigma: float,
    spacing: float | Sequence[float] | None,
    ignore: Ignore,
    device: torch.device | str | None,
    class_weight: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the weights of a box; nothing but the result is of its size."""
    steps = _spacing(spacing, labels.ndim)
    weights = np.empty(lengths(box), dtype=np.float32)
    for part in parts(box, PART):
        near = around(part, labels.shape, w0=w0, sigma=sigma, spacing=steps)
        inside = within(part, near)
        cells = _cells(labels, near, ignore)
        term = border_term(cells, inside, w0, sigma, steps, device)
        if class_weight is None:
            term += 1
        else:
            term += np.where(cells[inside] > 0, class_weight[1], class_weight[0])
        unlabelled = _unlabelled(labels, part, ignore)
        if unlabelled is not None:
            term[unlabelled] = 0
        weights[within(part, box)] = term
    return weights


def _unlabelled(
    labels: NDArray[np.integer], box: tuple[slice, ...], ignore: Ignore
) -> NDArray[np.bool_] | None:
    if ignore is None:
        return None
    if isinstance(ignore, np.ndarray):
        return ignore[box].astype(bool, copy=False)
    return np.asarray(labels[box] == ignore)


def _cells(
    labels: NDArray[np.integer], box: tuple[slice, ...], ignore: Ignore
) -> NDArray[np.integer]:
    unlabelled = _unlabelled(labels, box, ignore)
    labels = labels[box] if unlabelled is None else np.where(unlabelled, 0, labels[box])
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
    check_pixels("labels", labels, "read_labels")
    labels = np.asarray(labels)
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim == 0:
        raise InputError(
            f"A boundary weight map is made from an integer label image; this one has dtype "
            f"{labels.dtype} and shape {labels.shape}."
        )
    if not 0 < sigma < math.inf or not 0 <= w0 < math.inf:
        raise InputError(f"w0 = {w0} and sigma = {sigma}; give w0 >= 0 and sigma > 0.")
    return labels


def _checked_ignore(ignore: Ignore, shape: tuple[int, ...]) -> Ignore:
    if ignore is None or (isinstance(ignore, (int, np.integer)) and not isinstance(ignore, bool)):
        return ignore
    mask = np.asarray(ignore)
    if mask.shape != shape:
        raise InputError(
            f"ignore has shape {mask.shape}, the labels have {shape}; give a mask of the "
            f"same shape, or the label value to ignore."
        )
    return mask


def _spacing(spacing: float | Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    values = np.asarray(1.0 if spacing is None else spacing, dtype=float)
    if values.shape not in ((), (ndim,)) or not (np.isfinite(values) & (values > 0)).all():
        raise InputError(f"spacing = {spacing}; give {ndim} positive distances between pixels.")
    return tuple(np.broadcast_to(values, ndim).tolist())
