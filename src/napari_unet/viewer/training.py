"""One training: what it learns from, and what of the user it follows while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_unet.core.config import TrainConfig
from napari_unet.engine import tasks
from napari_unet.engine.events import Prepared, Previewed, TrainEvent
from napari_unet.engine.host import Host
from napari_unet.engine.mailbox import Finish, Mailbox, Repainted
from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.edits import Edit, Edits
from napari_unet.viewer.layers import Painted, link, meaning_of, painted
from napari_unet.viewer.preview import Preview
from napari_unet.viewer.record import Record
from napari_unet.viewer.regions import region_mask, region_masks
from napari_unet.viewer.sources import Source
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Training"]


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
        self._following: list[Callable[[], object]] = []
        if live:
            self._follow()

    @property
    def image(self) -> Image:
        """The image that is looked at."""
        return self._sources[0].image

    @property
    def live(self) -> bool:
        """Whether what is painted now is trained on."""
        return bool(self._following)

    def again(self, viewer: ViewerModel) -> Training:
        """Return a training that goes on where this one stopped, with what is painted now."""
        return Training(
            viewer,
            self._sources,
            self.config,
            self.start,
            checkpoint=self._checkpoint,
            preview_every=self._every,
        )

    def events(self, host: Host, stop: threading.Event) -> Iterator[TrainEvent]:
        """Train in the compute process; for a worker thread."""
        snapshots: list[Painted] = self._snapshots
        annotations = [one for snapshot in snapshots for one in snapshot.annotations()]
        return host.run(
            tasks.train,
            annotations,
            self.config,
            self.start,
            self._mailbox,
            self._checkpoint,
            stop=stop,
        )

    def on_event(self, event: TrainEvent) -> None:
        """Take down what an event tells; show a preview."""
        self.record.add(event)
        if isinstance(event, Prepared):
            self._preview.begin(event.segmenter)
        elif isinstance(event, Previewed):
            self._preview.show(event)

    def follow_painting(self) -> None:
        """Train on what was painted since the training began, and on what is painted from now."""
        if self._following:
            return
        self._follow()
        for index, source in enumerate(self._sources):
            for plane in ImageStack.of(source.image).indices():
                if (index, plane) in self._numbers or np.any(finest(source.labels)[plane]):
                    self._send_plane(index, plane)

    def _follow(self) -> None:
        for index, source in enumerate(self._sources):
            edits = Edits(source.labels, self._viewer)
            edits.changed.connect(partial(self._on_edit, index))
            self._following.append(edits.close)
            if source.regions is not None:
                on_regions = partial(self._on_regions, index)
                source.regions.events.set_data.connect(on_regions)
                self._following.append(
                    partial(source.regions.events.set_data.disconnect, on_regions)
                )

    def leave_painting(self) -> None:
        """Train on what is painted up to now."""
        for leave in self._following:
            leave()
        self._following = []

    def finish(self) -> None:
        """End the training soon, as if its budget were used up."""
        self._mailbox.put(Finish())

    def close(self) -> None:
        """Follow the user no more."""
        self.leave_painting()
        self._preview.close()

    def _on_edit(self, index: int, edit: Edit) -> None:
        if (index, edit.plane) in self._numbers:
            self._send(index, edit.plane, edit.box)
        else:
            self._send_plane(index, edit.plane)

    def _on_regions(self, index: int, _: object = None) -> None:
        for source, plane in list(self._numbers):
            if source == index:
                self._send_plane(index, plane)

    def _send_plane(self, index: int, plane: PlaneIndex) -> None:
        y, x = ImageStack.of(self._sources[index].image).plane_shape
        self._send(index, plane, (slice(0, y), slice(0, x)))

    def _send(self, index: int, plane: PlaneIndex, box: tuple[slice, slice]) -> None:
        source = self._sources[index]
        stack = ImageStack.of(source.image)
        labels = np.array(finest(source.labels)[plane][box])
        region = None
        if source.regions is not None:
            masks = region_masks(source.regions, source.image)
            region = np.array(region_mask(masks, plane, stack)[box])  # type: ignore[index]
        known = (index, plane) in self._numbers
        number = self._numbers.setdefault((index, plane), len(self._numbers))
        meaning = meaning_of(source.labels)

        def stroke() -> Repainted:
            return Repainted(
                plane=number,
                box=box,
                labels=labels,
                region=region,
                image=None if known else stack.plane(plane),
                meaning=meaning,
            )

        self._mailbox.put(stroke)  # a lazy image is read in the thread that sends it
