"""Whether labels lie where their image lies: on its pixels, as the user sees both."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.viewer.stack import ImageStack

__all__ = ["TOLERANCE", "farthest_pixel"]

TOLERANCE = 0.501
"""How many pixels labels may be away from those of their image; more than half is another pixel."""


def farthest_pixel(image: Image, labels: Labels, stack: ImageStack) -> float:
    """Return how far labels of the shape of an image are away from it at most, in its pixels.

    Both are moved, scaled and turned as wholes, so that is at one of the corners.
    """
    first, *ends = [
        _away(image, labels, stack, point) for point in [np.zeros(labels.ndim), *_ends(stack)]
    ]
    along = np.array(ends) - first
    lowest, highest = np.minimum(along, 0).sum(axis=0), np.maximum(along, 0).sum(axis=0)
    return float(np.abs([first + lowest, first + highest]).max())


def _ends(stack: ImageStack) -> NDArray[np.float64]:
    """Return the last pixel along every axis."""
    return np.diag([n - 1.0 for n in stack.shape])


def _away(
    image: Image, labels: Labels, stack: ImageStack, point: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far a pixel of labels is away from that of the image."""
    axis = [] if stack.channel_axis is None or stack.rgb else [stack.channel_axis]
    units = np.delete(np.array(image.units, dtype=object), axis)
    world = np.array(labels.data_to_world(point)) * _factors(labels.units, units)
    channel = np.asarray(image.data_to_world([0] * image.ndim))[axis]
    place = image.world_to_data(np.insert(world, axis, channel))
    away: NDArray[np.float64] = np.delete(place, axis) - point
    return away


def _factors(units: Any, wanted: Any) -> list[float]:
    """Return what converts lengths; napari ignores units of which some are pixels."""
    pairs = list(zip(units, wanted, strict=True))
    if not all(one.is_compatible_with(other) for one, other in pairs):
        return [1.0] * len(pairs)
    return [float((1.0 * one).to(other).magnitude) for one, other in pairs]
