"""Volumes for the tests of 3D objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

SPACING = 4


def two_balls() -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Draw a bright ball on top of another; planes are four pixels apart. (32, 96, 96) each."""
    z, y, x = np.indices((32, 96, 96))
    away = [
        np.sqrt((SPACING * z - middle) ** 2 + (y - 48) ** 2 + (x - 48) ** 2) for middle in (44, 84)
    ]
    truth = np.where(np.min(away, axis=0) < 23, np.argmin(away, axis=0) + 1, 0)
    image = (ndimage.gaussian_filter((truth > 0) * 1000.0, 1) + 100).astype(np.uint16)
    image += np.random.default_rng(0).integers(0, 40, image.shape, dtype=np.uint16)
    return image, truth


def write_volume(path: Path, image: NDArray[Any], axes: str = "ZYX") -> Path:
    """Write an OME-TIFF whose planes are as far apart as they are drawn."""
    size = {f"PhysicalSize{axis}": side for axis, side in zip("ZYX", (2, 0.5, 0.5), strict=True)}
    form: Any = {"photometric": "minisblack", "metadata": {"axes": axes, **size}}
    tifffile.imwrite(path, image, ome=True, **form)
    return path
