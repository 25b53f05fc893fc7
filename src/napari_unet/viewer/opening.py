"""Show the result of an image of a batch: the layer that it is, or the files that it became."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer

from napari_unet.errors import InputError
from napari_unet.viewer.filelayers import file_layers, labels_layer
from napari_unet.viewer.layers import is_result

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["FileResult", "LayerResult"]


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
        layers = [layer for ref in self._opened if (layer := ref()) in viewer.layers]
        if len(layers) < 2:
            for layer in layers:
                viewer.layers.remove(layer)
            layers = [*file_layers(self._image, self._labels)]
            viewer.layers.extend(layers)
            for layer in layers:
                layer.visible = False  # until all that belongs together is shown
            self._opened = [weakref.ref(layer) for layer in layers]
        _show_only(viewer, layers)


def _show_only(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Show layers, hide the other images and labels, and select the last of them."""
    if not all(layer.visible for layer in layers):
        viewer.reset_view(layers=layers)
    for layer in viewer.layers:
        if isinstance(layer, Image | Labels):
            layer.visible = layer in layers
    viewer.layers.selection.active = layers[-1]
