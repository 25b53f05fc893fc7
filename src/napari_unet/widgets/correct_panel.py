"""Correct: accept what is right, mark what is verified, go where the network is unsure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from magicgui.widgets import CheckBox
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.cellclasses import ModelKind
from napari_unet.viewer.correcting.accept import accept, kind_of, object_at, objects_in
from napari_unet.viewer.correcting.flight import Flight
from napari_unet.viewer.correcting.inview import field_to_correct, seen_result
from napari_unet.viewer.correcting.picking import cursor
from napari_unet.viewer.correcting.uncertainty import Uncertainty
from napari_unet.viewer.correcting.verified import cell_meant, cells_in, toggle
from napari_unet.viewer.field import Field
from napari_unet.viewer.painted import check_same_grid
from napari_unet.viewer.session import Session
from napari_unet.viewer.stack import ImageStack
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, row, sentence, stack
from napari_unet.widgets.telling import tell, telling_errors

__all__ = ["CorrectPanel"]


class CorrectPanel:
    """Takes predicted objects into the labels, and leads to what is worth painting next.

    Parameters
    ----------
    session : Session
        What was predicted, and by which model.
    data : DataPanel
        What is corrected.
    """

    def __init__(self, session: Session, data: DataPanel) -> None:
        self._session, self._viewer, self._data = session, session.viewer, data
        self._said = sentence()
        self._say = partial(tell, self._said)
        self._uncertain, self._flight = Uncertainty.of(session), Flight(session, self._say)
        self._accept = button(
            "Accept all in view",
            "Copy the predicted objects in view into the labels, as one undo step. What you "
            "painted stays; a stroke becomes the whole cell. Key K does it for the object under "
            "the mouse.",
        )
        self._verify = button(
            "Verify all in view",
            "Mark the painted cells in view as verified: accepting never changes them. Press "
            "again to remove the marks. Key G does it for the cell under the mouse.",
        )
        self._next = button(
            "Next uncertain place",
            "Move the view to where the network is least sure and nothing is painted: a stroke "
            "there helps most. Key N does the same.",
            repeated=True,
        )
        self._show = CheckBox(text="Uncertainty")
        self._show.tooltip = "Show how unsure the network is: bright where it is only guessing."
        self._said.visible = False
        self.widget = stack(
            row(self._accept, self._verify, stretch=(1, 1)),
            row(self._next, self._show, stretch=(1, 1)),
            self._said,
        )
        self._accept.changed.connect(self.accept_in_view)
        self._verify.changed.connect(self.verify_in_view)
        self._next.changed.connect(self.next_uncertain)
        self._show.changed.connect(self._on_show)

    def follow(self) -> None:
        """Notice when the user deletes the layer of the uncertainty, and when a job starts."""
        self._session.jobs.started.connect(self.fall_silent)
        self._viewer.layers.events.removed.connect(self.renew)
        self.renew()

    def leave(self) -> None:
        """Notice it no more, and look for nothing."""
        self._flight.leave()
        self._session.jobs.started.disconnect(self.fall_silent)
        self._viewer.layers.events.removed.disconnect(self.renew)

    def renew(self, _: object = None) -> None:
        """Show whether the uncertainty is shown."""
        with self._show.changed.blocked():
            self._show.value = self._uncertain.shown

    def accept_in_view(self) -> None:
        """Copy all predicted objects in view into the labels."""
        self._copy(lambda result, at, kind: objects_in(result, at.plane, at.box, kind))

    def accept_at_cursor(self) -> None:
        """Copy the predicted object under the cursor into the labels."""
        self._copy(lambda result, at, kind: object_at(result, at.plane, cursor(self._viewer), kind))

    def verify_in_view(self) -> None:
        """Mark the painted cells in view as verified; once more takes the marks away."""
        with telling_errors(self._said):
            labels, field = self._painted()
            cells = cells_in(labels, field.plane, field.box)
            self._say(toggle(labels, field.plane, cells))

    def verify_at_cursor(self) -> None:
        """Mark the painted cell under the cursor, or the selected one; once more, unmark it."""
        with telling_errors(self._said):
            labels, field = self._painted()
            cell = cell_meant(labels, field.plane, cursor(self._viewer))
            self._say(toggle(labels, field.plane, [cell]))

    def next_uncertain(self) -> None:
        """Move the view to the next place where the network is unsure and nothing is painted."""
        with telling_errors(self._said):
            self._flight.begin(self._data.image, self._data.choice.labels)

    def _painted(self) -> tuple[Labels, Field]:
        image, labels = self._data.image, self._data.labels
        check_same_grid(image, labels, ImageStack.of(image))
        return labels, field_to_correct(self._viewer, image)

    def _copy(self, choose: Callable[[Labels, Field, ModelKind], NDArray[np.bool_]]) -> None:
        with telling_errors(self._said):
            image = self._data.image
            field = field_to_correct(self._viewer, image)
            result = seen_result(self._viewer, image, field)
            kind = kind_of(result, self._session.kept.get(image, field.plane))
            chosen = choose(result, field, kind)
            labels = self._labels(kind)
            self._say(accept(result, labels, field.plane, chosen, kind).sentence)
            self._viewer.layers.selection.active = labels  # the undo key is for the active layer

    def _labels(self, kind: ModelKind) -> Labels:
        """Return the chosen labels; make some if there are none."""
        if self._data.choice.labels is None:
            self._data.choice.add_labels("classes" if kind == "classes" else "scribbles")
        return self._data.labels

    def _on_show(self, on: bool) -> None:
        with telling_errors(self._said):
            self._uncertain.show(self._data.image) if on else self._uncertain.hide()
        self.renew()

    def fall_silent(self, _: object = None) -> None:
        """Say nothing any more."""
        self._say("")
