"""The job of a training: what becomes of the model that it makes better, however it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_unet.engine.events import Learned, Prepared, StepDone, Trained, TrainEvent
from napari_unet.viewer.learning.history import Version
from napari_unet.viewer.learning.training import Training
from napari_unet.viewer.session_job import SessionJob

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["STOPPED", "TRAINING", "TrainingJob"]

TRAINING = "Training"
STOPPED = "Stopped; the best model so far is kept."
"""Said of a training that left a model."""


class TrainingJob(SessionJob[TrainEvent]):
    """Runs a training; the model of the session follows the best so far.

    Parameters
    ----------
    session : Session
        Gets the record, the model, and in its history a version of it at the end.
    training : Training
        What runs; closed with the job.
    """

    title = TRAINING

    def __init__(self, session: Session, training: Training) -> None:
        super().__init__(session)
        self.training = training

    def start(self) -> None:
        """Run beside the viewer; the curve is that of this training from now on."""
        self._session.record = self.training.record
        super().start()

    def say(self, sentence: str) -> None:
        """Put a sentence beside the curve."""
        self._session.said.of_training = sentence

    def events(self, stop: threading.Event) -> Iterator[TrainEvent]:
        """Train in the compute process; for a worker thread."""
        return self.training.events(self._session.host, stop)

    def on_event(self, event: TrainEvent) -> None:
        """Take the model, once it has learned anything; a training stopped before is over then."""
        self.training.on_event(event)
        if isinstance(event, Prepared):
            return  # it may fail yet, for want of memory
        self._session.resuming.forget()
        if event.segmenter.provenance.get("steps"):
            self._session.segmenter = event.segmenter
        if isinstance(event, Learned):
            self.tell_now()  # nothing else comes for some seconds
        if isinstance(event, Trained):
            self._remember(self.training.record.quality(event))

    def fraction(self, event: TrainEvent) -> float | None:
        """Return the share of the budget that is used, where an event tells."""
        if isinstance(event, Learned):
            return 0.0  # how long fitting takes is not known
        return event.progress if isinstance(event, StepDone) else None

    def describe(self, event: TrainEvent) -> str:
        """Say how it goes, or went."""
        said = self.training.record.describe(event)
        odd = str(self.training.oddities)
        return f"{said.removesuffix('.')}.{odd}" if odd else said

    def stopped(self) -> str:
        """Keep the training, to resume it, and remember the model it left; say what is left."""
        self._session.resuming.keep(self.training)
        model = self._session.segmenter
        if model is None:
            return "Stopped; nothing was learned yet."
        if model is not self.training.start:
            self._remember(f"{self.training.record.quality(None)} (stopped)")
        return STOPPED

    def failed(self, error: Exception) -> str:
        """Keep the training, to resume it; say why it broke off."""
        self._session.resuming.keep(self.training)
        return super().failed(error)

    def close(self) -> None:
        """Follow the user no more."""
        self.training.close()

    def _remember(self, summary: str) -> None:
        model = self._session.segmenter
        if model is not None and not self.training.by_accident:
            self._session.history.add(Version(model, summary))
