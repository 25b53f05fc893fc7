"""Where the network is unsure: shown as a layer, and visited place by place."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, ClassVar, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error
from numpy.typing import NDArray

from napari_unet.core.uncertainty import (
    cell_size,
    fill_uncertainty,
    most_uncertain,
    uncertainty,
)
from napari_unet.engine.host import SharedArray
from napari_unet.errors import DeviceError, InputError
from napari_unet.viewer.kept import KeptPlane
from napari_unet.viewer.layers import check_same_grid
from napari_unet.viewer.picking import Pixel
from napari_unet.viewer.results import Result
from napari_unet.viewer.stack import ImageStack, PlaneIndex, finest, shown_plane

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["Uncertainty", "fly_to_next"]

AT_ONCE = 1 << 22
"""Planes up to this many pixels are computed where they are shown, in less than 20 ms."""

CELLS_IN_VIEW = 8
"""Cell diameters across the shorter side of the view after a flight."""

_Foreground: TypeAlias = "weakref.ref[NDArray[np.float32]]"

SEGMENT_FIRST = "Segment first: where the network is unsure is known once it has segmented"


class Uncertainty:
    """The uncertainty of what is in view, as a layer, and which places were visited.

    It follows the planes that are segmented and the plane in view while it is shown. Use
    `Uncertainty.of`, on the main thread.
    """

    _all: ClassVar[WeakKeyDictionary[Session, Uncertainty]] = WeakKeyDictionary()

    def __init__(self, session: Session) -> None:
        # held weakly: this lives as long as the session, which must not keep its viewer alive, and
        # what is kept of planes has a budget of its own
        self._of = weakref.ref(session)
        self._image: weakref.ref[Image] | None = None
        self._layer: weakref.ref[Layer] | None = None
        self._written: dict[PlaneIndex, _Foreground] = {}
        self._visited: dict[tuple[str, PlaneIndex], tuple[_Foreground, list[Pixel]]] = {}

    @classmethod
    def of(cls, session: Session) -> Uncertainty:
        """Return the uncertainty of a session, the same object for every dock."""
        if session not in cls._all:
            cls._all[session] = cls(session)
        return cls._all[session]

    @property
    def shown(self) -> bool:
        """Whether the layer is in the viewer."""
        return self._shown_layer() is not None

    def show(self, image: Image) -> None:
        """Show the uncertainty of an image in a layer of its own.

        Raises
        ------
        InputError
            If the plane in view was not segmented yet.
        """
        session = self._session
        plane = shown_plane(session.viewer, image)
        if _kept(session, image, plane) is None:
            raise InputError(f"{SEGMENT_FIRST} this plane of layer {image.name!r}.")
        self.hide()
        self._image = weakref.ref(image)
        session.kept.changed.connect(self._renew)
        session.viewer.dims.events.current_step.connect(self._renew)
        self._renew()

    def hide(self) -> None:
        """Take the layer away."""
        if self._image is None:
            return
        session, layer = self._session, self._shown_layer()
        session.kept.changed.disconnect(self._renew)
        session.viewer.dims.events.current_step.disconnect(self._renew)
        session.background.cancel(self)
        self._image, self._layer, self._written = None, None, {}
        if layer is not None:
            session.viewer.layers.remove(layer)

    def visited(self, image: Image, plane: PlaneIndex, kept: KeptPlane) -> list[Pixel]:
        """Return the places of a plane that were visited since it was segmented; to add to."""
        key = str(image.unique_id), plane
        if key not in self._visited or self._visited[key][0]() is not kept.foreground:
            self._visited[key] = (weakref.ref(kept.foreground), [])
        return self._visited[key][1]

    @property
    def _session(self) -> Session:
        session = self._of()
        assert session is not None  # whoever asks holds it
        return session

    def _shown_layer(self) -> Layer | None:
        layer = None if self._layer is None else self._layer()
        return layer if layer is not None and layer in self._session.viewer.layers else None

    def _renew(self, _: object = None) -> None:
        image = None if self._image is None else self._image()
        deleted = self._layer is not None and not self.shown
        if image is None or image not in self._session.viewer.layers or deleted:
            self.hide()
            return
        plane = shown_plane(self._session.viewer, image)
        kept = _kept(self._session, image, plane)
        written = self._written.get(plane)
        if kept is None or (written is not None and written() is kept.foreground):
            return
        try:
            self._compute(image, plane, kept)
        except DeviceError as error:
            show_error(str(error))

    def _compute(self, image: Image, plane: PlaneIndex, kept: KeptPlane) -> None:
        layer = self._shown_layer()
        if layer is None or layer.data.shape != ImageStack.of(image).shape:
            result = Result(self._session.viewer, image, "uncertainty", np.float32, plane=plane)
            result.finish(complete=True)
            layer, self._layer, self._written = result.layer, weakref.ref(result.layer), {}
        foreground, model = kept.foreground, kept.segmenter
        self._written[plane] = weakref.ref(foreground)
        if foreground.size <= AT_ONCE:
            layer.data[plane] = uncertainty(foreground, model.kind, model.n_classes)
            layer.refresh(extent=False)
            return
        out = SharedArray.create(foreground.shape, np.float32)

        def on_event(rows: tuple[int, int]) -> None:
            if rows[1] == len(out.array):
                layer.data[plane] = out.array
                layer.refresh(extent=False)

        self._session.background.ask(
            self, fill_uncertainty, foreground, model.kind, model.n_classes, out, on_event=on_event
        )


def fly_to_next(session: Session, image: Image, labels: Labels | None) -> str:
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

    Returns
    -------
    str
        Where it went, in words.

    Raises
    ------
    InputError
        If nothing was segmented yet, the labels are not on this image, or the view is in 3D.
    """
    viewer, stack = session.viewer, ImageStack.of(image)
    if viewer.dims.ndisplay != 2:
        raise InputError("In 3D a place cannot be flown to: go back to the 2D view first.")
    if labels is not None:
        check_same_grid(image, labels, stack)
    shown = shown_plane(viewer, image)
    order = [shown, *(plane for plane in stack.indices() if plane != shown)]
    planes = [(plane, kept) for plane in order if (kept := _kept(session, image, plane))]
    if not planes:
        raise InputError(f"{SEGMENT_FIRST} a plane of layer {image.name!r}.")
    seen = [Uncertainty.of(session).visited(image, plane, kept) for plane, kept in planes]
    for (plane, kept), visited in zip(planes, seen, strict=True):
        model = kept.segmenter
        unsure = uncertainty(kept.foreground, model.kind, model.n_classes)
        painted = np.zeros(unsure.shape, dtype=bool)
        if labels is not None:
            painted = np.asarray(finest(labels)[plane]) != 0
        place = most_uncertain(unsure, painted, model.diameter, visited)
        if place is not None:
            visited.append(place)
            _look_at(session, image, plane, place, cell_size(model.diameter, stack.plane_shape))
            where = "".join(
                f", {name} {index}" for name, index in zip(stack.leading_names, plane, strict=True)
            )
            return (
                f"Uncertain place {sum(map(len, seen))}: y {place[0]}, x {place[1]}{where}. Paint "
                f"what is there, then train again."
            )
    for visited in seen:
        visited.clear()
    return (
        "No uncertain place is left: the network is sure of the rest, or you painted or saw it "
        "already. Train again, or go through the places once more."
    )


