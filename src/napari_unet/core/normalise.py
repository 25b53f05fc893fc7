"""Grey values to network input: robust statistics per channel of a plane, one smooth curve.

A plane of fluorescence is mostly dark, and a single piece of debris can be a hundred times brighter
than the cells. So the deviation from the median is first compressed like a logarithm, linearly for
small values (the inverse hyperbolic sine, as astronomers do), and then stretched between two
percentiles. Each pixel is mapped alone, so a result does not depend on tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HIGH",
    "HIGHEST",
    "LOW",
    "LOWEST",
    "as_float32",
    "grey_statistics",
    "normalise",
    "oddity",
    "of_stretched",
    "statistics_and_oddity",
]

LOW, HIGH = 1.0, 99.8
"""Percentiles that become 0 and 1."""

NOISE = 3.0
"""Deviations up to this many (robust) standard deviations stay linear ..."""

LINEAR = 0.1
"""... and so do deviations up to this share of the range between the percentiles."""

LOWEST, HIGHEST = -2.0, 4.0
"""Normalised values are clipped to this; only broken pixels lie outside."""

FILLER = 0.01, 0.5
"""Share of the pixels that are filler, at least and below: as much of an image may be its dark."""

FAR_BELOW = 2.0
"""How far below all others a filler lies, in distances of their dark end from their median."""

SAMPLE = 1 << 18
"""Pixels per channel that the statistics are taken from, on a regular grid."""


def as_float32(image: Any) -> NDArray[np.float32]:
    """Return grey values as float32; what that cannot hold is infinite, and so not finite."""
    with np.errstate(over="ignore"):
        return np.asarray(image, dtype=np.float32)


def grey_statistics(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return what `normalise` needs to know of each channel, from its finite pixels.

    Parameters
    ----------
    image : array
        (C, Y, X). Large planes are read on a regular subgrid.

    Returns
    -------
    float32 array
        (C, 4): median and width of the linear part in grey values, then offset and scale of the
        compressed values. Always finite; widths and scales are positive.
    """
    return _statistics(_sample(image))


def statistics_and_oddity(image: NDArray[np.generic]) -> tuple[NDArray[np.float32], str]:
    """Return `grey_statistics`, and what its user should know of such grey values.

    Parameters
    ----------
    image : array
        (C, Y, X).

    Returns
    -------
    statistics : float32 array
        (C, 4).
    oddity : str
        A sentence if all are the same, some are not finite, or some seem to fill up what was not
        imaged; else "".
    """
    pixels = _sample(image)
    return _statistics(pixels), _oddity(pixels)


def oddity(image: NDArray[np.generic]) -> str:
    """Return the second of `statistics_and_oddity` alone, which takes less time."""
    return _oddity(_sample(image))


def normalise(image: NDArray[np.floating], statistics: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply `grey_statistics`; pixels that are not finite become 0.

    Parameters
    ----------
    image : array
        (C, Y, X), any part of the plane.
    statistics : float32 array
        (C, 4).

    Returns
    -------
    float32 array
        (C, Y, X), mostly within 0 ... 1.
    """
    median, width, offset, scale = (column[:, None, None] for column in statistics.T)
    with np.errstate(over="ignore"):  # a filler for missing pixels: not finite, like these
        values = np.arcsinh((as_float32(image) - median) / width)
    values = (values - offset) / scale
    values = np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    clipped: NDArray[np.float32] = np.clip(values, LOWEST, HIGHEST, out=values)
    return clipped


def of_stretched(statistics: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the statistics of grey values after their `LOW` and `HIGH` became 0 and 1.

    Parameters
    ----------
    statistics : float32 array
        (C, 4), `grey_statistics` of the values as they are.

    Returns
    -------
    float32 array
        (C, 4). What is compressed stays the same: it counts in widths of the linear part.
    """
    _, _, offset, scale = statistics.T.astype(np.float64)
    low, high = np.sinh(offset), np.sinh(offset + scale)
    return np.stack([-low / (high - low), 1 / (high - low), offset, scale], 1).astype(np.float32)


def _sample(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return pixels (C, n) of a plane; NaN for those that `normalise` does not take for finite."""
    step = max(1, int(np.ceil(np.sqrt(image.shape[-1] * image.shape[-2] / SAMPLE))))
    pixels = np.asarray(image[:, ::step, ::step], dtype=np.float64).reshape(image.shape[0], -1)
    return np.where(np.abs(pixels) <= np.finfo(np.float32).max, pixels, np.nan)


def _oddity(pixels: NDArray[np.float64]) -> str:
    finite = np.isfinite(pixels)
    if pixels.size and not finite.any():
        return "No pixel of the plane has a grey value: all are NaN or infinite."
    # an empty channel beside others is nothing odd
    channels = [channel[known] for channel, known in zip(pixels, finite, strict=True)]
    if all(not values.size or values.min() == values.max() for values in channels):
        return "All pixels of the plane have the same grey value: look at the image."
    missing = 1 - finite.mean()
    if not missing:
        return next(filter(None, map(_about_filler, channels)), "")
    share = f"{100 * missing:.0f} %" if missing >= 0.01 else "Less than 1 %"
    return f"{share} of the pixels are NaN or infinite, and count as dark."


def _about_filler(values: NDArray[np.float64]) -> str:
    """Say that many pixels have one value far below all others, as around a mosaic; else ""."""
    lowest = values.min()
    share = float(np.mean(values == lowest))
    if not FILLER[0] <= share < FILLER[1]:
        return ""
    dark, median = np.percentile(values[values > lowest], [LOW, 50])
    if dark - lowest <= FAR_BELOW * (median - dark):
        return ""
    return (
        f"{100 * share:.0f} % of the pixels are {lowest:.6g}, far below all others, which takes "
        f"contrast from the cells: if nothing was imaged there, crop it away or make it NaN."
    )


def _statistics(pixels: NDArray[np.float64]) -> NDArray[np.float32]:
    statistics = np.zeros((len(pixels), 4), dtype=np.float32)
    for channel, values in enumerate(pixels):
        statistics[channel] = _channel_statistics(values[np.isfinite(values)])
    return statistics


def _channel_statistics(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    if not values.size or values.min() == values.max():
        return float(values[0]) if values.size else 0.0, 1.0, 0.0, 1.0
    median = np.median(values)
    # the standard deviation, were the deviations Gaussian
    noise = 1.4826 * np.median(np.abs(values - median))
    low, high = np.percentile(values, [LOW, HIGH])
    if low == high:  # a flat background and very few cells
        low, high = values.min(), values.max()
    width = max(NOISE * noise, LINEAR * (high - low), 1e-30)
    below, above = np.arcsinh((np.array([low, high]) - median) / width)
    return median, width, below, max(above - below, 1e-6)
