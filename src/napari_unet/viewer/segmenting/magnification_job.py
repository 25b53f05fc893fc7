"""The job of finding at which magnification a model should see an image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_unet.core.config import PredictConfig
from napari_unet.core.resized import MAGNIFICATIONS
from napari_unet.engine.process import tasks
from napari_unet.engine.starter import starter_model
from napari_unet.viewer.reading import served
from napari_unet.viewer.segmenting.checks import check_fits
from napari_unet.viewer.session_job import SessionJob
from napari_unet.viewer.stack import ImageStack, shown_plane

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["MAGNIFYING", "MagnificationJob"]

MAGNIFYING = "Finding the magnification"


class MagnificationJob(SessionJob[float]):
    """Finds how large the objects in the shown plane of an image are for the session's model.

    Parameters
    ----------
    session : Session
        Its model is asked, or the starter model if it has none yet.
    image : Image
        Whose shown plane is looked at.
    config : PredictConfig
        Device and threshold.
    found : callable
        Is told on the main thread, at the end.

    Raises
    ------
    InputError
        If the image has another number of channels than the model.
    """

    title = MAGNIFYING

    def __init__(
        self,
        session: Session,
        image: Image,
        config: PredictConfig,
        found: Callable[[float], None],
    ) -> None:
        super().__init__(session)
        self._image, self._stack, self._found = image, ImageStack.of(image), found
        self._config = config
        self._segmenter = session.segmenter or starter_model(self._stack.channels)
        check_fits(self._segmenter, image)
        self._plane = shown_plane(session.viewer, image)
        self._steps, self._best = 0, 1.0

    @property
    def wanted(self) -> bool:
        """Whether the image is still there."""
        return self._image in self._session.viewer.layers

    @property
    def about(self) -> Image | None:
        """The image."""
        return self._image

    def events(self, stop: threading.Event) -> Iterator[float]:
        """Look in the compute process; for a worker thread."""
        planes = [served(self._stack, self._plane, self._image.name)]
        yield from self._session.host.run(
            tasks.find_magnification, self._segmenter, planes, self._config, stop=stop
        )
        yield 0.0  # that was all

    def on_event(self, event: float) -> None:
        """Take in what is best so far; tell what was found."""
        self._steps += 1
        if event:
            self._best = event
        elif self.wanted:
            self._found(self._best)

    def fraction(self, event: float) -> float:
        """Return the share that is done at least, 0 ... 1."""
        return self._steps / (len(MAGNIFICATIONS) + 1) if event else 1.0

    def describe(self, event: float) -> str:
        """Say what is found."""
        if event:
            return f"{self.title} ..."
        if self._best == 1:
            return "The objects here are about as large as those the model learned from."
        size = "larger" if self._best > 1 else "smaller"
        return (
            f"Magnification {self._best:g}: the objects here are {size} than those the model "
            f"learned from. Segment to see what it makes of them."
        )

    def stopped(self) -> str:
        """Say what is left when it was stopped."""
        return "Stopped; the magnification is as it was."

    def close(self) -> None:
        """There is nothing to let go of."""
