"""The present model: what it is, save, load, export, start anew, go back to an earlier one."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog

from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.saving.export_job import ExportJob
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.history_table import HistoryTable
from napari_unet.widgets.parts import button, row, sentence, stack
from napari_unet.widgets.save_dialog import ask_where_to_save
from napari_unet.widgets.telling import tell, telling_errors

__all__ = ["ModelPanel"]

FILES = "Live U-Net models (*.safetensors)"
READABLE = "Live U-Net models (*.safetensors *.zip)"
SUFFIX = ".safetensors"
PACKAGES, PACKAGE = "Packages of bioimage.io (*.zip)", ".zip"
NO_MODEL = "No model yet: Segment shows what the starter model finds."


class ModelPanel:
    """Describes the model of a session; saves, loads, exports and drops it."""

    def __init__(self, session: Session, data: DataPanel) -> None:
        self._session, self._data = session, data
        self._about, self._said = sentence(), sentence()
        self._said.visible = False
        self._new = button(
            "New model", "Discard the current model; the next training starts a new one."
        )
        self._load = button("Load ...", "Load a model file. Opening one never runs code from it.")
        self._save = button(
            "Save ...",
            ("Save the model as a single file: for later, for others, for the command line."),
        )
        self._export = button(
            "Export ...",
            "Export the model for Fiji, ilastik, QuPath and other programs that run bioimage.io "
            "models. A part of the plane in view is included as an example.",
        )
        self._model = session.segmenter
        self.history = HistoryTable(session)
        buttons = (self._new, self._load, self._save, self._export)
        self.widget = stack(self._about, row(*buttons, stretch=(5, 4, 4, 4)), self._said)
        self.widget.native.layout().addWidget(self.history)
        self._new.changed.connect(self.forget)
        self._load.changed.connect(self._ask_and_load)
        self._save.changed.connect(self._ask_and_save)
        self._export.changed.connect(self._ask_and_export)

    def renew(self) -> None:
        """Describe the present model, and show what can be clicked."""
        model = self._session.segmenter
        if model is not self._model:  # it was said of another one: "Saved as ..."
            self._model = model
            self._say("")
        idle = self._session.jobs.state == "idle"
        self._save.enabled = model is not None
        self._new.enabled = self._export.enabled = idle and model is not None
        self._load.enabled = idle
        self._about.value = NO_MODEL if model is None else _in_short(model)
        self._about.tooltip = "" if model is None else model.describe()
        self.history.renew()

    def save(self, path: str) -> None:
        """Save the present model."""
        file = Path(path if path.endswith(SUFFIX) else path + SUFFIX)
        with telling_errors(self._said):
            if self._session.segmenter is not None:
                self._session.segmenter.save(file)
                self._say(f"Saved as {file.name}.")

    def load(self, path: str) -> None:
        """Load a model; the present one stays if that fails."""
        with telling_errors(self._said):
            self._session.take_model(Segmenter.load(path))
            self._say(f"Loaded {Path(path).name}.")

    def export(self, path: str) -> None:
        """Export the present model, with the plane in view."""
        file = Path(path if path.endswith(PACKAGE) else path + PACKAGE)
        with telling_errors(self._said):
            model, image = self._session.segmenter, self._data.image
            if model is not None:
                self._session.start(ExportJob(self._session, model, image, file, self._say))

    def forget(self) -> None:
        """Drop the present model."""
        with telling_errors(self._said):
            self._session.take_model(None)
            self._say("")

    def _ask_and_save(self) -> None:
        path = ask_where_to_save(self.widget.native, "Save model", f"model{SUFFIX}", FILES)
        if path:
            self.save(path)

    def _ask_and_export(self) -> None:
        path = ask_where_to_save(self.widget.native, "Export model", f"model{PACKAGE}", PACKAGES)
        if path:
            self.export(path)

    def _say(self, words: str) -> None:
        tell(self._said, words)

    def _ask_and_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.widget.native, "Load model", "", READABLE)
        if path:
            self.load(path)


def _in_short(model: Segmenter) -> str:
    channels = "1 channel" if model.in_channels == 1 else f"{model.in_channels} channels"
    return f"Model: {channels} to {model.finds}, {model.provenance.get('steps', 0)} steps."
