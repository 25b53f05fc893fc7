"""Segment the shown plane, the layer, or all open images; show the weight map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from magicgui.widgets import CheckBox, ComboBox
from napari.layers import Image

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.viewer.segmentation import Scope
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, narrow, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["SegmentPanel"]


class SegmentPanel:
    """Starts segmentations and the weight map.

    Parameters
    ----------
    session : Session
        Segments.
    data : DataPanel
        What is segmented.
    settings : callable
        Returns the configuration of predictions.
    weights : callable
        Returns the configuration of training, which has the weights' height and width.
    """

    def __init__(
        self,
        session: Session,
        data: DataPanel,
        settings: Callable[[], PredictConfig],
        weights: Callable[[], TrainConfig],
    ) -> None:
        self._session, self._data = session, data
        self._settings, self._weight_settings = settings, weights
        self._scope = narrow(ComboBox(choices=["current plane", "whole layer", "all open images"]))
        self._scope.tooltip = "What to segment; results go to layers of their own."
        self._segment = button(
            "Segment", "Segment with the present model; the result streams in tile by tile."
        )
        self._probability = CheckBox(text="Show probabilities")
        self._probability.tooltip = "Also show how sure the network is, as an image layer."
        self._weights = button(
            "Show weight map",
            "Show what a mistake costs in training: most on the thin borders between cells.",
        )
        self._said = sentence()
        self.widget = stack(
            row(self._segment, self._scope, stretch=(1, 1)),
            row(self._probability, self._weights, stretch=(1, 1)),
            self._said,
        )
        self._segment.changed.connect(self._on_segment)
        self._weights.changed.connect(self.show_weights)

    def segment(self, image: Image, scope: Scope) -> None:
        """Segment with the present model."""
        with self._one_click(), telling_errors(self._said):
            self._session.segment(
                image, scope, self._settings(), probability=self._probability.value
            )

    def show_weights(self) -> None:
        """Show the boundary weight map of the present labels."""
        with self._one_click(), telling_errors(self._said):
            data = self._data
            image, labels = data.image, data.labels
            if data.settle_meaning():
                self._session.show_weights(image, labels, data.regions, self._weight_settings())

    def renew(self) -> None:
        """Show how a job goes, and what can be clicked."""
        self._renew_buttons()
        self._said.value = self._session.about_result
        self._said.visible = bool(self._session.about_result)

    @contextmanager
    def _one_click(self) -> Iterator[None]:
        """Disable the buttons: napari may handle the next click while this one is handled."""
        self._segment.enabled = self._weights.enabled = False
        try:
            yield
        finally:
            self._renew_buttons()

    def _renew_buttons(self) -> None:
        idle = self._session.jobs.state == "idle"
        self._segment.enabled = idle and self._session.segmenter is not None
        self._weights.enabled = idle

    def _on_segment(self) -> None:
        with telling_errors(self._said):
            self.segment(self._data.image, self._scope.value)
