"""The working resolution: the network sees the image block-averaged by an integer factor.

A network of depth 3 looks about 90 pixels far. Cells much larger than that are learned better,
and ``factor ** 2`` times faster, on a coarser grid. Block means go in, linearly interpolated
probabilities come out. Both are computed element by element in a fixed order, so a result does
not depend on how the image was cut into tiles.

Coarse pixel ``j`` is the mean of pixels ``j f ... j f + f - 1``; its centre lies at
``j f + (f - 1) / 2``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.lookup import count_labels
from napari_unet.core.normalise import as_float32
from napari_unet.core.tiles import mirror_indices, read_mirrored

__all__ = [
    "FILLED",
    "TARGET_DIAMETER",
    "are_filled",
    "choose_factor",
    "coarse_box",
    "coarse_pixels",
    "coarse_shape",
    "coarsen",
    "coarsen_labels",
    "coarsest_factor",
    "read_coarse",
    "refine",
]

TARGET_DIAMETER = 46.0
"""Diameter in network pixels that objects should have at most, on average."""

FILLED = 0.7
"""Share of cells above which they fill an image: what is learned are the lines between them."""

MOST = 3
"""Factor that painted classes may always have: nobody painted the texture that tells them apart."""

SURVIVING = 0.95
"""Mean IoU of painted classes with what is left of them at a working resolution, at least."""

WINDOW = 512
"""Side in pixels of what is looked at of each class for that."""


def coarse_shape(shape: tuple[int, ...], factor: int) -> tuple[int, ...]:
    """Return the spatial shape at the working resolution (partial blocks count)."""
    return tuple(-(-n // factor) for n in shape)


def coarse_pixels(box: Sequence[slice], factor: int) -> tuple[slice, ...]:
    """Return the pixels of the working resolution that have a part in a box of the image."""
    return tuple(slice(span.start // factor, -(-span.stop // factor)) for span in box)


def coarse_box(box: tuple[slice, ...], factor: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return what of the working resolution `refine` needs for a box of an image of this shape.

    That reads the coarse pixel before each pixel and the next one, also where it lies on the first.
    """
    if factor == 1:
        return box
    middle = (factor - 1) / 2
    return tuple(
        slice(
            max(min(math.floor((span.start - middle) / factor), n - 2), 0),
            min(max(math.floor((span.stop - 1 - middle) / factor) + 2, 2), n),
        )
        for span, n in zip(box, coarse_shape(shape, factor), strict=True)
    )


def choose_factor(diameter: float, *, filled: bool = False) -> int:
    """Choose the factor from the typical diameter of the painted objects.

    Parameters
    ----------
    diameter : float
        In image pixels; 0 when nothing is known.
    filled : bool
        Whether the objects are cells that fill the image. The lines between them are thin, and
        half of the working resolution, with which it is averaged then, sees twice as far.

    Returns
    -------
    int
        The diameter in units of `TARGET_DIAMETER`, of twice that where filled, rounded; at least 1.
    """
    return max(1, math.floor(diameter / (TARGET_DIAMETER * (2 if filled else 1)) + 0.5))


def are_filled(planes: Iterable[NDArray[np.integer]]) -> bool:
    """Return whether cells, the numbers above 0, fill planes (Y, X) by more than `FILLED`."""
    counts = np.array([(np.count_nonzero(cells), cells.size) for cells in planes])
    cells, pixels = counts.sum(axis=0)
    return bool(cells > FILLED * pixels)


def coarsest_factor(planes: Sequence[NDArray[np.integer]], diameter: float) -> int:
    """Choose the factor of painted classes: the largest at which what is painted survives.

    Classes are stretches of any size and form, so no diameter tells how fine they are. What is not
    painted counts as one more class, so thin strokes keep the resolution that shows them.

    Parameters
    ----------
    planes : sequence of integer arrays
        (Y, X): 0 not labelled, 1 ... n classes. Of each class a window counts, in the middle of
        what is painted of it in the plane that has most of it.
    diameter : float
        Typical diameter of a painted piece in image pixels; where it asks for more than `MOST`,
        that is tried too.

    Returns
    -------
    int
        At least 1.
    """
    windows = _windows(planes)
    factors = range(max(MOST, choose_factor(diameter)), 1, -1) if windows else ()
    return next((factor for factor in factors if _surviving(windows, factor) >= SURVIVING), 1)


def _windows(planes: Sequence[NDArray[np.integer]]) -> list[NDArray[np.integer]]:
    """Return of each class the surroundings of what is painted of it, where most of it is."""
    most = max((int(labels.max(initial=0)) for labels in planes), default=0)
    counts = np.array([count_labels(labels, most) for labels in planes])
    windows = []
    for number in np.flatnonzero(counts[:, 1:].any(axis=0)) + 1:
        labels = planes[int(counts[:, number].argmax())]
        y, x = (_around_median(np.count_nonzero(labels == number, axis=axis)) for axis in (1, 0))
        windows.append(labels[y, x])
    return windows


