"""The job of writing the model for other programs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_unet.engine.process import tasks
from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.reading import served
from napari_unet.viewer.segmenting.checks import check_fits
from napari_unet.viewer.session_job import SessionJob
from napari_unet.viewer.stack import ImageStack, shown_plane

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["ExportJob"]


class ExportJob(SessionJob[Path]):
    """Writes a model as `napari_unet.export_model` does.

    Parameters
    ----------
    session : Session
        In whose compute process it is done.
    segmenter : Segmenter
        The model.
    image : Image
        Whose shown plane is taken along as an example.
    path : Path
        The file.
    told : callable
        Is given the sentences about it, on the main thread.

    Raises
    ------
    InputError
        If the image has another number of channels than the model.
    """

    title = "Exporting the model"

    def __init__(
        self,
        session: Session,
        segmenter: Segmenter,
        image: Image,
        path: Path,
        told: Callable[[str], None],
    ) -> None:
        super().__init__(session)
        check_fits(segmenter, image)
        self._segmenter, self._path, self._told = segmenter, path, told
        self._image, self._stack = image, ImageStack.of(image)
        self._plane = shown_plane(session.viewer, image)

    def events(self, stop: threading.Event) -> Iterator[Path]:
        """Export in the compute process; for a worker thread."""
        plane = served(self._stack, self._plane, self._image.name)
        yield from self._session.host.run(
            tasks.export_model, self._segmenter, plane, self._path, self._path.stem, stop=stop
        )

    def say(self, sentence: str) -> None:
        """Put a sentence beside the model."""
        self._told(sentence)

    def on_event(self, event: Path) -> None:
        """There is nothing to take in: the file is written."""

    def fraction(self, event: Path) -> float:  # noqa: ARG002 (one event, at the end)
        """Return that all is done."""
        return 1.0

    def describe(self, event: Path) -> str:
        """Say what is where."""
        return (
            f"Exported to {event}. A part of the plane in view is in it as an example, which all "
            f"who get the file can see."
        )

    def stopped(self) -> str:
        """Say what is left when it was stopped."""
        return "Stopped; nothing was exported."

    def close(self) -> None:
        """There is nothing to let go of."""
