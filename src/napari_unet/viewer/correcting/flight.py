"""Fly to the places where the network is unsure, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer

from napari_unet.core.uncertainty import most_uncertain, uncertainty
from napari_unet.errors import InputError, UNetError
from napari_unet.viewer.correcting.camera import check_flight, look_at
from napari_unet.viewer.correcting.picking import Pixel
from napari_unet.viewer.correcting.uncertainty import SEGMENT_FIRST, Uncertainty, kept_plane
from napari_unet.viewer.painted import check_same_grid
from napari_unet.viewer.segmenting.kept import KeptPlane
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest, one_of, shown_plane

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["Flight", "fly_to_next"]

TURN_SECONDS = 0.008

LOOKING = "Looking for an uncertain place in the other planes ..."


class Flight:
    """Looks for the next uncertain place a plane at a time, between what else the window does.

    For the main thread.

    Parameters
    ----------
    session : Session
        Its viewer is moved.
    tell : callable
        Is told in words where the camera was moved, or why it was not.
    """

    def __init__(self, session: Session, tell: Callable[[str], object]) -> None:
        self._session, self._tell = session, tell
        self._search: Iterator[str | None] = iter(())
        self._timer = QTimer()
        self._timer.timeout.connect(self._go_on)

    def begin(self, image: Image, labels: Labels | None) -> None:
        """Look in the plane in view now, then in the others; a search that goes on, goes on.

        Raises
        ------
        InputError
            As `fly_to_next` does.
        """
        if self._timer.isActive():
            return
        self._search = fly_to_next(self._session, image, labels)
        if not self._look():
            self._tell(LOOKING)
            self._timer.start(0)

    def leave(self) -> None:
        """Look no further."""
        self._timer.stop()
        self._search = iter(())  # which holds what is kept of planes

    def _go_on(self) -> None:
        try:
            if self._session.closed or self._look():
                self._timer.stop()
        except UNetError as error:  # the user went to 3D, or closed the image, meanwhile
            self._timer.stop()
            self._tell(str(error))

    def _look(self) -> bool:
        """Look for a moment; return whether that was the end of it."""
        deadline = time.monotonic() + TURN_SECONDS
        for told in self._search:
            if told is not None:
                self._tell(told)
                return True
            if time.monotonic() >= deadline:
                break
        return False


def fly_to_next(session: Session, image: Image, labels: Labels | None) -> Iterator[str | None]:
    """Move the camera to the next place where the network is unsure and nothing is painted.

    First in the plane in view, then in the other planes that were segmented; at every call to
    another place, until a plane is segmented again.

    Parameters
    ----------
    session : Session
        Its viewer is moved.
    image : Image
        What was segmented.
    labels : Labels, optional
        What is painted on it.

    Yields
    ------
    str or None
        None after a plane without such a place; at last where it went, in words.

    Raises
    ------
    InputError
        If nothing was segmented yet, the labels are not on this image, or the view is in 3D.
    """
    _check(session, image, labels)
    planes = _segmented(session, image)
    if not planes:
        raise InputError(f"{SEGMENT_FIRST} a plane of layer {image.name!r}.")
    seen = [Uncertainty.of(session).visited(image, plane, kept) for plane, kept in planes]
    for (plane, kept), visited in zip(planes, seen, strict=True):
        place = _place(kept, labels, plane, visited)
        if place is not None:
            visited.append(place)
            look_at(session.viewer, image, plane, place, kept.diameter)
            yield _told(sum(map(len, seen)), image, plane, place)
            return
        yield None
        _check(session, image, labels)  # the user went on meanwhile
    for visited in seen:
        visited.clear()
    yield (
        "No uncertain place is left: the network is sure of the rest, or you painted or saw it "
        "already. Train again, or go through the places once more."
    )


def _check(session: Session, image: Image, labels: Labels | None) -> None:
    check_flight(session.viewer, image)
    if labels is not None:
        check_same_grid(image, labels, ImageStack.of(image))


def _segmented(session: Session, image: Image) -> list[tuple[PlaneIndex, KeptPlane]]:
    """Return what is kept of an image, the plane in view first."""
    shown, known = shown_plane(session.viewer, image), set(session.kept.planes(image))
    planes = [plane for plane in ImageStack.of(image).indices() if plane in known]
    planes.sort(key=lambda plane: plane != shown)
    return [(plane, kept) for plane in planes if (kept := kept_plane(session, image, plane))]


def _place(
    kept: KeptPlane, labels: Labels | None, plane: PlaneIndex, visited: list[Pixel]
) -> Pixel | None:
    """Return where in a plane the network is most unsure, and nobody painted or looked."""
    model = kept.segmenter
    unsure = uncertainty(kept.foreground, model.kind, model.n_classes)
    painted = np.zeros(unsure.shape, dtype=bool)
    if labels is not None:
        painted = np.asarray(finest(labels)[plane]) != 0
    return most_uncertain(unsure, painted, kept.diameter, visited)


def _told(number: int, image: Image, plane: PlaneIndex, place: Pixel) -> str:
    names = ImageStack.of(image).leading_names
    where = "".join(f", {one_of(name)} {index}" for name, index in zip(names, plane, strict=True))
    return (
        f"Uncertain place {number}: y {place[0]}, x {place[1]}{where}, in the middle of the view. "
        f"Paint what is there, then train again."
    )
