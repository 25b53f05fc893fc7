"""Score the segmentation of an image against labels that are the truth, in the background.

One plane is compared at a time, so that the viewer stays quick: its labels are copied, compared in
another process, and its errors shown before the next plane is read.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from math import pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from napari.utils import DirectLabelColormap
from psygnal import Signal

from napari_unet.core.comparison import ERROR_COLOURS
from napari_unet.engine.host import SharedArray
from napari_unet.engine.scoring import PlaneScore, score_plane
from napari_unet.viewer.correcting.camera import check_flight, look_at
from napari_unet.viewer.layers import is_linked, meaning_of
from napari_unet.viewer.scores.scorable import (
    check_labelled,
    check_truth,
    is_segmented,
    is_written,
    segmentation_of,
)
from napari_unet.viewer.scores.score import Row, Score
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.session import Session
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest, shown_plane

if TYPE_CHECKING:
    from napari.utils.events import Event

__all__ = ["BROKEN_OFF", "CHANGED", "COLOURMAP", "Scoring"]

COLOURMAP = DirectLabelColormap(
    color_dict={None: "transparent", 0: "transparent"}
    | dict(enumerate(ERROR_COLOURS.values(), start=1))
)
BROKEN_OFF = "Scoring was broken off: press Score again."
CHANGED = "The layers changed while they were compared: press Score again."
EVERYWHERE = (slice(None), slice(None))


@dataclass(slots=True, eq=False)
class _Work:
    """A comparison that goes on.

    Attributes
    ----------
    left : deque
        Planes that are not compared yet.
    errors : SharedArray
        (Y, X), filled by the process.
    """

    image: Image
    truth: Labels
    predicted: Labels
    left: deque[PlaneIndex]
    total: int
    errors: SharedArray
    result: Result
    scores: dict[PlaneIndex, PlaneScore] = field(default_factory=dict)
    without_truth: int = 0
    not_segmented: int = 0


class Scoring:
    """Compares segmentations with the truth, shows their errors, and flies to them.

    For the main thread, between `follow` and `leave`.

    Parameters
    ----------
    session : Session
        Whose results are scored, in whose background.

    Attributes
    ----------
    score : Score or None
        What came of the last comparison.
    sentence : str
        The last thing to say.
    """

    told = Signal()  # there is something new to say, or to show

    def __init__(self, session: Session) -> None:
        self._session = session
        self._work: _Work | None = None
        self.score: Score | None = None
        self.sentence = ""

    @property
    def running(self) -> bool:
        """Whether planes are being compared."""
        return self._work is not None

    def follow(self) -> None:
        """Notice when a layer is removed, until `leave`."""
        self._session.viewer.layers.events.removed.connect(self._on_removed)

    def leave(self) -> None:
        """Compare nothing any more, and forget the last score."""
        self._session.viewer.layers.events.removed.disconnect(self._on_removed)
        self._end()
        self.score, self.sentence = None, ""

    def begin(self, image: Image, truth: Labels, *, all_planes: bool) -> None:
        """Compare the plane in view, or all planes that have a segmentation and a true cell.

        Raises
        ------
        InputError
            If the layers do not fit, hold classes, or there is nothing to compare.
        DeviceError
            If there is no memory for the errors.
        """
        check_truth(image, truth)
        stack = ImageStack.of(image)
        shown = None if all_planes else shown_plane(self._session.viewer, image)
        predicted = segmentation_of(self._session, image, shown)
        if shown is not None:
            check_labelled(truth, shown)
        planes = list(stack.indices()) if shown is None else [shown]
        self.stop()
        errors = SharedArray.create(stack.plane_shape, np.uint8)
        result = self._result(image)
        self._work = _Work(image, truth, predicted, deque(planes), len(planes), errors, result)
        self._go_on()

    def stop(self) -> None:
        """Break off; what was compared so far is the score."""
        if self._work is not None:
            self._finish(BROKEN_OFF)

    def fly_to(self, row: Row) -> None:
        """Show an object of the last score in the middle of the view.

        Raises
        ------
        InputError
            If its image is not open any more, or the view is in 3D.
        """
        if self.score is None:
            return
        plane, one = row
        viewer, image = self._session.viewer, self.score.image
        check_flight(viewer, image)
        look_at(viewer, image, plane, (one.y, one.x), 2 * sqrt(one.area / pi))

    def _result(self, image: Image) -> Result:
        """Return the layer of errors, above all others."""
        result = Result(self._session.viewer, image, "errors", np.uint8)
        layer, layers = result.layer, self._session.viewer.layers
        assert isinstance(layer, Labels)
        layer.colormap, layer.opacity = COLOURMAP, 0.8
        layer.features = {"index": range(5), "error": ["right", *ERROR_COLOURS]}
        layers.move(layers.index(layer), len(layers))
        return result

    def _go_on(self) -> None:
        """Ask for the next plane that can be compared, or come to the end."""
        work = self._work
        if work is None:
            return
        if not self._intact(work):
            self._finish(CHANGED)
            return
        while work.left:
            plane = work.left.popleft()
            if is_segmented(self._session, work.image, work.predicted, plane):
                self._ask(work, plane)
                return
            work.not_segmented += 1
        self._finish()

    def _intact(self, work: _Work) -> bool:
        """Whether the layers that are compared are still there, and nobody writes them."""
        layers = (work.image, work.truth, work.predicted)
        shape = ImageStack.of(work.image).shape
        return (
            all(layer in self._session.viewer.layers for layer in layers)
            and tuple(finest(work.truth).shape) == shape == work.predicted.data.shape
            and shape[-2:] == work.errors.array.shape
            and not is_written(self._session, work.predicted)
        )

    def _ask(self, work: _Work, plane: PlaneIndex) -> None:
        done = work.total - len(work.left)
        self.sentence = f"Comparing plane {done} of {work.total} ..."
        self._session.background.ask(
            self,
            score_plane,
            # copies, for they are sent in another thread while somebody paints
            np.array(finest(work.truth)[plane]),
            np.array(work.predicted.data[plane]),
            meaning_of(work.truth),
            work.errors,
            on_event=partial(self._on_scored, work, plane),
            on_lost=partial(self._finish, BROKEN_OFF),
        )
        self.told.emit()

    def _on_scored(self, work: _Work, plane: PlaneIndex, score: PlaneScore | None) -> None:
        if score is None:
            work.without_truth += 1
        else:
            if not work.scores:
                _hide_compared(work)
            work.scores[plane] = score
            work.result.write(plane, EVERYWHERE, work.errors.array, now=True)
        self._go_on()

    def _finish(self, said: str = "") -> None:
        """Show what came of it; ``said`` if it broke off."""
        work = self._end()
        if work is None:
            return
        self.score = None
        if work.scores:
            self.score = Score(
                work.image,
                meaning_of(work.truth),
                is_linked(work.truth, work.image),
                work.scores,
                work.without_truth,
                work.not_segmented,
            )
        nothing = (
            f"No plane has both a cell in layer {work.truth.name!r} and a segmentation: segment "
            f"the whole layer, or choose other labels."
        )
        self.sentence = " ".join(filter(None, [said, self.score.sentence if self.score else ""]))
        self.sentence = self.sentence or nothing
        self.told.emit()

    def _end(self) -> _Work | None:
        """Ask nothing any more; return what was compared."""
        work, self._work = self._work, None
        self._session.background.cancel(self)
        if work is None:
            return None
        work.errors.close()
        work.result.finish(complete=bool(work.scores) and not work.left)
        if not work.scores and work.result.layer in self._session.viewer.layers:
            self._session.viewer.layers.remove(work.result.layer)
        return work

    def _on_removed(self, event: Event) -> None:
        if self.score is not None and event.value is self.score.image:
            self.score, self.sentence = None, ""
            self.told.emit()


def _hide_compared(work: _Work) -> None:
    """Hide what was compared, for all at once cannot be read; what is painted stays."""
    work.predicted.visible = False
    if not is_linked(work.truth, work.image):
        work.truth.visible = False
