"""Show the result of an image of a batch: the layer that it is, or the files that it became."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari.layers import Image, Labels, Layer

from napari_unet.errors import InputError
from napari_unet.viewer.batches.filelayers import file_layers, labels_layer
from napari_unet.viewer.layers import image_layers, set_visible
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.stack import ImageStack, finest, spatial_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["FileResult", "LayerResult", "OpenFileResult"]

L = TypeVar("L", bound=Layer)


class LayerResult:
    """The segmentation of an open image, as a layer; keeps neither alive.

    Parameters
    ----------
    image : Image
        What was segmented.
    """

    def __init__(self, image: Image) -> None:
        self._image = weakref.ref(image)
        self._name = image.name

    def __call__(self, viewer: ViewerModel) -> None:
        """Select and show it, over its image.

        Raises
        ------
        InputError
            If it is not there any more.
        """
        image = self._image()
        found = [layer for layer in viewer.layers if is_result(layer, "segmentation", image)]
        if image is None or not found:
            raise InputError(f"The segmentation of {self._name!r} was deleted; segment it again.")
        _show_only(viewer, [image, found[-1]] if image in viewer.layers else [found[-1]])


class FileResult:
    """An image on disk, and its segmentation on disk.

    Parameters
    ----------
    image : Path
        What was segmented.
    labels : Path
        What became of it.
    """

    def __init__(self, image: Path, labels: Path) -> None:
        self._image, self._labels = image, labels
        self._below: weakref.ref[Image] | None = None
        self._above: weakref.ref[Labels] | None = None

    def __call__(self, viewer: ViewerModel) -> None:
        """Open both as layers, unless they are open, and show them.

        Raises
        ------
        InputError
            If a file is gone, or damaged.
        """
        image, labels = _if_open(self._below, viewer), _if_open(self._above, viewer)
        if image is None or labels is None:
            image, labels = self._complete(viewer, image, labels)
            self._below, self._above = weakref.ref(image), weakref.ref(labels)
        _show_only(viewer, [image, labels])

    def _complete(
        self, viewer: ViewerModel, image: Image | None, labels: Labels | None
    ) -> tuple[Image, Labels]:
        """Open what is missing; what is open stays as it is, for it may be painted on."""
        below, above = file_layers(self._image, self._labels)
        if image is None:
            image = _opened_image(viewer, self._image, finest(labels or above).shape)
        if labels is None:
            labels = above
            if image is not None:
                _lie_on(labels, image)
                viewer.layers.insert(viewer.layers.index(image) + 1, labels)
            else:
                viewer.layers.append(labels)
            labels.visible = False  # until both are shown
        if image is None:
            image = below
            viewer.layers.insert(viewer.layers.index(labels), image)
            image.visible = False
        return image, labels


class OpenFileResult:
    """The segmentation on disk of an open image; does not keep the image alive.

    Parameters
    ----------
    image : Image
        What was segmented.
    labels : Path
        What became of it.
    axes : str
        A letter for each axis of planes of the image, in its order.
    """

    def __init__(self, image: Image, labels: Path, axes: str) -> None:
        self._image, self._labels, self._axes = weakref.ref(image), labels, axes
        self._opened: weakref.ref[Layer] | None = None

    def __call__(self, viewer: ViewerModel) -> None:
        """Open it as a layer, unless it is open, and show it on its image.

        Raises
        ------
        InputError
            If the file is gone, or damaged.
        """
        image, layer = self._image(), self._opened and self._opened()
        if layer is None or layer not in viewer.layers:
            layer = labels_layer(self._labels, self._axes)
            if image is not None:
                _lie_on(layer, image)
            viewer.add_layer(layer)
            layer.visible = False  # until both are shown
            self._opened = weakref.ref(layer)
        below = [image] if image is not None and image in viewer.layers else []
        _show_only(viewer, [*below, layer])


def _if_open(ref: weakref.ref[L] | None, viewer: ViewerModel) -> L | None:
    layer = None if ref is None else ref()
    return layer if layer in viewer.layers else None


def _opened_image(viewer: ViewerModel, path: Path, shape: tuple[int, ...]) -> Image | None:
    """Return the layer in which the user opened a file, if labels of a shape lie on its pixels."""
    for layer in image_layers(viewer):
        with suppress(InputError, OSError):  # what cannot be segmented is another image
            opened = layer.source.path is not None and Path(layer.source.path).samefile(path)
            if opened and ImageStack.of(layer).shape == shape:
                return layer
    return None


def _lie_on(layer: Labels, image: Image) -> None:
    """Put labels where the image is, if they have its planes."""
    stack = ImageStack.of(image)
    if finest(layer).shape == stack.shape:
        for name, value in spatial_metadata(image, stack).items():
            setattr(layer, name, value)


def _show_only(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Show layers, hide the other images and labels, and select the last of them."""
    if not all(layer.visible for layer in layers):
        viewer.reset_view(layers=layers)
    for layer in viewer.layers:
        if isinstance(layer, Image | Labels):
            set_visible(layer, layer in layers)
    viewer.layers.selection.active = layers[-1]
