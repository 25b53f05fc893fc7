"""Labels layers as they are saved, apart from their pixels, and back in a viewer."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.engine.saving.session import SavedImage, SavedLabels
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of, write_classes
from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.notes import METADATA, entry, is_linked, meaning_of
from napari_unet.viewer.stack import ImageStack, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = [
    "add_labels",
    "find_image",
    "put_where_it_was",
    "saved_image",
    "saved_labels",
    "saved_spatial",
]

ARRAYS = ("scale", "translate", "rotate", "shear")
SPATIAL = {*ARRAYS, "affine", "units", "axis_labels"}


def saved_labels(viewer: ViewerModel, layer: Labels, folder: str) -> SavedLabels:
    """Describe a labels layer, and the image it belongs to.

    Parameters
    ----------
    viewer : napari viewer
        With the image.
    layer : Labels
        The layer.
    folder : str
        Where its pixels are saved.
    """
    data = finest(layer)
    image = _image_of(viewer, layer)
    return SavedLabels(
        name=layer.name,
        folder=folder,
        shape=tuple(int(n) for n in data.shape),
        dtype=np.dtype(data.dtype).str,
        meaning=meaning_of(layer),
        entry=_plain({**entry(layer), "classes": _classes(layer)}),
        spatial=saved_spatial(layer),
        image=None if image is None else saved_image(image),
    )


def add_labels(viewer: ViewerModel, saved: SavedLabels, pixels: NDArray[Any]) -> Labels:
    """Add a labels layer as it was described; it is a new layer, whatever is open.

    Parameters
    ----------
    viewer : napari viewer
        Gets the layer.
    saved : SavedLabels
        What it is called, where it lies, and what it means.
    pixels : array
        Its data, of the saved shape and dtype.

    Raises
    ------
    InputError
        If the description makes no sense to napari.
    """
    noted = {n: value for n, value in saved.entry.items() if n not in ("image", "classes")}
    noted["meaning"] = saved.meaning
    try:
        layer = Labels(pixels, name=saved.name, metadata={METADATA: noted}, **saved.spatial)
        write_classes(layer, dict(saved.entry.get("classes", [])))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{saved.name!r} is not a layer that napari can show ({error})."
        ) from error
    viewer.add_layer(layer)
    return layer


def find_image(viewer: ViewerModel, saved: SavedImage | None) -> Image | None:
    """Return the open image of that name and shape, if there is one."""
    if saved is None:
        return None
    for image in image_layers(viewer):
        if image.name == saved.name and tuple(finest(image).shape) == saved.shape:
            return image
    return None


def put_where_it_was(image: Image, saved: SavedImage) -> None:
    """Put an image that was opened again where it lay: its file may not tell all of it."""
    with suppress(ValueError, TypeError, AttributeError):  # no reason not to have it at all
        for name in saved.spatial.keys() & SPATIAL:
            setattr(image, name, saved.spatial[name])


def saved_image(image: Image) -> SavedImage:
    """Describe an image, so that it is found or opened again."""
    shape = tuple(int(n) for n in finest(image).shape)
    source = image.source
    return SavedImage(
        name=image.name,
        shape=shape,
        path=source.path,
        reader=source.reader_plugin,
        spatial=saved_spatial(image),
    )


def saved_spatial(layer: Layer) -> dict[str, Any]:
    """Return where a layer lies, and what its axes are, as can be kept as JSON."""
    spatial: dict[str, Any] = {name: np.asarray(getattr(layer, name)).tolist() for name in ARRAYS}
    spatial["affine"] = np.asarray(layer.affine.affine_matrix).tolist()
    spatial["units"] = [str(unit) for unit in layer.units]
    spatial["axis_labels"] = [str(label) for label in layer.axis_labels]
    return spatial


def _classes(layer: Labels) -> list[tuple[int, str]]:
    with suppress(InputError):  # a table of something else must not keep the rest from it
        return list(classes_of(layer).items())
    return []


def _image_of(viewer: ViewerModel, layer: Labels) -> Image | None:
    """Return the image that labels were made for; else the one that they fit."""
    images = image_layers(viewer)
    ours = [image for image in images if is_linked(layer, image)]
    shape = tuple(finest(layer).shape)
    return next(iter(ours), None) or next((i for i in images if _shape(i) == shape), None)


def _shape(image: Image) -> tuple[int, ...] | None:
    with suppress(InputError):  # an image that is none to the program is not painted on
        return ImageStack.of(image).shape
    return None


def _plain(noted: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of what can be kept as JSON; what cannot must not keep the rest from it."""
    kept = {}
    for name, value in noted.items():
        with suppress(TypeError, ValueError, RecursionError):
            kept[name] = json.loads(json.dumps(value))
    return kept
