"""The images of a TIFF file with all their axes, for every release of tifffile.

Releases from 2026.5.2 on, which need Python 3.12, say how an image lies in a file in another way
than those before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tifffile

__all__ = ["axes_and_shape", "images_of", "long_axes"]


def images_of(tif: tifffile.TiffFile) -> Sequence[tifffile.TiffPageSeries]:
    """Return the images, of which `axes_and_shape` knows all axes."""
    series: Any = tif.series
    images: Sequence[tifffile.TiffPageSeries] = (
        series(squeeze=False) if callable(series) else series
    )
    return images


def axes_and_shape(image: tifffile.TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """Return a letter per axis as the file has them, and the length of each, also of those of 1."""
    of: Any = image
    if hasattr(of, "get_shape"):
        return of.get_axes(squeeze=False), of.get_shape(squeeze=False)
    return of.axes, of.shape


def long_axes(image: tifffile.TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """Return `axes_and_shape` without axes of length 1, but for Y and X."""
    axes, shape = axes_and_shape(image)
    kept = [i for i, axis in enumerate(axes) if shape[i] > 1 or axis.upper() in "YX"]
    return "".join(axes[i] for i in kept), tuple(shape[i] for i in kept)
