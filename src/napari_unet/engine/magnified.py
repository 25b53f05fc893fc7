"""Predict planes that were taken at another magnification than the painted ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.core.normalise import statistics_and_oddity
from napari_unet.core.outward import box_distance, outward
from napari_unet.core.resized import Resized
from napari_unet.core.tiles import lengths, parts_of, within
from napari_unet.engine.plane import NOTHING, Piece, PlanePredictor, in_view
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.engine.segmenter import Segmenter

__all__ = ["MagnifiedPredictor", "plane_predictor"]

Region = tuple[slice, ...]

PART = 1024
"""Side in resized pixels of the parts that become final at once: memory does not grow with the
plane."""


def plane_predictor(
    segmenter: Segmenter, config: PredictConfig, mailbox: Mailbox | None = None
) -> PlanePredictor | MagnifiedPredictor:
    """Return what predicts planes as a configuration says, see `PlanePredictor`."""
    if config.magnification == 1:
        return PlanePredictor(segmenter, config, mailbox)
    return MagnifiedPredictor(segmenter, config, mailbox)


class MagnifiedPredictor:
    """Shows planes to a network at the size it knows; as `PlanePredictor`.

    Parameters
    ----------
    segmenter, config, mailbox
        As there. The newest `InView` says which part of a plane is next.
    """

    def __init__(
        self, segmenter: Segmenter, config: PredictConfig, mailbox: Mailbox | None
    ) -> None:
        self._magnification, self._mailbox = config.magnification, mailbox
        self._classes, self.oddity = segmenter.n_classes, ""
        self._plain = PlanePredictor(segmenter, replace(config, magnification=1.0))
        self.tile_size = self._plain.tile_size

    @property
    def note(self) -> str:
        """What the user should know, as there."""
        return self._plain.note

    def pieces(self, image: Any) -> Iterator[Piece]:
        """Yield the probabilities of a (C, Y, X) plane, part by part."""
        whole = tuple(slice(0, n) for n in image.shape[1:])
        statistics, self.oddity = statistics_and_oddity(image)
        yield from self._parts(image, whole, statistics)

    def pieces_of(
        self, image: Any, box: Region, statistics: NDArray[np.float32]
    ) -> Iterator[Piece]:
        """Yield the probabilities of a part of a plane, which are those of the whole plane."""
        yield from self._parts(image, box, statistics)

    def count(self, box: Region, image: Any) -> int:
        """Return how many pieces a part of a (C, Y, X) plane has."""
        resized = Resized(image, self._magnification)
        return sum(self._plain.count(resized.needed(part), resized) for part in self._cut(box))

    def _parts(self, image: Any, box: Region, statistics: NDArray[np.float32]) -> Iterator[Piece]:
        resized, total = Resized(image, self._magnification), self.count(box, image)
        for part in outward(self._cut(box), self._view, box_distance):
            seen = resized.needed(part)
            values = np.empty((self._classes, *lengths(seen)), np.float32)
            left = self._plain.count(seen, resized)
            for piece in self._plain.pieces_of(resized, seen, statistics):
                if piece.values is not None:
                    values[(slice(None), *within(piece.region, seen))] = piece.values
                left -= 1
                if left > 0:
                    yield Piece(NOTHING, None, total)
            yield Piece(part, resized.back(values, seen, part), total)

    def _cut(self, box: Region) -> Sequence[Region]:
        return parts_of(box, round(PART * self._magnification))

    def _view(self) -> Region | None:
        return in_view(self._mailbox)
