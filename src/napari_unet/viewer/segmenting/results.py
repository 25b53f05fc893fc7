"""Layers that show what the program computed: never editable, never the painted ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import DTypeLike, NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.engine.cells import cell_rules
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import DeviceError
from napari_unet.viewer.colours import faint_where_low
from napari_unet.viewer.notes import ResultKind, is_result, mark_result, note_outdated
from napari_unet.viewer.planes import Pixels, Planes, zeros
from napari_unet.viewer.segmenting.features import forget_features
from napari_unet.viewer.stack import ImageStack, PlaneIndex, spatial_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["UNFINISHED", "Result", "hide", "label_dtype", "outdate_errors", "segmentations"]

UNFINISHED = " (unfinished)"

NAMES = {
    "segmentation": "segmentation",
    "probability": "probability",
    "weights": "weight map",
    "preview": "preview",
    "uncertainty": "uncertainty",
    "errors": "errors",
}
WHOLE = ("segmentation", "probability")
"""Kinds of which every plane is written, where no single one was asked for."""
COLOURMAPS = {"probability": "viridis", "weights": "inferno", "uncertainty": "magma"}


def label_dtype(segmenter: Segmenter, shape: tuple[int, ...], config: PredictConfig) -> DTypeLike:
    """Return the narrowest dtype that can number every possible cell, or hold every class.

    A napari layer of uint8 or uint16 refreshes a hundred times quicker than one of uint32.
    """
    if segmenter.kind == "classes":
        return np.uint8
    rules = cell_rules(segmenter, config)
    smallest, cut = max(rules.min_size, 1), max(rules.cut_size or 0, 1)
    # those at the edge need fewer pixels, but each has one of the edge
    edge = 2 * np.prod(shape[:-2]) * sum(shape[-2:])
    most = np.prod(shape) / smallest + edge * (1 - cut / smallest)
    return np.uint16 if most < 2**16 else np.uint32


class Result:
    """A layer that is filled piece by piece, on the main thread.

    The layer of the last result of that kind for the same image is used again. Until `finish`
    its name says that it is unfinished.

    Parameters
    ----------
    viewer : napari viewer
        Gets the layer.
    image : Image
        What the result is about; the layer lies on it.
    kind : {"segmentation", "probability", "weights", "preview", "uncertainty", "errors"}
        What is shown.
    dtype : dtype
        Of the pixels.
    plane : tuple of int, optional
        The one plane that will be written; the others keep what the last result shows there.

    Attributes
    ----------
    layer : Layer
        Shows the result.
    array : array or Planes
        What it shows.

    Raises
    ------
    DeviceError
        If there is no memory for what is to be written.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        kind: ResultKind,
        dtype: DTypeLike,
        *,
        plane: PlaneIndex | None = None,
    ) -> None:
        self._viewer = viewer
        stack = ImageStack.of(image)
        found = [layer for layer in viewer.layers if is_result(layer, kind, image)]
        last = next((layer for layer in found if layer.data.shape == stack.shape), None)
        if last is not None and plane is not None:
            self.array = _without(last.data, plane, np.dtype(dtype))
        else:
            whole = plane is None and kind in WHOLE
            self.array = _zeros(image, stack.shape, kind, dtype, whole=whole)
        self._stays_unfinished = bool(
            stack.leading and plane is not None and last is not None and UNFINISHED in last.name
        )
        spatial = spatial_metadata(image, stack)
        if last is None:
            self.layer = _new_layer(f"{image.name} {NAMES[kind]}", kind, self.array, spatial)
        else:
            self.layer = last
            forget_features(last)
            self._show_array(spatial)
        self.layer.editable = False
        self.layer.visible = True
        mark_result(self.layer, kind, image)
        self._rename(UNFINISHED)
        if kind == "segmentation":
            outdate_errors(viewer, image)
        if last is None:
            _insert_above(viewer, image, self.layer)
        self._next_refresh = 0.0

    @property
    def shown(self) -> bool:
        """Whether the layer is still in the viewer and still shows the array."""
        return self.layer in self._viewer.layers and self.layer.data is self.array

    def write(
        self, plane: PlaneIndex, region: tuple[slice, ...], values: NDArray[Any], *, now: bool
    ) -> None:
        """Write the values of a region of a plane; show them, with ``now`` without delay.

        Refreshes at most ten times a second, and less often where that takes long.
        """
        where: tuple[Any, ...] = (*plane, *region)
        self.array[where] = values
        start = time.monotonic()
        if not self.shown or (start < self._next_refresh and not now):
            return
        self.layer.refresh(extent=False, highlight=False, thumbnail=now)
        took = time.monotonic() - start
        self._next_refresh = start + max(0.1, 5 * took)

    def finish(self, *, complete: bool) -> None:
        """Name the layer for good: unfinished if something is missing."""
        if self.layer.data is self.array:
            self._rename("" if complete and not self._stays_unfinished else UNFINISHED)
            self.layer.refresh(extent=False)

    def _show_array(self, spatial: dict[str, Any]) -> None:
        if self.layer.data is not self.array:
            self.layer.data = self.array
        for name, value in spatial.items():
            setattr(self.layer, name, value)

    def _rename(self, mark: str) -> None:
        self.layer.name = self.layer.name.replace(UNFINISHED, "") + mark


