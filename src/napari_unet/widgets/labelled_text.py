"""What the image is, what is labelled on it, and what about that is doubtful, in words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_unet.core.doubt import Doubt
from napari_unet.errors import UNetError
from napari_unet.viewer import layers, notes
from napari_unet.viewer.background import Background
from napari_unet.viewer.correcting.inview import about_cover, about_side_view
from napari_unet.viewer.field import whole_plane
from napari_unet.viewer.learning import doubts, labelled
from napari_unet.viewer.learning.stray import about_stray_brush
from napari_unet.viewer.stack import ImageStack
from napari_unet.widgets.layer_choice import LayerChoice
from napari_unet.widgets.parts import sentence, stack

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LabelledText"]

WATCHED = ("paint", "set_data", "data", "features", "axis_labels", "scale", "translate")
COVERING = ("visible", "opacity", "blending")
"""What decides whether an image hides those below it."""
COUNTING_DELAY = 300
"""Milliseconds after the last stroke until what is labelled is counted again."""
TURN_SECONDS = 0.008
NO_IMAGE = (
    "Open an image: File > Open File(s), or File > Open Sample > Touching cells (Live U-Net)."
)


class LabelledText:
    """Describes the chosen layers; counts after every stroke, a block at a time."""

    def __init__(self, viewer: ViewerModel, choice: LayerChoice, background: Background) -> None:
        self._viewer, self._choice, self._background = viewer, choice, background
        self._watched: list[Any] = []
        self._work: Iterator[None] = iter(())
        self._about, self._elsewhere, self._doubt = sentence(), sentence(), sentence()
        self._elsewhere.visible = self._doubt.visible = False
        self.widget = stack(self._about, self._elsewhere, self._doubt)
        self._delay, self._idle = QTimer(self.widget.native), QTimer(self.widget.native)
        self._delay.setSingleShot(True)
        self._delay.setInterval(COUNTING_DELAY)
        self._delay.timeout.connect(self._begin)
        self._idle.timeout.connect(self._go_on)

    def watch(self) -> None:
        """Describe the layers that are chosen now, and again whenever they change."""
        self.forget()
        chosen = (self._choice.image, self._choice.labels, self._choice.regions)
        events = [layer.events for layer in chosen if layer is not None]
        self._watched = [one[name] for one in events for name in WATCHED if name in one]
        viewer = self._viewer
        for image in layers.image_layers(viewer):
            self._watched += [image.events[name] for name in COVERING]
        self._watched += [layer.events.mode for layer in layers.labels_layers(viewer)]
        self._watched += [viewer.layers.events.reordered, viewer.layers.selection.events.active]
        self._watched += [viewer.dims.events.ndisplay, viewer.dims.events.order]
        self._watched += [viewer.canvas.grid.events.enabled]
        for emitter in self._watched:
            emitter.connect(self.renew)
        self.renew()

    def forget(self) -> None:
        """Watch nothing any more."""
        for emitter in self._watched:
            emitter.disconnect(self.renew)
        self._watched = []
        self._delay.stop()
        self._idle.stop()
        doubts.forget_doubt(self._background)

    def renew(self, _: object = None) -> None:
        """Count again, a moment after the last stroke."""
        self._idle.stop()
        self._delay.start()

    def set_warning_colour(self, colour: str) -> None:
        """Follow the theme of the viewer."""
        for warning in (self._elsewhere, self._doubt):
            warning.native.setStyleSheet(f"color: {colour}")

    def _begin(self) -> None:
        self._work = self._describe()
        self._idle.start(0)

    def _go_on(self) -> None:
        deadline = time.monotonic() + TURN_SECONDS
        for _ in self._work:
            if time.monotonic() >= deadline:
                return
        self._idle.stop()

    def _describe(self) -> Iterator[None]:
        """Say what there is; pauses whenever painting may want a turn."""
        choice = self._choice
        if choice.image is None:
            self._warn("")
            self._say("Choose an image." if choice.any_image else NO_IMAGE)
            return
        try:
            about = ImageStack.of(choice.image).describe()
            field = whole_plane(self._viewer, choice.image)
            # slices of cells would be painted, or cells of another image that is seen instead
            unseen = about_side_view(self._viewer, choice.image)
            unseen = unseen or about_cover(self._viewer, choice.image, field, under=(choice.image,))
            self._warn(unseen or about_stray_brush(self._viewer, choice.image, choice.labels))
            if choice.labels is None:
                self._say(f"{about}.\nPress New beside Labels, then paint a few cells.")
                return
            summaries = labelled.count(choice.image, choice.labels, choice.regions)
            summary = next(summaries)
            for summary in summaries:  # noqa: B007 (the last one counts)
                yield
        except UNetError as error:
            self._say(str(error))
            return
        advice = labelled.advice(summary, notes.meaning_of(choice.labels))
        fullest = None
        for fullest in doubts.fullest_plane(choice.labels):  # noqa: B007 (the last one counts)
            yield
        self._about.value = f"{about}\n{summary}{advice}"
        if fullest is None:
            self._question(None)
            return
        has_regions = choice.regions is not None
        doubts.ask_doubt(self._background, choice.labels, fullest, has_regions, self._question)

    def _warn(self, text: str) -> None:
        self._elsewhere.value, self._elsewhere.visible = text, bool(text)

    def _say(self, text: str) -> None:
        self._about.value = text
        self._question(None)

    def _question(self, doubt: Doubt | None) -> None:
        self._doubt.value = "" if doubt is None else doubt.question
        self._doubt.visible = doubt is not None
