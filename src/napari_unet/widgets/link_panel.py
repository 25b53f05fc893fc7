"""Link the planes of a segmentation into 3D objects or tracks."""

from __future__ import annotations

from collections.abc import Callable

from magicgui.widgets import ComboBox

from napari_unet.core.config import PredictConfig
from napari_unet.core.linking import Kind
from napari_unet.errors import InputError
from napari_unet.viewer.session import Session
from napari_unet.viewer.stack import ImageStack
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import button, narrow, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["CHOICES", "LinkPanel"]

CHOICES: list[tuple[str, Kind]] = [
    ("3D objects", "objects"),
    ("tracks", "tracks"),
]


class LinkPanel:
    """Lets objects keep their numbers through the planes of a stack.

    Parameters
    ----------
    session : Session
        Links.
    data : DataPanel
        Whose segmentation is linked.
    settings : callable
        Returns the configuration of predictions.
    """

    def __init__(
        self, session: Session, data: DataPanel, settings: Callable[[], PredictConfig]
    ) -> None:
        self._session, self._data, self._settings = session, data, settings
        self._kind = narrow(ComboBox(choices=CHOICES))
        self._kind.tooltip = (
            "3D objects, along Z: objects that overlap from one plane to the next become one, "
            "and are cut at narrow places if the model cuts cells there. Tracks, along T: a cell "
            "keeps its number until it divides or leaves; a tracks layer is also added."
        )
        self.boxes = (self._kind,)
        self._link = button(
            "Link planes",
            "Renumber the cells of the last segmentation so that each keeps its number through "
            "all planes.",
        )
        self._in_3d = button(
            "Segment in 3D",
            "Segment sections along all three axes and find the objects in their average: for "
            "objects about as thick as they are wide. Takes two to five times as long as the "
            "planes alone. The distance between planes comes from the scale of the layer, or "
            "from spacing in Settings.",
        )
        self._proposed_for: tuple[object, ...] | None = None
        self._said = sentence()
        self._said.visible = False
        self.widget = stack(row(self._link, self._kind, stretch=(1, 1)), self._in_3d, self._said)
        self._link.changed.connect(self.link)
        self._in_3d.changed.connect(self.segment_volume)
        self.renew()

    def follow(self) -> None:
        """Follow the chosen image."""
        self._data.choice.changed.connect(self._on_image)
        self._on_image()

    def leave(self) -> None:
        """Follow it no more."""
        self._data.choice.changed.disconnect(self._on_image)

    def renew(self) -> None:
        """Show what can be clicked."""
        self._link.enabled = self._in_3d.enabled = self._session.jobs.state == "idle"

    def fall_silent(self) -> None:
        """Say nothing any more."""
        self._said.visible = False

    def link(self) -> None:
        """Link the planes of the chosen image."""
        self.fall_silent()
        kind: Kind = self._kind.value
        with telling_errors(self._said):
            self._session.link(self._data.image, kind, self._settings())

    def segment_volume(self) -> None:
        """Find 3D objects in the chosen image."""
        self.fall_silent()
        with telling_errors(self._said):
            self._session.segment_volume(self._data.image, self._settings())

    def _on_image(self) -> None:
        """Propose what fits another image, or new names of its axes; else the choice stays."""
        image = self._data.choice.image
        if image is None:
            return
        try:
            names = ImageStack.of(image).leading_names
        except InputError:  # the panel that chooses it says why
            return
        if names and (image.unique_id, names) != self._proposed_for:
            self._proposed_for = (image.unique_id, names)
            self._kind.value = "tracks" if "time points" in names else "objects"
