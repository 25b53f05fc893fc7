"""Segment the shown plane, the layer, or all open images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from magicgui.widgets import CheckBox, ComboBox
from napari.layers import Image

from napari_unet.core.config import PredictConfig
from napari_unet.viewer.segmenting.segmenting_job import Scope
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, narrow, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["SegmentPanel"]


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
        self._scope.tooltip = "What to segment; results go to layers of their own."
        self._segment = button(
            "Segment",
            "Segment with the present model, or with the starter model if there is none; the "
            "result streams in tile by tile.",
        )
        self._probability = CheckBox(text="Show probabilities")
        self._probability.tooltip = "Also show how sure the network is, as an image layer."
        self._said = sentence()
        self.widget = stack(
            row(self._segment, self._scope, stretch=(1, 1)),
            self._probability,
            self._said,
        )
        self._segment.changed.connect(self._on_segment)

    def scope(self) -> Scope:
        """Return what the button would segment."""
        scope: Scope = self._scope.value
        return scope

    def segment(self, image: Image, scope: Scope) -> None:
        """Segment with the present model."""
        with self._one_click(), telling_errors(self._said):
            self._session.segment(
                image, scope, self._settings(), probability=self._probability.value
            )

    def renew(self) -> None:
        """Show how a job goes, and what can be clicked."""
        self._renew_button()
        self._said.value = self._session.about_result
        self._said.visible = bool(self._session.about_result)

    @contextmanager
    def _one_click(self) -> Iterator[None]:
        """Disable the button: napari may handle the next click while this one is handled."""
        self._segment.enabled = False
        try:
            yield
        finally:
            self._renew_button()

    def _renew_button(self) -> None:
        self._segment.enabled = self._session.jobs.state == "idle"

    def _on_segment(self) -> None:
        with telling_errors(self._said):
            self.segment(self._data.image, self.scope())
