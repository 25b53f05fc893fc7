"""Train or fine-tune a U-Net on painted labels, as a generator of events."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from pathlib import Path

from napari_unet.core.annotation import Annotation
from napari_unet.core.config import TrainConfig
from napari_unet.core.given import chosen
from napari_unet.engine.callersettings import between_events
from napari_unet.engine.device import torch_errors
from napari_unet.engine.events import TrainEvent
from napari_unet.engine.learning import checkpoint as state_file
from napari_unet.engine.learning.checks import listed
from napari_unet.engine.learning.heldout import Seen
from napari_unet.engine.learning.newmodel import continued, new_model
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.ranks import together
from napari_unet.engine.learning.run import Run
from napari_unet.engine.pixelsize import with_pixel_size
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.engine.segmenter import Segmenter, check_segmenter

__all__ = ["train"]


@between_events
def train(
    annotations: Iterable[Annotation],
    config: TrainConfig | None = None,
    *,
    segmenter: Segmenter | None = None,
    mailbox: Mailbox | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Generator[TrainEvent, None, None]:
    """Train on painted labels; the last event carries the trained Segmenter.

    Every event carries the best Segmenter so far, so the generator can be closed after any of
    them and nothing that was learned until the last validation is lost.

    Where torchrun started several processes that all call this, they train together, each with its
    part of the patches of a step. The first alone validates, reads and writes the checkpoint; the
    others are told what came out at the end.

    Parameters
    ----------
    annotations : iterable of Annotation
        Images with labels; all with the same number of channels.
    config : TrainConfig, optional
        Budget, size of the network, recipe, seed, device.
    segmenter : Segmenter, optional
        Continue from this one (fine-tune); its architecture and working resolution are kept.
    mailbox : Mailbox, optional
        Messages to the running training: `Repainted` labels are trained on from the next step
        on, a `Look` is answered by `Previewed` events, `Finish` ends it as a used-up budget does.
    checkpoint : path, optional
        A file for the state of the training. It is written now and then and when the generator is
        closed, and removed after the last event. If it exists at the start, the training
        continues from it: stopped and resumed, it takes exactly the steps that it would have
        taken without a break (bit for bit on a CPU). If labels were changed in between, they are
        learned from, and `Prepared` says so. If the file can no longer be written, there is a
        warning, and the training goes on.

    Yields
    ------
    TrainEvent
        `Prepared`, then `StepDone` per step and `Validated` now and then, `Learned` after the last
        step, and `Trained` at the end.

    Raises
    ------
    InputError
        If nothing, or only one class, is labelled, images and Segmenter do not fit, or the
        checkpoint belongs to a training with other settings.
    ModelFileError
        If the checkpoint is damaged, or there can be no file at its place.
    DeviceError
        If the device does not exist or its memory is too small.
    JobError
        If the loss stops being a number, or another process of this training ends.
    """
    annotations, config = listed(annotations), chosen(config, TrainConfig)
    if segmenter is not None:
        check_segmenter(segmenter)
    with (
        together(config.device, alone=mailbox is not None) as (ranks, device),
        torch_errors("Use fewer base channels or a smaller depth, or train on the CPU."),
    ):
        file = Path(checkpoint) if checkpoint is not None and ranks.is_first else None
        if file is not None:
            state_file.make_place(file)
        given = state_file.identity(segmenter)
        saved = ranks.hand_out(None if file is None else state_file.load(file, config, segmenter))
        seen = None
        if saved is not None:
            segmenter, seen = state_file.unpack_segmenter(saved["start"]), Seen.of(saved["seen"])
            given = saved["given"]
        data = prepare(annotations, config, segmenter, device, seen)
        start = new_model(data, config) if segmenter is None else continued(segmenter, data)
        start = with_pixel_size(start, annotations)
        run = Run(start, data, config, device, file, ranks, given)
        if saved is not None:
            run.resume(saved)
        yield from run.events(mailbox or Mailbox())
