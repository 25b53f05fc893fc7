"""What is common to the jobs of a session: they run one at a time, and say in it how they go."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_unet.viewer.session import Session

__all__ = ["SessionJob"]

E = TypeVar("E")

TELLING_SECONDS = 0.25
"""Between two times that a session tells of a running job."""


class SessionJob(ABC, Generic[E]):
    """A job that a session starts and closes, made of what the kinds of jobs say and do.

    All but `events` is called on the main thread: `start`; for each event `on_event`, then
    `describe`; `stopped` or `failed` if it did not come to its end; `close` in any case.

    Parameters
    ----------
    session : Session
        Whose ``title``, ``progress`` and sentences are kept up to date.

    Attributes
    ----------
    title : str
        Names the job for the user.
    """

    title: ClassVar[str]

    def __init__(self, session: Session) -> None:
        self._session = session
        self._next_telling = 0.0

    def start(self) -> None:
        """Run beside the viewer.

        Raises
        ------
        JobError
            If a job is running, or the viewer is closed.
        """
        session = self._session
        session.title, session.progress = self.title, 0.0
        self.say(f"{self.title} ...")
        session.jobs.start(self.title, self.events, on_event=self._handle, fraction=self.fraction)

    def _handle(self, event: E) -> None:
        session = self._session
        self.on_event(event)
        if not self.wanted:
            session.jobs.stop()
        share = self.fraction(event)
        session.progress = session.progress if share is None else share
        self.say(self.describe(event))
        if time.monotonic() >= self._next_telling:
            self._next_telling = time.monotonic() + TELLING_SECONDS
            session.told.emit()

    def tell_now(self) -> None:
        """Let the session tell of the event that is being handled, however soon after the last."""
        self._next_telling = 0.0

    @property
    def wanted(self) -> bool:
        """Whether anybody can still see what it does."""
        return True

    @property
    def about(self) -> Image | None:
        """The image whose result it speaks of, if that is one."""
        return None

    def say(self, sentence: str) -> None:
        """Put a sentence where the session keeps those of this kind: beside the segmentation."""
        self._session.said.set_result(sentence, self.about)

    @abstractmethod
    def events(self, stop: threading.Event) -> Iterator[E]:
        """Yield what happens, until ``stop`` is set; for a worker thread."""

    @abstractmethod
    def on_event(self, event: E) -> None:
        """Take in what happened."""

    @abstractmethod
    def fraction(self, event: E) -> float | None:
        """Return the share that is done at an event, 0 ... 1, where it tells."""

    @abstractmethod
    def describe(self, event: E) -> str:
        """Return in words how it goes, after an event was taken in."""

    @abstractmethod
    def stopped(self) -> str:
        """See to what a stop left; return in words what that is."""

    def failed(self, error: Exception) -> str:
        """See to what a failure left; return in words what that is."""
        return str(error)

    @abstractmethod
    def close(self) -> None:
        """Let go of what was made for it."""
