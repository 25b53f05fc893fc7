"""What runs and how far it is, with Finish and Stop, and Resume for a training that was stopped."""

from __future__ import annotations

from magicgui.widgets import Label, ProgressBar

from napari_unet.viewer.learning.live import Live
from napari_unet.viewer.session import Session
from napari_unet.widgets.parts import button, row
from napari_unet.widgets.telling import telling_errors

__all__ = ["JobBar"]


class JobBar:
    """Shows the job of a session, ends it, and goes on with a training.

    Parameters
    ----------
    session : Session
        Whose job.
    live : Live
        Ends with the training, and goes on with it.
    said : Label
        Says why a training cannot go on.
    """

    def __init__(self, session: Session, live: Live, said: Label) -> None:
        self._session, self._live, self._said = session, live, said
        self._finish = button(
            "Finish",
            "Good enough: end the training within a few seconds, as if its time were up. The "
            "model is scored and fitted to the painted cells, and the plane in view is "
            "segmented.",
        )
        self._stop = button(
            "Stop",
            "Stop at once. The best model of a training so far is kept as it is; Resume "
            "continues the training.",
        )
        self._resume = button(
            "Resume",
            "Continue the stopped training where it was, with the labels as they are now.",
        )
        self._bar = ProgressBar(min=0, max=100)
        self._bar.native.setTextVisible(True)
        # what comes and goes is not where Stop is clicked, perhaps twice
        parts = (self._bar, self._finish, self._resume, self._stop)
        self.widget = row(*parts, stretch=(1, 0, 0, 0))
        self._finish.changed.connect(self.finish)
        self._stop.changed.connect(self.stop)
        self._resume.changed.connect(self.resume)

    def finish(self) -> None:
        """End the training soon and well, and live mode with it."""
        training = self._session.training
        if training is not None:
            self._live.leave()
            training.finish()
        self.renew()

    def stop(self) -> None:
        """Stop whatever runs, and live mode with it."""
        self._live.leave()
        self._session.jobs.stop()

    def resume(self) -> None:
        """Go on with the training that was stopped."""
        with telling_errors(self._said):
            self._session.resume()
            training = self._session.training
            if training is not None and training.live:
                self._live.set(True)
        self.renew()

    def renew(self) -> None:
        """Show how a job goes, and what can be clicked."""
        session = self._session
        running, training = session.jobs.state == "running", session.training
        self._bar.enabled = self._stop.enabled = running
        self._bar.value = round(100 * session.progress) if running else 0
        share = "%p %" if session.progress else "..."  # a training without a budget has none
        self._bar.native.setFormat(f"{session.title} {share}" if running else "idle")
        self._finish.visible = running and training is not None
        self._finish.enabled = (
            training is not None and bool(training.record.seconds) and not training.finishing
        )
        self._resume.visible = session.resuming.possible and not running
