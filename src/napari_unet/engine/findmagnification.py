"""How much larger objects are in images than those that a model learned from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.cellclasses import foreground
from napari_unet.core.config import PredictConfig
from napari_unet.core.given import chosen
from napari_unet.core.normalise import grey_statistics
from napari_unet.core.resized import MAGNIFICATIONS
from napari_unet.core.tiles import lengths, within
from napari_unet.engine.checkedimage import checked_image
from napari_unet.engine.lazyplane import middle_plane
from napari_unet.engine.magnified import plane_predictor
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = ["find_magnification", "finding", "spread"]

DOUBT = 0.01
"""Of the expected overlap, for each factor of two from 1: what differs by less is chance."""

WINDOW = 256
"""Side of what is looked at in one place, in network pixels at a magnification of 1."""

WINDOWS = 9
"""Places that are looked at, at most, in all images."""


def find_magnification(
    segmenter: Segmenter, images: Sequence[Any], config: PredictConfig | None = None
) -> float:
    """Find how many times larger the objects of images are than those the model learned.

    A network is surer of itself when objects have the size it knows. Parts of the images are
    predicted at several magnifications. From the probabilities follows the intersection over union
    that they expect of their own classes, and the magnification with the best one is returned. The
    farther that is from 1, the better it must be.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    images : sequence of arrays
        (Y, X), (C, Y, X) or (C, Z, Y, X), all taken at the same magnification. At most 9 windows
        are used, in stacks those of the middle plane.
    config : PredictConfig, optional
        Device, tile size and threshold; the rest is not used.

    Returns
    -------
    float
        One of `napari_unet.core.resized.MAGNIFICATIONS`, for `PredictConfig.magnification`.

    Raises
    ------
    InputError
        If there are no images, or one does not fit the network.
    """
    *_, found = finding(segmenter, images, config)
    return found


def finding(
    segmenter: Segmenter, images: Sequence[Any], config: PredictConfig | None = None
) -> Iterator[float]:
    """Do `find_magnification` step by step; yield after each what is best so far.

    From 1 on in both directions, as long as the next one is better.
    """
    if len(images) == 0:
        raise InputError("There are no images to find the magnification of; give at least one.")
    planes = [middle_plane(checked_image(segmenter, image)) for image in spread(images)]
    look = _Look(segmenter, planes, chosen(config, PredictConfig))
    best = 1.0
    yield best
    middle = MAGNIFICATIONS.index(1.0)
    for direction in (MAGNIFICATIONS[middle:], MAGNIFICATIONS[middle::-1]):
        for last, magnification in pairwise(direction):
            if look.worth(magnification) <= look.worth(last):
                break
            if look.worth(magnification) > look.worth(best):
                best = magnification
            yield best
    yield best


class _Look:
    """How well a model expects to do in parts of planes (C, Y, X), by magnification."""

    def __init__(self, segmenter: Segmenter, planes: Sequence[Any], config: PredictConfig) -> None:
        self._segmenter, self._config = segmenter, config
        side = WINDOW * segmenter.downsample
        most = max(1, math.isqrt(WINDOWS // len(planes)))
        self._parts = [
            (plane, grey_statistics(plane), box)
            for plane in planes
            for box in product(*(_windows(n, side, most) for n in plane.shape[1:]))
        ]
        at_one = self._shares(1.0)
        # what a spurious pixel or two of a class says that is not there is worth nothing
        self._classes = at_one > 0
        self._known = {1.0: self._mean(at_one)}

    def worth(self, magnification: float) -> float:
        """Return the expected IoU, the geometric mean over the classes found at 1, less `DOUBT`."""
        if magnification not in self._known:
            self._known[magnification] = self._mean(self._shares(magnification))
        return self._known[magnification] - DOUBT * abs(math.log2(magnification))

    def _mean(self, shares: NDArray[Any]) -> float:
        """Return 0 where there is but one class, of which nothing can be told."""
        shares = shares[self._classes]
        return float(np.prod(shares) ** (1 / len(shares))) if len(shares) > 1 else 0.0

    def _shares(self, magnification: float) -> NDArray[Any]:
        """Return the IoU that is expected of each class."""
        config = replace(self._config, magnification=magnification, rotations=1)
        predictor = plane_predictor(self._segmenter, config)
        both = either = np.zeros(1)
        for plane, statistics, box in self._parts:
            values = np.empty((self._segmenter.n_classes, *lengths(box)))
            for piece in predictor.pieces_of(plane, box, statistics):
                if piece.values is not None:
                    values[(slice(None), *within(piece.region, box))] = piece.values
            more_both, more_either = self._expected(values)
            both, either = both + more_both, either + more_either
        shares: NDArray[Any] = both / np.maximum(either, 1e-9)
        return shares

    def _expected(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return of each class how many pixels its true and its found ones share, and have."""
        if self._segmenter.kind == "cells":
            cells = foreground(values)
            values = np.stack([1 - cells, cells])
            found = np.stack([cells < self._config.threshold, cells >= self._config.threshold])
        else:
            found = values.argmax(axis=0) == np.arange(len(values))[:, None, None]
        both = (values * found).sum(axis=(1, 2))
        return both, values.sum(axis=(1, 2)) + found.sum(axis=(1, 2)) - both


def spread(images: Sequence[Any]) -> list[Any]:
    """Return at most `WINDOWS` images from all over the sequence."""
    wanted = min(len(images), WINDOWS)
    return [images[(2 * k + 1) * len(images) // (2 * wanted)] for k in range(wanted)]


def _windows(n: int, side: int, most: int) -> list[slice]:
    """Return at most so many spans of n pixels, spread evenly."""
    count = min(most, -(-n // side))
    side = min(side, n)
    middles = [(2 * k + 1) * n // (2 * count) for k in range(count)]
    starts = [min(max(middle - side // 2, 0), n - side) for middle in middles]
    return [slice(start, start + side) for start in starts]
