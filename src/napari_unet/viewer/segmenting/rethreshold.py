"""Find cells again in the probabilities that are kept, while a slider moves: no network, no job.

One plane is asked for at a time, the one in view first, and nothing that was asked is broken off:
so every answer is shown, and a slider that moves faster than cells are found skips values instead
of waiting for its end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from psygnal import Signal, SignalInstance

from napari_unet.core.cellclasses import ModelKind
from napari_unet.core.config import PredictConfig
from napari_unet.engine.events import PlaneDone
from napari_unet.engine.process import tasks
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import class_names, classes_of, colour_by_class, show_classes
from napari_unet.viewer.notes import linked_planes
from napari_unet.viewer.segmenting.features import forget_features
from napari_unet.viewer.segmenting.finding import Finding
from napari_unet.viewer.segmenting.kept import KeptPlane
from napari_unet.viewer.segmenting.results import (
    UNFINISHED,
    Result,
    label_dtype,
    outdate_errors,
    segmentations,
)
from napari_unet.viewer.session import SEGMENTING, Session
from napari_unet.viewer.stack import ImageStack, PlaneIndex, shown_plane

__all__ = ["Rethreshold"]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A question that waits for its answer, which comes into ``memory``."""

    work: Finding
    plane: PlaneIndex
    numbered: int
    memory: SharedArray


