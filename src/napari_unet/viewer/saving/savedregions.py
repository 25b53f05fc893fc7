"""Training regions as they are saved, and back in a viewer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes
from psygnal import Signal

from napari_unet.engine.saving.session import SavedRegions
from napari_unet.errors import InputError
from napari_unet.viewer.imageregions import ImageRegions
from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.notes import METADATA, is_linked, link
from napari_unet.viewer.regions import LOOK
from napari_unet.viewer.saving.savedlayers import saved_image, saved_spatial

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["DrawnRegions", "add_regions"]


class DrawnRegions:
    """Follows the training regions of a viewer; for the main thread, until `leave`.

    Those are the Shapes layers of which the program knows the image that they are drawn on.
    ``noticed`` is emitted when there is something new to save.

    Parameters
    ----------
    viewer : napari viewer
        Has the layers; it is not kept alive.
    chosen : ImageRegions
        Which of them go with which image.
    """

    noticed = Signal()

    def __init__(self, viewer: ViewerModel, chosen: ImageRegions) -> None:
        self._viewer, self._chosen = weakref.ref(viewer), chosen
        chosen.changed.connect(self._on_change)
        self._followed: list[Shapes] = []
        self._list = viewer.layers.events
        for emitter in (self._list.inserted, self._list.removed):
            emitter.connect(self._look)
        self._look()

    def saved(self) -> tuple[SavedRegions, ...]:
        """Describe them as they are now."""
        viewer = self._viewer()
        if viewer is None:
            return ()
        return tuple(_saved(viewer, self._chosen, one) for one in self._followed if _is_drawn(one))

    def leave(self) -> None:
        """Follow them no more."""
        for emitter in (self._list.inserted, self._list.removed):
            emitter.disconnect(self._look)
        self._follow([])
        self._chosen.changed.disconnect(self._on_change)
        self.noticed.disconnect()

    def _look(self, _: object = None) -> None:
        """Follow the layers that are there now."""
        viewer = self._viewer()
        there = [] if viewer is None else viewer.layers
        shapes = [layer for layer in there if isinstance(layer, Shapes)]
        if shapes != self._followed:
            self._follow(shapes)
            self.noticed.emit()

    def _follow(self, layers: list[Shapes]) -> None:
        for followed, connects in ((self._followed, False), (layers, True)):
            for events in (layer.events for layer in followed):
                for emitter in (events.data, events.metadata):
                    (emitter.connect if connects else emitter.disconnect)(self._on_change)
        self._followed = layers

    def _on_change(self, _: object = None) -> None:
        self.noticed.emit()


def add_regions(viewer: ViewerModel, saved: SavedRegions, image: Image | None) -> Shapes:
    """Add training regions as they were described, those of an image if it is open.

    Raises
    ------
    InputError
        If the description makes no sense to napari.
    """
    try:
        layer = Shapes(
            [np.array(corners, float) for _, corners in saved.shapes],
            ndim=saved.ndim,
            shape_type=[kind for kind, _ in saved.shapes],
            name=saved.name,
            edge_width=saved.edge_width,
            **LOOK,
            **saved.spatial,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{saved.name!r} is not a layer that napari can show ({error})."
        ) from error
    if image is not None:
        link(layer, image)  # before it is seen, so that it is chosen with its image
    viewer.add_layer(layer)
    return layer


def _is_drawn(layer: Shapes) -> bool:
    return METADATA in layer.metadata and len(layer.data) > 0


def _saved(viewer: ViewerModel, chosen: ImageRegions, layer: Shapes) -> SavedRegions:
    image = next((one for one in image_layers(viewer) if is_linked(layer, one)), None)
    shapes: list[tuple[str, Any]] = [
        (str(kind), np.asarray(corners).tolist())
        for kind, corners in zip(layer.shape_type, layer.data, strict=True)
    ]
    return SavedRegions(
        name=layer.name,
        ndim=layer.ndim,
        shapes=tuple(shapes),
        edge_width=float(layer.current_edge_width),
        spatial=saved_spatial(layer),
        image=None if image is None else saved_image(image),
        others=tuple(saved_image(one) for one in chosen.images_of(layer) if one is not image),
    )
