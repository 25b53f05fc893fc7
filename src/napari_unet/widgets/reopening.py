"""A dock that is opened again goes on where the one before was closed."""

from __future__ import annotations

from contextlib import suppress

from magicgui.widgets import ComboBox

from napari_unet.errors import InputError
from napari_unet.viewer.preferences import preferences
from napari_unet.viewer.session import Session
from napari_unet.viewer.shown import Choices, Shown
from napari_unet.widgets.panels import Panels

__all__ = ["Reopening"]


class Reopening:
    """Keeps what a dock shows with the session of its viewer, and shows it in the next one.

    Parameters
    ----------
    session : Session
        Outlives docks.
    panels : Panels
        Of the new dock, which show the preferences.
    """

    def __init__(self, session: Session, panels: Panels) -> None:
        self._session, self._panels = session, panels
        self._start = preferences().train_config()

    def take_settings(self) -> None:
        """Show the settings of the dock before, if it began with the same preferences."""
        shown = self._session.shown
        if shown is not None and shown.start == self._start:
            training = shown.training
            self._panels.set_configs(training, shown.prediction_with(self._session.segmenter))
            self._panels.training.set_budget(seconds=training.seconds, steps=training.steps)

    def take_choices(self) -> None:
        """Choose what was chosen in the dock before, of what is still there."""
        shown = self._session.shown
        if shown is None:
            return
        for box, value in zip(self._panels.boxes(), shown.choices, strict=True):
            if not isinstance(box, ComboBox) or (value is not None and value in box.choices):
                box.value = value
        for fold, unfolded in zip(self._panels.folds(), shown.unfolded, strict=True):
            if unfolded != fold.unfolded:
                fold.toggle()

    def keep(self) -> None:
        """Keep settings and choices for the next dock."""
        panels = self._panels
        with suppress(InputError):  # settings that are not legal are not kept
            self._session.shown = Shown(
                start=self._start,
                training=panels.training.config(),
                prediction=panels.predict_config(),
                segmenter=self._session.segmenter,
                choices=Choices(box.value for box in panels.boxes()),
                unfolded=tuple(fold.unfolded for fold in panels.folds()),
            )
