"""One training from its first step to its last: what it is asked meanwhile, and what it tells."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import napari_unet
from napari_unet.core.config import TrainConfig
from napari_unet.engine.device import describe
from napari_unet.engine.events import Learned, Prepared, StepDone, Trained, TrainEvent, Validated
from napari_unet.engine.learning import checkpoint as state_file
from napari_unet.engine.learning.budget import Budget
from napari_unet.engine.learning.calibration import calibrate
from napari_unet.engine.learning.learner import Learner
from napari_unet.engine.learning.newmodel import continued
from napari_unet.engine.learning.preview import Preview
from napari_unet.engine.learning.quality import is_worse, measure
from napari_unet.engine.learning.ranks import Ranks
from napari_unet.engine.learning.recipe import recipe_named
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.learning.verdict import compare
from napari_unet.engine.process.mailbox import Finish, Look, Mailbox, Repainted
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import begins_with_starter
from napari_unet.errors import InputError, ModelFileError

__all__ = ["RENEWAL_GAP", "Run"]

OVER = -1.0
"""Instead of a used share of the budget: no step is left."""

RENEWAL_GAP = 0.5
"""Seconds between two looks at new strokes, at least: somebody who paints makes many."""

SAVING_SHARE = 0.02
"""Of the time, at most, that goes into saving the state of the training."""


class Run:
    """One training: who learns, from what, and the best state so far.

    Parameters
    ----------
    start : Segmenter
        What it begins with.
    data : TrainingSet
        What is learned from.
    config : TrainConfig
        As for `napari_unet.engine.training.train`.
    device : torch.device
        Where.
    checkpoint : Path or None
        The file for its state.
    ranks : Ranks
        Which of several processes, that train together, this is.
    given : str
        `identity` of the model that it continues.
    """

    def __init__(
        self,
        start: Segmenter,
        data: TrainingSet,
        config: TrainConfig,
        device: torch.device,
        checkpoint: Path | None,
        ranks: Ranks,
        given: str,
    ) -> None:
        self._start = self._best = start
        self._data, self._config, self._device, self._ranks = data, config, device, ranks
        recipe = recipe_named(config.recipe)
        recipe = replace(recipe, batch=config.batch or recipe.batch * ranks.count)
        self._scales = recipe.scales
        self._learner = Learner(start, recipe, config.seed, device, ranks)
        self._preview = Preview(device)
        self._checkpoint, self._next_saving = checkpoint, 0.0
        self._given = given
        self._best_iou: float | None = None
        self._repainted, self._next_renewal = False, 0.0
        self._repainted_between = False  # that it was stopped and that it goes on
        self._log: list[tuple[Any, ...]] = []
        self._earlier: tuple[StepDone | Validated, ...] = ()
        self._budget = Budget(config)
        self._before = (start.provenance.get("steps", 0), start.provenance.get("seconds", 0.0))
        self._begins_with_starter = not self._before[0] and begins_with_starter(config)
        trained_before = self._before[0] > 0 and config.recipe == "default"
        self._knows_more = self._begins_with_starter or trained_before  # than what is painted now

    def events(self, mailbox: Mailbox) -> Iterator[TrainEvent]:
        """Train, and tell what happens; the state is saved when this is closed."""
        yield Prepared(message=self._describe(), segmenter=self._best, earlier=self._earlier)
        if self._best_iou is None:
            fine_tuned = self._data.held_out and self._before[0] and self._ranks.is_first
            # what a fine-tuned network has to keep up with
            self._best_iou = self._measured()[1] if fine_tuned else 0.0
        try:
            while True:
                self._read(mailbox)
                progress = self._ranks.agree(self._progress())
                if progress == OVER:
                    break
                yield from self._preview.events(
                    self._learner.average, self._learner.step, self._best
                )
                loss = self._learner.take_step(self._data, progress)
                told: list[StepDone | Validated] = [self._step_done(loss)]
                if self._learner.step == 1 or self._budget.validation_due(self._learner.step):
                    told += self._validate()
                # nothing is left to do for this step when somebody closes this generator
                yield from told
                self._save_now_and_then()
            yield from self._validate()
            step, seconds = self._learner.step, self._budget.seconds
            yield Learned(step=step, seconds=seconds, segmenter=self._best)
        except GeneratorExit:
            self._save()
            raise
        yield self._end()
        # only now: whoever could not keep the model can go on from the state
        if self._checkpoint is not None:
            with suppress(OSError):  # the disk may be gone
                self._checkpoint.unlink()

    def resume(self, saved: dict[str, Any]) -> None:
        """Go on where another run saved its state."""
        best = state_file.unpack_segmenter(saved["best"])
        if self._data.n_classes != best.n_classes:
            raise InputError(
                f"The training that was stopped knows no classes of cells, and "
                f"{', '.join(self._data.class_names)} are given now. Go on without them, or start "
                f"anew: with another file for its state, or Train on current labels in the dock."
            )
        self._learner.restore(saved["learner"])
        self._best, self._best_iou = continued(best, self._data), saved["best_iou"]
        if self._data.learned_from() != saved["learned_from"]:
            self._repainted_between = True
            self._best_iou = 0.0  # as of labels that are painted while it runs
        self._log = saved["log"]
        self._earlier = state_file.unpack_events(self._log, best)
        self._budget.go_on(saved["seconds"], saved["next_validation"])

    def _progress(self) -> float:
        """Return the used share of the budget before a step, or `OVER`."""
        step = self._learner.step
        over = self._budget.over(step) and not self._repainted
        return OVER if over else self._budget.progress(step)

    def _end(self) -> Trained:
        """Fit and score the best network; return it, in every process."""
        score = None
        if self._ranks.is_first:
            known = self._start if self._knows_more else None
            self._best = calibrate(self._best, self._data, known, scales=self._scales)
            score = compare(self._start if self._before[0] else None, self._best, self._data)
        self._best, score = self._ranks.hand_out((self._best, score))
        steps = self._learner.step
        return Trained(steps=steps, seconds=self._budget.seconds, segmenter=self._best, score=score)

    def _describe(self) -> str:
        labelled = self._data.summary()
        resolution = ""
        if self._data.downsample > 1:
            resolution = f", at 1/{self._data.downsample} of the resolution"
        where = describe(self._device)
        if self._ranks.count > 1:
            where = f"{self._ranks.count} processes, each on {where}"
        blocks = len(self._data.held_out)
        held_out = f"{blocks} block{'s' * (blocks > 1)} held out to measure the quality"
        if not self._config.validate:
            held_out = "nothing held out, as asked for"
        elif not self._data.held_out:
            new = " that is new to the model" if self._before[0] else ""
            held_out = f"too little labelled{new} to hold any out"
        beginning = ""
        if self._begins_with_starter:
            beginning = "; begins with the starter model"
        resumed = f"; resumed at step {self._learner.step}" if self._learner.step else ""
        if self._repainted_between:
            resumed += ", with other labels than before"
        return f"{labelled}; {held_out}; on {where}{resolution}{beginning}{resumed}"

    def _read(self, mailbox: Mailbox) -> None:
        """Do what the program asks for."""
        strokes = []
        for message in mailbox.take():
            if isinstance(message, Repainted):
                strokes.append(message)
            elif isinstance(message, Look):
                self._preview.look_at(message)
            elif isinstance(message, Finish):
                self._budget.finish(self._learner.step)
        if strokes:
            self._data.repaint(strokes)
            self._repainted = True
        if not self._repainted or self._budget.seconds < self._next_renewal:
            return
        self._repainted, self._next_renewal = False, self._budget.seconds + RENEWAL_GAP
        # all of a class may be erased for the moment: then go on with what there was
        with suppress(InputError):
            self._data.renew()
            self._best_iou = 0.0  # other pixels are held out now, and the old figure says nothing

    def _step_done(self, loss: float) -> StepDone:
        event = StepDone(
            step=self._learner.step,
            loss=loss,
            seconds=self._budget.seconds,
            progress=self._budget.progress(self._learner.step),
            segmenter=self._best,
        )
        self._log.append((event.step, event.seconds, loss, event.progress, "step"))
        return event

    def _validate(self) -> Iterator[Validated]:
        """Measure on the held-out blocks; keep the network unless it got worse."""
        if not self._ranks.is_first:
            return
        average, step = self._learner.average, self._learner.step
        held_out = bool(self._data.held_out)
        loss, iou = self._measured() if held_out else (float("nan"), float("nan"))
        finite = all(bool(p.isfinite().all()) for p in average.parameters())
        best_iou = self._best_iou or 0.0
        if finite and not is_worse(iou, best_iou, len(self._data.held_out)):
            self._best_iou = max(best_iou, iou) if held_out else 0.0
            steps, seconds = self._before
            better = self._best.with_weights(
                average,
                steps=steps + step,
                seconds=round(seconds + self._budget.seconds, 2),
                iou=round(iou, 4) if held_out else None,
                labelled=str(self._data.summary()),  # not at each stroke: it looks at all planes
                recipe=self._config.recipe,
                seed=self._config.seed,
                version=napari_unet.__version__,
                torch=str(torch.__version__),  # its own type would bring torch to the program
                date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
            self._best = replace(better, seen=self._data.seen.record())
        event = Validated(
            step=step, seconds=self._budget.seconds, loss=loss, iou=iou, segmenter=self._best
        )
        self._log.append((step, event.seconds, loss, iou, "validated"))
        yield event

    def _measured(self) -> tuple[float, float]:
        """Return loss and IoU of the present network on what is held out."""
        return measure(self._learner.average, self._data, self._best.coarser_factors)

    def _save_now_and_then(self) -> None:
        if self._checkpoint is None or self._budget.seconds < self._next_saving:
            return
        began = self._budget.seconds
        self._save()
        took = self._budget.seconds - began
        self._next_saving = self._budget.seconds + max(10.0, took / SAVING_SHARE)

    def _save(self) -> None:
        """Write the state of the training, if there is a file for it, and it can be written."""
        if self._checkpoint is None:
            return
        state = {
            "learner": self._learner.state(),
            "given": self._given,
            "start": state_file.pack_segmenter(self._start),
            "best": state_file.pack_segmenter(self._best),
            "best_iou": self._best_iou,
            "next_validation": self._budget.next_validation,
            "seconds": self._budget.seconds,
            "seen": self._data.seen.record(),
            # the best so far was not measured on the last strokes
            "learned_from": [] if self._repainted else self._data.learned_from(),
            "log": self._log,
        }
        try:
            state_file.save(self._checkpoint, self._config, state)
        except ModelFileError as error:
            text = f"{error} What is learned is kept, but cannot be resumed from here."
            warnings.warn(text, stacklevel=2)
