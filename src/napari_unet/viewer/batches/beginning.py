"""Begin a batch: of files or of open images, into files or into layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.core.config import PredictConfig
from napari_unet.errors import InputError
from napari_unet.viewer.batches.batch_job import BatchRequest, FilesJob
from napari_unet.viewer.batches.openbatch import OpenFilesJob
from napari_unet.viewer.layers import image_layers

if TYPE_CHECKING:
    from napari_unet.viewer.session import Session

__all__ = ["BatchRequest", "begin_batch"]


def begin_batch(session: Session, request: BatchRequest, config: PredictConfig) -> None:
    """Segment images with the present model, or the starter; ``session.batch`` tells how it goes.

    Raises
    ------
    InputError
        If there is no image, or none that fits the model.
    JobError
        If a job is running.
    """
    session.jobs.require_idle(FilesJob.title)
    if request.given:
        session.start(FilesJob(session, request, config))
        return
    open_images = image_layers(session.viewer)
    if not open_images:
        raise InputError("No image is open: open some, or choose files or a folder.")
    if request.folder:
        session.start(OpenFilesJob(session, request, config))
        return
    first = open_images[0] if request.first is None else request.first
    session.segment(first, "all open images", config, measure=request.measure)