def segmentations(viewer: ViewerModel, image: Image) -> list[Labels]:
    """Return the layers, mostly one, with the segmentation of an image as large as it is now."""
    shape = ImageStack.of(image).shape
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and is_result(layer, "segmentation", image)
        and layer.data.shape == shape
    ]


def hide(viewer: ViewerModel, image: Image, kind: ResultKind) -> None:
    """Hide what was computed for an image: something else is about to take its place."""
    for layer in viewer.layers:
        if is_result(layer, kind, image):
            layer.visible = False


def outdate_errors(viewer: ViewerModel, image: Image) -> None:
    """Show the segmentation of an image, which changes, where errors of how it was are shown."""
    for errors in [layer for layer in viewer.layers if is_result(layer, "errors", image)]:
        note_outdated(errors)
        if errors.visible:
            errors.visible = False
            for layer in viewer.layers:
                if is_result(layer, "segmentation", image):
                    layer.visible = True


def _new_layer(name: str, kind: ResultKind, array: Pixels, spatial: dict[str, Any]) -> Layer:
    if kind in ("segmentation", "preview", "errors"):
        return Labels(array, name=name, opacity=0.5, **spatial)
    return Image(
        array,
        name=name,
        colormap=faint_where_low(COLOURMAPS[kind]),
        blending="translucent_no_depth",
        contrast_limits=(0.0, 1.0),
        **spatial,
    )


def _zeros(
    image: Image, shape: tuple[int, ...], kind: ResultKind, dtype: DTypeLike, *, whole: bool
) -> Pixels:
    """Return zeros; of a stack that is too large and will not be written as a whole, `Planes`."""
    remedy = "Close other layers and programs" + ", or segment the current plane only." * whole
    try:
        what = f"The {NAMES[kind]} of layer {image.name!r}"
        return zeros(shape, dtype, what=what, remedy=remedy)
    except DeviceError:
        if whole or len(shape) == 2:
            raise
        return Planes(shape, dtype)


def _without(data: Any, plane: PlaneIndex, dtype: np.dtype[Any]) -> Pixels:
    """Return the pixels of the last result with one plane cleared."""
    kept: Pixels = data if isinstance(data, Planes) else np.asarray(data)
    if np.result_type(kept.dtype, dtype) != kept.dtype:
        kept = kept.astype(np.result_type(kept.dtype, dtype))
    kept[plane] = 0
    return kept


def _insert_above(viewer: ViewerModel, image: Image, layer: Layer) -> None:
    """Put a layer above the image and our other results, below what is painted.

    The selection stays: whoever paints while a result comes in goes on painting.
    """
    below = [viewer.layers.index(image)] if image in viewer.layers else []
    below += [i for i, other in enumerate(viewer.layers) if is_result(other, image=image)]
    selected = set(viewer.layers.selection)
    viewer.layers.insert(max(below, default=len(viewer.layers) - 1) + 1, layer)
    viewer.layers.selection = selected
