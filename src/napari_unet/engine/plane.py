"""Predict one plane, tile by tile: what is in view first, read mirrored, kept where it is final."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.core.normalise import grey_statistics, normalise
from napari_unet.core.order import box_distance, outward
from napari_unet.core.resolution import coarse_box, coarse_shape, read_coarse, refine
from napari_unet.core.rotation import rotate, rotate_back, rotated_shape
from napari_unet.core.tiles import Tile, smallest_output, tile_grid, tiles_over
from napari_unet.engine.device import select_device
from napari_unet.engine.memory import largest_output
from napari_unet.engine.process.mailbox import InView, Mailbox
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.tilerunner import TileRunner

__all__ = ["Piece", "PlanePredictor"]

Array = NDArray[Any]
Region = tuple[slice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some pixels of a plane that are final.

    Attributes
    ----------
    region : tuple of slice
        Which, (Y, X); empty while rotated copies are still averaged.
    values : float32 array or None
        Their probabilities (K, *region).
    total : int
        How many pieces the plane has.
    """

    region: Region
    values: NDArray[np.float32] | None
    total: int


class PlanePredictor:
    """Predicts the planes of an image with one network and one size of tile.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    config : PredictConfig
        Tile size, rotations, device.
    mailbox : Mailbox, optional
        The newest `InView` in it says which of the tiles that are left is next; without any they
        come row by row.

    Attributes
    ----------
    runner : TileRunner
        Where the tiles are computed.
    tile_size : int
        Largest side of a tile in network pixels, as in a `PredictConfig`.
    """

    def __init__(
        self, segmenter: Segmenter, config: PredictConfig, mailbox: Mailbox | None = None
    ) -> None:
        self._segmenter, self._config, self._mailbox = segmenter, config, mailbox
        device = select_device(config.device)
        self.runner = TileRunner(segmenter, device)
        self._context, self._stride = 12 * 2**segmenter.depth - 8, 2**segmenter.depth
        if config.tile_size:
            least = smallest_output(self._stride)
            self._output = max(config.tile_size - self._context, least)
        else:
            self._output = largest_output(segmenter, device)
        self.tile_size = self._output + self._context

    def pieces(self, image: Array) -> Iterator[Piece]:
        """Yield the probabilities of a (C, Y, X) plane as they become final.

        Rotated copies become final all at once, so nothing of them is sooner in view.
        """
        statistics = grey_statistics(image)
        if self._config.rotations == 1:
            tiles = self._tiles(image.shape[1:])
            total = len(tiles)
            ordered = _in_view_first(tiles, self._segmenter.downsample, self._mailbox)
            for region, values in self._predict(image, statistics, ordered):
                yield Piece(region, values, total)
            return
        yield from self._averaged(image, statistics)

    def pieces_of(
        self, image: Array, box: Region, statistics: NDArray[np.float32]
    ) -> Iterator[Piece]:
        """Yield the probabilities of a part of a plane, which are those of the whole plane.

        Parameters
        ----------
        image : array
            (C, Y, X), the plane; read around the box only.
        box : (slice, slice)
            The part.
        statistics : float32 array
            `grey_statistics` of the plane.
        """
        tiles = self.tiles_of(box, image.shape[1:])
        for region, values in self._predict(image, statistics, tiles, box):
            yield Piece(region, values, len(tiles))

    def tiles_of(self, box: Region, shape: tuple[int, ...]) -> list[Tile]:
        """Plan the tiles of a part of a plane of a shape, in pixels of the working resolution."""
        return tiles_over(
            coarse_box(box, self._segmenter.downsample, shape),
            output=self._output,
            context=self._context,
            stride=self._stride,
        )

    def _averaged(self, image: Array, statistics: NDArray[np.float32]) -> Iterator[Piece]:
        nothing: Region = (slice(0, 0), slice(0, 0))
        upright = np.asarray(image, dtype=np.float32)
        upright = np.where(
            np.isfinite(upright), upright, statistics[:, :1, None]
        )  # NaN would spread
        mean = np.zeros((self._segmenter.n_classes, *image.shape[1:]), dtype=np.float32)
        rotations = self._config.rotations
        angles = 2 * np.pi * np.arange(rotations) / rotations
        canvases = [rotated_shape(image.shape[1:], angle) for angle in angles]
        total = sum(len(self._tiles(canvas)) for canvas in canvases)
        index = 0
        for angle, canvas in zip(angles, canvases, strict=True):
            out = np.empty((self._segmenter.n_classes, *canvas), dtype=np.float32)
            rotated, tiles = rotate(upright, angle), self._tiles(canvas)
            for region, values in self._predict(rotated, statistics, tiles):
                out[(slice(None), *region)] = values
                index += 1
                if index < total:
                    yield Piece(nothing, None, total)
            mean += rotate_back(out, angle, image.shape[1:]) / rotations
        yield Piece((slice(0, mean.shape[1]), slice(0, mean.shape[2])), mean, total)

    def _tiles(self, shape: tuple[int, ...]) -> list[Tile]:
        """Plan the tiles of a plane (Y, X), in pixels of the working resolution."""
        return tile_grid(
            coarse_shape(shape, self._segmenter.downsample),
            output=self._output,
            context=self._context,
            stride=self._stride,
        )

    def _predict(
        self,
        image: Array,
        statistics: NDArray[np.float32],
        tiles: Iterable[Tile],
        box: Region | None = None,
    ) -> Iterator[tuple[Region, NDArray[np.float32]]]:
        """Yield (region, its probabilities (K, *region)) for tiles of a (C, Y, X) plane."""
        factor, shape = self._segmenter.downsample, image.shape[1:]
        whole = box or tuple(slice(0, n) for n in shape)

        def read(box: Region) -> NDArray[np.float32]:
            return normalise(read_coarse(image, box, factor), statistics)

        for tile, values in self.runner.run(tiles, read):
            if factor == 1:
                yield tile.write, values[(slice(None), *tile.crop)]
                continue
            y, x = (
                slice(max(w.start * factor, b.start), min(w.stop * factor, b.stop))
                for w, b in zip(tile.write, whole, strict=True)
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
