"""The job of finding the 3D objects of a stack along all three axes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.engine.cells import useful_axes
from napari_unet.engine.events import OddPlane, PlaneDone
from napari_unet.engine.process import stack_tasks
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.engine.starter import starter_model
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import (
    class_names,
    colour_by_class,
    counted_classes,
    name_classes,
    show_classes,
)
from napari_unet.viewer.notes import ResultKind, is_result, note_linked_planes, set_meaning
from napari_unet.viewer.oddities import Oddities, plane_title
from napari_unet.viewer.reading import served
from napari_unet.viewer.segmenting.checks import check_fits, check_room
from napari_unet.viewer.segmenting.results import Result, hide
from napari_unet.viewer.session_job import SessionJob
from napari_unet.viewer.stack import ImageStack, knows_spacing, plane_spacing

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["VOLUME", "VolumeJob"]

VOLUME = "Segmenting in 3D"
AS_PIXELS = (
    " Planes count as one pixel apart. If they are not, set spacing in Settings, and do it again."
)

GONE = "Stopped: the image was deleted, or has other pixels or axes now."
TOO_FAR = (
    " Planes are too far apart for sections across them, so each plane was segmented by itself."
)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """The result: labels, what every plane says, and how many objects of which classes."""

    labels: NDArray[Any]
    foreground: NDArray[np.float32]
    evidence: NDArray[np.uint16] | None
    done: PlaneDone


_Event: TypeAlias = "float | OddPlane | _Found"


class VolumeJob(SessionJob[_Event]):
    """Segments sections along all axes of a stack; at the end layers show the objects of the mean.

    Parameters
    ----------
    session : Session
        Its model segments, or the starter model if it has none yet.
    image : Image
        What is segmented; its scale says how far apart the planes are.
    config : PredictConfig
        How.

    Raises
    ------
    InputError
        If the image has no depth, more axes than time and depth, other channels than the model, or
        is too large, or the model is one of classes.
    """

    title = VOLUME

    def __init__(self, session: Session, image: Image, config: PredictConfig) -> None:
        super().__init__(session)
        self._image, self._config = image, config
        self._stack = ImageStack.of(image)
        if not self._stack.has_depth:
            raise InputError(
                f"Layer {image.name!r} ({self._stack.describe()}) is not a volume: 3D objects are "
                f"found in planes along Z, or along T and Z."
            )
        self._segmenter = session.segmenter or starter_model(self._stack.channels)
        check_fits(self._segmenter, image)
        if self._segmenter.kind == "classes":
            raise InputError(
                "The model tells classes of pixels apart, and 3D objects are cells: segment with a "
                "model of cells."
            )
        check_room(image, whole=True)
        self._spacing = config.spacing or plane_spacing(image)
        self._oddities = Oddities()
        self._began = time.monotonic()

    @property
    def wanted(self) -> bool:
        """Whether the image is still there, with the pixels and planes that are segmented."""
        return self._image in self._session.viewer.layers and self._stack.is_of(self._image)

    @property
    def about(self) -> Image | None:
        """The image."""
        return self._image

    def events(self, stop: threading.Event) -> Iterator[_Event]:
        """Segment in the compute process, which asks for the planes; for a worker thread."""
        planes = [served(self._stack, index, self._image.name) for index in self._stack.indices()]
        shape = self._stack.shape
        with ExitStack() as opened:
            labels = opened.enter_context(SharedArray.create(shape, np.uint32))
            foreground = opened.enter_context(SharedArray.create(shape, np.float32))
            evidence, classes = None, self._segmenter.cell_classes
            if classes > 1:
                evidence = opened.enter_context(SharedArray.create((classes, *shape), np.uint16))
            for event in self._session.host.run(
                stack_tasks.segment_volume, self._segmenter, planes, self._stack.leading, labels,
                foreground, evidence, self._spacing, self._config, stop=stop,
            ):  # fmt: skip
                if not isinstance(event, PlaneDone):
                    yield event
                    continue
                # shared memory is short; napari shows uint16 a hundred times quicker
                narrow = np.uint16 if event.objects < 2**16 else np.uint32
                told = None if evidence is None else evidence.array.copy()
                yield _Found(labels.array.astype(narrow), foreground.array.copy(), told, event)

    def on_event(self, event: _Event) -> None:
        """Show what was found."""
        if isinstance(event, OddPlane):
            plane = tuple(map(int, np.unravel_index(event.plane, self._stack.leading)))
            self._oddities.add([plane_title(self._stack, plane)], event.oddity)
        if not isinstance(event, _Found) or not self.wanted:
            return
        viewer, image = self._session.viewer, self._image
        hide(viewer, image, "preview")
        layer = self._show("segmentation", event.labels)
        set_meaning(layer, "instances")
        note_linked_planes(layer, "objects")
        name_classes(layer, ())
        show_classes(layer, 0, event.done.objects, self._classes(event))
        colour_by_class(layer, self._segmenter)
        if any(is_result(layer, "probability", image) for layer in viewer.layers):
            self._show("probability", event.foreground)
        for index in self._stack.indices():
            of_plane: tuple[Any, ...] = (slice(None), *index)
            self._session.kept.put(
                image,
                index,
                event.foreground[index],
                self._segmenter,
                None if event.evidence is None else event.evidence[of_plane],
                magnification=self._config.magnification,
            )

    def fraction(self, event: _Event) -> float | None:
        """Return the share that is done, 0 ... 1."""
        if isinstance(event, OddPlane):
            return None
        return event if isinstance(event, float) else 1.0

    def describe(self, event: _Event) -> str:
        """Say how far it is, or what was found."""
        if not isinstance(event, _Found):
            done = event if isinstance(event, float) else self._session.progress
            # the longest part of the rest cannot say how far it is
            doing = ": telling objects apart" * (done >= stack_tasks.SEGMENTING)
            return f"{self.title}{doing}, {100 * done:.0f} % ...{self._oddities}"
        number, seconds = event.done.objects, time.monotonic() - self._began
        found = f"Found {number} 3D object{'s' * (number != 1)}"
        found += counted_classes(self._segmenter, Counter(self._classes(event)))
        found += f" in {seconds:.1f} s."
        if not self._config.spacing and not knows_spacing(self._image):
            found += AS_PIXELS
        elif len(useful_axes(self._segmenter, self._config, self._spacing)) == 1:
            found += TOO_FAR
        return f"{found}{self._oddities}"

    def stopped(self) -> str:
        """Say what is left when it was stopped."""
        return "Stopped; the segmentation is as it was." if self.wanted else GONE

    def close(self) -> None:
        """There is nothing to let go of."""

    def _classes(self, event: _Found) -> list[str]:
        """Return the classes of the objects, where there are several."""
        return class_names(self._segmenter, event.done.classes)

    def _show(self, kind: ResultKind, pixels: NDArray[Any]) -> Any:
        """Show pixels as a result of the image, and return its layer."""
        result = Result(self._session.viewer, self._image, kind, pixels.dtype)
        result.array[:] = pixels
        result.finish(complete=True)
        return result.layer
