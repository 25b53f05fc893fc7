"""Stream the segmentation of an image into layers of its own: what is in view first."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.core.summary import in_cells
from napari_unet.engine.events import Measured, PlaneDone, SegmentEvent, TileDone
from napari_unet.engine.host import Host
from napari_unet.engine.process import tasks
from napari_unet.engine.process.lazy import Served
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.cellclasses import (
    class_names,
    classes_of,
    colour_by_class,
    name_classes,
    show_classes,
)
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.planes import Pixels
from napari_unet.viewer.reading import served
from napari_unet.viewer.segmenting.features import Features
from napari_unet.viewer.segmenting.gaze import Gaze
from napari_unet.viewer.segmenting.kept import Kept
from napari_unet.viewer.segmenting.results import Result, label_dtype
from napari_unet.viewer.stack import ImageStack, PlaneIndex

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Segmentation", "StreamEvent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """An event of the engine, what it is about, and the pixels it speaks of.

    Attributes
    ----------
    image : int
        0, 1, ...: which of the segmentations.
    plane : tuple of int
        Which of its planes.
    progress : float
        Share of the whole job that is done, 0 ... 1.
    event : SegmentEvent or Measured
        What the engine said about that plane.
    labels : (Y, X) integer array
        The plane, in memory that the compute process writes.
    foreground : (Y, X) float32 array
        Its probabilities; after a `PlaneDone` a copy that nobody writes to any more.
    evidence : (K, Y, X) uint16 array or None
        The same of what the classes of cells are told by, where there are several.
    """

    image: int
    plane: PlaneIndex
    progress: float
    event: SegmentEvent | Measured
    labels: NDArray[Any]
    foreground: NDArray[np.float32]
    evidence: NDArray[np.uint16] | None = None

    @property
    def region(self) -> tuple[slice, ...]:
        """The pixels of the plane that are final now."""
        return self.event.region if isinstance(self.event, TileDone) else (slice(None),) * 2


class Segmentation:
    """One image being segmented: what is read, and the layers that show the result.

    Made, told of events and finished on the main thread; `events` runs in a worker and touches
    arrays only, never a layer. Only `on_event` writes into what the layers show. Where the user
    looks crosses from the one thread to the other in a `Gaze`.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        segmenter: Segmenter,
        config: PredictConfig,
        *,
        only: PlaneIndex | None,
        probability: bool,
        kept: Kept,
        measure: bool,
    ) -> None:
        self._viewer, self._image = viewer, image
        self._segmenter, self._kept = segmenter, kept
        self._name = image.name
        self.stack = ImageStack.of(image)
        self._magnification = config.magnification
        self.objects = 0
        self.finds_cells = segmenter.kind == "cells"
        self.classes: Counter[str] = Counter()
        dtype = label_dtype(segmenter, self.stack.shape, config)
        self._labels = Result(viewer, image, "segmentation", dtype, plane=only)
        assert isinstance(self._labels.layer, Labels)
        self._table = self._labels.layer
        set_meaning(self._table, "instances" if self.finds_cells else "classes")
        if only is None or not self.finds_cells:
            name_classes(self._table, () if self.finds_cells else segmenter.class_names)
        self._features: Features | None = None
        if measure and self.finds_cells:
            self._features = Features(self._table)
        self._foreground: Result | None = None
        if probability:
            self._foreground = Result(viewer, image, "probability", np.float32, plane=only)
        self.planes = list(self.stack.indices()) if only is None else [only]
        self.pixels = len(self.planes) * prod(self.stack.plane_shape)
        self.share = 0.0
        self._left = len(self.planes)
        self._gaze = Gaze(viewer, image)

    @property
    def shown(self) -> bool:
        """Whether anybody can still see the result."""
        results = (self._labels, self._foreground)
        return any(result is not None and result.shown for result in results)

    @property
    def complete(self) -> bool:
        """Whether all planes are done."""
        return self._left == 0

    @property
    def found(self) -> str:
        """What was found, in words."""
        return in_cells(self.objects) if self.finds_cells else "classes"

    def events(
        self,
        host: Host,
        segmenter: Segmenter,
        config: PredictConfig,
        stop: threading.Event,
    ) -> Iterator[StreamEvent]:
        """Segment plane by plane in the compute process, the shown one first; for a worker."""
        numbered = 0
        if len(self.planes) < np.prod(self.stack.leading):
            numbered = _numbers_used(self._labels.array)
        for done, index in enumerate(self._gaze.nearest_first(self.planes)):
            if stop.is_set():
                return
            # memory of its own for every plane: the viewer shows the last one a little later
            with self._memory() as (labels, foreground, evidence):
                events = host.run(
                    tasks.segment_plane, segmenter, self._pixels(index), labels, foreground, (),
                    config, numbered, self._gaze.mailbox, evidence,
                    measure=self._features is not None, stop=stop,
                )  # fmt: skip
                for event in events:
                    share, probabilities = 1.0, foreground.array
                    told = None if evidence is None else evidence.array
                    if isinstance(event, PlaneDone):
                        numbered += event.objects
                        probabilities = probabilities.copy()
                        told = None if told is None else told.copy()
                    elif isinstance(event, TileDone):
                        share = event.index / event.total
                    yield StreamEvent(
                        image=0,
                        plane=index,
                        progress=(done + share) / len(self.planes),
                        event=event,
                        labels=labels.array,
                        foreground=probabilities,
                        evidence=told,
                    )

    def on_event(self, event: StreamEvent) -> None:
        """Show what is new."""
        if isinstance(event.event, Measured):
            if self._features is not None:
                self._features.add(event.plane, event.event.columns)
            return
        now = isinstance(event.event, PlaneDone)
        self._labels.write(event.plane, event.region, event.labels[event.region], now=now)
        if self._foreground is not None:
            pixels = event.foreground[event.region]
            self._foreground.write(event.plane, event.region, pixels, now=now)
        if isinstance(event.event, PlaneDone):
            # else nothing would ever let go of it, or it is of pixels that are gone
            if self._image in self._viewer.layers and self.stack.is_of(self._image):
                self._kept.put(
                    self._image,
                    event.plane,
                    event.foreground,
                    self._segmenter,
                    event.evidence,
                    magnification=self._magnification,
                )
            self.objects += event.event.objects
            if self.finds_cells:
                self._tell_classes(event.event, int(event.labels.max(initial=0)))
            self._left -= 1
            if self.complete:
                self.finish()
        within = event.event.index / event.event.total if isinstance(event.event, TileDone) else 0
        self.share = (len(self.planes) - self._left + within) / len(self.planes)

    def _tell_classes(self, event: PlaneDone, last: int) -> None:
        """Write the classes of the cells of a plane, of which the last number is known."""
        classes = class_names(self._segmenter, event.classes)
        self.classes.update(classes)
        show_classes(self._table, last - event.objects, event.objects, classes)

    def finish(self) -> None:
        """Name the layers for what they are; an unfinished result must not look finished."""
        self._gaze.close()
        if self.complete:
            colour_by_class(self._table, self._segmenter)
        self._labels.finish(complete=self.complete)
        if self._foreground is not None:
            self._foreground.finish(complete=self.complete)
        if self._features is not None and self.complete and self._labels.shown:
            self._table.features = self._features.table(classes_of(self._table))

    def _pixels(self, index: PlaneIndex) -> NDArray[Any] | Served:
        """Return a plane that lies in memory, or what serves its regions when they are needed."""
        if self.stack.in_memory:
            return self.stack.plane(index)
        return served(self.stack, index, self._name)

    @contextmanager
    def _memory(self) -> Iterator[tuple[SharedArray, SharedArray, SharedArray | None]]:
        shape, dtype = self.stack.plane_shape, self._labels.array.dtype
        count = self._segmenter.cell_classes
        with ExitStack() as opened:
            labels = opened.enter_context(SharedArray.create(shape, dtype))
            foreground = opened.enter_context(SharedArray.create(shape, np.float32))
            evidence = None
            if count > 1:
                evidence = opened.enter_context(SharedArray.create((count, *shape), np.uint16))
            yield labels, foreground, evidence


def _numbers_used(labels: Pixels) -> int:
    """Return after which number the cells of one plane go on, so that planes share none."""
    used = int(labels.max(initial=0))
    # segmenting two planes in turn would count up for ever: rather share numbers than run out
    return used if used < np.iinfo(labels.dtype).max // 2 else 0
