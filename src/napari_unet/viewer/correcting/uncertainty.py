"""Where the network is unsure, shown as a layer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, ClassVar, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Layer
from napari.utils.notifications import show_error
from numpy.typing import NDArray

from napari_unet.core.uncertainty import fill_uncertainty, uncertainty
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.errors import DeviceError, InputError
from napari_unet.viewer.correcting.picking import Pixel
from napari_unet.viewer.segmenting.kept import KeptPlane
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.stack import ImageStack, PlaneIndex, shown_plane

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["SEGMENT_FIRST", "Uncertainty", "kept_plane"]

AT_ONCE = 1 << 22
"""Planes up to this many pixels are computed where they are shown, in less than 20 ms."""

_Foreground: TypeAlias = "weakref.ref[NDArray[np.float32]]"

SEGMENT_FIRST = "Segment first: only then is it known where the network is unsure"


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
        self._asked: _Foreground | None = None
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
        if kept_plane(session, image, plane) is None:
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
        self._image, self._layer, self._written, self._asked = None, None, {}, None
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
        try:
            plane = shown_plane(self._session.viewer, image)
            kept = kept_plane(self._session, image, plane)
        except InputError:  # an axis was given a name that makes no sense, which the dock says
            return
        done = (self._written.get(plane), self._asked)
        if kept is None or any(one is not None and one() is kept.foreground for one in done):
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
        if foreground.size <= AT_ONCE:
            unsure = uncertainty(foreground, model.kind, model.n_classes)
            self._write(layer, plane, weakref.ref(foreground), unsure)
            return
        out = SharedArray.create(foreground.shape, np.float32)
        # a question about another plane is dropped: that is computed when it is shown again
        self._asked = asked = weakref.ref(foreground)

        def on_event(rows: tuple[int, int]) -> None:
            if rows[1] == len(out.array):
                self._write(layer, plane, asked, out.array)

        self._session.background.ask(
            self, fill_uncertainty, foreground, model.kind, model.n_classes, out,
            on_event=on_event, on_lost=self._on_lost,
        )  # fmt: skip

    def _write(
        self, layer: Layer, plane: PlaneIndex, of: _Foreground, unsure: NDArray[np.float32]
    ) -> None:
        layer.data[plane] = unsure
        layer.refresh(extent=False)
        self._written[plane], self._asked = of, None

    def _on_lost(self) -> None:
        self._asked = None


def kept_plane(session: Session, image: Image, plane: PlaneIndex) -> KeptPlane | None:
    """Return what is kept of a plane, unless the image was given other data meanwhile."""
    kept = session.kept.get(image, plane)
    fits = kept is not None and kept.foreground.shape == ImageStack.of(image).plane_shape
    return kept if fits else None
