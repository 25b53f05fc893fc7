"""The probabilities behind the results: kept, so that cells can be found in them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray
from psygnal import Signal

from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.stack import PlaneIndex, finest

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
        self._said_of: dict[str, Any] = {}  # the pixels of an image

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
        self._let_go_of_other_pixels(image)
        self._said_of[key[0]] = finest(image)
        self._planes.pop(key, None)
        self._planes[key] = KeptPlane(foreground, segmenter, evidence, magnification)
        size = sum(kept.nbytes for kept in self._planes.values())
        while size > self._budget:
            oldest = self._planes.pop(next(iter(self._planes)))
            size -= oldest.nbytes
        self.changed.emit()

    def get(self, image: Layer, plane: PlaneIndex) -> KeptPlane | None:
        """Return what is kept of a plane, if anything."""
        self._let_go_of_other_pixels(image)
        return self._planes.get((str(image.unique_id), plane))

    def planes(self, image: Layer) -> list[PlaneIndex]:
        """Return the planes of an image of which something is kept, in their order."""
        self._let_go_of_other_pixels(image)
        identity = str(image.unique_id)
        return sorted(plane for owner, plane in self._planes if owner == identity)

    def forget(self, image: Layer) -> None:
        """Let go of all planes of an image, as when it left the viewer."""
        if self._drop(image):
            self.changed.emit()

    def _let_go_of_other_pixels(self, image: Layer) -> None:
        """Drop what was said of pixels that an image had before: a camera gives it others."""
        said_of = self._said_of.get(str(image.unique_id))
        if said_of is not None and said_of is not finest(image):
            self._drop(image)

    def _drop(self, image: Layer) -> bool:
        """Drop all of an image; return whether there was any."""
        identity = str(image.unique_id)
        self._said_of.pop(identity, None)
        dropped = [key for key in self._planes if key[0] == identity]
        for key in dropped:
            del self._planes[key]
        return bool(dropped)
