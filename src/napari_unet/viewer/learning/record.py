"""What a training said of itself: the numbers behind the curve."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from napari_unet.engine.events import (
    Learned,
    Prepared,
    Previewed,
    StepDone,
    Trained,
    TrainEvent,
    Validated,
)

__all__ = ["Record"]

MOST_POINTS = 2000
"""Of a curve that are kept: more can neither be told apart nor drawn quickly."""
SMOOTHING = 0.9
"""The loss of single patches jumps; a running mean over about ten can be read."""


@dataclass(slots=True)
class Record:
    """The numbers of one training, as they come in.

    Attributes
    ----------
    prepared : str
        What is trained on, and where.
    seconds, loss : list of float
        Of every step; the loss is a running mean. Of a long training the earlier ones are thinned.
    held_out_seconds, held_out_loss, iou : list of float
        Of every validation on held-out labels, thinned alike; empty where nothing is held out.
    kept_iou : float or None
        The quality of the model that is kept, if anything was held out.
    said : str
        The last thing that was said of a step.
    """

    prepared: str = ""
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    held_out_seconds: list[float] = field(default_factory=list)
    held_out_loss: list[float] = field(default_factory=list)
    iou: list[float] = field(default_factory=list)
    kept_iou: float | None = None
    said: str = ""

    def add(self, event: TrainEvent) -> None:
        """Take down what an event tells."""
        self.kept_iou = event.segmenter.provenance.get("iou")
        if isinstance(event, Prepared):
            self.prepared = event.message
            for earlier in event.earlier:
                self.add(earlier)
        elif isinstance(event, StepDone) and math.isfinite(event.loss):
            last = self.loss[-1] if self.loss else event.loss
            self.seconds.append(event.seconds)
            self.loss.append(SMOOTHING * last + (1 - SMOOTHING) * event.loss)
            _thin(self.seconds, self.loss)
        elif isinstance(event, Validated) and math.isfinite(event.iou):
            self.held_out_seconds.append(event.seconds)
            self.held_out_loss.append(event.loss)
            self.iou.append(event.iou)
            _thin(self.held_out_seconds, self.held_out_loss, self.iou)

    def describe(self, event: TrainEvent) -> str:
        """Say how the training goes, or went."""
        iou = "" if self.kept_iou is None else f"IoU {self.kept_iou:.2f} on held-out labels"
        if isinstance(event, Prepared):
            return event.message
        if isinstance(event, Trained):
            return f"Trained {event.steps} steps in {self._time(event)}; {self.quality(event)}."
        if isinstance(event, Previewed):
            return self.said
        if isinstance(event, Learned):
            return f"Step {event.step}, {event.seconds:.0f} s: fitting the model to what is painted"
        loss = f", loss {self.loss[-1]:.3f}" if self.loss else ""
        self.said = f"Step {event.step}, {event.seconds:.0f} s{loss}{iou and ', ' + iou}"
        return self.said

    def _time(self, event: Trained) -> str:
        """Say how long the steps took, and what comes after the last one."""
        learned = self.seconds[-1] if self.seconds else event.seconds
        fitted = event.seconds - learned
        return f"{learned:.0f} s" + f", fitted the model in {fitted:.0f} s" * (fitted >= 0.5)

    def quality(self, event: Trained | None) -> str:
        """Say in a few words how good the model is that a training left."""
        if event is not None and event.score is not None:
            return str(event.score)
        if self.kept_iou is None:
            return "nothing was held out to measure its quality"
        return f"IoU {self.kept_iou:.2f} on held-out labels"


def _thin(seconds: list[float], *curves: list[float]) -> None:
    """Once there are too many points, keep the last of each of equal spans of time, in place."""
    if len(seconds) <= MOST_POINTS:
        return
    span = seconds[-1] / (MOST_POINTS // 2) or 1.0
    spans = [math.ceil(second / span) for second in seconds]
    kept = [i for i, one in enumerate(spans) if i + 1 == len(spans) or spans[i + 1] != one]
    for values in (seconds, *curves):
        values[:] = [values[i] for i in kept]
