"""Grey values to network input: one robust offset and scale per channel of a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["grey_statistics", "normalise"]

LOW, HIGH = 1.0, 99.8
SAMPLE = 1 << 20
"""Pixels per channel that the percentiles are taken from, on a regular grid."""


def grey_statistics(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return offset and scale of each channel from percentiles of its finite pixels.

    Parameters
    ----------
    image : array
        (C, Y, X). Large planes are read on a regular subgrid.

    Returns
    -------
    float32 array
        (C, 2). Never NaN; a constant channel gets scale 1.
    """
    step = max(1, int(np.ceil(np.sqrt(image.shape[-1] * image.shape[-2] / SAMPLE))))
    pixels = np.asarray(image[:, ::step, ::step], dtype=np.float32).reshape(image.shape[0], -1)
    statistics = np.zeros((image.shape[0], 2), dtype=np.float32)
    for channel, values in enumerate(pixels):
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, [LOW, HIGH]) if values.size else (0.0, 0.0)
        statistics[channel] = low, (high - low if high > low else 1.0)
    return statistics


def normalise(
    image: NDArray[np.floating], statistics: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Apply `grey_statistics`; pixels that are not finite become 0.

    Parameters
    ----------
    image : array
        (C, Y, X), any part of the plane.
    statistics : float32 array
        (C, 2).

    Returns
    -------
    float32 array
        (C, Y, X), mostly within 0 ... 1.
    """
    scaled = (np.asarray(image, dtype=np.float32) - statistics[:, :1, None]) / statistics[:, 1:, None]
    return np.nan_to_num(scaled, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
