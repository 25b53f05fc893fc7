"""Show what a network in training makes of what the user looks at."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.cellclasses import foreground, likeliest
from napari_unet.core.config import PredictConfig
from napari_unet.core.normalise import normalise
from napari_unet.core.resolution import coarse_pixels, coarsen, refine
from napari_unet.core.tiles import lengths, widened
from napari_unet.core.touching import where_cells_meet
from napari_unet.core.unet import UNet
from napari_unet.engine.cells import find_cells
from napari_unet.engine.events import Previewed
from napari_unet.engine.learning.window import predict_piecewise
from napari_unet.engine.process.mailbox import Look
from napari_unet.engine.segmenter import Segmenter

__all__ = ["Preview"]

SHARE = 0.1
"""Of the time, at most, that previews of one field take from the training."""

LARGEST = 1 << 22
"""Pixels of a field in which cells are told apart, which takes up to a second. Of a larger one no
screen shows the lines between them."""


class Preview:
    """Predicts the field in view again and again, piece by piece between the steps of a training.

    Parameters
    ----------
    device : torch.device
        Of the network.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._look: Look | None = None
        self._due = self._spent = 0.0
        self._pieces: Iterator[None] | None = None

    def look_at(self, look: Look) -> None:
        """Show this from now on, at once, and what was looked at before no more."""
        fits = look.out.shape == lengths(look.inner)
        self._look, self._pieces, self._due = look if fits else None, None, 0.0

    def events(self, network: UNet, step: int, best: Segmenter) -> Iterator[Previewed]:
        """Predict a piece of what is looked at, if that is due; tell when all of it is done.

        Parameters
        ----------
        network : UNet
            Being trained.
        step : int
            How far it is.
        best : Segmenter
            Its channels, classes and working resolution count, and it goes into the event.
        """
        look, began = self._look, time.monotonic()
        if look is None or len(look.pixels) != best.in_channels:
            return
        if self._pieces is None:
            if began < self._due:
                return
            self._pieces, self._spent = _pieces(network, look, best, self._device), 0.0
        done = next(self._pieces, True) is not None
        self._spent += time.monotonic() - began
        if done:
            self._pieces = None
            self._due = time.monotonic() + max(look.every, self._spent / SHARE)
            yield Previewed(key=look.key, step=step, segmenter=best)


def _pieces(network: UNet, look: Look, model: Segmenter, device: torch.device) -> Iterator[None]:
    factor, shape = model.downsample, look.pixels.shape[1:]
    image = normalise(coarsen(look.pixels, factor), look.statistics)
    more = (0, 0) if factor == 1 else (1, 1)  # coarse pixels to interpolate between
    y, x = widened(coarse_pixels(look.inner, factor), more, more, image.shape[1:])
    values = np.empty((model.n_classes, *lengths((y, x))), dtype=np.float32)
    pixels = torch.from_numpy(image).to(device)
    yield from predict_piecewise(network, pixels, (y, x), values, model.coarser_factors)
    if factor > 1:
        origin = (y.start, x.start)
        values = refine(values, factor, origin, look.inner, (shape[0], shape[1]))
    if model.kind == "cells":
        cells = _cells(foreground(values), model)
        look.out[...] = np.where(cells > 0, likeliest(values[1:]), 0)
        look.out[where_cells_meet(cells)] = model.n_classes
    else:
        look.out[...] = likeliest(values)


def _cells(said: NDArray[np.float32], model: Segmenter) -> NDArray[np.integer]:
    """Return the numbered cells (Y, X), or one for all where they need not be told apart."""
    if said.size > LARGEST:
        return (said >= PredictConfig().threshold).astype(np.uint8)
    return find_cells(model, said, PredictConfig())
