"""An image layer as the engine sees it: planes (Y, X) with channels, behind leading axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_unet.engine.formats.source import MICROMETRES, UNKNOWN, PixelSize, length_unit
from napari_unet.engine.greycolour import COLOURS, is_grey
from napari_unet.engine.lazyplane import LazyPlane
from napari_unet.errors import InputError

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = [
    "ImageStack",
    "PlaneIndex",
    "finest",
    "knows_spacing",
    "one_of",
    "pixel_size",
    "plane_depth",
    "plane_spacing",
    "shown_plane",
    "spatial_metadata",
]

PlaneIndex = tuple[int, ...]
"""Position of a plane on the leading axes; () for an image that is one plane."""

CHANNELS = ("c", "ch", "channel", "channels")
AXES = {"t": "time points", "time": "time points", "z": "z planes"}
MOST_CHANNELS = 4

LOOK = 512
"""Side of what is looked at of an image, to tell whether it is grey."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageStack:
    """How an image layer is understood.

    Attributes
    ----------
    data : array
        The layer's data, possibly lazy (zarr, dask); the finest level of a multiscale image.
    leading : tuple of int
        Sizes of the axes that count planes (time, z, ...), in the order of the layer.
    leading_names : tuple of str
        What they count: "time points".
    channel_axis : int or None
        Axis of ``data`` that holds channels; the last one of an RGB image.
    channels : int
        How many of them are used (an alpha channel is not).
    plane_shape : (int, int)
        (Y, X) in pixels.
    rgb : bool
        Whether the channels come last.
    """

    data: Any
    leading: tuple[int, ...]
    leading_names: tuple[str, ...]
    channel_axis: int | None
    channels: int
    plane_shape: tuple[int, int]
    rgb: bool

    @classmethod
    def of(cls, layer: Image) -> ImageStack:
        """Understand an image layer.

        The last axes are Y and X; an RGB layer has channels after them, a first axis labelled "c"
        or "channel" is channels, and every other axis counts independent planes. Napari aligns
        layers by their last axes, so channels between planes would shift labels to other planes.

        Raises
        ------
        InputError
            If the layer has no pixels, no plane, complex numbers, or channels behind planes.
        """
        data = finest(layer)
        shape = tuple(data.shape)
        if 0 in shape or layer.ndim < 2:
            raise InputError(
                f"Layer {layer.name!r} has shape {shape}; an image has pixels in Y and X."
            )
        if np.dtype(data.dtype).kind not in "iufb":
            raise InputError(
                f"Layer {layer.name!r} has dtype {data.dtype}; convert it to real numbers first."
            )
        names = [str(name).lower() for name in layer.axis_labels]
        axis = next((i for i, name in enumerate(names[:-2]) if name in CHANNELS), None)
        axis = len(shape) - 1 if layer.rgb else axis
        planes = [i for i in range(layer.ndim - 2) if i != axis]
        if axis is not None and not layer.rgb and min(planes, default=axis) < axis:
            raise InputError(_channels_come_first(layer.name, names, axis))
        channels = 1 if axis is None else shape[axis]
        return cls(
            data=data,
            leading=tuple(shape[i] for i in planes),
            leading_names=tuple(AXES.get(names[i], _or_planes(names[i])) for i in planes),
            channel_axis=axis,
            channels=min(channels, 3) if layer.rgb else channels,
            plane_shape=(shape[layer.ndim - 2], shape[layer.ndim - 1]),
            rgb=layer.rgb,
        )

    def is_of(self, layer: Image) -> bool:
        """Whether a layer still has the data that this was made of, and is understood alike."""
        try:
            now = ImageStack.of(layer)
        except InputError:
            return False
        return now.data is self.data and now.channel_axis == self.channel_axis

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels that belong to the image: (*leading, Y, X)."""
        return (*self.leading, *self.plane_shape)

    @property
    def has_depth(self) -> bool:
        """Whether it is a volume, or one at every time point."""
        names = self.leading_names
        return 1 <= len(names) <= 2 and names[-1] != "time points"

    def indices(self) -> Iterator[PlaneIndex]:
        """Yield the index of every plane."""
        return product(*(range(n) for n in self.leading))

    def fits(self, channels: int) -> bool:
        """Whether a model of so many channels can take it.

        One of a single channel takes grey that is stored as colour; whether this is, is told by
        its middle here, and of all else where it is read.
        """
        if channels != 1 or self.channels != COLOURS:
            return channels == self.channels
        plane = self.lazy_plane(tuple(n // 2 for n in self.leading))
        y, x = (slice((n - min(n, LOOK)) // 2, (n + LOOK) // 2) for n in self.plane_shape)
        return is_grey(plane[:, y, x])

    @property
    def in_memory(self) -> bool:
        """Whether reading it costs nothing: a memory-mapped file is an array too, but on disk."""
        return isinstance(self.data, np.ndarray) and not isinstance(self.data, np.memmap)

    def plane(self, index: PlaneIndex) -> NDArray[Any]:
        """Read one plane as (C, Y, X), all of it."""
        return np.asarray(self.lazy_plane(index))

    def lazy_plane(self, index: PlaneIndex) -> LazyPlane:
        """Return one plane as (C, Y, X) that is read where it is indexed."""
        leading = [i for i in range(len(self.data.shape)) if i != self.channel_axis][:-2]
        at = dict(zip(leading, index, strict=True))
        return LazyPlane(self.data, at, self.channel_axis, self.channels)

    def on_leading_axes(self, position: NDArray[np.floating]) -> PlaneIndex:
        """Return the plane nearest to a point in the data coordinates of the layer."""
        planes = [i for i in range(len(position) - 2) if self.rgb or i != self.channel_axis]
        return tuple(
            int(np.clip(np.rint(position[i]), 0, n - 1))
            for i, n in zip(planes, self.leading, strict=True)
        )

    def describe(self) -> str:
        """Say in words what will be segmented."""
        y, x = self.plane_shape
        planes = [_counted(*pair) for pair in zip(self.leading, self.leading_names, strict=True)]
        kind = "1 channel" if self.channels == 1 else f"{self.channels} channels"
        if self.rgb:
            kind = "RGB" if self.channels == 3 else kind
        text = ", ".join([*planes, f"{y} x {x} px", kind])
        unnamed = self.channel_axis is None and "planes (z or time)" in self.leading_names
        if unnamed and 1 < min(self.leading) <= MOST_CHANNELS:
            text += ". If the planes are channels, write c beside their slider"
        return text


def finest(layer: Layer) -> Any:
    """Return the data of a layer at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def one_of(name: str) -> str:
    """Name one of those that a leading axis counts: "time point"."""
    return name.replace("planes", "plane").replace("points", "point")


