"""One training: what it learns from, and what of the user it follows while it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Shapes

from napari_unet.core.annotation import Annotation
from napari_unet.core.cellclasses import ModelKind
from napari_unet.core.config import TrainConfig
from napari_unet.core.normalise import oddity
from napari_unet.engine.events import Learned, Prepared, Previewed, TrainEvent
from napari_unet.engine.host import Host
from napari_unet.engine.learning.checks import check_channels, check_classes
from napari_unet.engine.process import tasks
from napari_unet.engine.process.mailbox import Finish, Mailbox
from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.learning.painting import FollowedPainting
from napari_unet.viewer.learning.preview import Preview
from napari_unet.viewer.learning.record import Record
from napari_unet.viewer.learning.sources import Source, check_alike
from napari_unet.viewer.notes import link
from napari_unet.viewer.oddities import Oddities, plane_title
from napari_unet.viewer.painted import Painted, painted
from napari_unet.viewer.regions import Masks

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Stopped", "Training"]

LEAST_STEPS = 5
"""Of a first training that is remembered: live mode switched on and off again leaves one or two."""


class Training:
    """Made and told of events on the main thread; `events` runs in a worker.

    Parameters
    ----------
    viewer : napari viewer
        Whose camera the preview follows.
    sources : sequence of Source
        What is trained on; the preview shows the image of the first.
    config : TrainConfig
        Budget, size of the network, recipe.
    start : Segmenter or None
        The model to go on from.
    live : bool
        Whether what is painted from now on is trained on, too.
    checkpoint : path or None
        Where the state of the training is kept, and taken from if it is there.
    preview_every : float
        Seconds between two previews of one field.

    Attributes
    ----------
    record : Record
        The numbers that its events tell.
    finishing : bool
        Whether it is about to end: it was told so, or takes no further step.
    oddities : Oddities
        What is odd about the grey values that it learns from, once they are read.

    Raises
    ------
    InputError
        If layers do not fit, nothing is painted, or the model to go on from cannot learn from it.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        sources: Sequence[Source],
        config: TrainConfig,
        start: Segmenter | None,
        *,
        live: bool,
        checkpoint: Path | None,
        preview_every: float,
    ) -> None:
        self._viewer, self._sources = viewer, list(sources)
        check_alike(self._sources)
        self.config, self.start = config, start
        self.record = Record()
        self.finishing = False
        self.oddities = Oddities()
        self._checkpoint, self._every = checkpoint, preview_every
        self._snapshots = [painted(s.image, s.labels, s.regions) for s in self._sources]
        if start is not None:
            _check_continued(start, self._snapshots)
        for source in self._sources:
            link(source.labels, source.image)
            if source.regions is not None:
                link(source.regions, source.image)
        self._mailbox = Mailbox()
        self._preview = Preview(viewer, self.image, self._mailbox, every=preview_every)
        self._painting = FollowedPainting(viewer, self._sources, self._snapshots, self._mailbox)
        if live:
            self._painting.follow(drawn=[_drawn(snapshot) for snapshot in self._snapshots])

    @property
    def image(self) -> Image:
        """The image that is looked at."""
        return self._sources[0].image

    @property
    def live(self) -> bool:
        """Whether what is painted now is trained on."""
        return self._painting.followed

    @property
    def chosen(self) -> tuple[Image, Labels, Shapes | None]:
        """What was chosen at the start: image, labels and training regions."""
        source = self._sources[0]
        return source.image, source.labels, source.regions

    @property
    def intact(self) -> bool:
        """Whether its layers are open, with the pixels of the start, and lie on each other."""
        return self._is_open and self._painting.fits

    @property
    def _is_open(self) -> bool:
        return all(layer in self._viewer.layers for layer in _layers(self._sources))

    @property
    def by_accident(self) -> bool:
        """Whether it is a first training that ended before anybody can have meant it to."""
        asked = self.config.steps or LEAST_STEPS
        return self.start is None and len(self.record.seconds) < min(LEAST_STEPS, asked)

    def stopped(self) -> Stopped | None:
        """Return what can go on later, if it learned and its layers and its state are there."""
        if self._checkpoint is None or not self._checkpoint.exists() or not self._is_open:
            return None
        if not self.record.seconds:
            return None  # a step that nobody was told of is no reason to drop one stopped before
        return Stopped(
            self._sources, self.config, self.start, self.live, self._checkpoint, self._every
        )

    def events(self, host: Host, stop: threading.Event) -> Iterator[TrainEvent]:
        """Train in the compute process; for a worker thread."""
        annotations: list[Annotation] = []
        for snapshot in self._snapshots:
            read = snapshot.annotations(stop)
            annotations += read
            self._look_at(snapshot, read)
        if not stop.is_set():
            yield from host.run(
                tasks.train, annotations, self.config, self.start, self._mailbox,
                self._checkpoint, stop=stop,
            )  # fmt: skip

    def _look_at(self, snapshot: Painted, read: list[Annotation]) -> None:
        """Take in what is odd about the planes that were read of an image."""
        title = [f"layer {snapshot.name!r}"] * (len(self._snapshots) > 1)
        for (index, _, _), annotation in zip(snapshot.planes, read, strict=False):
            plane = [plane_title(snapshot.stack, index)] * (len(snapshot.planes) > 1)
            self.oddities.add([*title, *plane], oddity(annotation.image))

    def on_event(self, event: TrainEvent) -> None:
        """Take down what an event tells; show a preview."""
        self.record.add(event)
        if isinstance(event, Prepared):
            self._preview.begin(event.segmenter)
        elif isinstance(event, Previewed):
            self._preview.show(event)
        elif isinstance(event, Learned):
            self.finishing = True

    def follow_painting(self) -> None:
        """Train on what was painted since the training began, and on what is painted from now."""
        if not self.live and self.intact:
            self._painting.follow()
            self._painting.send_all()

    def finish(self) -> None:
        """End the training soon, as if its budget were used up.

        A live one learns from what is painted up to now, the last stroke included.
        """
        self.finishing = True
        self._painting.leave()
        self._mailbox.put(Finish())

    def close(self) -> None:
        """Follow the user no more."""
        self._painting.close()
        self._preview.close()


