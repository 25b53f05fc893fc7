"""Tiles there and back; smaller ones where memory is too small."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unet.core.tiles import read_mirrored, tile_grid
from napari_unet.core.unet import UNet
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.tilerunner import TileRunner, _Lane

IN_LITTLE_MEMORY = """
import resource
import napari_unet.engine
import numpy as np, psutil, torch
from napari_unet.core.config import PredictConfig
from napari_unet.core.unet import UNet
from napari_unet.engine.inference import predict
from napari_unet.engine.segmenter import Segmenter

torch.set_num_threads(1)
torch.manual_seed(0)
empty = Segmenter(weights={}, in_channels=1, n_classes=2, base_channels=16, depth=3)
segmenter = empty.with_weights(UNet(1, 2, 16, 3))
image = np.random.default_rng(0).random((1500, 1500), dtype=np.float32)

def run(tile_size):
    out = np.zeros((2, *image.shape), dtype=np.float32)
    config = PredictConfig(device="cpu", tile_size=tile_size)
    return out, list(predict(segmenter, image, out, config))

expected, plenty = run(700)
assert len(plenty) == 9 and not any(event.note for event in plenty)
room = {room} << 20
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + room,) * 2)
try:
    found, events = run(1600)
except Exception as error:
    print(type(error).__name__, error)
else:
    print(len(events), events[-1].note)
    assert np.abs(found - expected).max() < 1e-5
"""


def in_little_memory(room: int) -> str:
    """Segment 1500 x 1500 pixels in tiles of 1600 with so many MiB left; return what is said."""
    script = IN_LITTLE_MEMORY.replace("{room}", str(room))
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


limited = pytest.mark.skipif(
    sys.platform != "linux", reason="limits the memory of a process as Linux does"
)


@limited
def test_a_tile_that_does_not_fit_is_cut_and_gives_the_same() -> None:
    """The one tile that was planned is computed in pieces, and the user is told."""
    said = in_little_memory(300)
    assert said.startswith("1 Memory is too small for tiles of 1588 x 1588 pixels; smaller ones")


@limited
def test_where_no_tile_fits_a_sentence_says_so() -> None:
    """And the program goes on."""
    said = in_little_memory(80)
    assert said.startswith("DeviceError Out of memory: not even a tile of")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """A small network with random weights."""
    torch.manual_seed(0)
    empty = Segmenter(weights={}, in_channels=1, n_classes=2, base_channels=3, depth=2)
    return empty.with_weights(UNet(1, 2, 3, 2))


def test_tiles_under_way_come_back_in_order_and_are_read_as_late_as_possible(
    segmenter: Segmenter,
) -> None:
    """With one tile ahead, the second is read before the first is handed over; none is lost."""
    image = np.random.default_rng(0).random((1, 100, 60), dtype=np.float32)
    tiles = tile_grid((100, 60), output=40, context=40, stride=4)
    for ahead in (0, 1, 2, 100):
        runner = TileRunner(segmenter, torch.device("cpu"))
        lane = _Lane(torch.device("cpu"))
        lane.ahead = ahead
        runner._lane = lane
        reads: list[tuple[slice, ...]] = []

        def read(
            box: tuple[slice, ...], reads: list[tuple[slice, ...]] = reads
        ) -> NDArray[np.float32]:
            reads.append(box)
            return np.asarray(read_mirrored(image, box), dtype=np.float32)

        done = []
        for number, (tile, values) in enumerate(runner.run(iter(tiles), read), start=1):
            assert len(reads) == min(number + ahead, len(tiles))
            assert values.shape == (2, *(span.stop - span.start for span in tile.output))
            done.append((tile, values))
        assert [tile for tile, _ in done] == tiles
        if ahead == 0:
            expected = done
        for (_, one), (_, other) in zip(done, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_error_that_is_not_about_memory_is_not_hidden(segmenter: Segmenter) -> None:
    """A tile of another number of channels is not cut smaller and smaller."""
    runner = TileRunner(segmenter, torch.device("cpu"))
    tiles = tile_grid((40, 40), output=40, context=40, stride=4)

    def fail(box: tuple[slice, ...]) -> NDArray[np.float32]:
        raise RuntimeError(f"the disk of {len(box)} axes is gone")

    with pytest.raises(RuntimeError, match="the disk of 2 axes is gone"):
        list(runner.run(tiles, fail))
