"""The dock: data, training, segmentation, model and settings, one under the other."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from magicgui.widgets import Container
from napari.utils.notifications import show_warning
from napari.utils.theme import get_theme
from psygnal import SignalInstance
from qtpy.QtCore import QEvent, QObject, QTimer

from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.model_panel import ModelPanel
from napari_unet.widgets.parts import Scroll, stack
from napari_unet.widgets.segment_panel import SegmentPanel
from napari_unet.widgets.settings_panel import SettingsPanel
from napari_unet.widgets.train_panel import TrainPanel

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["LiveUNet", "open_demo"]


class LiveUNet(Container):  # type: ignore[type-arg]
    """Paint a few cells, train, look, correct.

    What it shows is kept by the session of the viewer, so a dock that is closed and opened again
    goes on where it was.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are used.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.session = Session.of(viewer)
        self.session.host.start()  # torch is imported there while the user still paints
        self.settings = SettingsPanel()
        self.data = DataPanel(self.session.viewer)
        self.training = TrainPanel(self.session, self.data, self.settings.train_config)
        self.segmentation = SegmentPanel(
            self.session, self.data, self.settings.predict_config, self.settings.train_config
        )
        self.model = ModelPanel(self.session)
        panels = (self.data, self.training, self.segmentation, self.model, self.settings)
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.native.layout().addWidget(Scroll(stack(*(panel.widget for panel in panels))))
        self._listening = False
        self.listen()
        self._closing = _Closing(self)
        _warn_of_namesake()

    def listen(self) -> None:
        """Follow the viewer and the session."""
        if self._listening:
            return
        self._listening = True
        session = self.session
        for signal in _news(session):
            signal.connect(self._renew)
        session.jobs.done.connect(self._on_done)
        session.viewer.events.theme.connect(self._follow_theme)
        self.data.follow()
        self._follow_theme()
        self._renew()

    def leave(self) -> None:
        """Follow them no more: a dock that is closed must not act."""
        if not self._listening:
            return
        self._listening = False
        session = self.session
        for signal in _news(session):
            signal.disconnect(self._renew)
        session.jobs.done.disconnect(self._on_done)
        session.viewer.events.theme.disconnect(self._follow_theme)
        self.data.leave()

    def _renew(self, _: object = None) -> None:
        for panel in (self.training, self.segmentation, self.model):
            panel.renew()

    def _on_done(self) -> None:
        self._renew()
        # one click trains and shows: the plane in view is segmented right after
        image = self.session.take_trained_image()
        if image is not None:
            self.segmentation.segment(image, "current plane")

    def _follow_theme(self, _: object = None) -> None:
        theme = get_theme(self.session.viewer.theme)
        self.training.follow_theme(theme)
        self.data.text.set_warning_colour(theme.warning.as_hex(format="long"))


class _Closing(QObject):
    """Notices that napari takes a dock away, which neither deletes its widget nor tells it."""

    def __init__(self, dock: LiveUNet) -> None:
        super().__init__(dock.native)
        self._dock = dock
        dock.native.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 (Qt's name)
        """Look at what happens to the widget; never takes part in it."""
        if watched is not None and event is not None and event.type() == QEvent.Type.ParentChange:
            if watched.parent() is None:
                self._dock.leave()
            else:
                self._dock.listen()
        return False


def _news(session: Session) -> tuple[SignalInstance, ...]:
    jobs = session.jobs
    return (session.told, session.segmenter_changed, jobs.started, jobs.stopped, jobs.failed)


def open_demo() -> None:
    """Open napari with the sample, a few cells painted, and the dock; wait till it is closed."""
    import napari.viewer

    viewer = napari.Viewer(title="Live U-Net")
    viewer.open_sample("napari-live-unet", "touching_cells")
    viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
    QTimer.singleShot(500, viewer.reset_view)  # the canvas is narrower once the dock is there
    napari.run()


def _warn_of_namesake() -> None:
    try:
        version = metadata.version("napari-unet")
    except metadata.PackageNotFoundError:
        return
    show_warning(
        f"Another project, napari-unet {version}, is installed and has a package of the same name, "
        f"so either may break. Uninstall one: pip uninstall napari-unet."
    )
