"""Turn a plane and turn probabilities back: averaging over rotated versions of the input.

The paper's EM experiment averages the predictions of "7 rotated versions of the input data"
(section 4). The plane is turned as a whole about its centre, onto a canvas that holds all of it;
the corners of the canvas are filled by mirroring.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

__all__ = ["rotate", "rotate_back", "rotated_shape"]


def rotate(image: NDArray[np.float32], angle: float) -> NDArray[np.float32]:
    """Turn (C, Y, X) by ``angle`` radians; linear interpolation.

    Returns
    -------
    float32 array
        (C, Y', X'), large enough for every pixel of the input.
    """
    return _turn(image, angle, rotated_shape(image.shape[1:], angle))


def rotated_shape(shape: tuple[int, ...], angle: float) -> tuple[int, int]:
    """Return the canvas (Y', X') that holds every pixel of a turned plane (Y, X)."""
    (height, width), cos, sin = shape, abs(np.cos(angle)), abs(np.sin(angle))
    # rounding first: cos(pi/2) is 6e-17, and a canvas one pixel larger would shift the grid
    return (
        int(np.ceil(round(height * cos + width * sin, 6))),
        int(np.ceil(round(height * sin + width * cos, 6))),
    )


def rotate_back(
    turned: NDArray[np.float32], angle: float, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Undo `rotate`: (K, Y', X') to (K, *shape)."""
    return _turn(turned, -angle, shape)


def _turn(image: NDArray[np.float32], angle: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
    height, width = image.shape[1:]
    y = torch.arange(shape[0], dtype=torch.float64)[:, None] - (shape[0] - 1) / 2
    x = torch.arange(shape[1], dtype=torch.float64)[None, :] - (shape[1] - 1) / 2
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    source_y = cos * y - sin * x
    source_x = sin * y + cos * x
    # grid_sample measures from the centre in units of half the extent
    grid = torch.stack(
        [source_x / max((width - 1) / 2, 0.5), source_y / max((height - 1) / 2, 0.5)], dim=-1
    )
    sampled = F.grid_sample(
        torch.from_numpy(np.ascontiguousarray(image))[None],
        grid[None].float(),
        "bilinear",
        "reflection",
        align_corners=True,
    )
    result: NDArray[np.float32] = sampled[0].numpy()
    return result
