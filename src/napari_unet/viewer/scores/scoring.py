"""Score the segmentation of an image against labels that are the truth, in the background.

One plane, or volume, is compared at a time, so that the viewer stays quick: another process does
it, and its errors are shown before the next one is read.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from psygnal import Signal

from napari_unet.viewer.correcting.camera import check_flight, look_at
from napari_unet.viewer.notes import is_outdated
from napari_unet.viewer.scores.comparison import Comparison, Scope, compare
from napari_unet.viewer.scores.outlines import Outlines
from napari_unet.viewer.scores.score import CellScore, Row, Score
from napari_unet.viewer.session import Session
from napari_unet.viewer.stack import PlaneIndex

if TYPE_CHECKING:
    from napari.utils.events import Event

__all__ = ["BROKEN_OFF", "CHANGED", "Scoring"]

BROKEN_OFF = "Scoring was interrupted: press Score again."
CHANGED = "The layers changed while they were compared: press Score again."

OUTDATED = "The segmentation has changed since: press Score again. Before:"


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
        self._work: Comparison | None = None
        self._errors: Labels | None = None
        self._outlines = Outlines(session.viewer)
        self.score: Score[Any] | None = None
        self.sentence = ""

    @property
    def running(self) -> bool:
        """Whether something is being compared."""
        return self._work is not None

    def follow(self) -> None:
        """Notice when a layer is removed, until `leave`."""
        self._session.viewer.layers.events.removed.connect(self._on_removed)

    def leave(self) -> None:
        """Compare nothing any more, and forget the last score."""
        self._session.viewer.layers.events.removed.disconnect(self._on_removed)
        self._end()
        self._outlines.leave()
        self._watch(None)
        self.score, self.sentence = None, ""

    def begin(self, image: Image, truth: Labels, scope: Scope) -> None:
        """Compare what is segmented and has a truth.

        Raises
        ------
        InputError, DeviceError
            As of `compare`.
        """
        self.stop()
        self._work = compare(self._session, image, truth, scope)
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
        if not isinstance(self.score, CellScore):
            return
        plane, one = row
        viewer, image = self._session.viewer, self.score.image
        check_flight(viewer, image)
        look_at(viewer, image, plane, (one.y, one.x), self.score.diameter(one))

    def _go_on(self) -> None:
        """Ask about the next part that can be compared, or come to the end."""
        work = self._work
        if work is None:
            return
        if not work.intact:
            self._finish(CHANGED)
            return
        part = work.next_part()
        if part is None:
            self._finish()
            return
        done = work.total - len(work.left)
        self.sentence = f"Comparing {work.part} {done} of {work.total} ..."
        self._session.background.ask(
            self,
            *work.question(part),
            on_event=partial(self._on_event, work, part),
            on_lost=partial(self._finish, BROKEN_OFF),
        )
        self.told.emit()

    def _on_event(self, work: Comparison, part: PlaneIndex, event: Any) -> None:
        if work.take(part, event):
            self._go_on()

    def _finish(self, said: str = "") -> None:
        """Show what came of it; ``said`` if it broke off."""
        work = self._end()
        if work is None:
            return
        self.score = work.score
        if self.score is not None:
            self._outlines.follow(work.errors)
        self._watch(None if self.score is None else work.errors)
        nothing = (
            f"No {work.part} is both labelled in layer {work.truth_name!r} and "
            f"segmented: segment the whole layer, or choose other labels."
        )
        if self.score is not None:
            # both may be chosen no more while this is read
            between = f"{work.image.name!r} against {work.truth_name!r}:"
            said = f"{said} {between} {self.score.sentence}".lstrip()
        self.sentence = said or nothing
        self.told.emit()

    def _end(self) -> Comparison | None:
        """Ask nothing any more; return what was compared."""
        work, self._work = self._work, None
        self._session.background.cancel(self)
        if work is not None:
            work.close()
        return work

    def _watch(self, errors: Labels | None) -> None:
        """Notice when the segmentation has changed since these errors of it were found."""
        for layer, connects in ((self._errors, False), (errors, True)):
            if layer is not None:
                emitter = layer.events.metadata
                (emitter.connect if connects else emitter.disconnect)(self._on_noted)
        self._errors = errors

    def _on_noted(self, _: object = None) -> None:
        if self._errors is not None and is_outdated(self._errors) and not self.running:
            self.sentence = f"{OUTDATED} {self.sentence.removeprefix(OUTDATED).lstrip()}"
            self.told.emit()

    def _on_removed(self, event: Event) -> None:
        if self.score is not None and event.value is self.score.image:
            self._watch(None)
            self.score, self.sentence = None, ""
            self.told.emit()
