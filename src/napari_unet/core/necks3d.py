"""Cut 3D objects where they are narrow, as `napari_unet.core.necks` cuts components of a plane."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from napari_unet.errors import InputError

__all__ = ["Necks", "coarseness", "split_object"]

LARGEST: Final = 1 << 23
"""Voxels of an object's box, beyond which it is looked at in every second, third ... row and column
only: what is that large is many cells, and cutting it takes 60 bytes a voxel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Necks:
    """Where 3D objects are cut.

    Attributes
    ----------
    depth : float
        Necks at least this deep are cut (see `napari_unet.core.necks.Bulges.cut`); 0 cuts none.
    spacing : float
        Distance of planes, in pixels of a plane.
    smooth : float
        Standard deviation in pixels of the smoothing of the distance, against ragged outlines.
    """

    depth: float = 0.0
    spacing: float = 1.0
    smooth: float = 1.5

    def __post_init__(self) -> None:
        if not (isfinite(self.depth) and self.depth >= 0):
            raise InputError(f"split is {self.depth}; give a number from 0 (no cuts) on.")
        if not (isfinite(self.spacing) and self.spacing > 0):
            raise InputError(f"spacing is {self.spacing}; give the distance of planes in pixels.")


def coarseness(shape: tuple[int, ...]) -> int:
    """Return which row and column of an object's box are looked at: every one, second, third ..."""
    return max(ceil(sqrt(np.prod(shape, dtype=float) / LARGEST)), 1)


def split_object(inside: NDArray[np.bool_], necks: Necks, step: int = 1) -> NDArray[np.int32]:
    """Number the parts of one object.

    The height of a voxel is the logarithm of its smoothed distance to the outline. Hills that rise
    by the depth above the saddle to any higher one are parts, and the watershed of the height cuts
    between them (Vincent and Soille 1991; Meyer 1994).

    Parameters
    ----------
    inside : boolean array
        (Z, Y, X) voxels of the object, in its box. A plane without any between two that have some
        is one in which it was missed, and taken for what both have in common.
    necks : Necks
        Where to cut.
    step : int
        Pixels from a row or column to the next one that is given.

    Returns
    -------
    int32 array
        (Z, Y, X): 1 ... n, also outside of the object, where the nearest part counts if there are
        several.
    """
    solid = np.pad(_without_gaps(inside), 1)  # beyond its box is background
    sampling = (necks.spacing, step, step)
    width = ndimage.distance_transform_edt(solid, sampling=sampling).astype(np.float32)
    ndimage.gaussian_filter(width, [necks.smooth / side for side in sampling], output=width)
    height = np.where(solid, np.log1p(width), np.float32(-1 - necks.depth))
    # not skimage's h_maxima, which takes two hills of one height for two, however high their saddle
    filled = reconstruction(height - np.float32(necks.depth), height)
    tops, parts = label(local_maxima(filled), return_num=True)
    if parts < 2:
        return np.ones(inside.shape, np.int32)
    found = watershed(-height, tops, mask=solid)[1:-1, 1:-1, 1:-1]
    nearest = ndimage.distance_transform_edt(
        found == 0, sampling=sampling, return_distances=False, return_indices=True
    )
    everywhere: NDArray[np.int32] = found[tuple(nearest)].astype(np.int32)
    return everywhere


def _without_gaps(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill planes in which an object was missed with what is inside on both sides of them."""
    filled = inside.copy()
    for plane in np.flatnonzero(~inside[1:-1].any(axis=(1, 2))) + 1:
        filled[plane] = inside[plane - 1] & inside[plane + 1]
    return filled
