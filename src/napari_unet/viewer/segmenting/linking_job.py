"""The job of linking the planes of a segmentation: an object keeps its number through them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Tracks
from numpy.typing import NDArray

from napari_unet.core.config import PredictConfig
from napari_unet.core.linking import Kind, Links
from napari_unet.core.necks3d import Necks
from napari_unet.engine.cells import necks_in_3d
from napari_unet.engine.lazyplane import LazyPlane
from napari_unet.engine.process import stack_tasks
from napari_unet.engine.process.lazy import Served
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.tracks import napari_tracks
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of, colour_by_class, write_classes
from napari_unet.viewer.notes import is_result, mark_result, note_linked_planes
from napari_unet.viewer.segmenting.features import forget_features
from napari_unet.viewer.segmenting.kept import KeptPlane
from napari_unet.viewer.segmenting.results import UNFINISHED, segmentations
from napari_unet.viewer.session_job import SessionJob
from napari_unet.viewer.stack import ImageStack, plane_spacing, spatial_metadata

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["LINKING", "LinkingJob"]

LINKING = "Linking planes"
CHANGED = "The segmentation changed while its planes were linked: press Link planes again."
GONE = "Stopped: the segmentation was deleted, or has other pixels now."


@dataclass(frozen=True, slots=True, eq=False)
class _Linked:
    """The result: labels, None if the segmentation changed meanwhile, tables, and classes.

    And how many planes have any cells.
    """

    labels: NDArray[Any] | None
    planes: int
    links: Links
    classes: dict[int, str]


class LinkingJob(SessionJob["float | _Linked"]):
    """Links the planes of the segmentation of an image; the layer shows the result at the end.

    Parameters
    ----------
    session : Session
        Whose viewer shows it.
    image : Image
        Was segmented.
    kind : {"objects", "tracks"}
        What the planes are linked into; tracks are also shown in a layer of their own.
    config : PredictConfig
        3D objects are cut as the model cuts the cells of planes with it.

    Raises
    ------
    InputError
        If the image is one plane, has more than two axes of planes, or no segmentation into cells.
    """

    title = LINKING

    def __init__(self, session: Session, image: Image, kind: Kind, config: PredictConfig) -> None:
        super().__init__(session)
        self._image, self._kind = image, kind
        self._stack = ImageStack.of(image)
        if not 1 <= len(self._stack.leading) <= 2:
            raise InputError(
                f"Layer {image.name!r} has {len(self._stack.leading)} axes of planes "
                f"({self._stack.describe()}); planes are linked along Z, along T, or both."
            )
        self._layer = _segmentation(session, image)
        known = _known(session, image)
        self._segmenter = session.segmenter if known is None else known.segmenter
        if known is not None:
            config = replace(config, magnification=known.magnification)
        self._necks = _necks(self._segmenter, config, image)
        self._data, self._classes = self._layer.data, classes_of(self._layer)
        self._sentence = ""

    @property
    def wanted(self) -> bool:
        """Whether the segmentation is still there."""
        return self._layer in self._session.viewer.layers and self._layer.data is self._data

    @property
    def about(self) -> Image | None:
        """The image."""
        return self._image

    def events(self, stop: threading.Event) -> Iterator[float | _Linked]:
        """Link in the compute process, which asks for the planes; for a worker thread."""
        planes = [
            Served(LazyPlane(self._data, dict(enumerate(index)), None), repr(self._layer.name))
            for index in self._stack.indices()
        ]
        with SharedArray.create(self._stack.shape, np.uint32) as out:
            for event in self._session.host.run(
                stack_tasks.link_stack,
                planes,
                self._stack.leading,
                out,
                self._kind,
                self._necks,
                stop=stop,
            ):
                if isinstance(event, Links):
                    filled = sum(bool(out.array[index].any()) for index in self._stack.indices())
                    classes = self._voted(out.array)
                    yield _Linked(self._copied(out.array), filled, event, classes)
                else:
                    yield event

    def on_event(self, event: float | _Linked) -> None:
        """Show what was linked."""
        if isinstance(event, float) or not self.wanted:
            return
        self._sentence = CHANGED
        if event.labels is not None:
            self._layer.data = self._data = event.labels
            self._layer.editable = False
            note_linked_planes(self._layer, self._kind)
            self._retell(event.classes)
            self._forget_tracks()
            if self._kind == "tracks":
                self._show_tracks(event.links)
            self._sentence = self._found(event)

    def fraction(self, event: float | _Linked) -> float:
        """Return the share that is done, 0 ... 1."""
        return event if isinstance(event, float) else 1.0

    def describe(self, event: float | _Linked) -> str:
        """Say how far it is, or what was linked."""
        return self._sentence or f"{self.title}, {100 * self.fraction(event):.0f} % ..."

    def stopped(self) -> str:
        """Say what is left when it was stopped."""
        return "Stopped; the numbers are as they were." if self.wanted else GONE

    def close(self) -> None:
        """There is nothing to let go of."""

    def _copied(self, linked: NDArray[np.uint32]) -> NDArray[Any] | None:
        """Copy the labels in the narrowest dtype, unless the pixels are not those that were read.

        Shared memory is short, and napari shows uint16 a hundred times quicker than uint32.
        """
        copy = np.empty(linked.shape, np.uint16 if linked.max(initial=0) < 2**16 else np.uint32)
        for index in self._stack.indices():
            if not np.array_equal(linked[index] > 0, self._data[index] > 0):
                return None
            copy[index] = linked[index]
        return copy

    def _voted(self, linked: NDArray[np.uint32]) -> dict[int, str]:
        """Return the class that most pixels of each object had, of those that had any."""
        votes: dict[int, Counter[str]] = {}
        for index in self._stack.indices() if self._classes else ():
            both = np.stack([linked[index].ravel(), np.asarray(self._data[index]).ravel()])
            pairs, pixels = np.unique(both, axis=1, return_counts=True)
            for number, before, count in zip(*pairs.tolist(), pixels.tolist(), strict=True):
                if before in self._classes:
                    votes.setdefault(number, Counter())[self._classes[before]] += count
        return {number: told.most_common(1)[0][0] for number, told in votes.items()}

    def _retell(self, classes: dict[int, str]) -> None:
        """Give the objects their classes; what was measured of others than these goes."""
        forget_features(self._layer)
        write_classes(self._layer, classes)
        if self._segmenter is not None:
            colour_by_class(self._layer, self._segmenter)

    def _forget_tracks(self) -> None:
        """Remove the tracks of before: the cells have other numbers now."""
        layers = self._session.viewer.layers
        selected = set(layers.selection)
        for layer in [one for one in layers if is_result(one, "tracks", self._image)]:
            layers.remove(layer)
        layers.selection = {layer for layer in selected if layer in layers}

    def _show_tracks(self, links: Links) -> None:
        """Show the tracks in a layer of their own."""
        layers = self._session.viewer.layers
        selected = set(layers.selection)
        data, graph = napari_tracks(links.tracks, links.points)
        if len(data):
            spatial = spatial_metadata(self._image, self._stack)
            tracks = Tracks(data, graph=graph, name=f"{self._image.name} tracks", **spatial)
            mark_result(tracks, "tracks", self._image)
            layers.append(tracks)
        layers.selection = selected

    def _found(self, linked: _Linked) -> str:
        """Say what was found, and of how many planes there was nothing to link."""
        number, planes = len(linked.links.tracks), int(np.prod(self._stack.leading))
        kind, divided = "object" if self._kind == "objects" else "track", ""
        if self._kind == "tracks":
            parents = linked.links.tracks[:, 3]
            divisions = len(np.unique(parents[parents > 0]))
            divided = f", with {divisions} division{'s' * (divisions != 1)}"
        empty = ""
        if linked.planes < planes / 2:  # a stack may begin and end with nothing
            empty = (
                f" Cells are in {linked.planes} of {planes} planes only: if the others are not "
                f"segmented yet, segment the whole layer, and link it then."
            )
        return f"Linked {planes} planes into {number} {kind}{'s' * (number != 1)}{divided}.{empty}"


def _known(session: Session, image: Image) -> KeptPlane | None:
    """Return what is kept of a plane of the segmentation, if anything."""
    kept = session.kept.planes(image)
    return session.kept.get(image, kept[0]) if kept else None


def _necks(segmenter: Segmenter | None, config: PredictConfig, image: Image) -> Necks:
    """Return where 3D objects are cut: nowhere without a model of cells."""
    if segmenter is None or segmenter.kind == "classes":
        return Necks()
    return necks_in_3d(segmenter, config, config.spacing or plane_spacing(image))


def _segmentation(session: Session, image: Image) -> Labels:
    """Return the layer whose planes can be linked."""
    for layer in segmentations(session.viewer, image):
        if UNFINISHED not in layer.name:
            known = _known(session, image)
            if known is not None and known.segmenter.kind == "classes":
                raise InputError(
                    f"The segmentation of layer {image.name!r} tells classes of pixels apart, and "
                    f"only cells can be linked: segment with a model of cells first."
                )
            return layer
    raise InputError(
        f"Layer {image.name!r} has no finished segmentation: segment the whole layer, then link "
        f"its planes."
    )
