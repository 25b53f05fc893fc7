"""How long a training step takes, beside the leanest plain loop of torch, and where its time goes.

    python tests/benchmarks/training_step.py [--json FILE] [--quick]

A U-Net of 16 channels learns touching cells on a plane of 1024 x 1024 pixels: with the default
recipe (depth 3, patches of 220 -> 132 pixels), and with the large patches of the paper (depth 4,
572 -> 388). Ours is the whole step: cut a patch, forward, loss, backward, clip, optimiser, running
average, and to read the loss. The plain loops have the same network (channels-last), loss and
optimiser, and learn one patch, which is in memory, again and again; they neither clip nor average.
Both compute with 16 bits (bfloat16) where the device is fast with them.
All on one thread, in turns, and what is counted is the time of the processor.

Where there is a GPU of CUDA, the steps of 64 channels are timed there too, as plain calls and as a
graph, by the clock.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sidebyside import Result, interleaved, machine, torch, write

from napari_unet.core.annotation import Annotation
from napari_unet.core.config import TrainConfig
from napari_unet.core.unet import UNet, weighted_cross_entropy
from napari_unet.engine.device import is_fast_with_bfloat16
from napari_unet.engine.learning.learner import Learner
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.recipe import DEFAULT
from napari_unet.engine.learning.run import RENEWAL_GAP
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.process.mailbox import Repainted
from napari_unet.engine.segmenter import Segmenter
from napari_unet.sample_data import touching_cells

PLANE, PARTS = 1024, ("sampling", "forward and loss", "backward", "clip and optimiser", "average")
MOST, BOTTLENECK = 1.05, 10.0
"""How many times as long as the plain loop; how much of a step sampling may take, in per cent."""


@dataclass(frozen=True)
class Case:
    """A network and its patches."""

    base: int
    depth: int
    patch: int
    repeats: int = 0

    @property
    def name(self) -> str:
        """In the words of the table."""
        side = UNet(base_channels=1, depth=self.depth).valid_size(self.patch + self.context)
        return f"{side} -> {side - self.context}, base {self.base}, depth {self.depth}"

    @property
    def context(self) -> int:
        """Pixels by which the output is smaller."""
        return 12 * 2**self.depth - 8

    def start(self) -> Segmenter:
        """Return the network to begin with."""
        torch.manual_seed(0)
        shape = {"in_channels": 1, "n_classes": 2, "base_channels": self.base, "depth": self.depth}
        return Segmenter(weights={}, **shape).with_weights(UNet(**shape))

    def learner(self, device: torch.device) -> Learner:
        """Return what takes our steps."""
        return Learner(self.start(), replace(DEFAULT, patch=self.patch), 0, device)


DEFAULT_CASE, LARGE = Case(16, 3, 132, 41), Case(16, 4, 388, 11)
ON_CUDA = {Case(64, 4, 132): 0.8, Case(64, 4, 388): 3.0}
"""Milliseconds that are hoped for."""


def cells(device: torch.device) -> TrainingSet:
    """Return what is learned."""
    image, labels = touching_cells((PLANE, PLANE), seed=0)
    config = TrainConfig(downsample=1, validate=False)
    return prepare([Annotation(image, labels)], config, None, device)


def plain_loop(
    case: Case, data: TrainingSet, half: bool | None = None, **how: bool
) -> Callable[[], object]:
    """Return the shortest step that learns, with 16 bits where that is fast, or as told."""
    device = data.planes[0].image.device
    half = is_fast_with_bfloat16(device) if half is None else half
    patch = case.learner(device)._draw_patch(data, 0)
    network = case.start().network(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4, **how)
    image = patch.image[None].contiguous(memory_format=torch.channels_last)
    target, weight = patch.target[None], patch.weight[None]

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = network(image)
        weighted_cross_entropy(logits.float(), target, weight).backward()
        optimiser.step()

    return step


def in_parts(learner: Learner, data: TrainingSet) -> list[float]:
    """Take a step of ours; return the seconds of its parts."""
    update, times = learner._update, [time.process_time()]
    learner._cut_patches(data)
    update.prepare(1, 1e-3)
    times.append(time.process_time())
    image, target, weight = learner._patches
    learner.network.train()
    with learner._dropout.seeded(0, learner._device):
        with learner._precision():
            logits = learner.network(image)
        loss = weighted_cross_entropy(logits.float(), target, weight)
    times.append(time.process_time())
    gradients = torch.autograd.grad(loss, update._weights.parameters)
    times.append(time.process_time())
    gradient = update._weights.gather(gradients)
    norm = torch.linalg.vector_norm(gradient)
    fine = loss.detach().isfinite() & norm.isfinite()
    gradient.mul_((1 / (norm + 1e-6)).clamp(max=1))
    update._step(fine)
    times.append(time.process_time())
    assert update._average is not None
    update._average.lerp_(update._weights.vector, update._follow * fine)
    learner._told.read()
    times.append(time.process_time())
    return np.diff(times).tolist()


def compare(result: Result, case: Case, data: TrainingSet, repeats: int) -> None:
    """Add our step and the plain ones, their ratio, and the shares of the parts of ours."""
    learner = case.learner(torch.device("cpu"))
    loops = {
        "AdamW as it comes": {},
        "AdamW fused": {"fused": True},
        "AdamW fused, 32 bits": {"fused": True, "half": False},
    }
    calls: dict[str, Callable[[], object]] = {
        f"{case.name}: plain loop, {name}": plain_loop(case, data, **how)
        for name, how in loops.items()
    }
    ours = f"{case.name}: ours, the whole step"
    calls[ours] = partial(learner.take_step, data, 0.1)
    times = interleaved(calls, repeats, warm_up=2)
    for name, values in times.items():
        result.add(name, values)
    leanest = min((times[name] for name in calls if name != ours), key=statistics.median)
    result.ratio(
        "    over the leanest plain loop", times[ours], leanest, f"<= {MOST}", lambda r: r <= MOST
    )
    parts = np.array([in_parts(learner, data) for _ in range(repeats)])
    shares = 100 * parts / parts.sum(axis=1, keepdims=True)
    for name, values in zip(PARTS, shares.T.tolist(), strict=True):
        least = statistics.median(values)
        target, met = "", None
        if name == "sampling":
            target, met = f"<= {BOTTLENECK:g} %", least <= BOTTLENECK
        result.add(f"    {name}", tuple(values), unit="%", target=target, met=met)


def paint_along(result: Result, data: TrainingSet, repeats: int) -> None:
    """Add what a stroke costs: targets, weights and patch centres are made anew."""
    labels = touching_cells((PLANE, PLANE), seed=0)[1]
    box = (slice(500, 540), slice(500, 540))
    strokes = [labels[box], np.where(labels[box] > 0, 0, labels.max() + 1)]

    def stroke() -> None:
        strokes.reverse()
        data.repaint([Repainted(plane=0, box=box, labels=strokes[0])])
        data.renew()

    times = interleaved({"": stroke}, repeats)[""]
    result.add(f"a stroke on {PLANE} x {PLANE} px: repaint and renew", times)
    share = 100 * statistics.median(times) / RENEWAL_GAP
    note = f"at most one in {RENEWAL_GAP:g} s"
    result.add("    of the time of who paints without a pause", (share,), unit="%", note=note)


def on_cuda(result: Result, case: Case, target: float, data: TrainingSet, repeats: int) -> None:
    """Add a step on the GPU: by plain calls, as a graph, and without sampling."""
    device = data.planes[0].image.device
    plain, graphed = case.learner(device), case.learner(device)
    plain._captured = lambda learn: learn()  # type: ignore[assignment]
    calls: dict[str, Callable[[], object]] = {
        "plain loop, AdamW fused": plain_loop(case, data, fused=True),
        "ours, plain calls": partial(plain.take_step, data, 0.1),
        "ours, as a graph": partial(graphed.take_step, data, 0.1),
        "ours, as a graph, without sampling": partial(graphed._captured, graphed._learn),
        "ours, sampling alone": partial(graphed._cut_patches, data),
    }
    many = 50

    def often(call: Callable[[], object]) -> None:
        for _ in range(many):
            call()
        torch.cuda.synchronize(device)

    repeated = {name: partial(often, call) for name, call in calls.items()}
    times = interleaved(repeated, repeats, time.perf_counter)
    refused = graphed._captured.refusal
    for name, values in times.items():
        each = tuple(1000 * value / many for value in values)
        note = f"{1000 / statistics.median(each):.0f} steps/s"
        goal, met = "", None
        if name == "ours, as a graph":
            goal, met = f"<= {target} ms", statistics.median(each) <= target
            note += f"; no graph: {refused.splitlines()[0]}" if refused else ""
        result.add(f"GPU, {case.name}: {name}", each, unit="ms", note=note, target=goal, met=met)
    result.ratio(
        "    over the plain loop",
        times["ours, as a graph"],
        times["plain loop, AdamW fused"],
        f"<= {MOST}",
        lambda ratio: ratio <= MOST,
    )


def main() -> None:
    """Measure, print a table, and write what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = cells(torch.device("cpu"))
    result = Result("Training step, one thread, time of the processor")
    for case in (DEFAULT_CASE, LARGE):
        compare(result, case, data, 5 if options.quick else case.repeats)
    paint_along(result, data, 3 if options.quick else 11)
    if torch.cuda.is_available():
        on_gpu = cells(torch.device("cuda"))
        for case, target in ON_CUDA.items():
            on_cuda(result, case, target, on_gpu, 3 if options.quick else 11)
    else:
        result.add("steps on a GPU", note="no CUDA device here")
    write(options.json, result, machine("torch"))


if __name__ == "__main__":
    main()
