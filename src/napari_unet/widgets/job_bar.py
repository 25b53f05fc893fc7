"""What runs and how far it is, with Stop, and Resume for a training that was stopped."""

from __future__ import annotations

from collections.abc import Callable

from magicgui.widgets import ProgressBar

from napari_unet.viewer.session import Session
from napari_unet.widgets.parts import button, row

__all__ = ["JobBar"]


class JobBar:
    """Shows the job of a session.

    Parameters
    ----------
    session : Session
        Whose job.
    stop, resume : callable
        Called when the buttons are clicked.
    """

    def __init__(
        self, session: Session, stop: Callable[[], None], resume: Callable[[], None]
    ) -> None:
        self._session = session
        self.stop = button("Stop", "Stop what is running; the best model so far is kept.")
        self.resume = button(
            "Resume",
            "Go on with the training that was stopped, as if it had not been, with what is painted "
            "now.",
        )
        self._bar = ProgressBar(min=0, max=100)
        self._bar.native.setTextVisible(True)
        self.widget = row(self._bar, self.stop, self.resume, stretch=(1, 0, 0))
        self.stop.changed.connect(stop)
        self.resume.changed.connect(resume)

    def renew(self) -> None:
        """Show how a job goes, and what can be clicked."""
        session = self._session
        running = session.jobs.state == "running"
        self._bar.enabled = self.stop.enabled = running
        self._bar.value = round(100 * session.progress) if running else 0
        share = "%p %" if session.progress else "..."  # a training without a budget has none
        self._bar.native.setFormat(f"{session.title} {share}" if running else "idle")
        self.resume.visible = session.resumable and not running
