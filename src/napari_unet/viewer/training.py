"""One training: what it learns from, and what of the user it follows while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Shapes

from napari_unet.core.annotation import Annotation
from napari_unet.core.config import TrainConfig
from napari_unet.engine.events import Prepared, Previewed, TrainEvent
from napari_unet.engine.host import Host
from napari_unet.engine.process import tasks
from napari_unet.engine.process.mailbox import Finish, Mailbox, Repainted
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.edits import Edit, Edits
from napari_unet.viewer.layers import Painted, link, meaning_of, painted
from napari_unet.viewer.preview import Preview
from napari_unet.viewer.reading import read_plane
from napari_unet.viewer.record import Record
from napari_unet.viewer.regions import Masks, RegionMasks
from napari_unet.viewer.sources import Source
from napari_unet.viewer.stack import PlaneIndex, finest

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
    checkpoint : path, optional
        Where the state of the training is kept, and taken from if it is there.
    preview_every : float
        Seconds between two previews of one field.

    Raises
    ------
    InputError
        If layers do not fit or nothing is painted.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        sources: Sequence[Source],
        config: TrainConfig,
        start: Segmenter | None,
        *,
        live: bool = False,
        checkpoint: Path | None = None,
        preview_every: float = 3.0,
    ) -> None:
        self._viewer, self._sources = viewer, list(sources)
        self.config, self.start = config, start
        self.record = Record()
        self._checkpoint, self._every = checkpoint, preview_every
        self._snapshots = [painted(s.image, s.labels, s.regions) for s in self._sources]
        for source in self._sources:
            link(source.labels, source.image)
            if source.regions is not None:
                link(source.regions, source.image)
        # the order in which the engine counts the planes
        self._numbers: dict[tuple[int, PlaneIndex], int] = {}
        for index, snapshot in enumerate(self._snapshots):
            for plane, _, _ in snapshot.planes:
                self._numbers[index, plane] = len(self._numbers)
        self._mailbox = Mailbox()
        self._preview = Preview(viewer, self.image, self._mailbox, every=preview_every)
        self._edits: list[Edits] = []
        self._regions: dict[int, RegionMasks] = {}
        self._followed: list[tuple[Labels, Callable[..., None]]] = []
        self._classes = [snapshot.classes for snapshot in self._snapshots]
        if live:
            self._follow(_drawn(snapshot) for snapshot in self._snapshots)

    @property
    def image(self) -> Image:
        """The image that is looked at."""
        return self._sources[0].image

    @property
    def live(self) -> bool:
        """Whether what is painted now is trained on."""
        return bool(self._edits)

    @property
    def chosen(self) -> tuple[Image, Labels, Shapes | None]:
        """What was chosen at the start: image, labels and training regions."""
        source = self._sources[0]
        return source.image, source.labels, source.regions

    @property
    def intact(self) -> bool:
        """Whether its layers are open, with the pixels or the shape that they had at the start."""
        return self._is_open and all(self._fits(index) for index in range(len(self._sources)))

    @property
    def _is_open(self) -> bool:
        return all(layer in self._viewer.layers for layer in _layers(self._sources))

    @property
    def by_accident(self) -> bool:
        """Whether it is a first training that ended before anybody can have meant it to."""
        asked = self.config.steps or LEAST_STEPS
        return self.start is None and len(self.record.seconds) < min(LEAST_STEPS, asked)

    def stopped(self) -> Stopped | None:
        """Return what can go on later, if its layers are open and its state is kept."""
        if self._checkpoint is None or not self._checkpoint.exists() or not self._is_open:
            return None
        return Stopped(self._sources, self.config, self.start, self._checkpoint, self._every)

    def events(self, host: Host, stop: threading.Event) -> Iterator[TrainEvent]:
        """Train in the compute process; for a worker thread."""
        annotations: list[Annotation] = []
        for snapshot in self._snapshots:
            annotations += snapshot.annotations(stop)
        if not stop.is_set():
            yield from host.run(
                tasks.train, annotations, self.config, self.start, self._mailbox,
                self._checkpoint, stop=stop,
            )  # fmt: skip

    def on_event(self, event: TrainEvent) -> None:
        """Take down what an event tells; show a preview."""
        self.record.add(event)
        if isinstance(event, Prepared):
            self._preview.begin(event.segmenter)
        elif isinstance(event, Previewed):
            self._preview.show(event)

    def follow_painting(self) -> None:
        """Train on what was painted since the training began, and on what is painted from now."""
        if self.live or not self.intact:
            return
        self._follow(None for _ in self._sources)
        for index, snapshot in enumerate(self._snapshots):
            self._on_regions(index, snapshot.stack.indices())

    def _follow(self, drawn: Iterable[Masks | None]) -> None:
        for index, (source, masks) in enumerate(zip(self._sources, drawn, strict=True)):
            edits = Edits(source.labels, self._viewer)
            edits.changed.connect(partial(self._on_edit, index))
            followed = partial(self._on_classes, index)
            followed()  # what was changed before this was followed
            source.labels.events.features.connect(followed)
            self._followed.append((source.labels, followed))
            self._edits.append(edits)
            if source.regions is not None:
                self._regions[index] = RegionMasks(source.regions, source.image, masks)
                self._regions[index].changed.connect(partial(self._on_regions, index))

    def leave_painting(self) -> None:
        """Train on what is painted up to now, the last stroke included."""
        for edits in self._edits:
            edits.flush()
        for masks in self._regions.values():
            masks.flush()
        self._close_following()

    def finish(self) -> None:
        """End the training soon, as if its budget were used up."""
        self._mailbox.put(Finish())

    def close(self) -> None:
        """Follow the user no more."""
        self._close_following()
        self._preview.close()

    def _close_following(self) -> None:
        for edits in self._edits:
            edits.close()
        for masks in self._regions.values():
            masks.close()
        for labels, followed in self._followed:
            labels.events.features.disconnect(followed)
        self._edits, self._regions, self._followed = [], {}, []

    def _fits(self, index: int) -> bool:
        source, stack = self._sources[index], self._snapshots[index].stack
        return finest(source.image) is stack.data and finest(source.labels).shape == stack.shape

    def _on_edit(self, index: int, edit: Edit) -> None:
        if (index, edit.plane) in self._numbers:
            self._send(index, edit.plane, edit.box)
        else:
            self._send_plane(index, edit.plane)

    def _on_classes(self, index: int, _: object = None) -> None:
        """Send the classes of the cells, if they are others now."""
        with suppress(InputError):  # which the dock says, and nothing is to be learned from it
            classes = classes_of(self._sources[index].labels)
            if classes != self._classes[index] and self._fits(index):
                self._send_classes(index, classes)

    def _send_classes(self, index: int, classes: dict[int, str]) -> None:
        self._classes[index] = classes
        for source, plane in list(self._numbers):
            if source == index:
                self._send(index, plane, (slice(0, 0), slice(0, 0)))

    def _on_regions(self, index: int, planes: Iterable[PlaneIndex]) -> None:
        """Send whole planes, unless there is nothing on them and never was."""
        if not self._fits(index):
            return
        labels, regions = finest(self._sources[index].labels), self._regions.get(index)
        for plane in planes:
            drawn = regions is not None and regions.mask(plane).any()
            if drawn or (index, plane) in self._numbers or np.any(labels[plane]):
                self._send_plane(index, plane)

    def _send_plane(self, index: int, plane: PlaneIndex) -> None:
        y, x = self._snapshots[index].stack.plane_shape
        self._send(index, plane, (slice(0, y), slice(0, x)))

    def _send(self, index: int, plane: PlaneIndex, box: tuple[slice, slice]) -> None:
        if not self._fits(index):
            return  # other data; what is trained has no such pixels
        source, stack = self._sources[index], self._snapshots[index].stack
        labels = np.array(finest(source.labels)[plane][box])
        masks = self._regions.get(index)
        region = None if masks is None else np.array(masks.mask(plane)[box])
        known = (index, plane) in self._numbers
        number = self._numbers.setdefault((index, plane), len(self._numbers))
        meaning, name = meaning_of(source.labels), source.image.name
        classes = self._classes[index]

        def stroke() -> Repainted:
            return Repainted(
                plane=number,
                box=box,
                labels=labels,
                region=region,
                image=None if known else read_plane(stack, plane, name),
                meaning=meaning,
                classes=classes,
            )

        self._mailbox.put(stroke)  # a lazy image is read in the thread that sends it


@dataclass(frozen=True, slots=True, eq=False)
class Stopped:
    """A training that was stopped, as far as it is needed to go on: it keeps no viewer alive.

    The attributes are the parameters of `Training`.
    """

    sources: Sequence[Source]
    config: TrainConfig
    start: Segmenter | None
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
            checkpoint=self.checkpoint,
            preview_every=self.preview_every,
        )


def _layers(sources: Sequence[Source]) -> list[Layer]:
    layers = [(source.image, source.labels, source.regions) for source in sources]
    return [layer for three in layers for layer in three if layer is not None]


def _drawn(snapshot: Painted) -> Masks:
    """Return the masks of training regions that a snapshot was made with."""
    return {
        plane: region for plane, _, region in snapshot.planes if region is not None and region.any()
    }
