"""Where on a plane the pixels of a patch are read: one flow, as coordinates or as whole pixels.

Rotation, mirroring, scale, shift and elastic displacement are added up on a coarse grid (`Move`),
and one field of coordinates is interpolated from its nodes. Whether a patch reaches beyond the
border of its plane, or is to be interpolated at all, is decided from those few numbers, so nobody
has to wait for the device of the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Flow", "Move", "Pixels", "bicubic_field", "pick", "reading"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Move:
    """How a patch lies on its plane: ``centre + matrix @ (y, x) + displacement``, in pixels.

    Attributes
    ----------
    shape : (int, int)
        Of the patch; its (y, x) are 0 in the middle.
    centre : (2,) array
        Where on the plane its middle lies.
    matrix : (2, 2) array
        Rotation, mirroring and scale.
    displacement : (2, g, g) array
        Elastic displacement (y, x) at the nodes of the coarse grid; g >= 2.
    """

    shape: tuple[int, int]
    centre: NDArray[np.float64]
    matrix: NDArray[np.float64]
    displacement: NDArray[np.float64]

    def corner(self) -> tuple[int, int] | None:
        """Return the first pixel read, if this is a shift by whole pixels, mirrored or not."""
        corner = self.centre - (np.array(self.shape) - 1) / 2
        bent = self.displacement.any() or not np.array_equal(np.abs(self.matrix), np.eye(2))
        return None if bent or (corner % 1).any() else (int(corner[0]), int(corner[1]))

    def nodes(self) -> NDArray[np.float64]:
        """Return where on the plane the nodes of the coarse grid lie: (2, g, g)."""
        grid = self.displacement.shape[1]
        y, x = (np.linspace((1 - n) / 2, (n - 1) / 2, grid) for n in self.shape)
        down, right = self.matrix.T[:, :, None, None]
        nodes: NDArray[np.float64] = down * y[:, None] + right * x + self.displacement
        return nodes + self.centre[:, None, None]


def reading(move: Move, plane: tuple[int, int], device: torch.device) -> Pixels | Flow:
    """Return how to read a patch from a plane.

    Parameters
    ----------
    move : Move
        How the patch lies.
    plane : (int, int)
        Shape of the plane; beyond it, it is mirrored without repeating its edge.
    device : torch.device
        Where the plane is.
    """
    corner = move.corner()
    return Flow(move, plane, device) if corner is None else Pixels(move, corner, plane, device)


class Pixels:
    """A patch shifted by whole pixels: each of its pixels is one of the plane, to the last bit."""

    def __init__(
        self, move: Move, corner: tuple[int, int], plane: tuple[int, int], device: torch.device
    ) -> None:
        y, x = (
            _mirrored(torch.arange(first, first + n, device=device), of)
            for first, n, of in zip(corner, move.shape, plane, strict=True)
        )
        self._y, self._x = y[:, None], x if move.matrix[1, 1] > 0 else x.flip(0)
        self._width = plane[1]

    def linear(self, values: Tensor, inner: slice) -> Tensor:
        """Read (C, Y, X) in a part of the patch."""
        return values[:, self._y[inner], self._x[inner]]

    def nearest(self, inner: slice) -> Tensor:
        """Return which pixel of the flattened plane each pixel of a part of the patch is."""
        return self._y[inner] * self._width + self._x[inner]


class Flow:
    """A patch read between the pixels of a plane, mirrored beyond its border.

    The coordinates are (x, y) in -1 ... 1 across a window that holds all that is read, because they
    are more precise than in a large plane. Along an axis on which the patch reaches beyond the
    border, the window is as long as the plane, so that both are mirrored in the same place::

        ┌ plane ─────────────┐        ┌ plane ─────────────┐
        │  ┌ window ┐        │        ├ window ────────────┤
        │  │   ╱╲   │        │        │                  ╱╲
        │  │  ╱  ╲  │        │        │                 ╱  ╲
        │  │  ╲  ╱  │        │        │                 ╲  ╱
        │  │   ╲╱   │        │        │                  ╲╱
        │  └────────┘        │        ├────────────────────┤
        └────────────────────┘        └────────────────────┘
    """

    def __init__(self, move: Move, plane: tuple[int, int], device: torch.device) -> None:
        nodes, size = move.nodes(), np.array(plane)
        first, last = _bounds(nodes)
        inside = (first >= 0) & (last <= size - 1)
        first = np.where(inside, np.floor(first), 0).astype(int)
        last = np.where(inside, np.ceil(last), size - 1).astype(int)
        self._window = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        self._plane, self._first = plane, int(first[0] * plane[1] + first[1])

        half = (last - first) / 2
        middle = first + half
        # one pixel has no extent to divide by
        nodes = (nodes - middle[:, None, None]) / np.maximum(half, 0.5)[:, None, None]
        numbers = np.hstack([half[:, None], nodes.reshape(2, -1)]).astype(np.float32)
        # CUDA has copied so few numbers when it returns, and need not wait for the GPU
        sent = torch.from_numpy(numbers[::-1].copy()).to(device, non_blocking=device.type == "cuda")
        self._half = sent[:, :1, None]
        self._grid = bicubic_field(sent[:, 1:].view(nodes.shape), move.shape)

    def linear(self, values: Tensor, inner: slice) -> Tensor:
        """Read (C, Y, X) in a part of the patch, interpolated linearly."""
        window = values[None, :, *self._window]
        grid = self._grid[None, :, inner, inner].permute(0, 2, 3, 1)
        return F.grid_sample(window, grid, "bilinear", "reflection", align_corners=True)[0]

    def nearest(self, inner: slice) -> Tensor:
        """Return which pixel of the flattened plane is nearest to each of a part of the patch."""
        place = self._grid[:, inner, inner] + 1
        # mirrored, 0 ... 2 goes there and back in 4
        place.sub_((place / 4).round_(), alpha=4).abs_().mul_(self._half).round_()
        height, width = self._plane
        x, y = place.to(torch.int32 if height * width < 2**31 else torch.int64)
        return torch.add(x, y, alpha=width).add_(self._first)


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Return (Y, X) values at indices into the flattened plane."""
    return values.reshape(-1).index_select(0, index.reshape(-1)).view(index.shape)


