"""Show the result of an image of a batch: the layer that it is, or the files that it became."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer

from napari_unet.errors import InputError
from napari_unet.viewer.batches.filelayers import file_layers, labels_layer
from napari_unet.viewer.layers import is_result
from napari_unet.viewer.stack import ImageStack, finest, spatial_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["FileResult", "LayerResult", "OpenFileResult"]


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
        self._opened: list[weakref.ref[Layer]] = []

    def __call__(self, viewer: ViewerModel) -> None:
        """Open both as layers, unless they are open, and show them.

        Raises
        ------
        InputError
            If a file is gone, or damaged.
        """
        opened = [layer for ref in self._opened if (layer := ref()) is not None]
        layers = [layer for layer in opened if layer in viewer.layers]
        if len(layers) < 2:
            for layer in layers:
                viewer.layers.remove(layer)
            layers = [*file_layers(self._image, self._labels)]
            viewer.layers.extend(layers)
            for layer in layers:
                layer.visible = False  # until both are shown
            self._opened = [weakref.ref(layer) for layer in layers]
        _show_only(viewer, layers)


class OpenFileResult:
    """The segmentation on disk of an open image; does not keep the image alive.

    Parameters
    ----------
    image : Image
        What was segmented.
    labels : Path
        What became of it.
    """

    def __init__(self, image: Image, labels: Path) -> None:
        self._image, self._labels = weakref.ref(image), labels
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
            layer = labels_layer(self._labels)
            if image is not None:
                _lie_on(layer, image)
            viewer.add_layer(layer)
            layer.visible = False  # until both are shown
            self._opened = weakref.ref(layer)
        below = [image] if image is not None and image in viewer.layers else []
        _show_only(viewer, [*below, layer])


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
            layer.visible = layer in layers
    viewer.layers.selection.active = layers[-1]
