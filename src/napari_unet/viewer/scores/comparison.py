"""A comparison of a segmentation with the truth that goes on: what is asked, shown and kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.core.comparison import ERROR_COLOURS
from napari_unet.engine.lazyplane import LazyPlane
from napari_unet.engine.process.lazy import Served
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.engine.scoring import score_classes, score_plane, score_volume
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.colours import given_colours
from napari_unet.viewer.layers import set_visible
from napari_unet.viewer.notes import is_linked, meaning_of
from napari_unet.viewer.scores.scorable import (
    check_labelled,
    check_truth,
    has_classes,
    is_segmented,
    is_segmented_in_3d,
    is_written,
    segmentation_of,
)
from napari_unet.viewer.scores.score import CellScore, ClassesScore, Score
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.session import Session
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest, shown_plane

__all__ = ["COLOURMAP", "Comparison", "Scope", "compare", "possible_scopes"]

Scope: TypeAlias = Literal["plane", "planes", "volumes"]
"""What is compared: the plane in view, every plane by itself, or objects that go through planes."""

Question: TypeAlias = tuple[Callable[..., Iterator[Any]], *tuple[Any, ...]]

COLOURMAP = given_colours(["transparent", *ERROR_COLOURS.values()])
EVERYWHERE = (slice(None), slice(None))


def possible_scopes(image: Image) -> list[Scope]:
    """Return what can be compared in an image, or its one plane if it cannot be understood."""
    scopes: list[Scope] = ["plane"]
    with suppress(InputError):  # what cannot be segmented cannot be scored
        stack = ImageStack.of(image)
        if stack.leading:
            scopes.append("planes")
        if stack.has_depth:
            scopes.append("volumes")
    return scopes


def compare(session: Session, image: Image, truth: Labels, scope: Scope) -> Comparison:
    """Begin to compare what is segmented with what is true; close it in the end.

    Raises
    ------
    InputError
        If the layers do not fit, one holds classes and the other cells, there is nothing to
        compare, or objects of volumes are asked for where there are none.
    DeviceError
        If there is no memory for the errors.
    """
    check_truth(image, truth)
    shown = shown_plane(session.viewer, image) if scope == "plane" else None
    predicted = segmentation_of(session, image, shown)
    if shown is not None:
        check_labelled(truth, shown)
    classes = has_classes(session, image, truth, shown)
    if scope != "volumes":
        kind = ClassComparison if classes else PlaneComparison
        return kind(session, image, truth, predicted, shown)
    if classes or not ImageStack.of(image).has_depth:
        raise InputError(
            f"Layer {image.name!r} ({ImageStack.of(image).describe()}) has no 3D objects"
            f"{', but classes of pixels' * classes}: score its planes."
        )
    return VolumeComparison(session, image, truth, predicted)


class Comparison(ABC):
    """Parts of an image that are compared one after the other; for the main thread.

    Attributes
    ----------
    image : Image
        Was segmented.
    result : Result
        Shows the errors.
    total : int
        How many parts there are.
    left : deque
        Those that are not compared yet.
    """

    part: ClassVar[str] = "plane"
    ndim: ClassVar[int] = 2
    kinds: ClassVar[tuple[str, ...]] = ("right", *ERROR_COLOURS)

    def __init__(
        self,
        session: Session,
        image: Image,
        truth: Labels,
        predicted: Labels,
        only: PlaneIndex | None = None,
    ) -> None:
        self._session, self.image, self._truth, self._predicted = session, image, truth, predicted
        self._stack = ImageStack.of(image)
        shape = self._stack.shape
        parts = list(np.ndindex(shape[: -self.ndim])) if only is None else [only]
        self.left, self.total = deque(parts), len(parts)
        self._errors = SharedArray.create(shape[-self.ndim :], np.uint8)
        self.result = _error_layer(session, image, self.kinds)
        self._scores: dict[PlaneIndex, Any] = {}
        self._without_truth = self._not_segmented = 0

    @property
    def errors(self) -> Labels:
        """The layer that shows what is wrong."""
        assert isinstance(self.result.layer, Labels)
        return self.result.layer

    @property
    def intact(self) -> bool:
        """Whether the layers that are compared are still there, and nobody writes them."""
        layers = (self.image, self._truth, self._predicted)
        shape = self._stack.shape
        return (
            all(layer in self._session.viewer.layers for layer in layers)
            and self._stack.is_of(self.image)
            and tuple(finest(self._truth).shape) == shape == self._predicted.data.shape
            and not is_written(self._session, self._predicted)
        )

    @property
    def truth_name(self) -> str:
        """What the layer of the truth is called."""
        return str(self._truth.name)

    def next_part(self) -> PlaneIndex | None:
        """Return the next part that is segmented, if any; others are counted."""
        while self.left:
            part = self.left.popleft()
            if self.is_segmented(part):
                return part
            self._not_segmented += 1
        return None

    def question(self, part: PlaneIndex) -> Question:
        """Return what is asked of the process about a part: a generator and its arguments."""
        layers = (self._truth, self._predicted)
        # copies, for they are sent in another thread while somebody paints
        return self.asked(*(np.array(finest(layer)[part]) for layer in layers))

    def take(self, part: PlaneIndex, event: Any) -> bool:
        """Keep and show what came of a part; return False if there is more to come."""
        if isinstance(event, float):  # of a volume that is read
            return False
        if event is None:
            self._without_truth += 1
            return True
        if not self._scores:
            self._hide_compared()
        self._scores[part] = event
        errors = self._errors.array.reshape(-1, *self._errors.array.shape[-2:])
        planes = [(*part, *z) for z in np.ndindex(self._errors.array.shape[:-2])]
        for plane, pixels in zip(planes, errors, strict=True):
            self.result.write(plane, EVERYWHERE, pixels, now=plane == planes[-1])
        return True

    def close(self) -> None:
        """Let go of the memory; name the layer of errors for good, or remove it if it is empty."""
        self._errors.close()
        self.result.finish(complete=bool(self._scores) and not self.left)
        layers = self._session.viewer.layers
        if not self._scores and self.result.layer in layers:
            layers.remove(self.result.layer)

    @property
    def score(self) -> Score[Any] | None:
        """What came of what was compared so far, if anything."""
        if not self._scores:
            return None
        return self.summed_up(
            image=self.image,
            trained_on=is_linked(self._truth, self.image),
            leading=self._stack.shape[: -self.ndim],
            parts=self._scores,
            without_truth=self._without_truth,
            not_segmented=self._not_segmented,
        )

    def _hide_compared(self) -> None:
        """Hide what was compared, for all at once cannot be read; what is painted stays."""
        set_visible(self._predicted, False)
        if not is_linked(self._truth, self.image):
            set_visible(self._truth, False)

    @abstractmethod
    def is_segmented(self, part: PlaneIndex) -> bool:
        """Whether a part can be compared."""

    @abstractmethod
    def asked(self, truth: NDArray[Any], predicted: NDArray[Any]) -> Question:
        """Return what is asked about a plane."""

    @abstractmethod
    def summed_up(self, **common: Any) -> Score[Any]:
        """Return the score of the parts that were compared."""


class PlaneComparison(Comparison):
    """Compares the cells of planes."""

    in_3d: ClassVar[bool] = False

    def is_segmented(self, part: PlaneIndex) -> bool:
        """Whether the cells of a plane are found."""
        return is_segmented(self._session, self.image, self._predicted, part)

    def asked(self, truth: NDArray[Any], predicted: NDArray[Any]) -> Question:
        """Ask about the cells of a plane."""
        return score_plane, truth, predicted, meaning_of(self._truth), self._errors

    def summed_up(self, **common: Any) -> Score[Any]:
        """Return the score of cells."""
        return CellScore(
            truth_meaning=meaning_of(self._truth),
            in_3d=self.in_3d,
            true_classes=_classes(self._truth),
            predicted_classes=_classes(self._predicted),
            **common,
        )


class VolumeComparison(PlaneComparison):
    """Compares objects that go through planes."""

    part, ndim, in_3d = "volume", 3, True

    def is_segmented(self, part: PlaneIndex) -> bool:
        """Whether the objects of a volume are found."""
        return is_segmented_in_3d(self._predicted, part)

    def question(self, part: PlaneIndex) -> Question:
        """Ask about a volume, whose planes are read when it is their turn."""
        indices = [(*part, z) for z in range(len(self._errors.array))]

        def served(layer: Labels) -> list[Served]:
            planes = (LazyPlane(finest(layer), dict(enumerate(at)), None) for at in indices)
            return [Served(plane, repr(layer.name)) for plane in planes]

        meaning = meaning_of(self._truth)
        return score_volume, served(self._truth), served(self._predicted), meaning, self._errors


class ClassComparison(Comparison):
    """Compares classes of pixels."""

    kinds = ("right", "wrong")

    def is_segmented(self, part: PlaneIndex) -> bool:
        """Whether every pixel has a class."""
        return bool(np.all(self._predicted.data[part]))

    def asked(self, truth: NDArray[Any], predicted: NDArray[Any]) -> Question:
        """Ask about the classes of a plane."""
        return score_classes, truth, predicted, self._errors

    def summed_up(self, **common: Any) -> Score[Any]:
        """Return the score of classes."""
        return ClassesScore(titles=classes_of(self._predicted), **common)


def _classes(layer: Labels) -> dict[int, str]:
    """Return the class of every cell that has one; a column that is no classes has none."""
    with suppress(InputError):
        return classes_of(layer)
    return {}


def _error_layer(session: Session, image: Image, kinds: tuple[str, ...]) -> Result:
    """Return the layer of errors, above all others."""
    result = Result(session.viewer, image, "errors", np.uint8)
    layer, layers = result.layer, session.viewer.layers
    assert isinstance(layer, Labels)
    layer.colormap, layer.opacity = COLOURMAP, 0.8
    layer.features = {"index": range(len(kinds)), "error": list(kinds)}
    layers.move(layers.index(layer), len(layers))
    return result
