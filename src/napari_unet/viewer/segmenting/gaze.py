"""Where the user looks at an image, for the worker thread that segments it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_unet.core.outward import outward, plane_distance
from napari_unet.engine.process.mailbox import InView, Mailbox
from napari_unet.viewer.field import Field, View
from napari_unet.viewer.stack import PlaneIndex

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Gaze"]


class Gaze:
    """Follows camera and sliders, and says which plane and which of its tiles are wanted next.

    Two threads share it, without a lock: the main thread alone looks at the viewer and writes
    ``field``, the worker alone writes which plane it is at. Each only reads what the other writes,
    and in Python that is always the old or the new value, so a moment too late costs the order of
    one tile or plane, and never a result.

    Parameters
    ----------
    viewer : napari viewer
        Whose camera and sliders are followed until `close`.
    image : Image
        What is segmented. Should it get other data or be removed, it is taken to be looked at
        where it was last.

    Attributes
    ----------
    field : Field
        What of the image is in view.
    mailbox : Mailbox
        Carries `InView` to the computation of the plane that the worker is at.
    """

    def __init__(self, viewer: ViewerModel, image: Image) -> None:
        self._view = View(viewer, image)
        self._view.changed.connect(self._on_field)
        self.field = self._view.field
        self.mailbox = Mailbox()
        self._at: PlaneIndex | None = None

    def close(self) -> None:
        """Follow no longer; may be called twice."""
        self._view.close()

    def look(self) -> None:
        """See what is in view now."""
        self._view.look()

    def nearest_first(self, planes: Sequence[PlaneIndex]) -> Iterator[PlaneIndex]:
        """Yield every plane once, always the one nearest to the plane that is shown then.

        For the worker thread, which does one plane before it asks for the next.
        """
        for plane in outward(planes, lambda: self.field.plane, plane_distance):
            self._at = plane
            self.mailbox.put(self._in_view)
            yield plane

    def _in_view(self) -> InView | None:
        """Return what is wanted at the moment in which the worker sends it."""
        field = self.field
        return InView(box=field.box) if field.plane == self._at else None

    def _on_field(self, field: Field) -> None:
        self.field = field
        self.mailbox.put(self._in_view)
