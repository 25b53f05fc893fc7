"""What a tile takes, and the tile that fits into what is free."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_unet.engine.memory import cost_of_pass, free_memory, largest_output
from napari_unet.engine.segmenter import Segmenter

CPU = torch.device("cpu")

MEASURE = """
import napari_unet.engine, torch
from napari_unet.core.unet import UNet
torch.set_num_threads(1)
base, depth, side = {base}, {depth}, {side}
network = UNet(1, 2, base, depth).eval().to(memory_format=torch.channels_last)

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

with torch.inference_mode():
    small = network.valid_size(network.context + 20)
    network(torch.zeros(1, 1, small, small))
    image = torch.zeros(1, 1, side, side)
    open("/proc/self/clear_refs", "w").write("5")  # forget the peak so far
    before = status("VmRSS")
    network(image)
    print(status("VmHWM") - before)
"""


def model(base: int, depth: int) -> Segmenter:
    """A model of this architecture."""
    return Segmenter(weights={}, in_channels=1, n_classes=2, base_channels=base, depth=depth)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of the peak of memory")
@pytest.mark.parametrize(("base", "depth", "side"), [(64, 4, 572), (16, 3, 1116), (32, 4, 892)])
def test_the_model_of_memory_is_within_15_percent_of_a_real_pass(
    base: int, depth: int, side: int
) -> None:
    """Against the peak of a process of its own."""
    script = MEASURE.format(base=base, depth=depth, side=side)
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    cost = cost_of_pass(1, 2, base, depth, (side, side))
    assert cost.bytes == pytest.approx(int(found.stdout), rel=0.15)


def test_a_pass_at_64_channels_takes_two_and_a_half_maps_of_its_input() -> None:
    """The paper's tile and network: at most 2.5 x 64 channels x 4 bytes per pixel."""
    assert cost_of_pass(1, 2, 64, 4, (572, 572)).bytes <= 2.5 * 64 * 4 * 572**2


def test_the_papers_tile_takes_300_gigaoperations() -> None:
    """As counted by hand from figure 1; strips compute a little twice."""
    whole = cost_of_pass(1, 2, 64, 4, (572, 572), in_strips=False)
    assert whole.operations == pytest.approx(300.86e9, rel=1e-3)
    strips = cost_of_pass(1, 2, 64, 4, (572, 572))
    assert whole.operations < strips.operations < 1.02 * whole.operations
    assert strips.bytes < whole.bytes


def test_less_memory_makes_smaller_tiles() -> None:
    """Down to the smallest exact one; each but that fits into its share of what is free."""
    segmenter, sides = model(16, 3), []
    for free in np.geomspace(1e10, 1e6, 12).astype(int):
        side = largest_output(segmenter, CPU, int(free))
        sides.append(side)
        assert (side - 4) % 8 == 0
        if side > 76:
            need = cost_of_pass(1, 2, 16, 3, (side + 88, side + 88))
            assert need.bytes <= 0.4 * free
    assert sides == sorted(sides, reverse=True)
    assert sides[0] == 1028
    assert sides[-1] == 76


def test_a_large_network_gets_smaller_tiles_on_a_cpu() -> None:
    """So that the first of them is there within seconds."""
    free = 1 << 40
    outputs = [largest_output(model(base, 4), CPU, free) for base in (16, 32, 64)]
    assert outputs[0] == 1028
    assert outputs[0] > outputs[1] > 500
    assert outputs[2] >= 500


@pytest.mark.parametrize("depth", range(1, 8))
def test_a_tile_suits_every_depth(depth: int) -> None:
    """With much memory and with little; its side is a multiple of the pooling, and 4 more."""
    for free in (1 << 40, 1 << 20):
        side = largest_output(model(32, depth), CPU, free)
        assert (side - 4) % 2**depth == 0
        assert side > 500 or free == 1 << 20


def test_free_memory_is_what_the_system_says() -> None:
    """As far as anybody can know."""
    assert 0 < free_memory(CPU) < 1 << 50
