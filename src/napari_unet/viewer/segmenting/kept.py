"""The probabilities behind the results: kept, so that cells can be found in them again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.stack import PlaneIndex

__all__ = ["Kept", "KeptPlane"]

BUDGET = 2**30
"""Bytes: 256 planes of 1024 x 1024 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptPlane:
    """What the network said of one plane.

    Attributes
    ----------
    foreground : (Y, X) float32 array
        Probability of cells; of the winning class for a model of classes.
    segmenter : Segmenter
        The model that said it.
    evidence : (K, Y, X) uint16 array, optional
        Of a model for cells of several classes: what their classes are told by.
    magnification : float
        As in the `PredictConfig` it was said with.
    """

    foreground: NDArray[np.float32]
    segmenter: Segmenter
    evidence: NDArray[np.uint16] | None = None
    magnification: float = 1.0

    @property
    def diameter(self) -> float:
        """Typical diameter of the objects here in pixels; 0 when unknown."""
        return self.segmenter.diameter * self.magnification

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        return self.foreground.nbytes + (0 if self.evidence is None else self.evidence.nbytes)


class Kept:
    """Probabilities of the planes that were segmented last; the oldest go when memory is short.

    Parameters
    ----------
    budget : int
        Bytes that may be kept.
    """

    changed = Signal()

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._planes: dict[tuple[str, PlaneIndex], KeptPlane] = {}  # the oldest first

    def put(
        self,
        image: Layer,
        plane: PlaneIndex,
        foreground: NDArray[np.float32],
        segmenter: Segmenter,
        evidence: NDArray[np.uint16] | None = None,
        *,
        magnification: float = 1.0,
    ) -> None:
        """Keep what a model said of a plane; the arrays must not be written to any more.

        What was kept of that plane goes, then the oldest planes until the budget holds; a plane
        that alone is too large is not kept.
        """
        key = (str(image.unique_id), plane)
        self._planes.pop(key, None)
        self._planes[key] = KeptPlane(foreground, segmenter, evidence, magnification)
        size = sum(kept.nbytes for kept in self._planes.values())
        while size > self._budget:
            oldest = self._planes.pop(next(iter(self._planes)))
            size -= oldest.nbytes
        self.changed.emit()

    def get(self, image: Layer, plane: PlaneIndex) -> KeptPlane | None:
        """Return what is kept of a plane, if anything."""
        return self._planes.get((str(image.unique_id), plane))

    def planes(self, image: Layer) -> list[PlaneIndex]:
        """Return the planes of an image of which something is kept, in their order."""
        identity = str(image.unique_id)
        return sorted(plane for owner, plane in self._planes if owner == identity)

    def forget(self, image: Layer) -> None:
        """Let go of all planes of an image, as when it left the viewer."""
        planes = self.planes(image)
        for plane in planes:
            del self._planes[str(image.unique_id), plane]
        if planes:
            self.changed.emit()
