"""Train on current labels: the big button, live mode, the budget, what runs, and the curve."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from magicgui.widgets import CheckBox
from napari.utils.theme import Theme

from napari_unet.core.config import TrainConfig
from napari_unet.viewer.learning.live import Live
from napari_unet.viewer.learning.training_job import STOPPED
from napari_unet.viewer.preferences import preferences
from napari_unet.viewer.session import TRAINING, Session
from napari_unet.widgets.budget import Budget
from napari_unet.widgets.curve import TrainingCurve
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.job_bar import JobBar
from napari_unet.widgets.parts import button, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["TrainPanel"]

FIRST_STEPS = "Paint a few cells and some background, then train."
RESUMABLE = " Resume, then Finish, makes it better."
NEXT_STEPS = "Segment with this model, or paint where it is wrong and train again."


class TrainPanel:
    """Starts trainings and shows how they go.

    Parameters
    ----------
    session : Session
        Trains.
    data : DataPanel
        What is trained on.
    settings : callable
        Returns the configuration, apart from its budget.

    Attributes
    ----------
    live : Live
        Live mode.
    job : JobBar
        What runs, whatever it is.
    """

    def __init__(
        self, session: Session, data: DataPanel, settings: Callable[[], TrainConfig]
    ) -> None:
        self._session, self._data, self._settings, self._budget = session, data, settings, Budget()
        self.live = Live(
            session, lambda: self._begin(live=True), data.chosen, lambda: telling_errors(self._said)
        )
        self._train = button(
            "Train on current labels",
            "Train on what is painted now; you can go on painting meanwhile. Training again "
            "continues from the current model.",
        )
        self._train.native.setMinimumHeight(36)
        self._live = CheckBox(text="Live")
        self._live.tooltip = (
            "Keep training while you paint: new strokes are used within two seconds. The preview "
            "shows the current segmentation of the part in view."
        )
        self._said = sentence()
        self.job = JobBar(session, self.live, self._said)
        self.curve = TrainingCurve()
        start = row(self._train, self._live, stretch=(1, 0))
        self.widget = stack(start, self._budget.widget, self.job.widget, self._said)
        self.widget.native.layout().insertWidget(3, self.curve)
        self._train.changed.connect(self.train)
        self._live.changed.connect(self.set_live)
        self.live.changed.connect(self._on_live)

    def config(self) -> TrainConfig:
        """Return what the button would train with."""
        return self._budget.over(self._settings())

    def set_budget(self, **budget: float) -> None:
        """Show a budget of ``seconds`` and ``steps``; 0 is no limit."""
        self._budget.set(**budget)

    def train(self) -> None:
        """Train on what is painted now, after any doubt about its meaning is settled."""
        with telling_errors(self._said):
            self._begin(live=False)

    def set_live(self, on: bool) -> None:
        """Switch live mode on or off."""
        self.live.set(on)

    def toggle_live(self) -> None:
        """Switch live mode over."""
        self.set_live(not self.live.on)

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
        self._renew_buttons()
        self._data.renew()
        self.renew_sentence()
        self._said.tooltip = self._session.record.prepared
        self.curve.show_record(self._session.record)

    def renew_sentence(self) -> None:
        """Say what there is to say; an error of the last click is not."""
        waits = self.live.waits_for
        said = f"Live: paint {waits}." if waits else self._session.said.of_training
        if said == STOPPED and self._session.resuming.possible:
            said += RESUMABLE
        self._said.value = said or (NEXT_STEPS if self._session.segmenter else FIRST_STEPS)

    def _begin(self, *, live: bool) -> None:
        self._train.enabled = False  # napari may handle the next click while this one is handled
        try:
            session, data = self._session, self._data
            session.jobs.require_idle(TRAINING)
            image, labels, config = data.image, data.labels, self.config()
            config = dataclasses.replace(config, seconds=0, steps=0) if live else config
            also, every = data.others(), preferences().live_seconds
            if data.settle_meaning(also):
                session.train(
                    image, labels, data.regions, config, also=also, live=live, preview_every=every
                )
        finally:
            self._renew_buttons()

    def _on_live(self, on: bool) -> None:
        with self._live.changed.blocked():
            self._live.value = on
        self.renew()

    def _renew_buttons(self) -> None:
        self._train.enabled = self._session.jobs.state == "idle"
        self.job.renew()
