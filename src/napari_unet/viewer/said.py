"""What a session has to say: of its last training, and of its last result."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_unet.viewer.notes import is_result

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["Said"]


class Said:
    """The last sentences, and which image the one about a result is about.

    Attributes
    ----------
    of_training : str
        About a training.
    of_result : str
        About a segmentation, or a weight map.
    """

    def __init__(self) -> None:
        self.of_training = self.of_result = ""
        self._image: weakref.ref[Image] | None = None

    def set_result(self, sentence: str, image: Image | None) -> None:
        """Keep what there is to say about a result: of one image, or of several (None)."""
        self.of_result = sentence
        self._image = None if image is None else weakref.ref(image)

    @property
    def image(self) -> Image | None:
        """The image that the sentence about a result is about; None if there are several."""
        return None if self._image is None else self._image()

    def needs(self, layer: Layer) -> bool:
        """Whether the sentence about a result says nothing any more without a layer."""
        image = self.image
        return image is not None and (layer is image or is_result(layer, "segmentation", image))