def bicubic_field(coarse: Tensor, shape: tuple[int, int]) -> Tensor:
    """Interpolate a coarse grid, whose corners lie on the corners of the field, bicubically.

    Parameters
    ----------
    coarse : Tensor
        (..., g, g) float32 values on a regular grid, g >= 2.
    shape : (int, int)
        Shape of the field in pixels.

    Returns
    -------
    Tensor
        (..., *shape) float32 on the same device. Cubic convolution (Keys 1981, a = -1/2), linear
        extension at the border, so a linear function of the position stays one.
    """
    grid = coarse.shape[-1]
    down, right = (_cubic_weights(grid, n, coarse.device) for n in shape)
    # not as a product of matrices, which a GPU may be told to round to ten bits
    lines = (down.T[:, :, None] * coarse[..., None, :, :]).sum(-2)
    field = lines[..., :1] * right[0]
    for node in range(1, grid):
        field.addcmul_(lines[..., node : node + 1], right[node])
    return field


@lru_cache(maxsize=16)
def _cubic_weights(grid: int, n: int, device: torch.device) -> Tensor:
    """Return the (grid, n) weights of cubic convolution."""
    position = np.linspace(0, grid - 1, n) if n > 1 else np.array([(grid - 1) / 2])
    cell = np.minimum(position.astype(int), grid - 2)
    t = (position - cell)[:, None]
    powers = np.hstack([np.ones_like(t), t, t**2, t**3])
    keys = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
    padded = np.zeros((n, grid + 2))
    padded[np.arange(n)[:, None], cell[:, None] + np.arange(4)] = powers @ keys
    matrix = padded[:, 1:-1]
    # values beyond the grid continue its outermost difference: v[-1] = 2 v[0] - v[1]
    matrix[:, 0] += 2 * padded[:, 0]
    matrix[:, 1] -= padded[:, 0]
    matrix[:, -1] += 2 * padded[:, -1]
    matrix[:, -2] -= padded[:, -1]
    return torch.from_numpy(np.ascontiguousarray(matrix.T, dtype=np.float32)).to(device)


def _bounds(nodes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return between which (y, x) the field of these nodes lies: within its Bezier points."""
    for _ in range(2):
        third = np.gradient(nodes, axis=-1) / 3
        beside = (nodes + third)[..., :-1], (nodes - third)[..., 1:]
        nodes = np.concatenate([nodes, *beside], axis=-1).swapaxes(1, 2)
    return nodes.min(axis=(1, 2)), nodes.max(axis=(1, 2))


def _mirrored(index: Tensor, n: int) -> Tensor:
    """Mirror integer coordinates into 0 ... n - 1 without repeating the edge."""
    last = n - 1
    return last - (last - index % max(2 * last, 1)).abs()
