"""Which training regions go with which image."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from napari.layers import Image, Shapes
from psygnal import Signal

from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.notes import is_linked, last_linked, link

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["ImageRegions"]


class ImageRegions:
    """Remembers what was chosen for each image; keeps neither layers nor their viewer alive.

    In the regions of another image, what is not painted would count as background.

    Parameters
    ----------
    viewer : napari viewer
        Has the layers.
    """

    changed = Signal()  # something else was chosen for an image

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._chosen: WeakKeyDictionary[Image, ref[Shapes] | None] = WeakKeyDictionary()

    def put(self, image: Image | None, regions: Shapes | None) -> None:
        """Remember what is chosen for an image, if one is meant."""
        viewer = self._viewer()
        if viewer is None or image is None or (regions is None and self.get(image) is None):
            return
        known = image in self._chosen and self.get(image) is regions
        self._chosen[image] = None if regions is None else ref(regions)
        images = image_layers(viewer)
        if regions is not None and not any(is_linked(regions, one) for one in images):
            link(regions, image)  # so they are saved, and found again after a crash
        if not known:
            self.changed.emit()

    def images_of(self, regions: Shapes) -> list[Image]:
        """Return the open images that a layer was chosen for."""
        viewer = self._viewer()
        images = [] if viewer is None else image_layers(viewer)
        return [one for one in images if one in self._chosen and self.get(one) is regions]

    def get(self, image: Image | None) -> Shapes | None:
        """Return what was chosen for an image, or else was trained on with it, if it is open."""
        viewer = self._viewer()
        there = () if viewer is None else viewer.layers
        shapes = [layer for layer in there if isinstance(layer, Shapes)]
        if image is None or image not in self._chosen:
            return None if image is None else last_linked(shapes, image)
        chosen = self._chosen[image]
        layer = None if chosen is None else chosen()
        return layer if layer in shapes else None