def _counted(n: int, name: str) -> str:
    """Say "7 planes (z or time)", "1 time point"."""
    return f"{n} {one_of(name) if n == 1 else name}"


def _channels_come_first(name: str, names: list[str], axis: int) -> str:
    order = (names[axis], *names[:axis], *names[axis + 1 :])
    return (
        f"Layer {name!r} has the axes {', '.join(names)}; channels come first. In napari's console "
        f"(layer = viewer.layers[{name!r}]): layer.data = np.moveaxis(layer.data, {axis}, 0); "
        f"layer.axis_labels = {order}"
    )


def _or_planes(name: str) -> str:
    """Name a leading axis; napari's own default labels are -3, -4, ..."""
    unnamed = name.lstrip("-").isdigit() or name.startswith("axis")
    return "planes (z or time)" if unnamed else f"{name} planes"


def pixel_size(layer: Layer) -> PixelSize:
    """Return how large a pixel is, where the scale of a layer has a unit of length."""
    y, x = (length_unit(unit) for unit in layer.units[-2:])
    height, width = (abs(float(step)) for step in layer.scale[-2:])
    return PixelSize.of(height, width, y) if y and y == x else UNKNOWN


def plane_spacing(image: Image) -> float:
    """Return the distance of the planes of a stack, in pixels of a plane; 1 where not known."""
    depth = plane_depth(image)
    y, x = (abs(float(step)) for step in image.scale[-2:])
    return 1.0 if math.isnan(depth) else depth / math.sqrt(y * x)


def knows_spacing(image: Image) -> bool:
    """Whether anybody says how far apart the planes are."""
    return not math.isnan(plane_depth(image))


def plane_depth(image: Image) -> float:
    """Return the distance of the planes of a stack, in the unit of Y and X; NaN where not known.

    Pixels and micrometres cannot be compared; and one pixel in each direction is what new layers
    have, of which nobody said anything.
    """
    spatial = spatial_metadata(image, ImageStack.of(image))
    z, y, x = (abs(float(step)) for step in spatial["scale"][-3:])
    deep, *units = (length_unit(unit) for unit in spatial["units"][-3:])
    if units[0] != units[1] or bool(deep) != bool(units[0]):
        return math.nan
    if not deep:
        return z if z != math.sqrt(y * x) else math.nan
    return z * (MICROMETRES[deep] / MICROMETRES[units[0]])


def spatial_metadata(image: Image, stack: ImageStack) -> dict[str, Any]:
    """Return scale, translate, units ... for a layer of ``stack.shape`` that lies on the image."""
    keep = [i for i in range(image.ndim) if stack.rgb or i != stack.channel_axis]
    affine = np.asarray(image.affine.affine_matrix)
    rows = [*keep, image.ndim]
    return {
        "scale": np.asarray(image.scale)[keep],
        "translate": np.asarray(image.translate)[keep],
        "rotate": np.asarray(image.rotate)[np.ix_(keep, keep)],
        "shear": _kept_shear(np.asarray(image.shear), image.ndim, keep),
        "affine": affine[np.ix_(rows, rows)],
        "units": [image.units[i] for i in keep],
        "axis_labels": [image.axis_labels[i] for i in keep],
    }


def _kept_shear(shear: NDArray[np.floating], ndim: int, keep: list[int]) -> NDArray[np.floating]:
    """Return the shear of some of the axes; napari mostly holds what is above the diagonal."""
    if shear.ndim == 2:
        return shear[np.ix_(keep, keep)]
    matrix = np.zeros((ndim, ndim))
    matrix[np.triu_indices(ndim, 1)] = shear
    part = matrix[np.ix_(keep, keep)]
    values: NDArray[np.floating] = part[np.triu_indices(len(keep), 1)]
    return values


def shown_plane(viewer: ViewerModel, image: Image) -> PlaneIndex:
    """Return the index of the plane of an image that the viewer shows."""
    point = image.world_to_data(viewer.dims.point[-image.ndim :])
    return ImageStack.of(image).on_leading_axes(np.asarray(point))
