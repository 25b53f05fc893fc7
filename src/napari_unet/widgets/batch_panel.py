"""Segment many images with one click: all that are open, or those of a folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from magicgui.widgets import CheckBox, ComboBox, LineEdit
from qtpy.QtWidgets import QFileDialog

from napari_unet.core.config import PredictConfig
from napari_unet.errors import InputError
from napari_unet.viewer.batch import BatchRow
from napari_unet.viewer.beginning import BatchRequest, begin_batch
from napari_unet.viewer.session import Session
from napari_unet.widgets.batch_source import BatchSource
from napari_unet.widgets.batch_table import BatchTable
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import (
    button,
    form,
    narrow,
    row,
    scroll_to,
    sentence,
    show_row,
    stack,
)
from napari_unet.widgets.telling import telling_errors

__all__ = ["BatchPanel"]

LAYERS, FOLDER = "layers", "files in a folder"
FORMATS: dict[str, Literal["auto", "tiff", "ome-zarr"]] = {
    "automatic": "auto",
    "TIFF": "tiff",
    "OME-Zarr": "ome-zarr",
}
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
        self.source = BatchSource(self._on_choice)
        self._results = narrow(ComboBox(label="Results", choices=[LAYERS, FOLDER]))
        self._results.tooltip = "Layers in the viewer, or files that can be larger than the memory."
        self._folder = LineEdit()
        self._folder.tooltip = "Gets a file for each image, in the subfolders that the images have."
        self._proposed = ""
        self._choose = button("Choose", "Choose or make the folder for the results.")
        self._folder_row = row(
            self._folder,
            self._choose,
            label="Save in",
            tooltip=self._folder.tooltip,
            stretch=(1, 0),
        )
        self._format = narrow(ComboBox(label="Format", choices=list(FORMATS)))
        self._format.tooltip = (
            "Automatic: OME-TIFF for images that are TIFF, PNG and the like; OME-Zarr for OME-Zarr "
            "and for what is too large for a TIFF."
        )
        self._measure = CheckBox(text="Measure objects")
        self._measure.tooltip = (
            "Area, place and intensity of every object, and whether it touches the border: as CSV "
            "beside the files, or as features of the layers (Layers > Metadata)."
        )
        self._segment = button(SEGMENT, "Segment every image with the present model.")
        self._said, self._reason = sentence(), sentence()
        self._table = BatchTable(self.open)
        self._form = form(
            self.source.what, self.source.files_row, self._results, self._folder_row, self._format
        )
        start = row(self._segment, self._measure, stretch=(1, 1))
        self.widget = stack(self._form, start, self._said, self._reason)
        layout = self.widget.native.layout()
        layout.insertWidget(layout.count() - 1, self._table)
        self._results.changed.connect(self._on_choice)
        self._choose.changed.connect(self._ask_folder)
        self._segment.changed.connect(self._on_button)
        self._on_choice()
        self.renew()

    @property
    def into_files(self) -> bool:
        """Whether results become files."""
        return not self.source.open_images or self._results.value == FOLDER

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

    def renew(self) -> None:
        """Show how it goes, and what can be clicked."""
        session, batch = self._session, self._session.batch
        self._segment.text = "Stop" if batch.running else SEGMENT
        self._segment.enabled = batch.running or session.jobs.state == "idle"
        self._said.value, self._said.visible = batch.sentence, bool(batch.sentence)
        if self._table.show_batch(batch) and batch.running:
            scroll_to(self.widget.native)

    def _request(self) -> BatchRequest:
        if self.into_files and not self._folder.value.strip():
            raise InputError("No folder for the results is chosen: press Choose beside Save in.")
        return BatchRequest(
            first=self._data.choice.image if self.source.open_images else None,
            given=() if self.source.open_images else tuple(self.source.given),
            folder=self._folder.value.strip() if self.into_files else "",
            format=FORMATS[self._format.value],
            measure=self._measure.value,
        )

    def _on_choice(self, _: object = None) -> None:
        if self._folder.value == self._proposed:
            self._folder.value = self._proposed = self.source.beside
        files, into = not self.source.open_images, self.into_files
        show_row(self._form, self.source.files_row, shown=files)
        show_row(self._form, self._results, shown=not files)
        show_row(self._form, self._folder_row, shown=into)
        show_row(self._form, self._format, shown=into)

    def _on_button(self) -> None:
        if self._session.batch.running:
            self._session.jobs.stop()
        else:
            self.segment_all()

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self._folder.native, "Folder for the results")
        if path:
            self._folder.value = path
