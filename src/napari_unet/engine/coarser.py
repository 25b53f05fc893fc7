"""A look from farther away: parts of a plane as the network says them at a lower resolution.

A network sees so many pixels far. At half the resolution that is twice as much of the image, with
less detail, and its mistakes there are other ones: the mean of both is better than either where the
surroundings tell what a pixel is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.resolution import coarse_box, read_coarse, refine
from napari_unet.core.tiles import lengths, tiles_over, within
from napari_unet.engine.lazyplane import Readable
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.tilerunner import TileRunner

__all__ = ["CoarserLook"]

Floats = NDArray[np.float32]
Box = tuple[slice, ...]


class CoarserLook:
    """Predicts parts of a plane at a fraction of the working resolution.

    Parameters
    ----------
    segmenter : Segmenter
        The trained network.
    device : torch.device
        Where it runs.
    factor : int
        Pixels of the working resolution per pixel and side.
    output : int
        Largest side of a tile's output, see `napari_unet.core.tiles.tiles_over`.
    """

    def __init__(
        self, segmenter: Segmenter, device: torch.device, factor: int, output: int
    ) -> None:
        self._runner = TileRunner(segmenter, device)
        self._classes, self._channels = segmenter.n_classes, segmenter.in_channels
        self._factor, self._output = factor, output
        self._context, self._stride = segmenter.context, segmenter.stride

    def over(self, box: Box, read: Callable[[Box], Floats], shape: tuple[int, ...]) -> Floats:
        """Return the probabilities (K, *box) of a part of a plane; those of the whole plane.

        Parameters
        ----------
        box : (slice, slice)
            The part, in pixels of the working resolution.
        read : callable
            Returns normalised pixels (C, *read) of the working resolution.
        shape : (int, int)
            (Y, X) of the plane at the working resolution.
        """
        needed = coarse_box(box, self._factor, shape)
        tiles = tiles_over(needed, output=self._output, context=self._context, stride=self._stride)
        plane: Any = Readable(read, (self._channels, *shape))
        out = np.empty((self._classes, *lengths(needed)), dtype=np.float32)
        runs = self._runner.run(tiles, lambda of: read_coarse(plane, of, self._factor))
        for tile, values in runs:
            out[(slice(None), *within(tile.write, needed))] = values[(slice(None), *tile.crop)]
        y, x = needed
        return refine(out, self._factor, (y.start, x.start), (box[0], box[1]), (shape[0], shape[1]))
