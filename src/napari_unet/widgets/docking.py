"""How the dock gets into napari's window, and notices that it was taken out again."""

from __future__ import annotations

from collections.abc import Callable

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget

from napari_unet.engine.namesake import name_clash

__all__ = ["Docking", "open_demo", "warn_of_namesake"]


class Docking(QObject):
    """Notices that napari takes a dock away, which neither deletes its widget nor tells it.

    Parameters
    ----------
    widget : QWidget
        Of the dock.
    listen, leave : callable
        Called when it comes back, and when it was taken away.
    """

    def __init__(
        self, widget: QWidget, listen: Callable[[], None], leave: Callable[[], None]
    ) -> None:
        super().__init__(widget)
        self._listen, self._leave = listen, leave
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 (Qt's name)
        """Look at what happens to the widget; never takes part in it."""
        if watched is not None and event is not None and event.type() == QEvent.Type.ParentChange:
            if watched.parent() is None:
                self._leave()
            else:
                self._listen()
        return False


def open_demo() -> None:
    """Open napari with the sample, a few cells painted, and the dock; wait till it is closed."""
    import napari.viewer

    viewer = napari.Viewer(title="Live U-Net")
    viewer.open_sample("napari-live-unet", "touching_cells")
    viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
    QTimer.singleShot(500, viewer.reset_view)  # the canvas is narrower once the dock is there
    napari.run()


def warn_of_namesake() -> None:
    """Warn if the other project whose package has our name is installed too."""
    if clash := name_clash():
        show_warning(clash)
