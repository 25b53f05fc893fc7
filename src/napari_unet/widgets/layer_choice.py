"""Which image, which labels, which training regions: three choices that follow the layer list."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Shapes
from psygnal import Signal

from napari_unet.errors import InputError
from napari_unet.viewer import layers, notes
from napari_unet.viewer.regions import new_regions
from napari_unet.viewer.session import Session
from napari_unet.widgets.layer_box import layer_box, offer_anew, with_button
from napari_unet.widgets.parts import button
from napari_unet.widgets.telling import telling_errors

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LayerChoice"]


class LayerChoice:
    """Chooses layers, by itself where only one choice is sensible; makes new ones to draw on."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.image_regions, self._had_image = Session.of(viewer).regions, False
        self.image_box = layer_box("Image", self._images, "The image to learn from and to segment.")
        self.labels_box = layer_box(
            "Labels", self._labels, "The labels layer with your painted cells and background."
        )
        self.regions_box = layer_box(
            "Regions",
            self._regions,
            "Optional: a Shapes layer. Inside its boxes everything is labelled, so unpainted "
            "pixels there are background; outside, they are not labelled.",
        )
        self._new_labels = button(
            "New",
            "Create a labels layer to paint on: background with 1, cells with 2, 3, 4, ... (key "
            "M: next number).",
        )
        self._new_regions = button("New", "Draw boxes in which you have labelled everything.")
        self.labels_row = with_button(self.labels_box, self._new_labels)
        self.regions_row = with_button(self.regions_box, self._new_regions)
        self._new_labels.changed.connect(self._add_labels)
        self._new_regions.changed.connect(self._add_regions)
        self.image_box.changed.connect(self._on_image)
        self.labels_box.changed.connect(self._on_other)
        self.regions_box.changed.connect(self._on_other)

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        chosen: Image | None = self.image_box.value
        return chosen

    @property
    def labels(self) -> Labels | None:
        """The chosen labels layer."""
        chosen: Labels | None = self.labels_box.value
        return chosen

    @labels.setter
    def labels(self, layer: Labels | None) -> None:
        self.labels_box.value = layer

    @property
    def regions(self) -> Shapes | None:
        """The chosen layer of training regions."""
        chosen: Shapes | None = self.regions_box.value
        return chosen

    @property
    def any_image(self) -> bool:
        """Whether there is an image to choose."""
        return bool(self._images(None))

    def required_image(self) -> Image:
        """Return the chosen image, or raise an `InputError` that says what to do."""
        if self.image is None:
            raise InputError("No image is chosen; open one, and choose it at the top of the dock.")
        return self.image

    def required_labels(self) -> Labels:
        """Return the chosen labels, or raise an `InputError` that says what to do."""
        if self.labels is None:
            raise InputError(
                "No labels are chosen; press New beside Labels, and paint a few cells and some "
                "background."
            )
        return self.labels

    def follow(self, _: object = None) -> None:
        """Offer the layers that are there; choose where only one choice is sensible."""
        for box in (self.image_box, self.labels_box, self.regions_box):
            offer_anew(box)
        images = layers.image_layers(self._viewer)
        if self.image is None and len(images) == 1:
            self.image_box.value = images[0]
        if self.labels is None:
            self._choose_labels()
        if self.regions is None:
            self.regions_box.value = self.image_regions.get(self.image)
        self.changed.emit()

    def add_labels(self, meaning: notes.Meaning = "scribbles") -> None:
        """Make labels of the chosen image to paint on, and choose them."""
        layer = layers.new_scribbles(self._viewer, self.required_image(), meaning)
        self.follow()
        self.labels = layer

    def _choose_labels(self) -> None:
        with suppress(InputError):  # which stands below; a notification came with every letter
            self.labels = layers.likely_labels(self._viewer, self.image)

    def _images(self, _: object) -> list[tuple[str, Image]]:
        return [(layer.name, layer) for layer in layers.image_layers(self._viewer)]

    def _labels(self, _: object) -> list[tuple[str, Labels]]:
        return [(layer.name, layer) for layer in layers.labels_layers(self._viewer)]

    def _regions(self, _: object) -> list[tuple[str, Shapes]]:
        return [(layer.name, layer) for layer in self._viewer.layers if isinstance(layer, Shapes)]

    def _on_image(self, _: object = None) -> None:
        if self._had_image or self.regions is None:  # otherwise they were chosen for this one
            self.regions_box.value = self.image_regions.get(self.image)
        self._had_image = self.image is not None
        self._choose_labels()
        self._on_other()

    def _on_other(self, _: object = None) -> None:
        self.image_regions.put(self.image, self.regions)
        self.changed.emit()

    def _add_labels(self) -> None:
        with telling_errors():
            self.add_labels()

    def _add_regions(self) -> None:
        with telling_errors():
            layer = new_regions(self._viewer, self.required_image())
            self.follow()
            self.regions_box.value = layer
