"""Show the result of an image of a batch: the layer that it is, or the files that it became."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_unet.engine.imagefile import ImageFile, open_image
from napari_unet.errors import InputError
from napari_unet.viewer.layers import is_result

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["FileResult", "LayerResult"]

SAMPLE = 1024
"""Side of what is looked at of an image on disk, to choose its contrast."""


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
    """An image on disk, or an open one, and its segmentation on disk.

    Parameters
    ----------
    image : Path or Image
        What was segmented.
    labels : Path
        What became of it.
    """

    def __init__(self, image: Path | Image, labels: Path) -> None:
        self._path = image if isinstance(image, Path) else None
        self._labels = labels
        self._layers: list[weakref.ref[Layer]] = []
        if isinstance(image, Image):
            self._layers.append(weakref.ref(image))

    def __call__(self, viewer: ViewerModel) -> None:
        """Open both as layers, unless they are open; show them.

        Raises
        ------
        InputError
            If a file is gone, or damaged.
        """
        layers = [layer for ref in self._layers if (layer := ref()) in viewer.layers]
        if self._path is not None and not any(isinstance(layer, Image) for layer in layers):
            layers.insert(0, viewer.add_layer(_image_layer(open_image(self._path))))
        if not any(isinstance(layer, Labels) for layer in layers):
            layers.append(viewer.add_layer(_labels_layer(open_image(self._labels))))
        self._layers = [weakref.ref(layer) for layer in layers]
        _show_only(viewer, layers)
        viewer.reset_view()


def _show_only(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Show layers, hide the other images and labels, and select the last of them."""
    for layer in viewer.layers:
        if isinstance(layer, Image | Labels):
            layer.visible = layer in layers
    viewer.layers.selection.active = layers[-1]


def _image_layer(file: ImageFile) -> Image:
    return Image(file.data, name=file.path.name)


def _labels_layer(file: ImageFile) -> Labels:
    return Labels(np.asarray(file.data[0]), name=file.path.name)
