"""Show what a network in training makes of what the user looks at."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from napari_unet.core.normalise import normalise
from napari_unet.core.resolution import coarsen, refine
from napari_unet.core.unet import UNet
from napari_unet.engine.events import Previewed
from napari_unet.engine.mailbox import Look
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.window import predict_window

__all__ = ["Preview"]

SHARE = 0.1
"""Of the time, at most, that previews take from the training."""


class Preview:
    """Predicts the field in view again and again, and a new field at once.

    Parameters
    ----------
    device : torch.device
        Of the network.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._look: Look | None = None
        self._due = 0.0

    def look_at(self, look: Look) -> None:
        """Show this from now on."""
        self._look, self._due = look, 0.0

    def events(self, network: UNet, step: int, best: Segmenter) -> Iterator[Previewed]:
        """Predict what is looked at if that is due.

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
        if look is None or began < self._due or len(look.pixels) != best.in_channels:
            return
        _predict(network, look, best, self._device)
        took = time.monotonic() - began
        self._due = time.monotonic() + max(look.every, took / SHARE)
        yield Previewed(key=look.key, step=step, segmenter=best)


def _predict(network: UNet, look: Look, model: Segmenter, device: torch.device) -> None:
    factor, shape = model.downsample, look.pixels.shape[1:]
    image = normalise(coarsen(look.pixels, factor), look.statistics)
    more = 0 if factor == 1 else 1  # coarse pixels to interpolate between
    box = tuple(
        slice(max(s.start // factor - more, 0), min(-(-s.stop // factor) + more, n))
        for s, n in zip(look.inner, image.shape[1:], strict=True)
    )
    values = predict_window(network, torch.from_numpy(image).to(device), (box[0], box[1]))
    if factor > 1:
        origin = (box[0].start, box[1].start)
        values = refine(values, factor, origin, look.inner, (shape[0], shape[1]))
    if model.kind == "cells":
        look.out[...] = values[1] >= 0.5
    else:
        look.out[...] = values.argmax(axis=0).astype(np.uint8) + 1