class Rethreshold:
    """Shows what another threshold, smallest cell, largest hole or border makes of the results.

    For the main thread, between `follow` and `leave`. The cells are those that a segmentation with
    that configuration finds, with the same numbers.

    Parameters
    ----------
    session : Session
        Whose kept probabilities are looked at, and whose viewer shows the cells.
    """

    told = Signal()  # cells were found

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wanted: tuple[Image, PredictConfig] | None = None
        self._work: Finding | None = None
        self._asked: _Asked | None = None

    def follow(self) -> None:
        """Follow the jobs, and what is kept, until `leave`."""
        for signal, handler in self._handlers():
            signal.connect(handler)

    def leave(self) -> None:
        """Follow them no more, and forget what was wished."""
        for signal, handler in self._handlers():
            signal.disconnect(handler)
        self._session.background.cancel(self)
        self._wanted = self._work = self._asked = None

    def find(self, image: Image, config: PredictConfig) -> None:
        """Find the cells of an image in all planes that are kept; the newest wish counts.

        While a segmentation writes that image, nothing is done until it has ended.

        Raises
        ------
        DeviceError
            If the machine has not enough shared memory.
        """
        self._wanted = (image, config)
        self._go_on()

    def objects(self, image: Image) -> tuple[int, int] | None:
        """Return how many cells were found in how many planes, once all of them are done."""
        work = self._work
        if work is None or work.image is not image or work.left:
            return None
        return sum(work.objects.values()), len(work.objects)

    def kind(self, image: Image) -> ModelKind | None:
        """Return what was found of which something is kept of an image as it is, if anything is."""
        if not self._fitting(image):
            return None
        return "cells" if self._usable(image) else "classes"

    def is_segmenting(self, image: Image) -> bool:
        """Whether a job writes the segmentation of an image."""
        session = self._session
        if session.jobs.state == "idle" or session.title != SEGMENTING:
            return False
        layer = self._layer(image)
        return layer is not None and UNFINISHED in layer.name

    def _handlers(self) -> list[tuple[SignalInstance, Callable[..., None]]]:
        session, jobs = self._session, self._session.jobs
        # what was wanted while a segmentation ran has its turn after it
        ends = [(signal, self._go_on) for signal in (jobs.done, jobs.stopped, jobs.failed)]
        return [*ends, (session.kept.changed, self._on_kept)]

    def _go_on(self, _: object = None) -> None:
        if self._asked is not None:
            return
        if self._wanted is not None and not self.is_segmenting(self._wanted[0]):
            self._work, self._wanted = self._begin(*self._wanted), None
        work = self._work
        if work is None or self.is_segmenting(work.image) or not self._fitting(work.image):
            return
        if not work.left:
            self._link_again(work)
            return
        shown = shown_plane(self._session.viewer, work.image)
        self._ask(work, shown if shown in work.left else work.left[0])

    def _begin(self, image: Image, config: PredictConfig) -> Finding | None:
        usable = self._usable(image) if image in self._session.viewer.layers else {}
        if not usable:
            return None
        layer, used = self._layer(image), 0
        if layer is not None:
            others = (plane for plane in ImageStack.of(image).indices() if plane not in usable)
            used = max((int(layer.data[plane].max()) for plane in others), default=0)
            # as in a segmentation of one plane: rather share numbers than run out of them
            used = used if used < np.iinfo(layer.data.dtype).max // 2 else 0
        link = layer is not None and linked_planes(layer) is not None
        return Finding(image, config, usable, used, link)

    def _link_again(self, work: Finding) -> None:
        """Link planes that were linked before their cells were found anew; a job has its turn."""
        layer = self._layer(work.image)
        # one that was made because the user deleted it was never linked
        kind = None if layer is None else linked_planes(layer)
        if work.link and kind is not None and self._session.jobs.state == "idle":
            work.link = False
            self._session.link(work.image, kind, work.config)

    def _usable(self, image: Image) -> dict[PlaneIndex, KeptPlane]:
        """Return what models of cells said of the planes of an image as it is now."""
        fitting = self._fitting(image).items()
        return {plane: known for plane, known in fitting if known.segmenter.kind == "cells"}

    def _fitting(self, image: Image) -> dict[PlaneIndex, KeptPlane]:
        """Return what is kept of the planes of an image as it is now, if it can be understood."""
        kept = self._session.kept
        planes = {plane: kept.get(image, plane) for plane in kept.planes(image)}
        with suppress(InputError):  # which the panel that chooses it says
            stack = ImageStack.of(image)
            now = len(stack.leading), stack.plane_shape
            return {
                plane: known
                for plane, known in planes.items()
                if known is not None and (len(plane), known.foreground.shape) == now
            }
        return {}

    def _on_kept(self) -> None:
        """Begin anew what is not done where a plane was segmented again, or is forgotten."""
        work = self._work
        if work is not None and self._usable(work.image) != work.kept:
            self._work = None
            if work.left and self._wanted is None:
                self._wanted = (work.image, work.config)

    def _ask(self, work: Finding, plane: PlaneIndex) -> None:
        known = work.kept[plane]
        numbered = work.start(plane)
        if numbered is None:  # until it is known, cells keep about the colours they have
            numbered = self._present_start(work.image, plane, work.base)
        memory = SharedArray.create(known.foreground.shape, np.uint32)
        self._asked = asked = _Asked(work, plane, numbered, memory)
        self._session.background.ask(
            self,
            tasks.number_cells,
            known.foreground,
            replace(known.segmenter, weights={}),  # megabytes that finding cells does without
            replace(work.config, magnification=known.magnification),
            memory,
            numbered,
            known.evidence,
            on_event=partial(self._on_found, asked),
            on_lost=partial(self._on_lost, asked),
        )

    def _on_lost(self, asked: _Asked) -> None:
        """Give up what broke off, of which the user was told, for what was wished meanwhile."""
        asked.memory.close()
        if asked is self._asked:
            self._asked = self._work = None
            self._go_on()

    def _on_found(self, asked: _Asked, event: PlaneDone) -> None:
        cells, work, plane = asked.memory.array, asked.work, asked.plane
        asked.memory.close()
        if asked is not self._asked:
            return
        self._asked = None
        known = self._fitting(work.image).get(plane)
        if known is work.kept[plane] and not self.is_segmenting(work.image):
            work.numbered[plane], work.objects[plane] = asked.numbered, event.objects
            work.classes[plane] = class_names(known.segmenter, event.classes)
            outdate_errors(self._session.viewer, work.image)
            self._show(work, plane, cells)
            if not work.left:
                self._number(work)
                self._show_classes(work)
            self.told.emit()
        self._go_on()

    def _show(self, work: Finding, plane: PlaneIndex, cells: NDArray[Any]) -> None:
        viewer, image = self._session.viewer, work.image
        layer = self._layer(image) or self._new_layer(work)
        if work.numbered[plane] + work.objects[plane] > np.iinfo(layer.data.dtype).max:
            layer.data = layer.data.astype(np.uint32)
        layer.data[plane] = cells
        forget_features(layer)
        if viewer.dims.ndisplay == 3 or plane == shown_plane(viewer, image):
            layer.refresh(extent=False, highlight=False, thumbnail=False)

    def _number(self, work: Finding) -> None:
        """Number the cells through all planes, now that it is known how many each has."""
        layer = self._layer(work.image)
        for plane, before in work.numbered.items():
            start = work.start(plane)
            if layer is not None and start is not None and start != before:
                cells = layer.data[plane].astype(np.int64)
                work.numbered[plane] = start
                self._show(work, plane, np.where(cells > 0, cells + start - before, 0))

    def _show_classes(self, work: Finding) -> None:
        layer = self._layer(work.image)
        if layer is None or not (any(work.classes.values()) or classes_of(layer)):
            return
        for plane, objects in work.objects.items():
            show_classes(layer, work.numbered[plane], objects, work.classes[plane])
        colour_by_class(layer, next(iter(work.kept.values())).segmenter)

    def _present_start(self, image: Image, plane: PlaneIndex, otherwise: int) -> int:
        """Return after which number the cells of a plane are numbered now."""
        layer = self._layer(image)
        cells = np.zeros(0, np.uint32) if layer is None else layer.data[plane]
        return int(cells[cells > 0].min()) - 1 if cells.any() else otherwise

    def _layer(self, image: Image) -> Labels | None:
        with suppress(InputError):
            return next(iter(segmentations(self._session.viewer, image)), None)
        return None

    def _new_layer(self, work: Finding) -> Labels:
        """Make the layer again that the user deleted."""
        shape = ImageStack.of(work.image).shape
        known = next(iter(work.kept.values()))
        config = replace(work.config, magnification=known.magnification)
        dtype = label_dtype(known.segmenter, shape, config)
        plane = next(iter(work.kept))  # one, for there may be no memory for all of them
        result = Result(self._session.viewer, work.image, "segmentation", dtype, plane=plane)
        result.finish(complete=len(work.kept) == np.prod(shape[:-2]))
        assert isinstance(result.layer, Labels)
        return result.layer
