"""Overlap-tile geometry: every pixel once, on one grid, mirrored without end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.core.tiles import (
    Tile,
    halve,
    mirror_indices,
    read_mirrored,
    smallest_output,
    tile_grid,
    tiles_over,
)
from napari_unet.core.unet import UNet, output_size
from napari_unet.errors import InputError

torch.set_num_threads(1)
unhurried = settings(deadline=None, max_examples=100)

spans = st.tuples(st.integers(-90, 90), st.integers(1, 90)).map(lambda s: slice(s[0], sum(s)))


@st.composite
def grids(draw: st.DrawFn) -> tuple[tuple[int, ...], int, list[Tile]]:
    """(shape, depth, tiles) of images of one to three axes."""
    shape = tuple(draw(st.lists(st.integers(1, 60), min_size=1, max_size=3)))
    depth = draw(st.integers(1, 6))
    stride, context = 2**depth, 12 * 2**depth - 8
    limits = [draw(st.integers(stride + 4, stride + 70)) for _ in shape]
    return shape, depth, tile_grid(shape, output=limits, context=context, stride=stride)


@unhurried
@given(grid=grids())
@example(grid=((1, 1), 4, tile_grid((1, 1), output=20, context=184, stride=16)))
def test_the_tiles_write_every_pixel_once(grid: tuple[tuple[int, ...], int, list[Tile]]) -> None:
    """The written regions are disjoint and cover the image."""
    shape, _, tiles = grid
    written = np.zeros(shape, dtype=int)
    for tile in tiles:
        written[tile.write] += 1
    assert (written == 1).all()


@unhurried
@given(grid=grids())
def test_the_tiles_lie_on_the_pooling_grid(grid: tuple[tuple[int, ...], int, list[Tile]]) -> None:
    """Origins are multiples of the stride; tiles have one legal shape and write what they know."""
    _, depth, tiles = grid
    stride, context = 2**depth, 12 * 2**depth - 8
    assert len({tuple(s.stop - s.start for s in tile.read) for tile in tiles}) == 1
    for tile in tiles:
        for read, output, write, crop in zip(
            tile.read, tile.output, tile.write, tile.crop, strict=True
        ):
            assert output.start % stride == 0
            assert (output.start - read.start, read.stop - output.stop) == (context // 2,) * 2
            assert output_size(read.stop - read.start, depth) == output.stop - output.start
            assert output.start <= write.start < write.stop <= output.stop
            assert (crop.start + output.start, crop.stop + output.start) == (
                write.start,
                write.stop,
            )
            # a pixel is left over at every seam for the interpolation of coarse probabilities
            assert write.start == 0 or write.start > output.start


@unhurried
@given(shape=st.integers(1, 500), limit=st.integers(20, 200))
def test_no_tile_is_larger_than_asked_for_or_mostly_padding(shape: int, limit: int) -> None:
    """The tiles are as few as the limit allows, and balanced to within a stride."""
    tiles = tile_grid((shape,), output=limit, context=184, stride=16)
    side = tiles[0].output[0].stop - tiles[0].output[0].start
    assert side <= limit
    assert len(tiles) <= max(1, -(-shape // ((limit - 4) // 16 * 16)))
    assert tiles[-1].output[0].stop - shape < 16 * len(tiles) + 4


@unhurried
@given(grid=grids(), times=st.integers(1, 4))
def test_halved_tiles_write_the_same_pixels_on_the_same_grid(
    grid: tuple[tuple[int, ...], int, list[Tile]], times: int
) -> None:
    """However often they are cut; each piece knows a pixel more on both sides of what it writes."""
    shape, depth, tiles = grid
    stride, context = 2**depth, 12 * 2**depth - 8
    for _ in range(times):
        tiles = [half for tile in tiles for half in halve(tile, context=context, stride=stride)]
    written = np.zeros(shape, dtype=int)
    for tile in tiles:
        written[tile.write] += 1
        for read, output, write, n in zip(tile.read, tile.output, tile.write, shape, strict=True):
            assert output.start % stride == 0
            assert (read.start, read.stop) == (
                output.start - context // 2,
                output.stop + context // 2,
            )
            assert write.stop <= output.stop
            assert write.start > output.start or write.start == 0
            assert write.stop < output.stop or write.stop == n
    assert (written == 1).all()


@unhurried
@given(side=st.integers(1, 3000), depth=st.integers(1, 5), more=st.integers(0, 500))
def test_no_tile_of_a_cut_plane_is_too_small_to_be_exact(side: int, depth: int, more: int) -> None:
    """Not from the smallest limit on, and not by halving: the bottom has nine pixels or more."""
    stride, context = 2**depth, 12 * 2**depth - 8
    limit = smallest_output(stride) + more
    tiles = tile_grid((side,), output=limit, context=context, stride=stride)
    for _ in range(6):
        if len(tiles) > 1:
            assert all(t.output[0].stop - t.output[0].start >= 5 * stride + 4 for t in tiles)
        tiles = [half for tile in tiles for half in halve(tile, context=context, stride=stride)]


@unhurried
@given(
    start=st.integers(0, 2000),
    length=st.integers(1, 700),
    depth=st.integers(1, 5),
    more=st.integers(0, 500),
)
def test_tiles_over_a_part_are_as_exact_as_those_of_the_whole(
    start: int, length: int, depth: int, more: int
) -> None:
    """On the same grid and as wide, however narrow the part is; they write it once."""
    stride, context = 2**depth, 12 * 2**depth - 8
    smallest, stop = smallest_output(stride), start + length
    box = (slice(start, stop),)
    tiles = tiles_over(box, output=smallest + more, context=context, stride=stride)
    written = np.zeros(stop + 1000, dtype=int)
    for (read,), (output,), write in ((t.read, t.output, t.write) for t in tiles):
        written[write] += 1
        assert output.start % stride == 0
        assert (output.start - read.start, read.stop - output.stop) == (context // 2,) * 2
        assert 0 <= output.start <= write[0].start < write[0].stop <= output.stop
        side = output.stop - output.start
        assert side <= smallest + more
        assert side >= 5 * stride + 4 or stop < smallest
    np.testing.assert_array_equal(np.flatnonzero(written), np.arange(start, stop))
    assert written.max() == 1


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), ()])
def test_an_image_without_pixels_has_no_tiles(shape: tuple[int, ...]) -> None:
    """The error says so instead of returning an empty list."""
    with pytest.raises(InputError, match="no pixels"):
        tile_grid(shape, output=100, context=184, stride=16)


def test_a_tile_must_hold_a_stride() -> None:
    """The smallest output is named."""
    assert tile_grid((50, 50), output=20, context=184, stride=16)
    with pytest.raises(InputError, match="19 pixels is too small; this network needs 20"):
        tile_grid((50, 50), output=[20, 19], context=184, stride=16)


@unhurried
@given(n=st.integers(1, 40), before=st.integers(0, 120), after=st.integers(0, 120))
def test_mirroring_is_numpys_reflect(n: int, before: int, after: int) -> None:
    """Also where the mirror is far wider than the image."""
    expected = np.pad(np.arange(n), (before, after), mode="reflect")
    np.testing.assert_array_equal(mirror_indices(-before, n + after, n), expected)


def reflected(image: NDArray[Any], read: Sequence[slice]) -> NDArray[Any]:
    """Read a box the slow way, from a copy padded by far more than enough."""
    lead = image.ndim - len(read)
    pads = [(0, 0)] * lead + [(200, 200)] * len(read)
    box = [slice(None)] * lead + [slice(s.start + 200, s.stop + 200) for s in read]
    return np.asarray(np.pad(image, pads, mode="reflect")[tuple(box)])


@unhurried
@given(
    lead=st.sampled_from([(), (1,), (2, 3)]),
    sides=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    read=st.tuples(spans, spans),
)
def test_reading_beyond_the_border_mirrors(
    lead: tuple[int, ...], sides: tuple[int, int], read: tuple[slice, slice]
) -> None:
    """Any box, inside, across or beyond the image; the type and the leading axes are kept."""
    image = np.arange(np.prod(lead + sides), dtype=">u2").reshape(lead + sides)
    block = read_mirrored(image, read)
    assert block.dtype == image.dtype
    np.testing.assert_array_equal(block, reflected(image, read))


class Counting:
    """An array on a disk, so to speak, that notes the boxes it was asked for."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.asked = array, [0]
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype

    def __getitem__(self, box: Any) -> NDArray[Any]:
        self.asked.append(self.array[box].size)
        return np.asarray(self.array[box])