def _kept(session: Session, image: Image, plane: PlaneIndex) -> KeptPlane | None:
    """Return what is kept of a plane, unless the image was given other data meanwhile."""
    kept = session.kept.get(image, plane)
    fits = kept is not None and kept.foreground.shape == ImageStack.of(image).plane_shape
    return kept if fits else None


def _look_at(
    session: Session, image: Image, plane: PlaneIndex, place: Pixel, diameter: float
) -> None:
    viewer, stack = session.viewer, ImageStack.of(image)
    point: list[float] = [*plane, *place]
    if stack.channel_axis is not None and not stack.rgb:
        point.insert(stack.channel_axis, 0)
    world = np.asarray(image.data_to_world(point))
    first = viewer.dims.ndim - image.ndim
    if shown_plane(viewer, image) != plane:
        for axis in range(image.ndim - 2):
            if stack.rgb or axis != stack.channel_axis:
                viewer.dims.set_point(first + axis, world[axis])
    everywhere = np.asarray(viewer.dims.point, dtype=float)
    everywhere[first:] = world
    step = np.asarray(image.data_to_world([*point[:-1], point[-1] + 1])) - world
    camera = viewer.scene.camera
    camera.center = tuple(everywhere[list(viewer.dims.displayed)])
    closest = min(viewer.canvas.size) / (CELLS_IN_VIEW * diameter * float(np.linalg.norm(step)))
    camera.zoom = max(camera.zoom, closest)
