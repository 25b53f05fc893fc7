"""Small annotated images for the tests of training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.config import TrainConfig


def config(**knobs: Any) -> TrainConfig:
    """Three steps of a tiny network on the CPU."""
    tiny: dict[str, Any] = {"seconds": 0, "steps": 3, "base_channels": 4, "depth": 2}
    return TrainConfig(**(tiny | {"device": "cpu", "downsample": 1} | knobs))


def disks(shape: tuple[int, int] = (100, 110)) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Bright disks in rows and columns, and their numbers."""
    y, x = np.indices(shape)
    row, column = y // 30, x // 30
    inside = (y % 30 - 14) ** 2 + (x % 30 - 14) ** 2 < 10**2
    labels = np.where(inside, 1 + column + 100 * row, 0).astype(np.int32)
    noise = np.random.default_rng(0).normal(0, 0.1, shape)
    return (inside + noise).astype(np.float32), labels
