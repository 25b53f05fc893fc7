"""How long it takes to vary a training patch, beside a training step and beside other programs.

    python tests/benchmarks/augmentation.py [--json FILE] [--quick] [--device cuda]

A patch of 572 x 572 pixels is cut from a plane of 1024 x 1024 with target and weights (388 x 388
then), and a U-Net of 16 channels and depth 4 learns from it: forward, weighted loss, backward,
Adam. With other programs, image, labels and weights of 572 x 572 are deformed in full, and so they
are with ours. All runs in turns and on one thread of the CPU, and what is counted is the time of
the processor; with ``--device cuda`` it is that of the clock, until the GPU has finished.

Other programs take part where they are installed: monai, elasticdeform, albumentations. The wheel
of elasticdeform 0.5.1 does not import with NumPy 2; one built from its sources does
(``pip install --no-binary elasticdeform elasticdeform``).
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sidebyside import Result, interleaved, machine, write

from napari_unet.core.augment import Augmentation, Patch, Plane, cut_patch, elastic_deform
from napari_unet.core.unet import UNet, weighted_cross_entropy
from napari_unet.engine.learning.recipe import DEFAULT
from napari_unet.sample_data import touching_cells

PATCH, CONTEXT, PLANE = 572, 184, 1024
AT_ONCE = 16
"""Patches a call: half of them are blurred, and every one is turned and scaled in another way."""

EVERYTHING = DEFAULT.augmentation
GEOMETRY = Augmentation(
    elastic=EVERYTHING.elastic, rotate=True, mirror=True, scale=EVERYTHING.scale
)
PAPER = Augmentation(elastic=10.0, rotate=True)
"""What the other programs are asked for: 3 x 3 nodes, 10 pixels, any angle."""

STEP, MOST = "training step, base 16", 3.0

Call = Callable[[], object]


def cells(side: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """Return an image, targets and weights."""
    image, labels = touching_cells((side, side), seed=0)
    weight = np.random.default_rng(0).uniform(0.5, 10, image.shape)
    normal = (image - image.mean()) / image.std()
    return normal.astype(np.float32), (labels > 0).astype(np.uint8), weight.astype(np.float32)


def patches(plane: Plane, context: int, augmentation: Augmentation) -> list[Patch]:
    """Cut some patches, the same in every call."""
    middle = (plane.image.shape[1] - 1) / 2
    rng = np.random.default_rng(0)
    return [
        cut_patch(plane, (middle, middle), PATCH, context, rng, augmentation)
        for _ in range(AT_ONCE)
    ]


def plane_of(side: int, device: torch.device) -> Plane:
    """Return a plane of cells."""
    image, target, weight = (torch.from_numpy(values).to(device) for values in cells(side))
    return Plane(image[None], target, weight)


def training_step(plane: Plane) -> Call:
    """Return a training step on a patch that is there already."""
    patch = patches(plane, CONTEXT, EVERYTHING)[0]
    network = UNet(1, 2, base_channels=16, depth=4).to(patch.image.device)
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    image = patch.image[None].contiguous(memory_format=torch.channels_last)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        logits = network(image)
        weighted_cross_entropy(logits, patch.target[None], patch.weight[None]).backward()
        optimiser.step()

    return step


def with_monai(image: Any, target: Any, weight: Any) -> Call:
    """Deform with MONAI."""
    from monai.transforms import Rand2DElasticd

    names = {"image": image, "target": target, "weight": weight}
    data = {
        name: torch.from_numpy(values[None].astype(np.float32)) for name, values in names.items()
    }
    deform = Rand2DElasticd(
        keys=tuple(data),
        spacing=(PATCH // 2, PATCH // 2),
        magnitude_range=(PAPER.elastic, PAPER.elastic),
        prob=1.0,
        rotate_range=np.pi,
        mode=("bilinear", "nearest", "bilinear"),
        padding_mode="reflection",
    ).set_random_state(seed=0)
    return lambda: deform(data)


def with_elasticdeform(image: Any, target: Any, weight: Any) -> Call:
    """Deform with elasticdeform, linearly."""
    from elasticdeform import deform_random_grid

    rng = np.random.default_rng(0)
    return lambda: deform_random_grid(
        [image, target, weight],
        sigma=PAPER.elastic,
        points=3,
        order=[1, 0, 1],
        mode="mirror",
        rotate=rng.uniform(0, 360),
    )


def with_albumentations(image: Any, target: Any, weight: Any) -> Call:
    """Deform with albumentations, which has no bicubic grid: with smoothed noise, in two passes."""
    import albumentations

    mirrored = {"p": 1.0, "border_mode": 4}  # cv2.BORDER_REFLECT_101
    vary = albumentations.Compose(
        [
            albumentations.Affine(rotate=(-180, 180), **mirrored),
            albumentations.ElasticTransform(alpha=300, sigma=50, approximate=True, **mirrored),
        ],
        additional_targets={"weight": "image"},
        seed=0,
    )
    return lambda: vary(image=image, mask=target, weight=weight)


PEERS = {
    "MONAI Rand2DElasticd": with_monai,
    "elasticdeform.deform_random_grid": with_elasticdeform,
    "albumentations Affine + ElasticTransform": with_albumentations,
}

LEAST = {"MONAI Rand2DElasticd": 7.0, "elasticdeform.deform_random_grid": 7.0}
"""How many times as long as ours they are hoped to take."""


def peers(result: Result) -> dict[str, Call]:
    """Return the other programs; a row says why one cannot take part."""
    found = {}
    for name, make in PEERS.items():
        try:
            found[name] = make(*cells(PATCH))
        except ModuleNotFoundError:
            result.add(name, note="not installed")
        except ImportError as error:
            result.add(name, note=f"does not import: {error}")
    return found


def compare_with_step(result: Result, device: torch.device, repeats: int) -> None:
    """Add the times of a step and of patches, and the share of these."""
    plane = plane_of(PLANE, device)
    strengths = {
        "cut_patch, geometry": GEOMETRY,
        "cut_patch, default recipe": EVERYTHING,
        "cut_patch, default recipe and noise": replace(EVERYTHING, noise=0.1),
    }
    calls: dict[str, Call] = {STEP: training_step(plane)}
    calls |= {name: partial(patches, plane, CONTEXT, how) for name, how in strengths.items()}
    times = timed(calls, device, repeats)
    for name, values in times.items():
        result.add(name, values)
    for name in strengths:
        share = 100 * statistics.median(times[name]) / statistics.median(times[STEP])
        target = f"<= {MOST:g} %"
        result.add(f"{name} / step", (share,), unit="%", target=target, met=share <= MOST)


def compare_with_peers(result: Result, repeats: int) -> None:
    """Add the times of deforming image, labels and weights in full, here and elsewhere."""
    plane = plane_of(PATCH, torch.device("cpu"))
    image, target, weight = cells(PATCH)
    both, rng = np.stack([image, weight]), np.random.default_rng(0)
    ours: dict[str, Call] = {
        "cut_patch, in full": partial(patches, plane, 0, PAPER),
        "elastic_deform, weights as a channel": partial(elastic_deform, both, target, rng=rng),
    }
    others = peers(result)
    times = timed(ours | others, torch.device("cpu"), repeats)
    for name, values in times.items():
        result.add(name, values)
    for name, own in itertools.product(others, ours):
        ratio = statistics.median(times[name]) / statistics.median(times[own])
        least = LEAST.get(name)
        target, met = ("", None) if least is None else (f">= {least:g} x", ratio >= least)
        result.add(f"{name} / {own}", (ratio,), unit="x", target=target, met=met)


def timed(
    calls: dict[str, Call], device: torch.device, repeats: int
) -> dict[str, tuple[float, ...]]:
    """Time calls in turns; of those that cut several patches, each patch."""
    if device.type == "cuda":
        finished = {name: partial(_finish, call) for name, call in calls.items()}
        times = interleaved(finished, repeats, time.perf_counter, warm_up=3)
    else:
        times = interleaved(calls, repeats, time.process_time)
    return {
        name: tuple(value / (AT_ONCE if "cut_patch" in name else 1) for value in values)
        for name, values in times.items()
    }


def _finish(call: Call) -> None:
    call()
    torch.cuda.synchronize()


def count_waits(result: Result, plane: Plane) -> None:
    """Add whether a patch can be cut without the CPU waiting for the GPU."""
    patches(plane, CONTEXT, EVERYTHING)
    torch.cuda.set_sync_debug_mode("error")
    try:
        patches(plane, CONTEXT, EVERYTHING)
        waits = ""
    except RuntimeError as error:
        waits = str(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    result.add("cut_patch never waits for the GPU", note=waits, target="never", met=not waits)


def main() -> None:
    """Measure, print a table, and write what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    parser.add_argument("--device", default="cpu", help="of the step and its patches")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    repeats = 5 if options.quick else 21
    result = Result(f"Augmentation, {PATCH} x {PATCH} px, one thread, {device}")
    compare_with_step(result, device, repeats)
    if device.type == "cuda":
        count_waits(result, plane_of(PLANE, device))
    compare_with_peers(result, repeats)
    write(options.json, result, machine("torch", "monai", "elasticdeform", "albumentations"))


if __name__ == "__main__":
    main()
