"""Segment many images with one click: all that are open, or those of a folder."""

from __future__ import annotations

from collections.abc import Callable

from napari_unet.core.config import PredictConfig
from napari_unet.viewer.batches.batch import BatchRow
from napari_unet.viewer.batches.beginning import BatchRequest, begin_batch
from napari_unet.viewer.session import Session
from napari_unet.widgets.batch_source import BatchSource
from napari_unet.widgets.batch_table import BatchTable
from napari_unet.widgets.batch_target import BatchTarget
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, form, row, sentence, show_row, stack
from napari_unet.widgets.scroll import scroll_to
from napari_unet.widgets.telling import telling_errors

__all__ = ["BatchPanel"]

SEGMENT = "Segment all"


class BatchPanel:
    """Starts batches, and shows what became of each image.

    Parameters
    ----------
    session : Session
        Segments.
    data : DataPanel
        Chooses the image that comes first.
    settings : callable
        Returns the configuration of predictions.
    """

    def __init__(
        self, session: Session, data: DataPanel, settings: Callable[[], PredictConfig]
    ) -> None:
        self._session, self._data, self._settings = session, data, settings
        self.source, self.target = BatchSource(self._on_choice), BatchTarget(self._on_choice)
        self.boxes = (*self.source.boxes, *self.target.boxes)
        self._segment = button(SEGMENT, "Segment every image with the current model.")
        self._said, self._reason = sentence(), sentence()
        self.table = BatchTable(self.open)
        self._form = form(
            self.source.what,
            self.source.files_row,
            self.target.results,
            self.target.folder_row,
            self.target.format,
            self.target.link,
            self.target.outlines,
        )
        start = row(self._segment, self.target.measure, stretch=(1, 1))
        self.widget = stack(self._form, start, self._said, self._reason)
        layout = self.widget.native.layout()
        layout.insertWidget(layout.count() - 1, self.table)
        self._segment.changed.connect(self._on_button)
        self._on_choice()
        self._reason.visible = False
        self.renew()

    @property
    def into_files(self) -> bool:
        """Whether results become files."""
        return not self.source.open_images or self.target.is_folder

    def segment_all(self) -> None:
        """Begin."""
        self._segment.enabled, self._reason.visible = False, False
        try:
            with telling_errors(self._reason):
                begin_batch(self._session, self._request(), self._settings())
        finally:
            self.renew()

    def open(self, shown: BatchRow) -> None:
        """Show the result of an image; tell the whole reason where there is none."""
        self._reason.value = f"{shown.name}: {shown.text}"
        self._reason.visible = shown.state in ("skipped", "failed")
        if shown.show is not None and shown.state != "waiting":
            with telling_errors(self._reason):
                shown.show(self._session.viewer)
        if self._reason.visible:
            scroll_to(self.widget.native)

    def renew(self) -> None:
        """Show how it goes, and what can be clicked."""
        session, batch = self._session, self._session.batch
        self._segment.text = "Stop" if batch.running else SEGMENT
        self._segment.enabled = batch.running or session.jobs.state == "idle"
        self._said.value, self._said.visible = batch.sentence, bool(batch.sentence)
        if self.table.show_batch(batch) and batch.running:
            scroll_to(self.widget.native)

    def _request(self) -> BatchRequest:
        is_open = self.source.open_images
        return BatchRequest(
            first=self._data.choice.image if is_open else None,
            given=() if is_open else tuple(self.source.given),
            folder=self.target.path if self.into_files else "",
            format=self.target.file_format,
            measure=self.target.measure.value,
            outlines=self.target.outlined if self.into_files else "",
            link=self.target.linked if self.into_files else "",
        )

    def _on_choice(self, _: object = None) -> None:
        self.target.propose(self.source.beside)
        files, into = not self.source.open_images, self.into_files
        show_row(self._form, self.source.files_row, shown=files)
        show_row(self._form, self.target.results, shown=not files)
        show_row(self._form, self.target.folder_row, shown=into)
        show_row(self._form, self.target.format, shown=into)
        show_row(self._form, self.target.link, shown=into)
        show_row(self._form, self.target.outlines, shown=into)

    def _on_button(self) -> None:
        if self._session.batch.running:
            self._session.jobs.stop()
        else:
            self.segment_all()
