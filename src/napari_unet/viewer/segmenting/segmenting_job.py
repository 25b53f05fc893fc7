"""The job of segmenting one image, or all that are open: what is made for it, done and said."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari.layers import Image
from napari.utils.notifications import show_warning

from napari_unet.core.config import PredictConfig
from napari_unet.core.summary import in_cells
from napari_unet.engine.events import TileDone
from napari_unet.engine.items.pace import Pace
from napari_unet.engine.starter import starter_model
from napari_unet.errors import DeviceError, InputError, UNetError
from napari_unet.viewer.batches.batch import Batch, BatchRow
from napari_unet.viewer.batches.opening import LayerResult
from napari_unet.viewer.cellclasses import counted_classes
from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.oddities import Oddities, plane_title
from napari_unet.viewer.segmenting.checks import check_fits, check_room
from napari_unet.viewer.segmenting.results import hide
from napari_unet.viewer.segmenting.segmentation import Segmentation, StreamEvent
from napari_unet.viewer.session_job import SessionJob
from napari_unet.viewer.stack import ImageStack, PlaneIndex, shown_plane

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_unet.viewer.session import Session

__all__ = ["SEGMENTING", "ImageFailed", "Scope", "SegmentingJob"]

SEGMENTING = "Segmenting"
GONE = "Stopped: the layer of the result was deleted, or has other pixels now."

Scope = Literal["current plane", "whole layer", "all open images"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFailed:
    """One of several images cannot be segmented; the others are.

    Attributes
    ----------
    image : int
        0, 1, ...: which of the segmentations.
    progress : float
        Share of the whole job that is behind it, 0 ... 1.
    error : UNetError
        Why.
    """

    image: int
    progress: float
    error: UNetError


Event: TypeAlias = StreamEvent | ImageFailed


class SegmentingJob(SessionJob[Event]):
    """Segments one image after the other, each into layers that are made at once.

    Of all open images, the given one comes first; those that cannot be segmented are left out with
    a warning that names them, and have a row of the session's batch that says why.

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
    measure : bool
        Whether to measure the objects, as features of the layers.

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
        measure: bool = False,
    ) -> None:
        super().__init__(session)
        viewer = session.viewer
        segmenter = session.segmenter or starter_model(ImageStack.of(image).channels)
        self._how = "" if session.segmenter else " with the starter model"
        self._segmenter, self._config = segmenter, config
        self._probability, self._measure = probability, measure
        hide(viewer, image, "preview")
        self._items: list[Segmentation] = []
        self._rows: list[BatchRow] = []
        if scope == "all open images":
            self._image, self._batch = None, self._of_all(image)
            session.batch = self._batch
        else:
            self._image, self._batch = image, self._of_one(image, scope)
        self._note, self._oddities = "", Oddities()
        self._began = time.monotonic()
        self._pace = Pace(len(self._batch.rows))
        for number, item in enumerate(self._items):
            self._pace.expect(number, item.pixels)
        self._pace.begin()

    @property
    def wanted(self) -> bool:
        """Whether anybody can still see a result."""
        return any(item.shown for item in self._items)

    @property
    def about(self) -> Image | None:
        """The image, unless all that are open are segmented."""
        return self._image

    def events(self, stop: threading.Event) -> Iterator[Event]:
        """Segment one image after the other; for a worker thread."""
        sizes = [item.pixels for item in self._items]
        for number, item in enumerate(self._items):
            before = sum(sizes[:number]) / sum(sizes)
            share = sizes[number] / sum(sizes)
            try:
                for event in item.events(self._session.host, self._segmenter, self._config, stop):
                    progress = before + event.progress * share
                    yield replace(event, image=number, progress=progress)
            except (InputError, DeviceError) as error:
                if len(self._items) == 1:
                    raise
                yield ImageFailed(image=number, progress=before + share, error=error)

    def on_event(self, event: Event) -> None:
        """Show what is new."""
        number = event.image
        item, row = self._items[number], self._rows[number]
        if isinstance(event, ImageFailed):
            item.finish()
            row.end("failed", str(event.error))
            self._pace.end(number)
            show_warning(str(event.error))
        else:
            self._show(event, item, row)
        self._batch.progress = self._pace.now()
        if all(row.over for row in self._rows):
            self._batch.end()

    def _show(self, event: StreamEvent, item: Segmentation, row: BatchRow) -> None:
        item.on_event(event)
        row.begin(item.share)
        self._pace.reach(event.image, item.share)
        if item.complete:
            row.end("done", item.found)
            self._pace.end(event.image, done=True)
        if isinstance(event.event, TileDone):
            self._note = f" {event.event.note}" if event.event.note else self._note
            self._oddities.add(self._where(event, row), event.event.oddity)

    def _where(self, event: StreamEvent, row: BatchRow) -> Iterator[str]:
        """Yield the titles of the image and of the plane, as far as there are several."""
        if len(self._items) > 1:
            yield f"layer {row.name!r}"
        item = self._items[event.image]
        if len(item.planes) > 1:
            yield plane_title(item.stack, event.plane)

    def fraction(self, event: Event) -> float:
        """Return the share that is done, 0 ... 1."""
        return event.progress

    def describe(self, event: Event) -> str:
        """Say how far it is, or what was found."""
        items = self._items
        if not all(row.over for row in self._rows):
            return f"Segmenting, {100 * event.progress:.0f} % ...{self._note}{self._oddities}"
        seconds = time.monotonic() - self._began
        objects = sum(item.objects for item in items)
        classes = sum((item.classes for item in items), Counter())
        found = in_cells(objects) + counted_classes(self._segmenter, classes)
        what = found if items[0].finds_cells else "classes"
        done = sum(item.complete for item in items)
        where = "" if len(items) == 1 else f" in {done} images"
        failed = f"; {len(items) - done} failed" * (done < len(items))
        looked_at = len(items) == 1 and len(items[0].planes) == 1
        advice = " Paint where it is wrong, and train again." if looked_at else ""
        how = f"{self._how} in {seconds:.1f} s{failed}{self._left_out()}."
        return f"Segmented {what}{where}{how}{self._note}{self._oddities}{advice}"

    def _left_out(self) -> str:
        """Say what could not be segmented: a notification is soon gone."""
        names = [row.name for row in self._batch.rows if row.state == "skipped"]
        if not names:
            return ""
        what = repr(names[0]) if len(names) == 1 else f"{len(names)} others"
        return f"; {what} left out: see Batch"

    def stopped(self) -> str:
        """Say what is left when it was stopped."""
        if not self.wanted:
            self._batch.end(GONE)
            return GONE
        self._batch.end("Stopped; unfinished results stay.")
        return "Stopped; the result is unfinished."

    def failed(self, error: Exception) -> str:
        """Say why it broke off."""
        self._batch.end(str(error))
        return str(error)

    def close(self) -> None:
        """Name the layers for what they are, finished or not."""
        for item in self._items:
            item.finish()
        self._batch.end()

    def _of_one(self, image: Image, scope: Scope) -> Batch:
        """Make what shows the result of one image."""
        row = BatchRow(image.name)
        check_fits(self._segmenter, image)
        check_room(image, whole=scope == "whole layer")
        only = shown_plane(self._session.viewer, image) if scope == "current plane" else None
        self._add(image, row, only)
        return Batch([row])

    def _of_all(self, image: Image) -> Batch:
        """Make what shows the results of all open images; what cannot be segmented is left out."""
        others = (layer for layer in image_layers(self._session.viewer) if layer is not image)
        rows, reasons = [], []
        for layer in (image, *others):
            rows.append(BatchRow(layer.name))
            try:
                check_fits(self._segmenter, layer)
                check_room(layer, whole=True)
                self._add(layer, rows[-1], None)
            except UNetError as error:
                rows[-1].end("skipped", str(error))
                reasons.append(error)
        if not self._items:
            self._session.batch = Batch(rows)
            raise reasons[0]
        if reasons:
            more = f" So are {len(reasons) - 1} more: see Batch." * (len(reasons) > 1)
            show_warning(f"{reasons[0]} It is left out.{more}")
        return Batch(rows)

    def _add(self, image: Image, row: BatchRow, only: PlaneIndex | None) -> None:
        viewer = self._session.viewer
        # one that is there already would go on showing what an older model thought
        shows = self._probability or _has_probability(viewer, image)
        item = Segmentation(
            viewer,
            image,
            self._segmenter,
            self._config,
            only=only,
            probability=shows,
            kept=self._session.kept,
            measure=self._measure,
        )
        row.show = LayerResult(image)
        self._items.append(item)
        self._rows.append(row)


def _has_probability(viewer: ViewerModel, image: Image) -> bool:
    return any(is_result(layer, "probability", image) for layer in viewer.layers)
