"""Overlap-tile geometry: where a valid network reads, and which pixels of its output are final.

One axis, a tile of a network that loses ``context`` pixels (half on each side)::

        image             0 ─────────────────────────────────────────────── n
        read      ├─ c/2 ─┤                                 ├─ c/2 ─┤
                  start - c/2 ........................ start + output + c/2
        output            ├──────────── output ─────────────┤     output = step + 4
        write              ├─────────── step ────────────┤        from start + 1 to start + 1 + step
                          start                           (the first tile also writes pixel 0,
                                                           the last one writes to the end)

``start`` is always a multiple of the network's stride ``2**depth``, so every tile meets the same
2x2 pooling grid as one pass over the whole image, and the tiled result *is* the whole result. The
paper's own stride of 388 pixels is not a multiple of 16 and is not exact. Reads beyond the image
are answered by mirroring it without repeating the edge pixel ("the missing context is
extrapolated by mirroring the input image", Fig. 2), as often as needed, from 1 x 1 pixels up.

A pixel of output is left over at both ends of a tile so that the probabilities of a coarse
working resolution can be interpolated up to each seam from one tile alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError

__all__ = [
    "Tile",
    "halve",
    "lengths",
    "mirror_indices",
    "parts_of",
    "read_mirrored",
    "smallest_output",
    "tile_grid",
    "tiles_over",
    "widened",
    "within",
]

SMALLEST = 5
"""Fewest strides that a tile moves on by. On maps narrower than nine pixels the library of
convolutions adds in another order, and the tiles would differ from the whole by 3e-5."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile, in pixels of the image (negative and beyond the end: mirrored).

    Attributes
    ----------
    read : tuple of slice
        What the network sees.
    output : tuple of slice
        What the network then knows; ``output[axis].start`` is a multiple of the stride.
    write : tuple of slice
        The part of the image that this tile alone decides; the writes of a grid are disjoint and
        cover the image. ``result[tile.write] = network(image[tile.read])[tile.crop]``.
    """

    read: tuple[slice, ...]
    output: tuple[slice, ...]
    write: tuple[slice, ...]

    @property
    def crop(self) -> tuple[slice, ...]:
        """The part of the network's output that is written."""
        return within(self.write, self.output)


def tile_grid(
    shape: Sequence[int], *, output: int | Sequence[int], context: int, stride: int
) -> list[Tile]:
    """Cut an image into equal, balanced, stride-aligned tiles.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the image, any number of axes, each side >= 1.
    output : int or sequence of int
        Largest output side of a tile (per axis) in pixels, >= stride + 4. The sides used are
        balanced: no tile is mostly padding, and all tiles of a grid have one shape.
    context : int
        Pixels that the network loses per axis (even).
    stride : int
        Period of the network's pooling grid.

    Returns
    -------
    list of Tile
        In row-major order.

    Raises
    ------
    InputError
        If a side is 0 or a tile would be smaller than ``stride + 4``.
    """
    if not shape or any(n < 1 for n in shape):
        raise InputError(f"An image of shape {tuple(shape)} has no pixels; give at least 1 x 1.")
    outputs = [output] * len(shape) if isinstance(output, int) else list(output)
    if min(outputs) < stride + 4:
        raise InputError(
            f"A tile output of {min(outputs)} pixels is too small; this network needs {stride + 4}."
        )
    axes = [_cut(n, limit, context, stride) for n, limit in zip(shape, outputs, strict=True)]
    return [Tile(*zip(*spans, strict=True)) for spans in itertools.product(*axes)]


def tiles_over(box: Sequence[slice], *, output: int, context: int, stride: int) -> list[Tile]:
    """Cut a part of an image into tiles that give exactly the pixels of the whole.

    Parameters
    ----------
    box : sequence of slice
        The part, in pixels of the image; the writes cover it once.
    output, context, stride : int
        As for `tile_grid`.

    Returns
    -------
    list of Tile
        In row-major order. The first ones begin at a multiple of the stride, at or before the box.
    """
    axes = []
    for span in box:
        # not narrower than tiles of the whole would be
        first = min(span.start, span.stop - smallest_output(stride))
        start = max(first, 0) // stride * stride
        tiles = []
        for _, out, write in _cut(span.stop - start, output, context, stride):
            kept = slice(max(write.start + start, span.start), write.stop + start)
            if kept.start < kept.stop:
                step = out.stop - out.start - 4
                tiles.append(_span(out.start + start, step, kept, context))
        axes.append(tiles)
    return [Tile(*zip(*spans, strict=True)) for spans in itertools.product(*axes)]


def lengths(box: Sequence[slice]) -> tuple[int, ...]:
    """Return how many pixels a box has along each axis."""
    return tuple(span.stop - span.start for span in box)


