"""Show the boundary weight map of what is painted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_unet.core.instances import diameters, typical_diameter
from napari_unet.core.resolution import choose_factor
from napari_unet.engine import tasks
from napari_unet.engine.host import Host, SharedArray
from napari_unet.viewer.layers import Painted
from napari_unet.viewer.results import Result
from napari_unet.viewer.stack import PlaneIndex

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["WeightMap", "WeightsDone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsDone:
    """The boundary weights of one plane are computed.

    Attributes
    ----------
    plane : tuple of int
        Which one.
    progress : float
        Share of the planes that are done, 0 ... 1.
    weights : (Y, X) float array
        What a mistake costs at each pixel; 0 where nothing is labelled.
    """

    plane: PlaneIndex
    progress: float
    weights: NDArray[np.float32]


class WeightMap:
    """The layer of the weights, and how they are computed.

    Parameters
    ----------
    viewer : napari viewer
        Gets the layer.
    image : Image
        What the labels are painted on.
    snapshot : Painted
        The labels.
    w0, sigma : float
        Height, and width in network pixels, of the border term.
    factor : int
        Working resolution; 0 for what a new model would choose.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        snapshot: Painted,
        *,
        w0: float,
        sigma: float,
        factor: int,
    ) -> None:
        self._snapshot, self._w0 = snapshot, w0
        self._sigma = sigma * (factor or choose_factor(_diameter(snapshot)))
        self._left = len(snapshot.planes)
        self._highest = 1.0
        self._result = Result(viewer, image, "weights", np.float32)

    @property
    def shown(self) -> bool:
        """Whether anybody can still see the result."""
        return self._result.shown

    def describe(self) -> str:
        """Say what the map shows."""
        return "Weight map: bright where a mistake costs most; 0 where nothing is labelled."

    def events(self, host: Host, stop: threading.Event) -> Iterator[WeightsDone]:
        """Compute the weights plane by plane in the compute process; for a worker thread."""
        planes = self._snapshot.planes
        for number, (index, labels, region) in enumerate(planes, start=1):
            with SharedArray.create(labels.shape, np.float32) as weights:
                for _ in host.run(
                    tasks.weigh_plane, labels, self._snapshot.meaning, region, weights, self._w0,
                    self._sigma, stop=stop,
                ):  # fmt: skip
                    yield WeightsDone(
                        plane=index, progress=number / len(planes), weights=weights.array
                    )

    def on_event(self, event: WeightsDone) -> None:
        """Show what is new."""
        self._result.write(event.plane, (slice(None),) * 2, event.weights, now=True)
        self._highest = max(self._highest, float(event.weights.max()))
        self._result.layer.contrast_limits = (0.0, self._highest)
        self._left -= 1

    def finish(self) -> None:
        """Name the layer for what it is."""
        self._result.finish(complete=self._left == 0)


def _diameter(snapshot: Painted) -> float:
    first = 1 if snapshot.meaning == "scribbles" else 0
    found = [diameters(np.where(p > first, p, 0)) for _, p, _ in snapshot.planes]
    return typical_diameter(np.concatenate(found))
