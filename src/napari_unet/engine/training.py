"""Train or fine-tune a U-Net on painted labels, as a generator of events."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch

import napari_unet
from napari_unet.core.annotation import Annotation, Summary, summarise
from napari_unet.core.augment import Patch, cut_patch
from napari_unet.core.config import TrainConfig
from napari_unet.core.unet import UNet, valid_size, weighted_cross_entropy
from napari_unet.engine.calibration import fit_split
from napari_unet.engine.device import describe, select_device, torch_errors
from napari_unet.engine.events import Prepared, StepDone, Trained, TrainEvent, Validated
from napari_unet.engine.heldout import cut_block
from napari_unet.engine.recipe import Recipe, learning_rate, make_optimiser, recipe_named
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.trainingset import TrainingSet, prepare
from napari_unet.errors import JobError

__all__ = ["train"]

FIRST_VALIDATION = 2.0
"""Seconds until the first validation; the gaps between later ones grow by a fifth."""

VALIDATIONS = 12
"""How often a training with a step budget is validated; a clock would make it irreproducible."""

TOLERANCE = 0.05
"""A network is kept if its IoU on the held-out pixels is at most this much below the best one.

Few pixels are held out, so smaller differences are chance, and the later network saw more."""


def train(
    annotations: Sequence[Annotation],
    config: TrainConfig | None = None,
    *,
    segmenter: Segmenter | None = None,
) -> Iterator[TrainEvent]:
    """Train on painted labels; the last event carries the trained Segmenter.

    Every event carries the best Segmenter so far, so the generator can be closed after any of
    them and nothing that was learned until the last validation is lost.

    Parameters
    ----------
    annotations : sequence of Annotation
        Images with labels; all of one number of channels.
    config : TrainConfig, optional
        Budget, size of the network, recipe, seed, device.
    segmenter : Segmenter, optional
        Continue from this one (fine-tune); its architecture and working resolution are kept.

    Yields
    ------
    TrainEvent
        `Prepared`, then `StepDone` per step and `Validated` now and then, at last `Trained`.

    Raises
    ------
    InputError
        If nothing, or only one class, is labelled, or images and Segmenter do not fit.
    DeviceError
        If the device does not exist or its memory is too small.
    JobError
        If the loss stops being a number.
    """
    config = config or TrainConfig()
    device = select_device(config.device)
    recipe = recipe_named(config.recipe)
    with torch_errors("Use fewer base channels or a smaller depth, or train on the CPU."):
        data = prepare(annotations, config, segmenter, device)
        start = segmenter or _new_segmenter(data, config)
        yield from _Run(start, data, config, recipe, device).events(summarise(list(annotations)))


def _new_segmenter(data: TrainingSet, config: TrainConfig) -> Segmenter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = UNet(data.channels, data.n_classes, config.base_channels, config.depth)
    return Segmenter(
        weights={},
        in_channels=data.channels,
        n_classes=data.n_classes,
        base_channels=config.base_channels,
        depth=config.depth,
        kind=data.kind,
        downsample=data.downsample,
        diameter=data.diameter,
    ).with_weights(network, steps=0, seconds=0.0)


class _Run:
    """One training: the network, its optimiser and the best state so far."""

    def __init__(
        self,
        start: Segmenter,
        data: TrainingSet,
        config: TrainConfig,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.best, self.data, self.config, self.recipe = start, data, config, recipe
        self.device = device
        self.network = start.network(device)
        self.average = start.network(device) if recipe.average else self.network
        self.optimiser = make_optimiser(recipe, self.network.parameters())
        self.rng = np.random.default_rng(config.seed)
        self.size = valid_size(recipe.patch + self.network.context, self.network.depth)
        self.step, self.bad_steps = 0, 0
        self.best_iou = 0.0
        self.next_validation = FIRST_VALIDATION
        self.began = time.perf_counter()
        self.before = (start.provenance.get("steps", 0), start.provenance.get("seconds", 0.0))

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def progress(self) -> float:
        """Return the used share of the budget; of the steps, if they are limited."""
        if self.config.steps:
            return min(self.step / self.config.steps, 1.0)
        return min(self.seconds / self.config.seconds, 1.0) if self.config.seconds else 0.0

    def over(self) -> bool:
        """Return whether the budget of steps or that of seconds is used up."""
        late = self.config.seconds > 0 and self.seconds >= self.config.seconds
        return late or self.progress() >= 1

    def validation_due(self) -> bool:
        """Return whether to validate now: by steps if they are limited, otherwise by the clock."""
        if self.config.steps:
            return self.step % max(1, self.config.steps // VALIDATIONS) == 0
        if self.seconds < self.next_validation:
            return False
        self.next_validation = self.seconds * 1.2 + FIRST_VALIDATION
        return True

    def events(self, labelled: Summary) -> Iterator[TrainEvent]:
        resolution = ""
        if self.data.downsample > 1:
            resolution = f", at 1/{self.data.downsample} of the resolution"
        held_out = f"{len(self.data.held_out)} blocks held out to measure the quality"
        if not self.data.held_out:
            held_out = "too little labelled to hold any out"
        yield Prepared(
            message=f"{labelled}; {held_out}; on {describe(self.device)}{resolution}",
            segmenter=self.best,
        )
        if self.data.held_out and self.before[0]:
            self.best_iou = self.measure()[1]  # what a fine-tuned network has to keep up with
        while not self.over():
            loss = self.take_step()
            if self.step == 1 or self.validation_due():
                yield self.validate(labelled)
            yield StepDone(
                step=self.step,
                loss=loss,
                seconds=self.seconds,
                progress=self.progress(),
                segmenter=self.best,
            )
        yield self.validate(labelled)
        self.best = fit_split(self.best, self.data)
        yield Trained(steps=self.step, seconds=self.seconds, segmenter=self.best)

    def take_step(self) -> float:
        """Take one optimiser step; return its loss."""
        self.step += 1
        rate = learning_rate(self.recipe, self.step, self.progress())
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        patches = [self.draw_patch() for _ in range(self.recipe.batch)]
        image, target, weight = (
            torch.stack([getattr(patch, name) for patch in patches])
            for name in ("image", "target", "weight")
        )
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            # dropout depends on the seed and the step only
            torch.manual_seed(self.config.seed * 1_000_003 + self.step)
            logits = self.network(image.contiguous(memory_format=torch.channels_last))
        loss = weighted_cross_entropy(logits, target, weight)
        value = float(loss.detach())
        if not np.isfinite(value):
            self.skip_bad_step(value)
            return value
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.update_average()
        return value

    def draw_patch(self) -> Patch:
        plane, y, x = self.data.draw_centre(self.rng)
        reach = (self.size - self.network.context) / 4
        y, x = y + self.rng.uniform(-reach, reach), x + self.rng.uniform(-reach, reach)
        return cut_patch(
            self.data.planes[plane],
            (y, x),
            self.size,
            self.network.context,
            self.rng,
            self.recipe.augmentation,
        )

    def skip_bad_step(self, loss: float) -> None:
        self.bad_steps += 1
        if self.bad_steps >= 10:
            raise JobError(
                f"Training stopped at step {self.step}: the loss became {loss}. The model is as "
                f"it was at the last validation; check the image for extreme values."
            )

    @torch.no_grad()
    def update_average(self) -> None:
        if self.average is self.network:
            return
        # the first steps are far from anything worth averaging
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)

    def validate(self, labelled: Summary) -> Validated:
        """Measure on the held-out blocks; keep the network unless it got worse."""
        loss, iou = self.measure() if self.data.held_out else (float("nan"), float("nan"))
        finite = all(bool(p.isfinite().all()) for p in self.average.parameters())
        if finite and not iou < self.best_iou - TOLERANCE:
            self.best_iou = max(self.best_iou, iou) if self.data.held_out else 0.0
            steps, seconds = self.before
            self.best = self.best.with_weights(
                self.average,
                steps=steps + self.step,
                seconds=round(seconds + self.seconds, 2),
                iou=round(iou, 4) if self.data.held_out else None,
                labelled=str(labelled),
                recipe=self.config.recipe,
                seed=self.config.seed,
                version=napari_unet.__version__,
                torch=torch.__version__,
                date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
        return Validated(
            step=self.step, seconds=self.seconds, loss=loss, iou=iou, segmenter=self.best
        )

    @torch.inference_mode()
    def measure(self) -> tuple[float, float]:
        """Return weighted cross entropy and mean IoU on the held-out blocks."""
        self.average.eval()
        total, pixels = 0.0, 0
        confusion = torch.zeros(self.data.n_classes, self.data.n_classes)
        for block in self.data.held_out:
            plane, held_out = self.data.planes[block.plane], self.data.held_out_weights[block.plane]
            image, target, weight = cut_block(plane, held_out, block, self.average)
            logits = self.average(image.to(self.device)).cpu()
            known = weight > 0
            total += float(weighted_cross_entropy(logits, target, weight)) * int(known.sum())
            pixels += int(known.sum())
            pair = target[known] * self.data.n_classes + logits.argmax(1)[known]
            confusion += torch.bincount(pair, minlength=confusion.numel()).view_as(confusion)
        union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
        iou = confusion.diagonal() / union.clamp(min=1)
        iou = iou[1:] if self.data.kind == "cells" else iou[union > 0]
        return total / max(pixels, 1), float(iou.mean())
