"""The working resolution: the network sees the image block-averaged by an integer factor.

Block means go in, linearly interpolated probabilities come out. Both are computed element by
element in a fixed order, so a result does not depend on how the image was cut into tiles.
`napari_unet.core.coarseness` chooses the factor.

Coarse pixel ``j`` is the mean of pixels ``j f ... j f + f - 1``; its centre lies at
``j f + (f - 1) / 2``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.normalise import as_float32
from napari_unet.core.tiles import mirror_indices, read_mirrored

__all__ = [
    "coarse_box",
    "coarse_pixels",
    "coarse_shape",
    "coarsen",
    "coarsen_labels",
    "read_coarse",
    "refine",
]


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
