"""The probabilities behind the results: kept, so that cells can be found in them again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.stack import PlaneIndex

__all__ = ["Kept", "KeptPlane"]


@dataclass(frozen=True, slots=True, eq=False)
class KeptPlane:
    """What the network said of one plane.

    Attributes
    ----------
    foreground : (Y, X) float32 array
        Probability of cells; of the winning class for a model of classes.
    segmenter : Segmenter
        The model that said it.
    """

    foreground: NDArray[np.float32]
    segmenter: Segmenter


class Kept:
    """Probabilities of the planes that were segmented last."""

    changed = Signal()

    def __init__(self) -> None:
        self._planes: dict[tuple[str, PlaneIndex], KeptPlane] = {}

    def put(
        self,
        image: Image,
        plane: PlaneIndex,
        foreground: NDArray[np.float32],
        segmenter: Segmenter,
    ) -> None:
        """Keep what a model said of a plane; the array must not be written to any more."""
        self._planes[str(image.unique_id), plane] = KeptPlane(foreground, segmenter)
        self.changed.emit()

    def get(self, image: Image, plane: PlaneIndex) -> KeptPlane | None:
        """Return what is kept of a plane, if anything."""
        return self._planes.get((str(image.unique_id), plane))
