"""Cells of an image that are found again: what is done, what is left, how they are numbered."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari.layers import Image

from napari_unet.core.config import PredictConfig
from napari_unet.viewer.segmenting.kept import KeptPlane
from napari_unet.viewer.stack import PlaneIndex

__all__ = ["Finding"]


@dataclass(slots=True, eq=False)
class Finding:
    """The planes of an image that are to get the cells of a configuration.

    Attributes
    ----------
    image, config
        Which image, and which configuration.
    kept : dict
        What is kept of the planes, in their order.
    base : int
        The highest number of a cell in the planes of which nothing is kept.
    link : bool
        Whether the planes are to be linked once all of them are done, because they were.
    numbered : dict
        After which number the cells of a plane that is done are numbered.
    objects : dict
        How many they are.
    classes : dict
        What kind each of them is, where the model tells.
    """

    image: Image
    config: PredictConfig
    kept: dict[PlaneIndex, KeptPlane]
    base: int
    link: bool = False
    numbered: dict[PlaneIndex, int] = field(default_factory=dict)
    objects: dict[PlaneIndex, int] = field(default_factory=dict)
    classes: dict[PlaneIndex, list[str]] = field(default_factory=dict)

    @property
    def left(self) -> list[PlaneIndex]:
        """The planes that are not done."""
        return [plane for plane in self.kept if plane not in self.objects]

    def start(self, plane: PlaneIndex) -> int | None:
        """Return after which number a plane's cells come, or None while that is not known."""
        before = [other for other in self.kept if other < plane]
        if any(other not in self.objects for other in before):
            return None
        return self.base + sum(self.objects[other] for other in before)
