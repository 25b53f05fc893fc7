"""Segment the shown plane, the layer, or all open images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, Label
from napari.layers import Image
from qtpy.QtWidgets import QDoubleSpinBox

from napari_unet.core.config import PredictConfig
from napari_unet.viewer.segmenting.magnification_job import MAGNIFYING, MagnificationJob
from napari_unet.viewer.segmenting.pixelsize import about_layer, magnification_by_scale
from napari_unet.viewer.segmenting.segmenting_job import Scope
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, narrow, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["SegmentPanel"]

MAGNIFICATION = (
    "Size of the objects here relative to the painted ones, if the images were taken with "
    "another objective: 2 if they are twice as large. It applies to every image that is "
    "segmented, and returns to 1 once the model is trained or replaced."
)


class SegmentPanel:
    """Starts segmentations.

    Parameters
    ----------
    session : Session
        Segments.
    data : DataPanel
        What is segmented.
    settings : callable
        Returns the configuration of predictions.
    """

    def __init__(
        self, session: Session, data: DataPanel, settings: Callable[[], PredictConfig]
    ) -> None:
        self._session, self._data, self._settings = session, data, settings
        self._scope = narrow(ComboBox(choices=["current plane", "whole layer", "all open images"]))
        self._scope.tooltip = "What to segment. Results go into layers of their own."
        self._segment = button(
            "Segment",
            "Segment with the current model, or with the starter model if there is none. The "
            "result appears tile by tile.",
        )
        self._probability = CheckBox(text="Probabilities")
        self._probability.tooltip = "Also show how sure the network is, as an image layer."
        self.boxes = self._scope, self._probability
        self._magnification = FloatSpinBox(min=0.25, max=4, step=0.25, value=1)
        self._magnification.tooltip = MAGNIFICATION
        native: QDoubleSpinBox = self._magnification.native
        native.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)  # all in one row
        native.setStyleSheet("min-width: 44px")  # napari's own is 90
        self._find = button(
            "Find",
            "If the pixel sizes of this image and of the painted ones are known, compute the "
            "magnification from them. Otherwise try several on the plane in view, and take the "
            "one at which the model is surest.",
        )
        self._model, self._said, self._hint = session.segmenter, sentence(), sentence()
        size = Label(value="Magnification", tooltip=MAGNIFICATION)
        self.widget = stack(
            row(self._segment, self._scope, stretch=(1, 1)),
            row(self._probability, size, self._magnification, self._find, stretch=(0, 0, 1, 0)),
            self._hint,
            self._said,
        )
        self._renew_hint()
        self._magnification.changed.connect(self._renew_hint)
        data.choice.changed.connect(self._renew_hint)
        self._segment.changed.connect(self._on_segment)
        self._find.changed.connect(self._on_find)

    def scope(self) -> Scope:
        """Return what the button would segment."""
        scope: Scope = self._scope.value
        return scope

    def set_config(self, config: PredictConfig) -> None:
        """Show the magnification of a configuration."""
        self._magnification.value, self._model = config.magnification, self._session.segmenter

    def over(self, config: PredictConfig) -> PredictConfig:
        """Put the magnification over a configuration."""
        return replace(config, magnification=float(self._magnification.value))

    def segment(self, image: Image, scope: Scope) -> None:
        """Segment with the present model."""
        with self._one_click(), telling_errors(self._said):
            self._session.segment(
                image, scope, self._settings(), probability=self._probability.value
            )

    def renew(self) -> None:
        """Show how a job goes, and what can be clicked."""
        self._renew_buttons()
        if self._session.segmenter is not self._model:
            # it may have learned from what is shown, and how large objects look to it is not known
            self.set_config(PredictConfig())
        self._renew_hint()
        self.renew_sentence()

    def renew_sentence(self) -> None:
        """Say what there is to say; an error of the last click is not."""
        said = self._session.said_of_result(self._data.choice.image)
        self._said.value, self._said.visible = said, bool(said)

    @contextmanager
    def _one_click(self) -> Iterator[None]:
        """Disable the button: napari may handle the next click while this one is handled."""
        self._segment.enabled = False
        try:
            yield
        finally:
            self._renew_buttons()

    def _renew_buttons(self) -> None:
        self._segment.enabled = self._find.enabled = self._session.jobs.state == "idle"

    def _on_segment(self) -> None:
        with telling_errors(self._said):
            self.segment(self._data.image, self.scope())

    def _on_find(self) -> None:
        session = self._session
        with self._one_click(), telling_errors(self._said):
            session.jobs.require_idle(MAGNIFYING)
            config, image = self._settings(), self._data.image
            if (known := magnification_by_scale(session, image)) != 1:
                self._magnification.value = known
                return
            session.start(MagnificationJob(session, image, config, self._on_found))

    def _renew_hint(self, _: object = None) -> None:
        """Say which magnification fits the chosen image, if it is another one."""
        now, image = float(self._magnification.value), self._data.choice.image
        self._hint.value = about_layer(self._session, image, now)
        self._hint.visible = bool(self._hint.value)

    def _on_found(self, magnification: float) -> None:
        self._magnification.value = magnification