@unhurried
@given(read=st.tuples(spans, spans))
def test_only_the_pixels_that_are_needed_are_read(read: tuple[slice, slice]) -> None:
    """One read, never larger than the box asked for."""
    image = np.arange(2 * 50 * 70).reshape(2, 50, 70)
    lazy = Counting(image)
    np.testing.assert_array_equal(read_mirrored(lazy, read), reflected(image, read))
    wanted = 2 * np.prod([s.stop - s.start for s in read])
    assert len(lazy.asked) == 2
    assert lazy.asked[1] <= wanted


@settings(deadline=None, max_examples=25)
@given(
    depth=st.integers(1, 3),
    sides=st.tuples(st.integers(1, 75), st.integers(1, 75)),
    more=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    seed=st.integers(0, 99),
)
def test_a_tiled_network_is_the_whole_network(
    depth: int, sides: tuple[int, int], more: tuple[int, int], seed: int
) -> None:
    """Odd sizes, any tile: in double precision the logits are those of one large tile."""
    torch.manual_seed(seed)
    network = UNet(1, 2, 4, depth).eval().double()
    image = np.random.default_rng(seed).random((1, *sides))

    def predict(limits: Sequence[int]) -> NDArray[np.float64]:
        logits = np.full((2, *sides), np.nan)
        for tile in tile_grid(sides, output=limits, context=network.context, stride=network.stride):
            batch = torch.from_numpy(read_mirrored(image, tile.read))[None]
            with torch.inference_mode():
                logits[:, *tile.write] = network(batch)[0, :, *tile.crop].numpy()
        return logits

    whole = predict([100 + network.stride] * 2)
    tiled = predict([network.stride + 4 + m for m in more])
    np.testing.assert_allclose(tiled, whole, rtol=1e-9, atol=1e-12)


def test_the_papers_own_stride_is_not_exact() -> None:
    """Tiles 388 pixels apart, as in the paper, meet another pooling grid; ours do not."""
    torch.manual_seed(0)
    network = UNet(1, 2, 2, 4).eval()
    image = torch.rand(1, 1, network.valid_size(388 + 572), 572)
    with torch.inference_mode():
        whole = network(image)[0]
        aligned, papers = (network(image[:, :, s : s + 572])[0] for s in (384, 388))
    assert (aligned - whole[:, 384 : 384 + 388]).abs().max() < 1e-5
    assert ((papers - whole[:, 388 : 388 + 388]).abs() > 1e-4).float().mean() > 0.5
