"""What it costs to segment a plane in tiles, and how exact that is, beside what others do.

One command::

    python tests/benchmarks/tiling.py --json tiling.json

One network of the paper's depth (4) and 16 channels, on 1024 x 1024 pixels. All of it with one
thread and CPU time, in turns, each in processes of its own: the others with torch as it comes. They
are run as their own code and defaults run them: in the layout NCHW, on a network of the same
convolutions, padded, because none of them knows a network that is smaller at the output than at
the input. ``pip install monai nnunetv2`` brings them.

Ours is the whole way from grey values to probabilities: statistics, normalisation, tiles, softmax.
The others get normalised pixels and give logits.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import operator
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from sidebyside import PLAIN, Result, in_turns, interleaved, machine, torch, write
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.core.config import PredictConfig
from napari_unet.core.tiles import read_mirrored, tile_grid
from napari_unet.core.unet import UNet
from napari_unet.engine.inference import probabilities
from napari_unet.engine.segmenter import Segmenter

SIDE, BASE, DEPTH = 1024, 16, 4
PAPER_TILE, PAPER_OUTPUT = 572, 388

OURS = "ours"
MONAI = "MONAI sliding_window_inference, 256, overlap 0.25"
PAPER = "the paper's tiles 572 -> 388"
NNUNET = "nnU-Net, 512, its default with mirroring"
GOALS = {MONAI: 1.8, PAPER: 2.3, NNUNET: 10.0}
"""How many times as long as ours they should take at least."""

Image = NDArray[np.float32]


class Padded(nn.Module):
    """A network of the same convolutions, padded: as large at the output as at the input."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.padding = (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, Y, X) to logits of the same sides."""
        net, skips = self.network, []
        for block in net.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = net.bottom(x)
        for up, merge in zip(net.up, net.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        return net.head(x)


def new_network() -> UNet:
    """Return the network that all of them run, with its He weights."""
    torch.manual_seed(0)
    return UNet(1, 2, BASE, DEPTH).eval()


def segmenter_of(network: UNet) -> Segmenter:
    """Pack it as a model."""
    empty = Segmenter(
        weights={}, in_channels=1, n_classes=2, base_channels=BASE, depth=DEPTH, kind="cells"
    )
    return empty.with_weights(network, steps=0, seconds=0.0)


@torch.inference_mode()
def logits_of(network: UNet, image: Image, output: int | tuple[int, ...]) -> Image:
    """Return the logits (K, Y, X) of a normalised plane, tile by tile."""
    logits = np.empty((2, *image.shape), dtype=np.float32)
    for tile in tile_grid(
        image.shape, output=output, context=network.context, stride=network.stride
    ):
        pixels = torch.from_numpy(read_mirrored(image, tile.read).copy())[None, None]
        values = network(pixels.contiguous(memory_format=torch.channels_last))[0].numpy()
        logits[(slice(None), *tile.write)] = values[(slice(None), *tile.crop)]
    return logits


@torch.inference_mode()
def paper_tiles(network: UNet, image: Image) -> Image:
    """Segment as figure 2 and the plugin for Fiji do: 572 -> 388, moved on by 388, NCHW."""
    count = -(-SIDE // PAPER_OUTPUT)
    half, more = network.context // 2, count * PAPER_OUTPUT - SIDE
    padded = np.pad(image, (half, half + more), mode="reflect")
    logits = np.empty((2, count * PAPER_OUTPUT, count * PAPER_OUTPUT), dtype=np.float32)
    for y, x in itertools.product(range(0, count * PAPER_OUTPUT, PAPER_OUTPUT), repeat=2):
        tile = torch.from_numpy(padded[y : y + PAPER_TILE, x : x + PAPER_TILE].copy())
        logits[:, y : y + PAPER_OUTPUT, x : x + PAPER_OUTPUT] = network(tile[None, None])[0]
    return logits[:, :SIDE, :SIDE]


def monai_inferer(padded: nn.Module, image: Image, roi: int) -> Callable[[], object] | None:
    """Return MONAI's sliding window at its defaults, or None without MONAI."""
    try:
        from monai.inferers.utils import sliding_window_inference
    except ImportError:
        return None
    batch = torch.from_numpy(image)[None, None]

    @torch.inference_mode()
    def run() -> object:
        return sliding_window_inference(batch, roi, 4, padded, overlap=0.25)

    return run


def nnunet_predictor(padded: nn.Module, image: Image, mirror: bool) -> Callable[[], object] | None:
    """Return nnU-Net's own predictor at its defaults, patch 512, or None without nnU-Net."""
    try:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    except ImportError:
        return None
    predictor = nnUNetPredictor(
        device=torch.device("cpu"), use_mirroring=mirror, perform_everything_on_device=False
    )
    predictor.allow_tqdm = False
    predictor.network, predictor.allowed_mirroring_axes = padded, (0, 1)
    predictor.configuration_manager = SimpleNamespace(patch_size=[512, 512])
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=2)
    data = torch.from_numpy(image)[None, None]
    return lambda: predictor.predict_sliding_window_return_logits(data)


def exactness(result: Result, network: UNet, rng: np.random.Generator) -> None:
    """Compare tiles of many sizes with one pass over the whole image."""
    last = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for shape in ((SIDE, SIDE), (997, 1013)):
        image = rng.random(shape, dtype=np.float32)
        whole = logits_of(last, image, tuple(16 * (-(-n // 16)) + 4 for n in shape))
        for output in (148, 196, 388, 516, 708):
            tiled = logits_of(last, image, output)
            worst = float(np.abs(tiled - whole).max())
            flips = int((tiled.argmax(0) != whole.argmax(0)).sum())
            result.add(
                f"{shape[0]} x {shape[1]}, tiles of {output}: largest logit difference",
                (worst,),
                unit="",
                note=f"{flips} class flips",
                target="<= 1e-5, 0 flips",
                met=worst <= 1e-5 and flips == 0,
            )


def competitors(image: Image) -> dict[str, Callable[[], Callable[[], object] | None]]:
    """Return, by name, what makes each of them ready to run."""
    padded = Padded(new_network()).eval()
    return {
        OURS: lambda: partial(
            probabilities, segmenter_of(new_network()), image, PredictConfig(device="cpu")
        ),
        MONAI: lambda: monai_inferer(padded, image, 256),
        "MONAI sliding_window_inference, 512, overlap 0.25": lambda: monai_inferer(
            padded, image, 512
        ),
        PAPER: lambda: partial(paper_tiles, new_network(), image),
        "nnU-Net, 512, without mirroring": lambda: nnunet_predictor(padded, image, mirror=False),
        NNUNET: lambda: nnunet_predictor(padded, image, mirror=True),
    }


def one(name: str, repeats: int) -> None:
    """Print the CPU seconds of one of them; for a process of its own."""
    torch.set_num_threads(1)
    image = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
    with contextlib.redirect_stdout(sys.stderr):
        run = competitors(image)[name]()
        if run is None:
            return
        times = interleaved({name: run}, repeats)[name]
    print(*times)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, repeats=3)
        return
    rng = np.random.default_rng(0)
    result = Result(f"{SIDE} x {SIDE}, {BASE} channels, depth {DEPTH}, one thread, CPU time")
    names = list(competitors(np.zeros((SIDE, SIDE), np.float32)))
    times = in_turns(
        {name: [__file__, "--one", name] for name in names},
        args.rounds,
        {name: PLAIN for name in names if name != OURS},
    )
    for name, values in times.items():
        result.add(name, values, note="" if values else "not installed")
        if values and name != OURS:
            goal = GOALS.get(name)
            result.ratio(
                "    over ours",
                values,
                times[OURS],
                f">= {goal}" if goal else "",
                partial(operator.le, goal) if goal else None,
            )
    torch.set_num_threads(1)
    exactness(result, new_network(), rng)
    write(args.json, result, machine("torch", "monai", "nnunetv2"))


if __name__ == "__main__":
    main()
