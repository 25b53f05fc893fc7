"""How much memory and work a tile takes, how much memory is free, and the tile that follows."""

from __future__ import annotations

import weakref
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from napari_unet.core.leanpass import lean_pass
from napari_unet.core.tiles import smallest_output
from napari_unet.core.unet import UNet, valid_size
from napari_unet.engine.cgroups import groups, memory_left
from napari_unet.engine.segmenter import Segmenter

__all__ = ["Cost", "cost_of_pass", "free_memory", "largest_output"]

SHARE = {"cpu": 0.4, "mps": 0.5, "cuda": 0.8}
"""Of the free memory, what a tile may take: on a CPU other programs live from it too."""

LARGEST = {"cpu": 1028, "mps": 1028, "cuda": 2052}
"""Output side of an automatic tile, however much memory there is: results come tile by tile."""

CPU_WORK, CPU_LEAST = 128e9, 516
"""On a CPU a tile takes at most so many operations, about a second; but has at least this side."""

GAPS, MOST_GAPS = 0.4, 40 << 20
"""What a process grows by beyond the tensors that live in it: this share of them, up to so many
bytes (small pieces that are freed stay with the process, and weights are brought into the order of
the library that convolves). Measured; `tests/benchmarks/forward.py`."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a forward pass without gradients takes.

    Attributes
    ----------
    bytes : int
        Peak of the memory that the process grows by, without the network's weights.
    operations : int
        Floating point operations of the convolutions (a multiplication and an addition are two).
    """

    bytes: int
    operations: int


@lru_cache(maxsize=256)
def cost_of_pass(
    in_channels: int,
    n_classes: int,
    base_channels: int,
    depth: int,
    shape: tuple[int, int],
    *,
    in_strips: bool = True,
    item: int = 4,
) -> Cost:
    """Follow a forward pass on tensors that have shapes but no content.

    Parameters
    ----------
    in_channels, n_classes, base_channels, depth : int
        Of the `UNet`.
    shape : (int, int)
        (Y, X) of the input: a legal size.
    in_strips : bool
        As a CPU computes it.
    item : int
        Bytes per number: 4, or 2 where the network runs in 16 bits.
    """
    dtype = torch.float32 if item == 4 else torch.bfloat16
    network = _without_content(in_channels, n_classes, base_channels, depth, dtype)
    with torch.inference_mode(), _Meter() as meter:
        image = torch.empty(1, in_channels, *shape, dtype=dtype, device="meta")
        lean_pass(network, image, in_strips=in_strips)
    gaps = int(min(GAPS * meter.peak, MOST_GAPS))
    return Cost(meter.peak + gaps, meter.operations)


@lru_cache(maxsize=8)
def _without_content(
    in_channels: int, n_classes: int, base_channels: int, depth: int, dtype: torch.dtype
) -> UNet:
    with torch.device("meta"):
        return UNet(in_channels, n_classes, base_channels, depth).eval().to(dtype)


def largest_output(segmenter: Segmenter, device: torch.device, free: int | None = None) -> int:
    """Return the output side of an automatic tile, in network pixels.

    Parameters
    ----------
    segmenter : Segmenter
        Its architecture counts.
    device : torch.device
        Where its network runs.
    free : int, optional
        Bytes that are free there; by default as they are now.
    """
    kind = device.type
    room = SHARE[kind] * (free_memory(device) if free is None else free)

    def fits(output: int) -> bool:
        side = valid_size(output + segmenter.context, segmenter.depth)
        cost = cost_of_pass(
            segmenter.in_channels,
            segmenter.n_classes,
            segmenter.base_channels,
            segmenter.depth,
            (side, side),
            in_strips=kind == "cpu",
            item=2 if kind == "cuda" else 4,
        )
        quick = kind != "cpu" or output <= CPU_LEAST or cost.operations <= CPU_WORK
        return cost.bytes <= room and quick

    sides = _sides(LARGEST[kind], segmenter.stride)
    if fits(sides[0]):
        return sides[0]
    return sides[min(bisect_left(sides, True, key=fits), len(sides) - 1)]


def _sides(largest: int, stride: int) -> list[int]:
    """Return output sides, largest first, in steps of a sixteenth: what lies between is no gain."""
    least = smallest_output(stride)
    sides = [max(largest // stride * stride + 4, least)]
    while sides[-1] > least:
        side = (sides[-1] - 4) * 15 // 16 // stride * stride + 4
        if side < CPU_LEAST < sides[-1]:
            side = (CPU_LEAST - 4) // stride * stride + 4
        sides.append(max(side, least))
    return sides


def free_memory(device: torch.device) -> int:
    """Return the bytes of memory that are free on a device, as far as this process may use them."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved, used = torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device)
        return int(free + reserved - used)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return min(int(psutil.virtual_memory().available), *map(memory_left, groups()))


Shape = Sequence[int]


def _convolution(image: Shape, kernels: Shape) -> tuple[Shape, int]:
    """Return the shape of what a layer of the `UNet` returns, and its operations."""
    height, width = image[2] - kernels[2] + 1, image[3] - kernels[3] + 1
    shape = (image[0], kernels[0], height, width)
    return shape, 2 * prod(shape) * prod(kernels[1:])


def _up_convolution(image: Shape, kernels: Shape) -> tuple[Shape, int]:
    shape = (image[0], kernels[1], image[2] * kernels[2], image[3] * kernels[3])
    return shape, 2 * prod(image) * prod(kernels[1:])


def _pooling(image: Shape, _: Shape) -> tuple[Shape, int]:
    return (image[0], image[1], image[2] // 2, image[3] // 2), 0


LAYERS: dict[Any, Callable[[Shape, Shape], tuple[Shape, int]]] = {
    torch.conv2d: _convolution,
    torch.conv_transpose2d: _up_convolution,
    F.max_pool2d: _pooling,
}
"""Torch is not asked for these shapes: it reasons about them with symbols, which takes half a
second of every new process to load."""


class _Meter(TorchFunctionMode):
    """Counts the bytes of the tensors that are alive, and the operations of convolutions.

    A `TorchDispatchMode`, which could do the same, brings torch's compiler: most of a second in a
    process that does not need it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.operations = 0
        self._alive: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        layer = LAYERS.get(func)
        if layer is None:
            result = func(*args, **(kwargs or {}))
        else:
            shape, operations = layer(args[0].shape, getattr(args[1], "shape", ()))
            self.operations += operations
            result = args[0].new_empty(shape)
        if isinstance(result, torch.Tensor):
            self._see(result.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        """Hold new memory until it is freed; a view, or what was changed in place, has none."""
        if storage not in self._alive:
            self._alive.add(storage)
            self._hold(storage.nbytes())
            weakref.finalize(storage, self._hold, -storage.nbytes())

    def _hold(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)
