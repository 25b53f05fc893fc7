"""The job of segmenting one image, or all that are open: what is made for it, done and said."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from napari.layers import Image
from napari.utils.notifications import show_warning

from napari_unet.core.cellclasses import counted
from napari_unet.core.config import PredictConfig
from napari_unet.engine.events import TileDone
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import starter_model
from napari_unet.errors import InputError, UNetError
from napari_unet.viewer.cellclasses import class_titles
from napari_unet.viewer.layers import image_layers, is_result
from napari_unet.viewer.preview import hide
from napari_unet.viewer.segmentation import Segmentation, StreamEvent
from napari_unet.viewer.session_job import SessionJob
from napari_unet.viewer.stack import ImageStack, shown_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.viewer.session import Session

__all__ = ["SEGMENTING", "Scope", "SegmentingJob"]

SEGMENTING = "Segmenting"

Scope = Literal["current plane", "whole layer", "all open images"]


class SegmentingJob(SessionJob[StreamEvent]):
    """Segments one image after the other, each into layers that are made at once.

    Of all open images, the given one comes first, and those that do not fit are left out with a
    warning that names them.

    Parameters
    ----------
    session : Session
        Its model segments, or the starter model if it has none yet, and the probabilities of every
        plane are kept with it.
    image : Image
        What is segmented, by itself or first.
    scope : Scope
        How much of it.
    config : PredictConfig
        How.
    probability : bool
        Whether to show probabilities, too.

    Raises
    ------
    InputError
        If an image, or every open image, has another number of channels than the model.
    DeviceError
        If there is no memory for a result.
    """

    title = SEGMENTING

    def __init__(
        self,
        session: Session,
        image: Image,
        scope: Scope,
        config: PredictConfig,
        *,
        probability: bool,
    ) -> None:
        super().__init__(session)
        viewer = session.viewer
        segmenter = session.segmenter or starter_model(ImageStack.of(image).channels)
        self._how = "" if session.segmenter else " with the starter model"
        self._segmenter, self._config = segmenter, config
        hide(viewer, image, "preview")
        fitting = _that_fit(segmenter, _images(viewer, image, scope))
        only = shown_plane(viewer, image) if scope == "current plane" else None
        self._items: list[Segmentation] = []
        try:
            for layer in fitting:
                # one that is there already would go on showing what an older model thought
                shows = probability or _has_probability(viewer, layer)
                self._items.append(
                    Segmentation(
                        viewer,
                        layer,
                        segmenter,
                        config,
                        only=only,
                        probability=shows,
                        kept=session.kept,
                    )
                )
        except UNetError:
            self.close()
            raise
        self._note = ""
        self._began = time.monotonic()

    @property
    def wanted(self) -> bool:
        """Whether anybody can still see a result."""
        return any(item.shown for item in self._items)

    def say(self, sentence: str) -> None:
        """Put a sentence beside the button."""
        self._session.about_result = sentence

    def events(self, stop: threading.Event) -> Iterator[StreamEvent]:
        """Segment one image after the other; for a worker thread."""
        total = sum(len(item.planes) for item in self._items)
        before = 0
        for number, item in enumerate(self._items):
            for event in item.events(self._session.host, self._segmenter, self._config, stop):
                progress = (before + event.progress * len(item.planes)) / total
                yield replace(event, image=number, progress=progress)
            before += len(item.planes)

    def on_event(self, event: StreamEvent) -> None:
        """Show what is new."""
        self._items[event.image].on_event(event)
        if isinstance(event.event, TileDone) and event.event.note:
            self._note = f" {event.event.note}"

    def fraction(self, event: StreamEvent) -> float:
        """Return the share that is done, 0 ... 1."""
        return event.progress

    def describe(self, event: StreamEvent) -> str:
        """Say how far it is, or what was found."""
        items = self._items
        if not all(item.complete for item in items):
            return f"Segmenting, {100 * event.progress:.0f} % ...{self._note}"
        seconds = time.monotonic() - self._began
        objects = sum(item.objects for item in items)
        found = "1 cell" if objects == 1 else f"{objects} cells"
        classes = sum((item.classes for item in items), Counter())
        if classes:
            titles = class_titles(self._segmenter, range(1, self._segmenter.n_classes))
            found += f" ({counted(titles, [classes[title] for title in titles])})"
        what = found if items[0].finds_cells else "classes"
        where = "" if len(items) == 1 else f" in {len(items)} images"
        looked_at = len(items) == 1 and len(items[0].planes) == 1
        advice = " Paint where it is wrong, and train again." if looked_at else ""
        return f"Segmented {what}{where}{self._how} in {seconds:.1f} s.{self._note}{advice}"

    def stopped(self) -> str:
        """Say what is left when it was stopped."""
        return "Stopped; the result is unfinished."

    def close(self) -> None:
        """Name the layers for what they are, finished or not."""
        for item in self._items:
            item.finish()


def _images(viewer: ViewerModel, image: Image, scope: Scope) -> list[Image]:
    if scope != "all open images":
        return [image]
    return [image, *(layer for layer in image_layers(viewer) if layer is not image)]


def _that_fit(segmenter: Segmenter, images: list[Image]) -> list[Image]:
    """Return the images with the channels that the model knows; warn of the others."""
    unfit = [layer for layer in images if ImageStack.of(layer).channels != segmenter.in_channels]
    if unfit:
        names = ", ".join(f"{layer.name!r} ({ImageStack.of(layer).describe()})" for layer in unfit)
        message = f"The model was trained on {segmenter.in_channels} channel(s) and cannot be used"
        if len(unfit) == len(images):
            raise InputError(f"{message} on {names}; train a new model there (New model).")
        show_warning(f"{message} on {names}; left out.")
    return [layer for layer in images if layer not in unfit]


def _has_probability(viewer: ViewerModel, image: Image) -> bool:
    return any(is_result(layer, "probability", image) for layer in viewer.layers)