@dataclass(frozen=True, slots=True, eq=False)
class Stopped:
    """A training that was stopped, as far as it is needed to go on: it keeps no viewer alive.

    The attributes are the parameters of `Training`.
    """

    sources: Sequence[Source]
    config: TrainConfig
    start: Segmenter | None
    live: bool
    checkpoint: Path
    preview_every: float

    @property
    def layers(self) -> list[Layer]:
        """All layers that it learns from."""
        return _layers(self.sources)

    def again(self, viewer: ViewerModel) -> Training:
        """Return a training that goes on where it stopped, with what is painted now."""
        return Training(
            viewer,
            self.sources,
            self.config,
            self.start,
            live=self.live,
            checkpoint=self.checkpoint,
            preview_every=self.preview_every,
        )


def _layers(sources: Sequence[Source]) -> list[Layer]:
    layers = [(source.image, source.labels, source.regions) for source in sources]
    return [layer for three in layers for layer in three if layer is not None]


def _check_continued(model: Segmenter, snapshots: Sequence[Painted]) -> None:
    """Raise an `InputError` if a model cannot go on with what is painted."""
    known, stacks = model.in_channels, [snapshot.stack for snapshot in snapshots]
    check_channels((known if stack.fits(known) else stack.channels for stack in stacks), model)
    classes = snapshots[0].meaning == "classes"
    kind: ModelKind = "classes" if classes else "cells"
    planes = (labels for snapshot in snapshots for _, labels, _ in snapshot.planes)
    count = max([2, *(int(labels.max()) for labels in planes)]) if classes else 2
    check_classes(count, kind, model.kind, model.n_classes)


def _drawn(snapshot: Painted) -> Masks:
    """Return the masks of training regions that a snapshot was made with."""
    return {
        plane: region for plane, _, region in snapshot.planes if region is not None and region.any()
    }