def _around_median(counts: NDArray[np.integer]) -> slice:
    """Return a window around the middle one of so many pixels in every row."""
    middle = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    return slice(max(middle - WINDOW // 2, 0), middle + WINDOW // 2)


def _surviving(planes: Sequence[NDArray[np.integer]], factor: int) -> float:
    """Return the mean over classes of the IoU of what is painted and what a perfect model says."""
    both, either = np.zeros((2, 1 + max(int(labels.max()) for labels in planes)))
    for labels in planes:
        classes = np.unique(labels)  # of one that is not there, nothing is left either
        whole = (slice(0, labels.shape[0]), slice(0, labels.shape[1]))
        exact = (labels == classes[:, None, None]).astype(np.float32)
        kept = refine(coarsen(exact, factor), factor, (0, 0), whole, labels.shape).argmax(0)
        for index, (number, each) in enumerate(zip(classes, exact > 0, strict=True)):
            both[number] += np.count_nonzero(each & (kept == index))
            either[number] += np.count_nonzero(each | (kept == index))
    painted = either[1:] > 0
    return float(np.mean(both[1:][painted] / either[1:][painted]))


def coarsen(image: NDArray[np.generic], factor: int) -> NDArray[np.float32]:
    """Average blocks of ``factor`` pixels along the last two axes.

    Parameters
    ----------
    image : array
        (..., Y, X); a partial block at the far edge is completed by mirroring.
    factor : int
        Block side in pixels.

    Returns
    -------
    array of float32
        (..., ceil(Y / factor), ceil(X / factor)).
    """
    if factor == 1:
        return as_float32(image)
    height, width = coarse_shape(image.shape[-2:], factor)
    whole = read_mirrored(image, (slice(0, height * factor), slice(0, width * factor)))
    total = np.zeros((*image.shape[:-2], height, width), dtype=np.float32)
    # +inf and -inf in one block, or more than float32 holds: not finite, like the mean
    with np.errstate(invalid="ignore", over="ignore"):
        for dy in range(factor):  # a fixed order of additions: bit-equal for every crop
            for dx in range(factor):
                total += whole[..., dy::factor, dx::factor].astype(np.float32)
    total /= np.float32(factor * factor)
    return total


def read_coarse(
    image: NDArray[np.generic], read: Sequence[slice], factor: int
) -> NDArray[np.float32]:
    """Read a box of the working-resolution image, mirrored beyond its border.

    Parameters
    ----------
    image : array
        (C, Y, X) at full resolution; only the pixels that are needed are touched.
    read : (slice, slice)
        Start and stop on the working grid, possibly outside it.
    factor : int
        Block side in pixels.

    Returns
    -------
    float32 array
        (C, *lengths of read).
    """
    if factor == 1:
        return coarsen(read_mirrored(image, read), 1)
    boxes, indices = [], []
    for span, n in zip(read, coarse_shape(image.shape[1:], factor), strict=True):
        index = mirror_indices(span.start, span.stop, n)
        # one block more than is read: a partial last block is completed from the one before it
        low = max(int(index.min()) - 1, 0)
        boxes.append(slice(low * factor, (int(index.max()) + 1) * factor))
        indices.append(index - low)
    block = coarsen(image[:, boxes[0], boxes[1]], factor)
    return block[:, indices[0]][:, :, indices[1]]


def coarsen_labels(labels: NDArray[np.integer], factor: int) -> NDArray[np.integer]:
    """Reduce labels to the most frequent *nonzero-preferring* label of each block.

    A block takes the label that most of its pixels have, except that 0 only wins where it holds
    more than half of the block: thin strokes and thin cells survive.

    Parameters
    ----------
    labels : integer array
        (Y, X).
    factor : int
        Block side in pixels.

    Returns
    -------
    integer array
        (ceil(Y / factor), ceil(X / factor)), of the dtype of ``labels``.
    """
    if factor == 1:
        return labels
    height, width = coarse_shape(labels.shape, factor)
    edge = ((0, height * factor - labels.shape[0]), (0, width * factor - labels.shape[1]))
    blocks = np.pad(labels, edge, mode="edge").reshape(height, factor, width, factor)
    members = np.sort(blocks.transpose(0, 2, 1, 3).reshape(height, width, -1), axis=-1)
    # length of the run of equal labels that ends at each member
    run = np.ones(members.shape, dtype=np.int32)
    for k in range(1, members.shape[-1]):
        run[..., k] += run[..., k - 1] * (members[..., k] == members[..., k - 1])
    run[(members == 0) & (run * 2 <= factor * factor)] = 0
    winner = run.argmax(axis=-1)
    result: NDArray[np.integer] = np.take_along_axis(members, winner[..., None], axis=-1)[..., 0]
    return result


def refine(
    coarse: NDArray[np.float32],
    factor: int,
    origin: tuple[int, int],
    box: tuple[slice, slice],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Interpolate probabilities linearly from the working resolution to image pixels.

    Parameters
    ----------
    coarse : array of float32
        (K, h, w), the working-resolution pixels from ``origin`` on.
    factor : int
        Image pixels per working-resolution pixel.
    origin : (int, int)
        Position of ``coarse[:, 0, 0]`` on the working grid.
    box : (slice, slice)
        The image pixels wanted.
    shape : (int, int)
        Spatial shape of the whole image; beyond its outermost block centres the outermost value
        is held.

    Returns
    -------
    array of float32
        (K, box height, box width).
    """
    for axis in (1, 2):
        span, n = box[axis - 1], coarse_shape(shape, factor)[axis - 1]
        position = (np.arange(span.start, span.stop) - (factor - 1) / 2) / factor
        position = np.clip(position, 0, n - 1)
        low = np.minimum(position.astype(np.intp), max(n - 2, 0))
        high = np.minimum(low + 1, n - 1)
        fraction = (position - low).astype(np.float32)
        fraction = fraction[:, None] if axis == 1 else fraction
        start = origin[axis - 1]
        coarse = np.take(coarse, low - start, axis=axis) * (1 - fraction) + fraction * np.take(
            coarse, high - start, axis=axis
        )
    return coarse
