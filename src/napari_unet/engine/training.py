"""Train or fine-tune a U-Net on painted labels, as a generator of events."""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import napari_unet
from napari_unet.core.annotation import Annotation
from napari_unet.core.config import TrainConfig
from napari_unet.core.given import chosen
from napari_unet.engine.device import describe, torch_errors
from napari_unet.engine.events import Learned, Prepared, StepDone, Trained, TrainEvent, Validated
from napari_unet.engine.learning import checkpoint as state_file
from napari_unet.engine.learning.budget import Budget
from napari_unet.engine.learning.calibration import calibrate
from napari_unet.engine.learning.checks import listed
from napari_unet.engine.learning.heldout import Seen
from napari_unet.engine.learning.learner import Learner
from napari_unet.engine.learning.newmodel import continued, new_model
from napari_unet.engine.learning.preview import Preview
from napari_unet.engine.learning.quality import is_worse, measure
from napari_unet.engine.learning.ranks import Ranks, together
from napari_unet.engine.learning.recipe import recipe_named
from napari_unet.engine.learning.trainingset import TrainingSet, prepare
from napari_unet.engine.learning.verdict import compare
from napari_unet.engine.pixelsize import with_pixel_size
from napari_unet.engine.process.mailbox import Finish, Look, Mailbox, Repainted
from napari_unet.engine.segmenter import Segmenter, check_segmenter
from napari_unet.engine.starter import begins_with_starter
from napari_unet.errors import InputError, ModelFileError

__all__ = ["train"]

OVER = -1.0
"""Instead of a used share of the budget: no step is left."""

RENEWAL_GAP = 0.5
"""Seconds between two looks at new strokes, at least: somebody who paints makes many."""

SAVING_SHARE = 0.02
"""Of the time, at most, that goes into saving the state of the training."""


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
        Images with labels; all of one number of channels.
    config : TrainConfig, optional
        Budget, size of the network, recipe, seed, device.
    segmenter : Segmenter, optional
        Continue from this one (fine-tune); its architecture and working resolution are kept.
    mailbox : Mailbox, optional
        What comes while the training runs: `Repainted` labels are trained on from the next step
        on, a `Look` is answered by `Previewed` events, `Finish` ends it as a used-up budget does.
    checkpoint : path, optional
        A file for the state of the training. It is written now and then and when the generator is
        closed, and removed after the last event. If it is there at the start, the training goes
        on from it: stopped and resumed, it takes the very steps that it would have taken without
        a break (bit for bit on a CPU). Labels may be others then: they are learned from, and
        `Prepared` says so. If it cannot be written any more, a warning says so, and the training
        goes on.

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
        run = _Run(start, data, config, device, file, ranks, given)
        if saved is not None:
            run.resume(saved)
        yield from run.events(mailbox or Mailbox())


