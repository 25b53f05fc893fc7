"""Tiles there and back; smaller ones where memory is too small."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unet.core.tiles import read_mirrored, tile_grid
from napari_unet.core.unet import UNet
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.tilerunner import TileRunner, _Lane, _Room
from napari_unet.errors import DeviceError


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


def test_a_tile_that_does_not_fit_is_cut_and_gives_the_same(segmenter: Segmenter) -> None:
    """So are the ones after it, without another try; the user is told."""
    image = np.random.default_rng(0).random((1, 300, 200), dtype=np.float32)
    tiles = tile_grid((300, 200), output=200, context=40, stride=4)
    tried: list[int] = []

    def read(box: tuple[slice, ...], most: float = np.inf) -> NDArray[np.float32]:
        tried.append((box[0].stop - box[0].start) * (box[1].stop - box[1].start))
        if tried[-1] > most:
            raise MemoryError
        return np.asarray(read_mirrored(image, box), dtype=np.float32)

    plenty = TileRunner(segmenter, torch.device("cpu"))
    expected = list(plenty.run(tiles, read))
    whole = tried[0]
    tried.clear()
    scarce = TileRunner(segmenter, torch.device("cpu"))
    found = list(scarce.run(tiles, lambda box: read(box, most=whole / 3)))

    assert len(tiles) > 1
    assert [tile for tile, _ in found] == tiles
    for (_, one), (_, other) in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert tried.count(whole) == 1
    assert not plenty.shrunk
    assert scarce.shrunk.startswith("Memory is too small for tiles of")


def test_where_no_tile_fits_a_sentence_says_so(segmenter: Segmenter) -> None:
    """After the smallest one was tried too."""
    runner = TileRunner(segmenter, torch.device("cpu"))
    tiles = tile_grid((300, 200), output=200, context=40, stride=4)

    def read(box: tuple[slice, ...]) -> NDArray[np.float32]:
        raise MemoryError(f"no room for {box}")

    with pytest.raises(DeviceError, match=r"not even a tile of .* choose another device"):
        list(runner.run(tiles, read))


def test_an_error_that_is_not_about_memory_is_not_hidden(segmenter: Segmenter) -> None:
    """A tile of another number of channels is not cut smaller and smaller."""
    runner = TileRunner(segmenter, torch.device("cpu"))
    tiles = tile_grid((40, 40), output=40, context=40, stride=4)

    def fail(box: tuple[slice, ...]) -> NDArray[np.float32]:
        raise RuntimeError(f"the disk of {len(box)} axes is gone")

    with pytest.raises(RuntimeError, match="the disk of 2 axes is gone"):
        list(runner.run(tiles, fail))


def test_tiles_of_all_sizes_share_one_room() -> None:
    """Page-locked memory is not returned to the computer, so each further size would be kept."""
    room = _Room(pinned=False)
    places = set()
    for shape in ((1, 64, 48), (1, 48, 64), (2, 16, 7), (3, 1, 1)):
        tile = room.of(shape)
        assert (tile.shape, tile.dtype, tile.is_contiguous()) == (shape, torch.float32, True)
        places.add(tile.data_ptr())
    larger = room.of((2, 64, 48))

    assert len(places) == 1
    assert room.of((1, 64, 48)).data_ptr() == larger.data_ptr()
