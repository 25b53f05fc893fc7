"""Predict one plane, tile by tile: what is in view first, read mirrored, kept where it is final."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.core.normalise import normalise, statistics_and_oddity
from napari_unet.core.outward import box_distance, outward
from napari_unet.core.resolution import coarse_box, coarse_pixels, coarse_shape, read_coarse, refine
from napari_unet.core.rotation import Rotated
from napari_unet.core.tiles import (
    Tile,
    lengths,
    parts_of,
    smallest_output,
    tile_grid,
    tiles_over,
    within,
)
from napari_unet.engine.coarser import CoarserLook
from napari_unet.engine.device import select_device
from napari_unet.engine.memory import largest_output
from napari_unet.engine.process.mailbox import InView, Mailbox
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.tilerunner import TileRunner

__all__ = ["NOTHING", "Piece", "PlanePredictor", "in_view"]

Array = NDArray[Any]
Region = tuple[slice, ...]

NOTHING: Region = (slice(0, 0), slice(0, 0))
"""No pixels, as a region."""

AVERAGED = 2048
"""Side of the parts in which rotated copies are averaged: memory does not grow with the plane."""


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
        How many pieces there are of the plane, or of the part of it that was asked for.
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
    tile_size : int
        Largest side of a tile in network pixels, as in a `PredictConfig`.
    oddity : str
        What the user should know about the grey values of the last plane; mostly "".
    """

    def __init__(
        self, segmenter: Segmenter, config: PredictConfig, mailbox: Mailbox | None = None
    ) -> None:
        self._segmenter, self._config, self._mailbox = segmenter, config, mailbox
        self.oddity = ""
        device = select_device(config.device)
        self._runner = TileRunner(segmenter, device)
        self._context, self._stride = segmenter.context, segmenter.stride
        least = smallest_output(self._stride)
        if config.tile_size:
            self._output = max(config.tile_size - self._context, least)
        else:
            self._output = largest_output(segmenter, device)
        self.tile_size = self._output + self._context
        self._coarser = [
            CoarserLook(segmenter, device, factor, max(self._output // factor, least))
            for factor in segmenter.coarser_factors
        ]

    @property
    def note(self) -> str:
        """What the user should know about the tiles, as in `TileDone`."""
        return self._runner.shrunk

    def pieces(self, image: Array) -> Iterator[Piece]:
        """Yield the probabilities of a (C, Y, X) plane as they become final.

        Rotated copies are averaged part by part, so nothing of them is sooner in view.
        """
        statistics, self.oddity = statistics_and_oddity(image)
        whole = tuple(slice(0, n) for n in image.shape[1:])
        if self._config.rotations > 1:
            yield from self._averaged(image, parts_of(whole, AVERAGED), statistics)
            return
        tiles = tile_grid(
            coarse_shape(image.shape[1:], self._segmenter.downsample),
            output=self._output,
            context=self._context,
            stride=self._stride,
        )
        ordered = _in_view_first(tiles, self._segmenter.downsample, self._mailbox)
        for region, values in self._predict(image, statistics, ordered, whole):
            yield Piece(region, values, len(tiles))

    def pieces_of(
        self, image: Any, box: Region, statistics: NDArray[np.float32]
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
        if self._config.rotations > 1:
            yield from self._averaged(image, [box], statistics)
            return
        tiles = self._tiles(box, image.shape[1:])
        for region, values in self._predict(image, statistics, tiles, box):
            yield Piece(region, values, len(tiles))

    def count(self, box: Region, image: Any) -> int:
        """Return how many pieces a part of a (C, Y, X) plane has."""
        if self._config.rotations == 1:
            return len(self._tiles(box, image.shape[1:]))
        turned = (Rotated(image, angle) for angle in self._angles())
        return sum(len(self._tiles(one.needed(box), one.shape[1:])) for one in turned)

    def _angles(self) -> Array:
        return 2 * np.pi * np.arange(self._config.rotations) / self._config.rotations

    def _averaged(
        self, image: Any, boxes: Sequence[Region], statistics: NDArray[np.float32]
    ) -> Iterator[Piece]:
        """Yield parts of a plane, each the mean of rotated copies, and a piece for every tile."""
        total = sum(self.count(box, image) for box in boxes)
        classes, rotations = self._segmenter.n_classes, self._config.rotations
        for box in boxes:
            mean = np.zeros((classes, *lengths(box)), dtype=np.float32)
            left = self.count(box, image)
            for angle in self._angles():
                turned = Rotated(image, angle, instead=statistics[:, :1])
                seen = turned.needed(box)
                values = np.empty((classes, *lengths(seen)), dtype=np.float32)
                tiles = self._tiles(seen, turned.shape[1:])
                for region, probabilities in self._predict(turned, statistics, tiles, seen):
                    values[(slice(None), *within(region, seen))] = probabilities
                    left -= 1
                    if left > 0:
                        yield Piece(NOTHING, None, total)
                mean += turned.back(values, seen, box) / rotations
            yield Piece(box, mean, total)

    def _tiles(self, box: Region, shape: tuple[int, ...]) -> list[Tile]:
        """Plan the tiles of a part of a plane of a shape, in pixels of the working resolution."""
        return tiles_over(
            coarse_box(box, self._segmenter.downsample, shape),
            output=self._output,
            context=self._context,
            stride=self._stride,
        )

    def _predict(
        self,
        image: Any,
        statistics: NDArray[np.float32],
        tiles: Iterable[Tile],
        box: Region,
    ) -> Iterator[tuple[Region, NDArray[np.float32]]]:
        """Yield (region, its probabilities (K, *region)) for tiles of a part of a plane."""
        factor, shape = self._segmenter.downsample, image.shape[1:]
        working = coarse_shape(shape, factor)

        def read(of: Region) -> NDArray[np.float32]:
            return normalise(read_coarse(image, of, factor), statistics)

        for tile, fine in self._runner.run(tiles, read):
            inside = tuple(
                slice(s.start, min(s.stop, n)) for s, n in zip(tile.output, working, strict=True)
            )
            values = fine[(slice(None), *within(inside, tile.output))]
            if self._coarser:
                looks = [coarser.over(inside, read, working) for coarser in self._coarser]
                values = np.mean([values, *looks], axis=0)
            if factor == 1:
                yield tile.write, values[(slice(None), *tile.crop)]
                continue
            y, x = (
                slice(max(w.start * factor, b.start), min(w.stop * factor, b.stop))
                for w, b in zip(tile.write, box, strict=True)
            )
            origin = tuple(span.start for span in tile.output)
            yield (y, x), refine(values, factor, origin, (y, x), shape)


def in_view(mailbox: Mailbox | None) -> Region | None:
    """Return where the user looks now, in image pixels; None if nothing new is known."""
    views = [m for m in mailbox.take() if isinstance(m, InView)] if mailbox else []
    return views[-1].box if views else None


def _in_view_first(tiles: list[Tile], factor: int, mailbox: Mailbox | None) -> Iterator[Tile]:
    def view() -> Region | None:
        box = in_view(mailbox)
        return box and coarse_pixels(box, factor)

    return outward(tiles, view, lambda tile, box: box_distance(tile.write, box))
