"""The dock: from data to training, segmentation, correction and models, one under the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Container
from napari.layers import Image
from napari.utils.theme import get_theme
from psygnal import SignalInstance

from napari_unet.viewer.axisnames import AxisNames
from napari_unet.viewer.preferences import preferences
from napari_unet.viewer.saving.autosave import Autosave
from napari_unet.viewer.session import Session
from napari_unet.widgets.docking import Docking, warn_of_namesake
from napari_unet.widgets.focus import focus_style
from napari_unet.widgets.panels import Panels
from napari_unet.widgets.parts import stack
from napari_unet.widgets.reopening import Reopening
from napari_unet.widgets.scroll import Scroll

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["LiveUNet"]


class LiveUNet(Container):  # type: ignore[type-arg]
    """Paint a few cells, train, look, correct.

    What it shows is kept by the session of the viewer, so a dock that is closed and opened again
    goes on where it was, with the settings that it had unless the preferences were changed, and
    with the choices that were made in it.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are used.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.session = Session.of(viewer)
        self.session.host.start()  # torch is imported there while the user still paints
        self.session.background.start()
        self.panels = Panels(self.session)
        self._axis_names = AxisNames(self.session.viewer, lambda: self.panels.data.choice.image)
        self._reopening = Reopening(self.session, self.panels)
        self._reopening.take_settings()
        if self.session.autosave is None and preferences().autosave:
            self.session.autosave = Autosave(self.session)
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.native.layout().addWidget(Scroll(stack(*self.panels.widgets())))
        self._listening = False
        self.listen()
        self._reopening.take_choices()
        self._docking = Docking(self.native, self.listen, self.leave)
        warn_of_namesake()

    def listen(self) -> None:
        """Follow the viewer and the session."""
        if self._listening:
            return
        self._listening = True
        for signal in self._news():
            signal.connect(self._renew)
        self.session.trained.connect(self._on_trained)
        self.session.viewer.events.theme.connect(self._follow_theme)
        self._axis_names.follow()  # first, so that the panels look at the image with its names
        self.panels.follow()
        self._follow_theme()
        self._renew()

    def leave(self) -> None:
        """Follow them no more: a dock that is closed must not act."""
        if not self._listening:
            return
        self._listening = False
        self._reopening.keep()
        for signal in self._news():
            signal.disconnect(self._renew)
        self.session.trained.disconnect(self._on_trained)
        self.session.viewer.events.theme.disconnect(self._follow_theme)
        self.panels.leave()
        self._axis_names.leave()

    def _news(self) -> tuple[SignalInstance, ...]:
        session = self.session
        changes = (session.segmenter_changed, session.history.changed)
        return (session.told, *changes, session.jobs.started)

    def _renew(self, _: object = None) -> None:
        self.panels.renew()

    def _on_trained(self, image: Image) -> None:
        # one click trains and shows: the plane in view is segmented right after
        if not self.panels.training.live.on:
            self.panels.segmentation.segment(image, "current plane")

    def _follow_theme(self, _: object = None) -> None:
        theme = get_theme(self.session.viewer.theme)
        self.native.setStyleSheet(focus_style(theme))
        self.panels.training.follow_theme(theme)
        self.panels.restore.renew()
        self.panels.data.class_choice.follow_theme(theme)
        self.panels.data.text.set_warning_colour(theme.warning.as_hex(format="long"))
