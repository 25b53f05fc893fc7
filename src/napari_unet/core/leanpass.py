"""The forward pass of a U-Net without gradients: strip by strip, with little memory.

Feature maps of the first levels are large: written, they leave the cache, and new memory for them
costs as much time as a convolution. So a level is computed in strips of rows, and what is kept of
a strip is only what is needed later: the crop that is copied to the other side, and the pooled
rows::

    image rows a ... b + 4 ── conv ─ conv ──► rows a ... b of the level ── crop ──► skip
                                                                       └── pool ──► next level

    skip rows a ... b + 4 ─┐
    up-convolved rows ─────┴─ joint ─ conv ─ conv ──► rows a ... b of the result

Neighbouring strips compute four rows twice. A pixel is the same sum in the same order, so the
result is bit for bit that of `UNet.forward` wherever the library that convolves adds in the same
order for strips (it does from `ROWS` rows on; that is measured and tested, not promised by it).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from napari_unet.core.unet import UNet

__all__ = ["ROWS", "lean_pass", "skip_sides", "strips"]

Cut: TypeAlias = Callable[[int], Iterator[tuple[int, int]]]

ROWS = 128
"""Least rows of a strip."""


def lean_pass(network: UNet, image: Tensor, *, in_strips: bool) -> Tensor:
    """Map images (N, C, Y, X) to logits (N, K, Y - context, X - context).

    Parameters
    ----------
    network : UNet
        In evaluation mode: there is no dropout.
    image : Tensor
        Of a legal size.
    in_strips : bool
        False: all rows are one strip, which a GPU wants.
    """
    cut = strips if in_strips else _one_strip
    skips: list[Tensor] = []
    shapes = list(zip(*(skip_sides(n, network.depth) for n in image.shape[2:]), strict=True))
    x = image
    for block, shape in zip(network.down, shapes, strict=True):
        skip, x = _contract(block, x, shape, cut)
        skips.append(skip)
    x = _apply(network.bottom, x)
    for level, (up, merge) in enumerate(zip(network.up, network.merge, strict=True), start=1):
        head = network.head if level == network.depth else None
        x = _expand(up, merge, head, skips, x, cut)
    return x


def skip_sides(size: int, depth: int) -> list[int]:
    """Return the side of the cropped skip of each level, from the first to the last."""
    side = size
    for _ in range(depth):
        side = (side - 4) // 2
    sides = []
    for _ in range(depth):
        side = 2 * (side - 4)
        sides.append(side)
    return sides[::-1]


def strips(rows: int) -> Iterator[tuple[int, int]]:
    """Cut an even number of rows into strips of even length, at least `ROWS` where possible."""
    count = max(1, rows // ROWS)
    edges = [rows * index // (2 * count) * 2 for index in range(count + 1)]
    yield from itertools.pairwise(edges)


def _contract(
    block: nn.Module, x: Tensor, shape: tuple[int, int], cut: Cut
) -> tuple[Tensor, Tensor]:
    """Return the cropped skip (N, C, *shape) and the pooled map of one level of the left side."""
    height, width = x.shape[2] - 4, x.shape[3] - 4
    top, left = (height - shape[0]) // 2, (width - shape[1]) // 2
    skip = pooled = None
    for start, stop in cut(height):
        rows = _apply(block, x[:, :, start : stop + 4])
        if skip is None or pooled is None:
            skip = _empty(rows, rows.shape[1], shape)
            pooled = _empty(rows, rows.shape[1], (height // 2, width // 2))
        low, high = max(start, top), min(stop, top + shape[0])
        if low < high:
            crop = rows[:, :, low - start : high - start, left : left + shape[1]]
            skip[:, :, low - top : high - top] = crop
            del crop
        pooled[:, :, start // 2 : stop // 2] = F.max_pool2d(rows, 2)
        del rows  # or it would stay alive while the next strip is computed
    assert skip is not None
    assert pooled is not None
    return skip, pooled


def _expand(
    up: nn.Module,
    merge: nn.Module,
    head: nn.Module | None,
    skips: list[Tensor],
    x: Tensor,
    cut: Cut,
) -> Tensor:
    """Return one level of the right side, or the logits; takes the last skip."""
    skip = skips.pop()
    channels, height, width = skip.shape[1:]
    result = None
    for start, stop in cut(height - 4):
        rows = _empty(skip, 2 * channels, (stop + 4 - start, width))
        rows[:, :channels] = skip[:, :, start : stop + 4]
        rows[:, channels:] = up(x[:, :, start // 2 : stop // 2 + 2])
        for layer in (*merge.children(), *([head] if head else [])):
            rows = layer(rows)  # here, and not in a function: nothing else holds the joint map
        if (start, stop) == (0, height - 4):
            return rows
        if result is None:
            result = _empty(rows, rows.shape[1], (height - 4, width - 4))
        result[:, :, start:stop] = rows
        del rows
    assert result is not None
    return result


def _apply(layers: nn.Module, x: Tensor) -> Tensor:
    for layer in layers.children():
        x = layer(x)
    return x


def _one_strip(rows: int) -> Iterator[tuple[int, int]]:
    yield 0, rows


def _empty(like: Tensor, channels: int, shape: tuple[int, int]) -> Tensor:
    last = like.is_contiguous(memory_format=torch.channels_last)
    return torch.empty(
        (len(like), channels, *shape),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )
