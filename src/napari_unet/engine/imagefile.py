"""An image file that is opened lazily."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.engine.files import read_image

__all__ = ["ImageFile", "open_image"]


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image (C, Y, X) or (C, Z, Y, X), and what its file says of its axes."""

    path: Path
    data: Any
    plane_axes: str = ""
    plane_shape: tuple[int, ...] = ()
    pixel_size: tuple[float, float] | None = None
    unit: str = ""
    plane_spacing: float | None = None


def open_image(path: Path) -> ImageFile:
    """Open an image."""
    data = read_image(path)
    planes = data.shape[1:-2]
    return ImageFile(Path(path), data, "Z" * len(planes), planes)
