"""The job of segmenting images on disk, and what a batch can be asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari.layers import Image
from napari.utils.notifications import show_warning

from napari_unet.core.config import PredictConfig
from napari_unet.core.summary import in_cells
from napari_unet.engine.items.events import (
    BatchDone,
    ItemDone,
    ItemFailed,
    ItemProgress,
    ItemSkipped,
    ItemStarted,
)
from napari_unet.engine.items.item import BatchOptions, Link, Outlines
from napari_unet.engine.process import batch_tasks
from napari_unet.engine.starter import starter_model
from napari_unet.viewer.batches.batch import Batch, BatchRow, Show, images
from napari_unet.viewer.batches.opening import FileResult
from napari_unet.viewer.session_job import SessionJob

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["BatchRequest", "FilesJob"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """What a batch shall segment, and what into.

    Attributes
    ----------
    first : Image or None
        Of the open images, the one that comes first.
    given : tuple of str
        Files, folders and patterns; without any, open images are segmented.
    folder : str
        Where files are written; "" for layers.
    format : {"auto", "tiff", "ome-zarr"}
        Of the files.
    measure : bool
        Whether to measure the objects.
    outlines : {"", "imagej", "geojson"}
        Which outlines to write beside files, if any.
    link : {"", "objects", "volume", "tracks"}
        What to link the planes of files to, if to anything.
    """

    first: Image | None = None
    given: tuple[str, ...] = ()
    folder: str = ""
    format: Literal["auto", "tiff", "ome-zarr"] = "auto"
    measure: bool = False
    outlines: Outlines = ""
    link: Link = ""


class FilesJob(SessionJob[batch_tasks.BatchTold]):
    """Segments images on disk into a folder, in the compute process.

    Parameters
    ----------
    session : Session
        Its model segments, or the starter model if it has none yet.
    request : BatchRequest
        With files and a folder.
    config : PredictConfig
        How.
    channels : int
        Of the images, for the starter model.
    """

    title = "Segmenting files"

    def __init__(
        self, session: Session, request: BatchRequest, config: PredictConfig, *, channels: int = 1
    ) -> None:
        super().__init__(session)
        self._request, self._config = request, config
        self._segmenter = session.segmenter or starter_model(channels)
        self._options = BatchOptions(
            format=request.format,
            measure="csv" if request.measure else "",
            outlines=request.outlines,
            link=request.link,
        )
        self._batch = session.batch = Batch()
        self._rows: list[BatchRow] = []
        self._notes: set[str] = set()

    def say(self, sentence: str) -> None:
        """Say nothing more than the batch says itself."""

    def events(self, stop: threading.Event) -> Iterator[batch_tasks.BatchTold]:
        """Run the batch; for a worker thread."""
        return self._session.host.run(
            batch_tasks.batch,
            self._request.given,
            self._request.folder,
            self._segmenter,
            self._config,
            self._options,
            stop=stop,
        )

    def on_event(self, event: batch_tasks.BatchTold) -> None:
        """Note what became of an image."""
        batch = self._batch
        if isinstance(event, batch_tasks.BatchPlanned):
            self._rows = [BatchRow(name) for name in event.names]
            batch.rows = list(self._rows)
            return
        batch.progress = event.progress
        if isinstance(event, BatchDone):
            batch.end("" if self._session.segmenter else "It was the starter model.")
            return
        number = event.index - 1
        row = self._rows[number]
        match event:
            case ItemStarted():
                row.begin()
            case ItemProgress(fraction=fraction, note=note):
                row.begin(fraction)
                self._warn_once(note)
            case ItemDone(objects=objects, outputs=outputs):
                row.end("done", "classes" if objects is None else in_cells(objects))
                row.show = self.result(number, event.item.image, outputs[0])
            case ItemSkipped(reason=reason, outputs=outputs):
                row.end("skipped", reason)
                if outputs:
                    row.show = self.result(number, event.item.image, outputs[0])
            case ItemFailed(reason=reason):
                row.end("failed", reason.removeprefix(f"{event.item.image} "))

    def fraction(self, event: batch_tasks.BatchTold) -> float | None:  # noqa: ARG002 (of all)
        """Return the share that is done, 0 ... 1."""
        return self._batch.share

    def describe(self, event: batch_tasks.BatchTold) -> str:  # noqa: ARG002 (of all)
        """Say how far it is."""
        return self._batch.sentence

    def stopped(self) -> str:
        """Say what was done until it was stopped."""
        self._batch.end("Stopped; start it again to do the rest.")
        return self._batch.sentence

    def failed(self, error: Exception) -> str:
        """Say why it broke off."""
        self._batch.end(str(error))
        return self._batch.sentence

    def close(self) -> None:
        """Tell of what failed."""
        self._batch.end()
        failed = sum(row.state == "failed" for row in self._batch.rows)
        if failed:
            show_warning(f"{images(failed)} could not be segmented: see Batch in the dock.")

    def result(self, number: int, image: Path, labels: Path) -> Show:  # noqa: ARG002
        """Return what shows a result."""
        return FileResult(image, labels)

    def _warn_once(self, note: str) -> None:
        if note and note not in self._notes:
            self._notes.add(note)
            show_warning(note)