class _Run:
    """One training: who learns, from what, and the best state so far."""

    def __init__(
        self,
        start: Segmenter,
        data: TrainingSet,
        config: TrainConfig,
        device: torch.device,
        checkpoint: Path | None,
        ranks: Ranks,
        given: str,  # `identity` of the model that it continues
    ) -> None:
        self.start = self.best = start
        self.data, self.config, self.device, self.ranks = data, config, device, ranks
        recipe = recipe_named(config.recipe)
        recipe = replace(recipe, batch=config.batch or recipe.batch * ranks.count)
        self.scales = recipe.scales
        self.learner = Learner(start, recipe, config.seed, device, ranks)
        self.preview = Preview(device)
        self.checkpoint, self.next_saving = checkpoint, 0.0
        self.given = given
        self.best_iou: float | None = None
        self.repainted, self.next_renewal = False, 0.0
        self.repainted_between = False  # that it was stopped and that it goes on
        self.log: list[tuple[Any, ...]] = []
        self.earlier: tuple[StepDone | Validated, ...] = ()
        self.budget = Budget(config)
        self.before = (start.provenance.get("steps", 0), start.provenance.get("seconds", 0.0))
        self.begins_with_starter = not self.before[0] and begins_with_starter(config)
        trained_before = self.before[0] > 0 and config.recipe == "default"
        self.knows_more = self.begins_with_starter or trained_before  # than what is painted now

    def events(self, mailbox: Mailbox) -> Iterator[TrainEvent]:
        labelled = str(self.data.summary())
        yield Prepared(message=self.describe(labelled), segmenter=self.best, earlier=self.earlier)
        if self.best_iou is None:
            fine_tuned = self.data.held_out and self.before[0] and self.ranks.is_first
            # what a fine-tuned network has to keep up with
            self.best_iou = self.measured()[1] if fine_tuned else 0.0
        try:
            while True:
                if self.read(mailbox):
                    labelled = str(self.data.summary())
                progress = self.ranks.agree(self.progress())
                if progress == OVER:
                    break
                yield from self.preview.events(self.learner.average, self.learner.step, self.best)
                loss = self.learner.take_step(self.data, progress)
                told: list[StepDone | Validated] = [self.step_done(loss)]
                if self.learner.step == 1 or self.budget.validation_due(self.learner.step):
                    told += self.validate(labelled)
                # nothing is left to do for this step when somebody closes this generator
                yield from told
                self.save_now_and_then()
            yield from self.validate(labelled)
            step, seconds = self.learner.step, self.budget.seconds
            yield Learned(step=step, seconds=seconds, segmenter=self.best)
        except GeneratorExit:
            self.save()
            raise
        yield self.end()
        # only now: whoever could not keep the model can go on from the state
        if self.checkpoint is not None:
            with suppress(OSError):  # the disk may be gone
                self.checkpoint.unlink()

    def progress(self) -> float:
        """Return the used share of the budget before a step, or `OVER`."""
        step = self.learner.step
        over = self.budget.over(step) and not self.repainted
        return OVER if over else self.budget.progress(step)

    def end(self) -> Trained:
        """Fit and score the best network; return it, in every process."""
        score = None
        if self.ranks.is_first:
            known = self.start if self.knows_more else None
            self.best = calibrate(self.best, self.data, known, scales=self.scales)
            score = compare(self.start if self.before[0] else None, self.best, self.data)
        self.best, score = self.ranks.hand_out((self.best, score))
        steps = self.learner.step
        return Trained(steps=steps, seconds=self.budget.seconds, segmenter=self.best, score=score)

    def describe(self, labelled: str) -> str:
        resolution = ""
        if self.data.downsample > 1:
            resolution = f", at 1/{self.data.downsample} of the resolution"
        where = describe(self.device)
        if self.ranks.count > 1:
            where = f"{self.ranks.count} processes, each on {where}"
        blocks = len(self.data.held_out)
        held_out = f"{blocks} block{'s' * (blocks > 1)} held out to measure the quality"
        if not self.config.validate:
            held_out = "nothing held out, as asked for"
        elif not self.data.held_out:
            new = " that is new to the model" if self.before[0] else ""
            held_out = f"too little labelled{new} to hold any out"
        beginning = ""
        if self.begins_with_starter:
            beginning = "; begins with the starter model"
        resumed = f"; resumed at step {self.learner.step}" if self.learner.step else ""
        if self.repainted_between:
            resumed += ", with other labels than before"
        return f"{labelled}; {held_out}; on {where}{resolution}{beginning}{resumed}"

    def read(self, mailbox: Mailbox) -> bool:
        """Do what the program asks for; return whether the labels are others now."""
        strokes = []
        for message in mailbox.take():
            if isinstance(message, Repainted):
                strokes.append(message)
            elif isinstance(message, Look):
                self.preview.look_at(message)
            elif isinstance(message, Finish):
                self.budget.finish(self.learner.step)
        if strokes:
            self.data.repaint(strokes)
            self.repainted = True
        if not self.repainted or self.budget.seconds < self.next_renewal:
            return False
        self.repainted, self.next_renewal = False, self.budget.seconds + RENEWAL_GAP
        try:
            self.data.renew()
        except InputError:
            return False  # all of a class was erased for the moment: go on with what there was
        self.best_iou = 0.0  # other pixels are held out now, and the old figure says nothing
        return True

    def step_done(self, loss: float) -> StepDone:
        event = StepDone(
            step=self.learner.step,
            loss=loss,
            seconds=self.budget.seconds,
            progress=self.budget.progress(self.learner.step),
            segmenter=self.best,
        )
        self.log.append((event.step, event.seconds, loss, event.progress, "step"))
        return event

    def validate(self, labelled: str) -> Iterator[Validated]:
        """Measure on the held-out blocks; keep the network unless it got worse."""
        if not self.ranks.is_first:
            return
        average, step = self.learner.average, self.learner.step
        held_out = bool(self.data.held_out)
        loss, iou = self.measured() if held_out else (float("nan"), float("nan"))
        finite = all(bool(p.isfinite().all()) for p in average.parameters())
        best_iou = self.best_iou or 0.0
        if finite and not is_worse(iou, best_iou, len(self.data.held_out)):
            self.best_iou = max(best_iou, iou) if held_out else 0.0
            steps, seconds = self.before
            better = self.best.with_weights(
                average,
                steps=steps + step,
                seconds=round(seconds + self.budget.seconds, 2),
                iou=round(iou, 4) if held_out else None,
                labelled=labelled,
                recipe=self.config.recipe,
                seed=self.config.seed,
                version=napari_unet.__version__,
                torch=str(torch.__version__),  # its own type would bring torch to the program
                date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
            self.best = replace(better, seen=self.data.seen.record())
        event = Validated(
            step=step, seconds=self.budget.seconds, loss=loss, iou=iou, segmenter=self.best
        )
        self.log.append((step, event.seconds, loss, iou, "validated"))
        yield event

    def measured(self) -> tuple[float, float]:
        """Return loss and IoU of the present network on what is held out."""
        return measure(self.learner.average, self.data, self.best.coarser_factors)

    def save_now_and_then(self) -> None:
        if self.checkpoint is None or self.budget.seconds < self.next_saving:
            return
        began = self.budget.seconds
        self.save()
        took = self.budget.seconds - began
        self.next_saving = self.budget.seconds + max(10.0, took / SAVING_SHARE)

    def save(self) -> None:
        """Write the state of the training, if there is a file for it, and it can be written."""
        if self.checkpoint is None:
            return
        state = {
            "learner": self.learner.state(),
            "given": self.given,
            "start": state_file.pack_segmenter(self.start),
            "best": state_file.pack_segmenter(self.best),
            "best_iou": self.best_iou,
            "next_validation": self.budget.next_validation,
            "seconds": self.budget.seconds,
            "seen": self.data.seen.record(),
            # the best so far was not measured on the last strokes
            "learned_from": [] if self.repainted else self.data.learned_from(),
            "log": self.log,
        }
        try:
            state_file.save(self.checkpoint, self.config, state)
        except ModelFileError as error:
            text = f"{error} What is learned is kept, but cannot be resumed from here."
            warnings.warn(text, stacklevel=2)

    def resume(self, saved: dict[str, Any]) -> None:
        """Go on where another run saved its state."""
        best = state_file.unpack_segmenter(saved["best"])
        if self.data.n_classes != best.n_classes:
            raise InputError(
                f"The training that was stopped knows no classes of cells, and "
                f"{', '.join(self.data.class_names)} are given now. Go on without them, or start "
                f"anew: with another file for its state, or Train on current labels in the dock."
            )
        self.learner.restore(saved["learner"])
        self.best, self.best_iou = continued(best, self.data), saved["best_iou"]
        if self.data.learned_from() != saved["learned_from"]:
            self.repainted_between = True
            self.best_iou = 0.0  # as of labels that are painted while it runs
        self.log = saved["log"]
        self.earlier = state_file.unpack_events(self.log, best)
        self.budget.go_on(saved["seconds"], saved["next_validation"])
