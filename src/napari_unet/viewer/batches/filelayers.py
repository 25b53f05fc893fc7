"""Layers of what is on disk: lazily, with all axes, pixel sizes and levels of a pyramid."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.engine.formats.axisview import AxisView
from napari_unet.engine.formats.imagefile import open_source
from napari_unet.engine.formats.picturefile import Picture
from napari_unet.engine.formats.source import Source
from napari_unet.engine.formats.zarrfile import is_zarr, zarr_levels
from napari_unet.errors import InputError

__all__ = ["file_layers", "labels_layer"]

IN_MEMORY = 2**26
"""Pixels of labels that are read at once, so that they can be corrected."""

SAMPLE = 1024
"""Side of what is looked at of an image, to choose its contrast."""


def file_layers(image: Path, labels: Path) -> tuple[Image, Labels]:
    """Open an image and its labels, so that they lie on each other.

    Raises
    ------
    InputError
        If one of them is gone, or damaged.
    """
    below = _Opened.of(image)
    above = _Opened.of(labels, order=below.letters)
    alike = below.sizes == above.sizes
    if not alike and prod(below.sizes) != prod(above.sizes):
        raise InputError(
            f"{labels} has {prod(above.sizes)} planes, but {image} has {prod(below.sizes)}; the "
            f"image was changed since. Run the batch again."
        )
    return _image_layer(below, flat=not alike), _labels_layer(above, flat=not alike)


def labels_layer(labels: Path, order: str = "") -> Labels:
    """Open labels.

    Parameters
    ----------
    labels : Path
        The file, or the folder of zarr.
    order : str, optional
        A letter for each axis of planes, in the order of the image ("ZT"): OME-Zarr has them in an
        order of its own.

    Raises
    ------
    InputError
        If they are gone, or damaged.
    """
    return _labels_layer(_Opened.of(labels, order=order), flat=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A file that is open: its levels, the finest first, and which of its axes are what."""

    path: Path
    source: Source
    levels: list[Any]
    channels: list[int]
    planes: list[int]

    @classmethod
    def of(cls, path: Path, order: str = "") -> _Opened:
        """Open a file; planes along the same axes as in ``order`` are counted in that order."""
        source = open_source(path)
        levels = zarr_levels(path) if is_zarr(path) else [source.data]
        shape, axes = source.data.shape, source.axes
        channels = [i for i, axis in enumerate(axes) if axis in "CS"]
        planes = [i for i, axis in enumerate(axes) if axis not in "CSYX" and shape[i] > 1]
        if sorted(axes[i] for i in planes) == sorted(order):
            planes.sort(key=lambda i: order.find(axes[i]))
        return cls(path, source, levels, channels, planes)

    @property
    def letters(self) -> str:
        """A letter for each axis of planes."""
        return "".join(self.source.axes[i] for i in self.planes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many planes each axis of planes counts."""
        return tuple(self.source.data.shape[i] for i in self.planes)

    @property
    def n_channels(self) -> int:
        """How many channels there are, without an alpha."""
        limits, shape = self.source.limits, self.source.data.shape
        return prod(limits.get(i, shape[i]) for i in self.channels)

    @property
    def rgb(self) -> bool:
        """Whether the channels are the samples of colour pixels."""
        return self.n_channels == 3 and [self.source.axes[i] for i in self.channels] == ["S"]

    def arrays(self, *, flat: bool, channels: bool) -> list[Any]:
        """Return the levels with channels first, or last for colour, or without them."""
        y, x = (self.source.axes.index(axis) for axis in "YX")
        groups = [self.planes] if flat else [[i] for i in self.planes]
        groups += [[y], [x]]
        if channels:
            groups.insert(len(groups) if self.rgb else 0, self.channels)
        limits = self.source.limits
        views = [AxisView(level, groups, str(self.path), limits) for level in self.levels]
        return [np.asarray(v) if isinstance(v.data, np.ndarray | Picture) else v for v in views]

    def spatial(self, *, flat: bool, channels: bool) -> dict[str, Any]:
        """Return names, steps and units of the axes of these arrays, colours aside."""
        letters = "Q" * bool(self.planes) if flat else self.letters
        letters = "C" * (channels and not self.rgb) + letters + "YX"
        size = self.source.size
        y, x = size.yx or (1.0, 1.0)
        steps = {"Y": y, "X": x, "Z": size.z or 1.0}
        known = {*"YX", *("Z" * (size.z is not None))} if size.yx is not None else set()
        return {
            "axis_labels": [
                f"axis {i}" if letter == "Q" else letter.lower() for i, letter in enumerate(letters)
            ],
            "scale": [steps.get(letter, 1.0) for letter in letters],
            "units": [(size.unit if letter in known else "") or "pixel" for letter in letters],
        }


def _image_layer(opened: _Opened, *, flat: bool) -> Image:
    channels = opened.n_channels > 1
    arrays = opened.arrays(flat=flat, channels=channels)
    return Image(
        arrays if len(arrays) > 1 else arrays[0],
        name=opened.path.name,
        rgb=opened.rgb,
        multiscale=len(arrays) > 1,
        contrast_limits=_contrast(arrays[-1], rgb=opened.rgb),
        **opened.spatial(flat=flat, channels=channels),
    )


def _labels_layer(opened: _Opened, *, flat: bool) -> Labels:
    arrays = opened.arrays(flat=flat, channels=False)
    if len(arrays) == 1 and prod(arrays[0].shape) <= IN_MEMORY:
        arrays = [np.asarray(arrays[0])]
    return Labels(
        arrays if len(arrays) > 1 else arrays[0],
        name=opened.path.name,
        multiscale=len(arrays) > 1,
        opacity=0.5,
        **opened.spatial(flat=flat, channels=False),
    )


def _contrast(pixels: Any, *, rgb: bool) -> tuple[float, float] | None:
    """Return the range of some pixels in the middle; napari would look at all of them."""
    if rgb:
        return None
    middle = [slice(n // 2, n // 2 + 1) for n in pixels.shape[:-2]]
    inside = [slice((n - min(n, SAMPLE)) // 2, (n + SAMPLE) // 2) for n in pixels.shape[-2:]]
    sample: NDArray[Any] = np.asarray(pixels[(*middle, *inside)], dtype=float)
    sample = sample[np.isfinite(sample)]
    low, high = (sample.min(), sample.max()) if sample.size else (0.0, 0.0)
    return float(low), float(high) if high > low else float(low) + 1.0
