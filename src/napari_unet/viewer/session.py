"""One viewer's model and jobs: train, segment."""

from __future__ import annotations

import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels, Shapes
from psygnal import Signal

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.events import StepDone, Trained, TrainEvent
from napari_unet.engine.host import Host
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError, JobError
from napari_unet.viewer.background import Background
from napari_unet.viewer.history import History, Version
from napari_unet.viewer.jobs import Jobs
from napari_unet.viewer.kept import Kept
from napari_unet.viewer.preview import hide
from napari_unet.viewer.record import Record
from napari_unet.viewer.segmentation import (
    Scope,
    Segmentation,
    StreamEvent,
    describe,
    plan,
    stream,
)
from napari_unet.viewer.sources import Source
from napari_unet.viewer.training import Training
from napari_unet.viewer.worker import Events

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_unet.viewer.autosave import Autosave

__all__ = ["SEGMENTING", "TRAINING", "Session"]

E = TypeVar("E")

TRAINING, SEGMENTING = "Training", "Segmenting"
"""Titles of the jobs."""

TELLING_SECONDS = 0.25

LEAST_STEPS = 5
"""Of a first training that is remembered: live mode switched on and off again leaves one or two."""


class Session:
    """What outlives a dock: the model, the compute process and the jobs of one viewer.

    Use `Session.of`, on the main thread.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are trained on and added to.

    Attributes
    ----------
    jobs : Jobs
        What runs, and the signals of its end.
    background : Background
        What follows painting and sliders by itself.
    kept : Kept
        The probabilities behind the last results.
    history : History
        The models that trainings left.
    record : Record
        The numbers of the last training.
    autosave : Autosave or None
        Saves the work now and then, once a dock was opened.
    title : str
        Of the job that runs, or ran last.
    about_training, about_result : str
        The last thing to say about a training, and about a segmentation or weight map.
    progress : float
        Share of the running or last job that is done, 0 ... 1.
    """

    segmenter_changed = Signal()
    told = Signal()  # there is something new to say, or to draw

    _all: ClassVar[WeakKeyDictionary[ViewerModel, Session]] = WeakKeyDictionary()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self._closed = False
        window = getattr(viewer, "window", None)  # a ViewerModel has none
        if window is not None:  # before the jobs, whose end then finds that this is closed
            window.main_menu.window().destroyed.connect(self.close)
        self.jobs = Jobs.of(viewer)
        self.host = Host()
        self.background = Background(Host(warm_up=("napari_unet.engine.tasks",)))
        self.kept = Kept()
        self.history = History()
        self.record = Record()
        self.autosave: Autosave | None = None
        self.title = self.about_training = self.about_result = ""
        self.progress = 0.0
        self._segmenter: Segmenter | None = None
        self._next_telling = 0.0
        self._outputs: list[Segmentation] = []
        self._training: Training | None = None
        self._stopped: Training | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="live-unet-", ignore_cleanup_errors=True)
        self._checkpoint = Path(self._folder.name, "training.state")
        self._trained_on: weakref.ref[Image] | None = None
        self.jobs.done.connect(self._on_done)
        self.jobs.stopped.connect(self._on_stopped)
        self.jobs.failed.connect(self._on_failed)
        viewer.layers.events.removed.connect(self._on_removed)

    @classmethod
    def of(cls, viewer: ViewerModel) -> Session:
        """Return the session of a viewer, the same object for all panels."""
        owner = getattr(viewer, "__wrapped__", viewer)  # plugins are given a proxy of it
        if owner not in cls._all:
            cls._all[owner] = cls(owner)
        return cls._all[owner]

    def close(self) -> None:
        """Stop what runs and end the compute process; nothing can be started after."""
        self._closed = True
        self.jobs.close()
        if self.autosave is not None:
            self.autosave.close()
        self.host.close()
        self.background.close()
        self._folder.cleanup()
        self.segmenter_changed.disconnect()
        self.told.disconnect()

    @property
    def closed(self) -> bool:
        """Whether the viewer is closed, and widgets may be gone."""
        return self._closed

    @property
    def viewer(self) -> ViewerModel:
        """The viewer itself, not a proxy of it."""
        viewer = self._viewer()
        assert viewer is not None  # whoever asks holds one of its panels
        return viewer

    @property
    def segmenter(self) -> Segmenter | None:
        """The present model; None before the first training."""
        return self._segmenter

    @segmenter.setter
    def segmenter(self, segmenter: Segmenter | None) -> None:
        if segmenter is not self._segmenter:
            self._segmenter = segmenter
            self._stopped = None  # it would go on with the model before
            self.segmenter_changed.emit()

    def take_trained_image(self) -> Image | None:
        """Return, once, the image of a training that has just come to its end, if it is open."""
        image = None if self._trained_on is None else self._trained_on()
        self._trained_on = None
        return image if image is not None and image in self.viewer.layers else None

    @property
    def training(self) -> Training | None:
        """The training that runs; None while none does."""
        return self._training

    @property
    def resumable(self) -> bool:
        """Whether a training was stopped that can go on where it was."""
        return self._stopped is not None and self._checkpoint.exists()

    def train(
        self,
        image: Image,
        labels: Labels,
        regions: Shapes | None,
        config: TrainConfig,
        *,
        also: Sequence[Source] = (),
        live: bool = False,
        preview_every: float = 3.0,
    ) -> None:
        """Train, or train on, with what is painted now; the model follows the best so far.

        Parameters
        ----------
        image, labels, regions, config
            What is trained on, and how.
        also : sequence of Source
            Further images with labels.
        live : bool
            Whether what is painted meanwhile is trained on, too.
        preview_every : float
            Seconds between two previews of the field in view.

        Raises
        ------
        InputError
            If the layers do not fit or nothing is painted.
        JobError
            If a job is running.
        """
        self.jobs.require_idle(TRAINING)
        training = Training(
            self.viewer,
            [Source(image, labels, regions), *also],
            config,
            self.segmenter,
            live=live,
            checkpoint=self._checkpoint,
            preview_every=preview_every,
        )
        self._checkpoint.unlink(missing_ok=True)  # now that there is no way back
        self._train(training)

    def resume(self) -> None:
        """Go on with the training that was stopped, with what is painted now.

        Raises
        ------
        InputError
            If no training was stopped, or its layers do not fit any more.
        JobError
            If a job is running.
        """
        self.jobs.require_idle(TRAINING)
        if self._stopped is None or not self.resumable:
            raise InputError("No training was stopped that could go on; press Train.")
        self._train(self._stopped.again(self.viewer))

    def _train(self, training: Training) -> None:
        shown = weakref.ref(training.image)

        def on_event(event: TrainEvent) -> None:
            training.on_event(event)
            if event.segmenter.provenance.get("steps"):
                self.segmenter = event.segmenter
            if isinstance(event, Trained):
                self._trained_on = shown
                self._remember(training, training.record.quality(event))

        self._stopped, self._training, self.record = None, training, training.record
        try:
            self._start(
                TRAINING,
                lambda stop: training.events(self.host, stop),
                on_event,
                training.record.describe,
            )
        except JobError:
            training.close()
            raise

    def _remember(self, training: Training, summary: str) -> None:
        steps = len(training.record.seconds)
        asked = training.config.steps or LEAST_STEPS
        by_accident = training.start is None and steps < min(LEAST_STEPS, asked)
        if self.segmenter is not None and not by_accident:
            self.history.add(Version(self.segmenter, summary))

    def segment(
        self, image: Image, scope: Scope, config: PredictConfig, *, probability: bool = False
    ) -> None:
        """Segment into layers of their own, tile by tile.

        Raises
        ------
        InputError
            If there is no model yet, or an image does not fit it.
        JobError
            If a job is running.
        """
        self.jobs.require_idle(SEGMENTING)
        segmenter = self.segmenter
        if segmenter is None:
            raise InputError("There is no model yet: train one on a few cells, or load one.")
        hide(self.viewer, image, "preview")
        items = plan(
            self.viewer, image, scope, segmenter, config, probability=probability, kept=self.kept
        )
        began = time.monotonic()
        self._outputs = list(items)
        self._start(
            SEGMENTING,
            lambda stop: stream(items, self.host, segmenter, config, stop),
            lambda event: items[event.image].on_event(event),
            lambda event: describe(items, event, time.monotonic() - began),
        )

    def _on_removed(self, event: Event) -> None:
        if isinstance(event.value, Image):
            self.kept.forget(event.value)
        if self._stopped is not None and event.value in self._stopped.layers:
            self._stopped = None
            self.told.emit()

    def _start(
        self,
        title: str,
        events: Events[E],
        on_event: Callable[[E], object],
        sentence: Callable[[E], str],
    ) -> None:
        def handle(event: E) -> None:
            on_event(event)
            if self._outputs and not any(output.shown for output in self._outputs):
                self.jobs.stop()  # the user deleted all that this writes into
            self.progress = _progress(event) or self.progress
            self._note(sentence(event))
            if time.monotonic() >= self._next_telling:
                self._next_telling = time.monotonic() + TELLING_SECONDS
                self.told.emit()

        self.title, self.progress, self._next_telling = title, 0.0, 0.0
        self._trained_on = None
        self._note(f"{title} ...")
        try:
            self.jobs.start(title, events, on_event=handle, fraction=_progress)
        except JobError:
            self._let_go()
            raise

    def _note(self, sentence: str) -> None:
        if self.title == TRAINING:
            self.about_training = sentence
        else:
            self.about_result = sentence

    def _on_done(self) -> None:
        self.told.emit()  # the last event may not have been due
        self._let_go()

    def _on_stopped(self) -> None:
        sentence = "Stopped; the result is unfinished."
        if self.title == TRAINING:
            sentence = self._keep_stopped()
        self._break_off(sentence)

    def _keep_stopped(self) -> str:
        """Make it possible to go on with a training that was stopped; say what is left of it."""
        self._offer_to_resume()
        if self.segmenter is None:
            return "Stopped; nothing was learned yet."
        if self._training is not None and self.segmenter is not self._training.start:
            self._remember(self._training, f"{self.record.quality(None)} (stopped)")
        return "Stopped; the best model so far is kept."

    def _on_failed(self, error: Exception) -> None:
        self._offer_to_resume()
        self._break_off(str(error))

    def _offer_to_resume(self) -> None:
        training, viewer = self._training, self._viewer()
        if training is None or viewer is None or not self._checkpoint.exists():
            return
        if all(layer in viewer.layers for layer in training.layers):
            self._stopped = training

    def _break_off(self, sentence: str) -> None:
        self.progress, self._trained_on = 0.0, None
        self._note(sentence)
        self.told.emit()
        self._let_go()

    def _let_go(self) -> None:
        """Name results for what they are, finished or not, and forget what ran."""
        for output in self._outputs:
            output.finish()
        self._outputs = []
        if self._training is not None:
            self._training.close()
            self._training = None


def _progress(event: object) -> float | None:
    """Return the share of a job that is done at an event, where it tells."""
    return event.progress if isinstance(event, (StepDone, StreamEvent)) else None