def widened(
    box: Sequence[slice], before: Sequence[int], after: Sequence[int], shape: Sequence[int]
) -> tuple[slice, ...]:
    """Return a box with so many more pixels before and after it, as far as the image has them.

    Parameters
    ----------
    box : sequence of slice
        Of an image of this shape.
    before, after : sequence of int
        Pixels, for each axis.
    shape : sequence of int
        Of the image.
    """
    return tuple(
        slice(max(span.start - low, 0), min(span.stop + high, n))
        for span, low, high, n in zip(box, before, after, shape, strict=True)
    )


def within(region: Sequence[slice], box: Sequence[slice]) -> tuple[slice, ...]:
    """Return where a region of an image lies in an array that holds a box of it."""
    return tuple(
        slice(r.start - b.start, r.stop - b.start) for r, b in zip(region, box, strict=True)
    )


def parts_of(box: Sequence[slice], side: int) -> list[tuple[slice, ...]]:
    """Cut a box into parts of at most ``side`` pixels a side, row by row from where it starts."""
    axes = (
        [slice(start, min(start + side, span.stop)) for start in range(span.start, span.stop, side)]
        for span in box
    )
    return list(itertools.product(*axes))


def _cut(n: int, limit: int, context: int, stride: int) -> list[tuple[slice, slice, slice]]:
    largest = (limit - 4) // stride * stride
    body = max(n - 4, 1)  # the last tile writes its four spare pixels too
    count = -(-body // largest)
    step = -(-body // (count * stride)) * stride
    count = -(-body // step)
    spans = []
    for index in range(count):
        start = index * step
        first, last = index == 0, index == count - 1
        write = slice(0 if first else start + 1, n if last else start + 1 + step)
        spans.append(_span(start, step, write, context))
    return spans


def smallest_output(stride: int) -> int:
    """Return the smallest limit for `tile_grid` that keeps every tile exact.

    Balanced tiles can be little more than half as large as their limit.
    """
    return (2 * SMALLEST - 1) * stride + 4


def halve(tile: Tile, *, context: int, stride: int) -> list[Tile]:
    """Cut a tile into smaller ones that together write the same pixels, just as exactly.

    Parameters
    ----------
    tile : Tile
        Of `tile_grid`, or of an earlier cut.
    context, stride : int
        As for `tile_grid`.

    Returns
    -------
    list of Tile
        Two tiles for each axis along which both halves are large enough, multiplied; only the tile
        itself if there is no such axis.
    """
    axes = []
    for output, write in zip(tile.output, tile.write, strict=True):
        step = output.stop - output.start - 4
        if step < 2 * SMALLEST * stride:
            axes.append([_span(output.start, step, write, context)])
            continue
        half = -(-step // (2 * stride)) * stride
        middle = output.start + half
        seam = min(middle + 1, write.stop)
        axes.append(
            [
                _span(output.start, half, slice(write.start, seam), context),
                _span(middle, step - half, slice(seam, write.stop), context),
            ]
        )
    return [Tile(*zip(*spans, strict=True)) for spans in itertools.product(*axes)]


def _span(start: int, step: int, write: slice, context: int) -> tuple[slice, slice, slice]:
    output = slice(start, start + step + 4)
    return slice(start - context // 2, output.stop + context // 2), output, write


def mirror_indices(start: int, stop: int, n: int) -> NDArray[np.intp]:
    """Return the image indices that ``start ... stop - 1`` read, mirrored into ``0 ... n - 1``.

    The edge pixel is not repeated (NumPy's ``reflect``): -1 reads 1, n reads n - 2, with period
    2 (n - 1); a single pixel is repeated.
    """
    if n == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (n - 1)
    index = np.arange(start, stop) % period
    mirrored: NDArray[np.intp] = np.minimum(index, period - index)
    return mirrored


def read_mirrored(image: NDArray[np.generic], read: Sequence[slice]) -> NDArray[np.generic]:
    """Read a box that may reach beyond the image, mirrored.

    Parameters
    ----------
    image : array
        (..., *spatial); leading axes are kept. Only the pixels that are needed are touched.
    read : sequence of slice
        One slice per trailing axis, start and stop in pixels, possibly outside the image.

    Returns
    -------
    array
        (..., *lengths), of the image's dtype.
    """
    lead = image.ndim - len(read)
    boxes, mirrored = [], {}
    for axis, span in enumerate(read, start=lead):
        index = mirror_indices(span.start, span.stop, image.shape[axis])
        low, high = int(index.min()), int(index.max()) + 1
        boxes.append(slice(low, high))
        if (low, high) != (span.start, span.stop):
            mirrored[axis] = index - low
    # one read for all axes: of a chunked array, only the chunks under the box are decoded
    block = np.asarray(image[(slice(None),) * lead + tuple(boxes)])
    for axis, index in mirrored.items():
        block = np.take(block, index, axis=axis)
    return block
