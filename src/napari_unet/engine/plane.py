"""Predict one plane, tile by tile: what is in view first, read mirrored, kept where it is final."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_unet.core.config import PredictConfig
from napari_unet.core.normalise import grey_statistics, normalise
from napari_unet.core.order import box_distance, outward
from napari_unet.core.resolution import coarse_shape, read_coarse, refine
from napari_unet.core.rotation import rotate, rotate_back, rotated_shape
from napari_unet.core.tiles import Tile, tile_grid
from napari_unet.core.unet import UNet
from napari_unet.engine.device import select_device, torch_errors
from napari_unet.engine.mailbox import InView, Mailbox
from napari_unet.engine.segmenter import Segmenter

__all__ = ["predict_plane"]

AUTO_OUTPUT = {"cpu": 516, "mps": 1028, "cuda": 2052}
"""Output side of an automatic tile: on a CPU what stays in its cache, on a GPU the memory."""

Array = NDArray[Any]
Region = tuple[slice, ...]


def predict_plane(
    segmenter: Segmenter, image: Array, config: PredictConfig, mailbox: Mailbox | None = None
) -> Iterator[tuple[int, Region, NDArray[np.float32] | None]]:
    """Yield (tiles in all, region, its final probabilities (K, *region)) of a (C, Y, X) plane.

    The newest `InView` in the mailbox says which of the tiles that are left is next; without any
    they come row by row. Rotated copies become final all at once, so nothing is sooner in view.
    """
    statistics = grey_statistics(image)
    if config.rotations == 1:
        total = len(_tiles(segmenter, image.shape[1:], config))
        for region, values in _predict_tiles(segmenter, image, statistics, config, mailbox):
            yield total, region, values
        return
    nothing: Region = (slice(0, 0), slice(0, 0))
    upright = np.asarray(image, dtype=np.float32)
    upright = np.where(np.isfinite(upright), upright, statistics[:, :1, None])  # NaN would spread
    mean = np.zeros((segmenter.n_classes, *image.shape[1:]), dtype=np.float32)
    angles = 2 * np.pi * np.arange(config.rotations) / config.rotations
    canvases = [rotated_shape(image.shape[1:], angle) for angle in angles]
    total = sum(len(_tiles(segmenter, canvas, config)) for canvas in canvases)
    index = 0
    for angle, canvas in zip(angles, canvases, strict=True):
        out = np.empty((segmenter.n_classes, *canvas), dtype=np.float32)
        for region, values in _predict_tiles(segmenter, rotate(upright, angle), statistics, config):
            out[(slice(None), *region)] = values
            index += 1
            if index < total:
                yield total, nothing, None
        mean += rotate_back(out, angle, image.shape[1:]) / config.rotations
    yield total, (slice(0, mean.shape[1]), slice(0, mean.shape[2])), mean


def _tiles(segmenter: Segmenter, shape: tuple[int, ...], config: PredictConfig) -> list[Tile]:
    """Plan the tiles of a plane (Y, X), in pixels of the working resolution."""
    context, stride = 12 * 2**segmenter.depth - 8, 2**segmenter.depth
    automatic = AUTO_OUTPUT[select_device(config.device).type]
    output = config.tile_size - context if config.tile_size else automatic
    return tile_grid(
        coarse_shape(shape, segmenter.downsample),
        output=max(output, stride + 4),
        context=context,
        stride=stride,
    )


def _predict_tiles(
    segmenter: Segmenter,
    image: Array,
    statistics: NDArray[np.float32],
    config: PredictConfig,
    mailbox: Mailbox | None = None,
) -> Iterator[tuple[Region, NDArray[np.float32]]]:
    """Yield (region, its probabilities (K, *region)) of a (C, Y, X) plane."""
    device = select_device(config.device)
    with torch_errors("The model itself does not fit; choose device='cpu'."):
        network = _network(_SameWeights(segmenter), str(device))
    factor, shape = segmenter.downsample, image.shape[1:]
    for tile in _in_view_first(_tiles(segmenter, shape, config), factor, mailbox):
        pixels = normalise(read_coarse(image, tile.read, factor), statistics)
        values = _forward(network, pixels, device)
        if factor == 1:
            yield tile.write, values[(slice(None), *tile.crop)]
            continue
        y, x = (
            slice(w.start * factor, min(w.stop * factor, n))
            for w, n in zip(tile.write, shape, strict=True)
        )
        origin = tuple(span.start for span in tile.output)
        yield (y, x), refine(values, factor, origin, (y, x), shape)


def _in_view_first(tiles: list[Tile], factor: int, mailbox: Mailbox | None) -> Iterator[Tile]:
    def view() -> Region | None:
        views = [m for m in mailbox.take() if isinstance(m, InView)] if mailbox else []
        if not views:
            return None
        return tuple(slice(s.start // factor, -(-s.stop // factor)) for s in views[-1].box)

    return outward(tiles, view, lambda tile, box: box_distance(tile.write, box))


@torch.inference_mode()
def _forward(
    network: UNet, pixels: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    """Run one tile: (C, Y, X) to probabilities (K, Y - context, X - context)."""
    remedy = (
        f"A tile of {pixels.shape[1]} x {pixels.shape[2]} does not fit; set a smaller tile size."
    )
    with torch_errors(remedy):
        batch = torch.from_numpy(np.ascontiguousarray(pixels))[None].to(device)
        logits = network(batch.contiguous(memory_format=torch.channels_last))
        return F.softmax(logits, dim=1)[0].contiguous().cpu().numpy()


class _SameWeights:
    """A Segmenter that equals another one, perhaps from another process, with its weights."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        digest = hashlib.blake2b(repr(segmenter.describe()).encode())
        for name in sorted(segmenter.weights):
            digest.update(np.ascontiguousarray(segmenter.weights[name]).data)
        self._digest = digest.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameWeights) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)


@lru_cache(maxsize=2)
def _network(key: _SameWeights, device: str) -> UNet:
    """Keep the networks used last: building one for each plane of a stack takes time."""
    return key.segmenter.network(device)
