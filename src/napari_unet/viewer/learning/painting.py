"""Send what is painted while a training runs to the process that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_unet.engine.process.mailbox import Mailbox, Repainted
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.edits import Edit, Edits
from napari_unet.viewer.learning.sources import Source
from napari_unet.viewer.notes import meaning_of
from napari_unet.viewer.painted import Painted, check_same_grid
from napari_unet.viewer.reading import read_plane
from napari_unet.viewer.regions import Masks, RegionMasks
from napari_unet.viewer.stack import PlaneIndex, finest

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["FollowedPainting"]


class FollowedPainting:
    """Strokes, classes and training regions of the layers of a training; for the main thread.

    Parameters
    ----------
    viewer : napari viewer
        In which is painted.
    sources : sequence of Source
        The layers.
    snapshots : sequence of Painted
        What the training began with, one per source.
    mailbox : Mailbox
        Where the strokes go.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        sources: Sequence[Source],
        snapshots: Sequence[Painted],
        mailbox: Mailbox,
    ) -> None:
        self._viewer, self._mailbox = viewer, mailbox
        self._sources, self._snapshots = sources, snapshots
        # the order in which the engine counts the planes
        self._numbers: dict[tuple[int, PlaneIndex], int] = {}
        for index, snapshot in enumerate(self._snapshots):
            for plane, _, _ in snapshot.planes:
                self._numbers[index, plane] = len(self._numbers)
        self._edits: list[Edits] = []
        self._regions: dict[int, RegionMasks] = {}
        self._followed: list[tuple[Labels, Callable[..., None]]] = []
        self._classes = [snapshot.classes for snapshot in snapshots]

    @property
    def followed(self) -> bool:
        """Whether what is painted now is sent."""
        return bool(self._edits)

    @property
    def fits(self) -> bool:
        """Whether the images have the pixels that they had at the start, and labels lie on them."""
        return all(self._fits(index) for index in range(len(self._sources)))

    def follow(self, drawn: Iterable[Masks | None] = ()) -> None:
        """Send what is painted from now on.

        Parameters
        ----------
        drawn : iterable of dict
            The masks of the training regions of each source, where they are known.
        """
        known = list(drawn) or [None] * len(self._sources)
        for index, (source, masks) in enumerate(zip(self._sources, known, strict=True)):
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

    def send_all(self) -> None:
        """Send all that is painted: the training may know an older state of it."""
        for index, snapshot in enumerate(self._snapshots):
            self._on_regions(index, snapshot.stack.indices())

    def leave(self) -> None:
        """Send what is painted up to now, the last stroke included, and follow no more."""
        for edits in self._edits:
            edits.flush()
        for masks in self._regions.values():
            masks.flush()
        self.close()

    def close(self) -> None:
        """Follow no more."""
        for edits in self._edits:
            edits.close()
        for masks in self._regions.values():
            masks.close()
        for labels, followed in self._followed:
            labels.events.features.disconnect(followed)
        self._edits, self._regions, self._followed = [], {}, []

    def _fits(self, index: int) -> bool:
        source, stack = self._sources[index], self._snapshots[index].stack
        if not stack.is_of(source.image):
            return False
        try:
            check_same_grid(source.image, source.labels, stack)
        except InputError:  # what is painted is seen on other pixels than it would be learned on
            return False
        return True

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
