"""One viewer's model, and what is done with it: train, resume, segment.

What a job makes of its events, and leaves behind, is in `training_job` and `segmenting_job`.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels, Shapes
from psygnal import Signal

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.linking import Kind
from napari_unet.engine.host import Host
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import JobError
from napari_unet.viewer.background import Background
from napari_unet.viewer.batches.batch import Batch
from napari_unet.viewer.imageregions import ImageRegions
from napari_unet.viewer.jobs import Jobs
from napari_unet.viewer.learning.history import History, Version
from napari_unet.viewer.learning.record import Record
from napari_unet.viewer.learning.resuming import Resuming
from napari_unet.viewer.learning.sources import Source
from napari_unet.viewer.learning.training import Training
from napari_unet.viewer.learning.training_job import TRAINING, TrainingJob
from napari_unet.viewer.said import Said
from napari_unet.viewer.segmenting.kept import Kept
from napari_unet.viewer.segmenting.linking_job import LINKING, LinkingJob
from napari_unet.viewer.segmenting.segmenting_job import SEGMENTING, Scope, SegmentingJob
from napari_unet.viewer.segmenting.volume_job import VOLUME, VolumeJob
from napari_unet.viewer.session_job import SessionJob
from napari_unet.viewer.shown import Shown

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.utils.events import Event

    from napari_unet.viewer.saving.autosave import Autosave

__all__ = ["SEGMENTING", "TRAINING", "Session"]


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
    batch : Batch
        What became of each image of the last batch.
    regions : ImageRegions
        The training regions that were chosen for each image.
    shown : Shown or None
        The settings of the dock that was closed last.
    title : str
        `TRAINING` or `SEGMENTING`: of the job that runs, or ran last; "" before the first.
    said : Said
        What there is to say about the last training, and about the last result.
    resuming : Resuming
        The training that was stopped and can go on.
    closed : bool
        Whether the viewer is closed, and widgets may be gone.
    progress : float
        Share of the running or last job that is done, 0 ... 1.
    """

    segmenter_changed = Signal()
    told = Signal()  # there is something new to say, or to draw
    trained = Signal(Image)  # a training came to its end, and this is the image that it was about

    _all: ClassVar[WeakKeyDictionary[ViewerModel, Session]] = WeakKeyDictionary()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(viewer)
        self.closed = False
        window = getattr(viewer, "window", None)  # a ViewerModel has none
        if window is not None:  # before the jobs, whose end then finds that this is closed
            window.main_menu.window().destroyed.connect(self.close)
            # a script that exits leaves the window to Qt, which deletes what closing needs first
            atexit.register(self.close)
        self.jobs = Jobs(viewer)
        self.host = Host()
        self.background = Background(
            Host(warm_up=("napari_unet.engine.process.tasks", "napari_unet.core.nearesttwo_numba"))
        )
        self.kept = Kept()
        self.history = History()
        self.record = Record()
        self.autosave: Autosave | None = None
        self.batch = Batch.none()
        self.regions = ImageRegions(viewer)
        self.shown: Shown | None = None
        self.said = Said()
        self.resuming = Resuming()
        self.title = ""
        self.progress = 0.0
        self._segmenter: Segmenter | None = None
        self._job: SessionJob[Any] | None = None
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
        self.closed = True
        atexit.unregister(self.close)
        self.jobs.close()
        if self.autosave is not None:
            self.autosave.close()
        self.host.close()
        self.background.close()
        self.resuming.close()
        self.segmenter_changed.disconnect()
        self.told.disconnect()
        self.trained.disconnect()

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
            self.resuming.forget()  # it would go on with the model before
            self.segmenter_changed.emit()

    def go_back(self, version: Version) -> None:
        """Use a model that an earlier training left, or a later one again, and say so.

        Raises
        ------
        JobError
            If a job is running.
        """
        self.jobs.require_idle("Going back to a model")
        if version.segmenter is not self._segmenter:
            of = f"The model of {version.time:%H:%M} is used now"
            self.said.of_training = f"{of}: {version.summary}."
            self.segmenter = version.segmenter

    def take_model(self, segmenter: Segmenter | None) -> None:
        """Use a model from elsewhere, or none; what was said of the last training is not about it.

        Raises
        ------
        JobError
            If a job is running.
        """
        self.jobs.require_idle("Loading a model" if segmenter else "Starting a new model")
        self.record, self.said.of_training = Record(), ""
        self.segmenter = segmenter
        self.told.emit()

    def said_of_result(self, image: Image | None) -> str:
        """Return what is said about the last result, unless it is that of another open image."""
        of = self.said.image
        others = of is not image and of in self.viewer.layers and self.jobs.state == "idle"
        return "" if others else self.said.of_result

    @property
    def training(self) -> Training | None:
        """The training that runs; None while none does."""
        return self._job.training if isinstance(self._job, TrainingJob) else None

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
            checkpoint=self.resuming.new_checkpoint(),
            preview_every=preview_every,
        )
        self.start(TrainingJob(self, training))

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
        self.start(TrainingJob(self, self.resuming.again(self.viewer)))

    def segment(
        self,
        image: Image,
        scope: Scope,
        config: PredictConfig,
        *,
        probability: bool = False,
        measure: bool = False,
    ) -> None:
        """Segment into layers of their own, tile by tile; without a model, with the starter.

        Raises
        ------
        InputError
            If an image does not fit the model.
        DeviceError
            If there is no memory for a result.
        JobError
            If a job is running.
        """
        self.jobs.require_idle(SEGMENTING)
        job = SegmentingJob(self, image, scope, config, probability=probability, measure=measure)
        self.start(job)

    def link(self, image: Image, kind: Kind, config: PredictConfig) -> None:
        """Link the planes of the segmentation of an image into 3D objects or tracks.

        3D objects are cut as the model cuts the cells of planes with this configuration.

        Raises
        ------
        InputError
            If there is no finished one, or no planes to link.
        JobError
            If a job is running.
        """
        self.jobs.require_idle(LINKING)
        self.start(LinkingJob(self, image, kind, config))

    def segment_volume(self, image: Image, config: PredictConfig) -> None:
        """Find the 3D objects of a stack along all its axes; without a model, with the starter.

        Raises
        ------
        InputError
            If the image is no volume, or does not fit the model.
        JobError
            If a job is running.
        """
        self.jobs.require_idle(VOLUME)
        self.start(VolumeJob(self, image, config))

    def _on_removed(self, event: Event) -> None:
        if isinstance(event.value, Image):
            self.kept.forget(event.value)
        if self.jobs.state == "idle" and self.said.needs(event.value):
            self.said.of_result = ""  # a job that runs finds it out, and says so
            self.told.emit()
        if self.resuming.needs(event.value):
            self.resuming.forget()
            self.told.emit()

    def start(self, job: SessionJob[Any]) -> None:
        """Run a job that was made for this session, or close it and raise a `JobError`."""
        try:
            self.jobs.require_idle(job.title)
        except JobError:
            job.close()
            raise
        self._job = job
        job.start()

    def _on_done(self) -> None:
        training = self.training
        self._let_go()
        if training is not None and training.image in self.viewer.layers:
            self.trained.emit(training.image)

    def _on_stopped(self) -> None:
        self.progress = 0.0
        if self._job is not None:
            self._job.say(self._job.stopped())
        self._let_go()

    def _on_failed(self, error: Exception) -> None:
        self.progress = 0.0
        if self._job is not None:
            self._job.say(self._job.failed(error))
        self._let_go()

    def _let_go(self) -> None:
        if self._job is not None:
            self._job.close()
            self._job = None
        self.told.emit()
