"""How close a forward pass on a CPU comes to what the processor can do, and what it waits for.

One command::

    python tests/benchmarks/forward.py --json forward.json

The paper's tile (572 x 572) and depth, 32 channels, one thread, CPU time: the operations per second
beside those of one large matrix multiplication, beside the same network in the layout that torch
uses by default (NCHW), and beside those of one convolution that fits the cache, which is what the
processor can do. Then, each in a process of its own: the time until the first tile of a
model that was never run before, and the peak of the memory at 64 channels.
"""

from __future__ import annotations

import argparse
import statistics

from sidebyside import Result, in_turns, machine, write

from napari_unet.engine.memory import cost_of_pass

SIDE, DEPTH, BASE, MATRIX = 572, 4, 32, 2048
CHANNELS, MAP = 128, 138
"""Of the one convolution."""

FIRST_TILE = """
import time
import napari_unet.engine, numpy as np, torch
from napari_unet.core.config import PredictConfig
from napari_unet.core.unet import UNet
from napari_unet.engine.process import warm
from napari_unet.engine.inference import predict
from napari_unet.engine.segmenter import Segmenter
empty = Segmenter(weights={{}}, in_channels=1, n_classes=2, base_channels={base}, depth=4)
segmenter = empty.with_weights(UNet(1, 2, {base}, 4))
image = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
out = np.zeros((2, 2048, 2048), np.float32)
began = time.perf_counter()
next(predict(segmenter, image, out, PredictConfig(device="cpu")))
print(time.perf_counter() - began)
"""

PEAK = """
import napari_unet.engine, torch
from napari_unet.core.unet import UNet
torch.set_num_threads(1)
network = UNet(1, 2, 64, 4).eval().to(memory_format=torch.channels_last)

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

with torch.{mode}():
    network(torch.zeros(1, 1, 252, 252))
    image = torch.zeros(1, 1, {side}, {side})
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    network(image)
    print((status("VmHWM") - before) / (64 * 4 * {side} ** 2))
"""


SPEED = """
import statistics, time
{before}
import torch
from napari_unet.core.unet import UNet
torch.set_num_threads(1)
torch.manual_seed(0)
network = UNet(1, 2, {base}, {depth}).eval().to(memory_format=torch.{layout})
image = torch.randn(1, 1, {side}, {side})
one = torch.randn({matrix}, {matrix})
last = {{"memory_format": torch.channels_last}}
maps = torch.randn(1, {channels}, {map}, {map}).to(**last)
kernels = torch.randn({channels}, {channels}, 3, 3).to(**last)

def seconds(run):
    run()
    times = []
    for _ in range(5):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return statistics.median(times)

{weights}
with torch.{mode}():
    print(seconds(lambda: {run}))
"""
"""What is run, with torch as it comes or as the engine sets it."""


def efficiency(result: Result, rounds: int) -> None:
    """Compare operations per second."""
    common = {"base": BASE, "depth": DEPTH, "side": SIDE, "matrix": MATRIX}
    common |= {"channels": CHANNELS, "map": MAP}
    plain = {"before": "", "layout": "contiguous_format", "mode": "enable_grad"}
    plain["weights"] = "[weight.requires_grad_(False) for weight in network.parameters()]"
    engine = {"before": "import napari_unet.engine", "layout": "channels_last"}
    engine |= {"weights": "", "mode": "inference_mode"}
    convolution = 2 * 9 * CHANNELS**2 * (MAP - 2) ** 2
    whole = cost_of_pass(1, 2, BASE, DEPTH, (SIDE, SIDE), in_strips=False).operations
    ways: dict[str, tuple[dict[str, str], str, int]] = {
        "torch.mm": (plain, "torch.mm(one, one)", 2 * MATRIX**3),
        "one convolution": (engine, "torch.conv2d(maps, kernels)", convolution),
        "eager, NCHW": (plain, "network(image)", whole),
        "ours": (engine, "network(image)", whole),
    }
    scripts = {
        name: ["-c", SPEED.format(**common, **how, run=run)] for name, (how, run, _) in ways.items()
    }
    times = in_turns(scripts, rounds)
    speeds = {
        name: tuple(ways[name][2] / seconds / 1e9 for seconds in values)
        for name, values in times.items()
    }
    for name, values in speeds.items():
        result.add(name, values, unit="GFLOP/s")
    result.ratio(
        "ours over torch.mm", speeds["ours"], speeds["torch.mm"], ">= 0.70", lambda r: r >= 0.7
    )
    result.ratio("ours over one convolution", speeds["ours"], speeds["one convolution"])
    result.ratio(
        "ours over eager, NCHW", speeds["ours"], speeds["eager, NCHW"], ">= 1.5", lambda r: r >= 1.5
    )


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    result = Result(f"A forward pass, {BASE} channels, depth {DEPTH}, {SIDE} x {SIDE}, one thread")
    efficiency(result, args.rounds)
    for base in (16, 32, 64):
        first = in_turns({"": ["-c", FIRST_TILE.format(base=base)]}, 3)[""]
        result.add(
            f"first tile of a new model on 2048 x 2048, {base} channels, all cores",
            first,
            target="< 1 s" if base == BASE else "",
            met=statistics.median(first) < 1 if base == BASE else None,
        )
    for side in (572, 1212):
        scripts = {
            mode: PEAK.format(mode=mode, side=side) for mode in ("inference_mode", "enable_grad")
        }
        peaks = in_turns({mode: ["-c", script] for mode, script in scripts.items()}, 3)
        ours, plain = peaks.values()
        result.add(
            f"peak memory, 64 channels, {side}",
            ours,
            unit="x 64 x 4 bytes a pixel",
            target="<= 2.5",
            met=statistics.median(ours) <= 2.5,
            note=f"with gradients {statistics.median(plain):.3g}",
        )
    write(args.json, result, machine("torch"))


if __name__ == "__main__":
    main()
