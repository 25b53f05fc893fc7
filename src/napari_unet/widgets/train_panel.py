"""Train on current labels: the big button, the budget, Stop, and the live curve."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from magicgui.widgets import FloatSpinBox, Label, ProgressBar, SpinBox
from napari.utils.theme import Theme

from napari_unet.core.config import TrainConfig
from napari_unet.viewer.session import TRAINING, Session
from napari_unet.widgets.curve import TrainingCurve
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["TrainPanel"]

FIRST_STEPS = "Paint a few cells and some background, then train."


class TrainPanel:
    """Starts trainings and shows how they go; stops whatever runs.

    Parameters
    ----------
    session : Session
        Trains.
    data : DataPanel
        What is trained on.
    settings : callable
        Returns the rest of the configuration.
    """

    def __init__(
        self, session: Session, data: DataPanel, settings: Callable[[], TrainConfig]
    ) -> None:
        self._session, self._data, self._settings = session, data, settings
        self._train = button(
            "Train on current labels",
            "Learn from what is painted now; painting can go on meanwhile. Training again goes on "
            "from the present model.",
        )
        self._train.native.setMinimumHeight(36)
        self._stop = button("Stop", "Stop what is running; the best model so far is kept.")
        self._bar = ProgressBar(min=0, max=100)
        self._bar.native.setTextVisible(True)
        self._seconds = FloatSpinBox(value=60, min=0, max=1e7, step=15)
        self._seconds.tooltip = "Train this long (0: no limit, until Stop)."
        self._steps = SpinBox(value=0, min=0, max=10**9, step=100)
        self._steps.tooltip = "Train at most this many steps (0: no limit)."
        self._seconds.native.setDecimals(0)
        self._said = sentence()
        self.curve = TrainingCurve()
        budget = row(
            Label(value="Seconds"), self._seconds, Label(value="or steps"), self._steps,
            stretch=(0, 1, 0, 1),
        )  # fmt: skip
        progress = row(self._bar, self._stop, stretch=(1, 0))
        self.widget = stack(self._train, budget, progress, self._said)
        self.widget.native.layout().insertWidget(3, self.curve)
        self._train.changed.connect(self.train)
        self._stop.changed.connect(session.jobs.stop)

    def config(self) -> TrainConfig:
        """Return the configuration that the button would train with."""
        return dataclasses.replace(
            self._settings(), seconds=self._seconds.value, steps=self._steps.value
        )

    def set_budget(self, *, seconds: float = 0, steps: int = 0) -> None:
        """Show a budget; 0 is no limit."""
        self._seconds.value, self._steps.value = seconds, steps

    def train(self) -> None:
        """Train on what is painted now, after any doubt about its meaning is settled."""
        self._train.enabled = False  # napari may handle the next click while this one is handled
        try:
            with telling_errors(self._said):
                self._session.jobs.require_idle(TRAINING)
                data = self._data
                image, labels = data.image, data.labels
                if data.settle_meaning():
                    self._session.train(image, labels, data.regions, self.config())
        finally:
            self._renew_buttons()

    def follow_theme(self, theme: Theme) -> None:
        """Take the colours of the viewer."""
        accent, text = (colour.as_hex(format="long") for colour in (theme.current, theme.text))
        self._train.native.setStyleSheet(
            f"QPushButton {{font-weight: bold}} "
            f"QPushButton:enabled {{background-color: {accent}; color: {text}}}"
        )
        self.curve.set_text_colour(text)

    def renew(self) -> None:
        """Show how a job goes, and what can be clicked."""
        session = self._session
        running = self._renew_buttons()
        self._bar.enabled = running
        self._bar.value = round(100 * session.progress) if running else 0
        share = "%p %" if session.progress else "..."  # a training without a budget has none
        self._bar.native.setFormat(f"{session.title} {share}" if running else "idle")
        self._said.value = session.about_training or FIRST_STEPS
        self._said.tooltip = session.record.prepared
        self.curve.show_record(session.record)

    def _renew_buttons(self) -> bool:
        running = self._session.jobs.state == "running"
        self._train.enabled, self._stop.enabled = not running, running
        return running
