"""The working resolution: block means in, linear interpolation out, the same for every tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.coarseness import (
    MOST,
    TARGET_DIAMETER,
    WINDOW,
    are_filled,
    choose_factor,
    coarsest_factor,
)
from napari_unet.core.resolution import (
    coarse_box,
    coarse_pixels,
    coarse_shape,
    coarsen,
    coarsen_labels,
    read_coarse,
    refine,
)

unhurried = settings(deadline=None, max_examples=60)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
factors = st.integers(1, 6)


@unhurried
@given(shape=shapes, factor=factors, seed=st.integers(0, 99))
def test_coarse_pixels_are_block_means(shape: tuple[int, int], factor: int, seed: int) -> None:
    """A partial block at the far edge is completed by mirroring."""
    image = np.random.default_rng(seed).integers(0, 65535, (2, *shape)).astype(np.uint16)
    coarse = coarsen(image, factor)
    height, width = coarse_shape(shape, factor)
    assert (coarse.shape, coarse.dtype) == ((2, height, width), np.float32)
    missing = height * factor - shape[0], width * factor - shape[1]
    pads = [(0, 0), (0, missing[0]), (0, missing[1])]
    full = np.pad(image.astype(float), pads, mode="reflect")
    means = full.reshape(2, height, factor, width, factor).mean(axis=(2, 4))
    np.testing.assert_allclose(coarse, means, rtol=1e-5)


@unhurried
@given(
    shape=shapes,
    factor=factors,
    start=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
@example(shape=(7, 8), factor=3, start=(2, 2), size=(1, 1))  # a partial last block alone
@example(shape=(7, 8), factor=5, start=(-1, 1), size=(1, 2))
def test_a_box_is_read_as_if_the_whole_image_were_coarse(
    shape: tuple[int, int], factor: int, start: tuple[int, int], size: tuple[int, int]
) -> None:
    """To the last bit, inside and beyond the border, so tiles cannot differ."""
    image = np.random.default_rng(0).random((2, *shape))
    read = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    padded = np.pad(coarsen(image, factor), [(0, 0), (80, 80), (80, 80)], mode="reflect")
    expected = padded[:, *(slice(s.start + 80, s.stop + 80) for s in read)]
    np.testing.assert_array_equal(read_coarse(image, read, factor), expected)


@pytest.mark.parametrize("dtype", [bool, np.uint8, ">u2", np.int32, np.float64])
def test_any_type_is_averaged_as_float(dtype: Any) -> None:
    """No overflow, no rounding, no trouble with byte order."""
    image = np.full((1, 4, 6), np.array(200).astype(dtype))
    image[0, :, ::2] = 0
    expected = (1 if dtype is bool else 200) / 2
    np.testing.assert_array_equal(coarsen(image, 2), np.full((1, 2, 3), expected))


def test_pixels_that_are_not_numbers_stay_in_their_block() -> None:
    """Their block is not finite, the others are; nothing warns."""
    image = np.ones((1, 6, 6))
    image[0, 0, 0], image[0, 2, 2], image[0, 3, 3] = np.nan, np.inf, -np.inf
    finite = np.isfinite(coarsen(image, 2)[0])
    np.testing.assert_array_equal(finite, ~np.eye(3, dtype=bool) | (np.arange(3) == 2))


@unhurried
@given(data=st.data(), shape=st.tuples(st.integers(1, 12), st.integers(1, 12)), factor=factors)
def test_coarse_labels_are_the_most_frequent_ones(
    data: st.DataObject, shape: tuple[int, int], factor: int
) -> None:
    """0 wins only with more than half of a block; otherwise a label that none outnumbers."""
    labels = data.draw(arrays(np.int32, shape, elements=st.sampled_from([0, 0, 1, 2, 70_000])))
    coarse = coarsen_labels(labels, factor)
    height, width = coarse_shape(shape, factor)
    assert (coarse.shape, coarse.dtype) == ((height, width), labels.dtype)
    missing = (0, height * factor - shape[0]), (0, width * factor - shape[1])
    full = np.pad(labels, missing, mode="edge")
    for y, x in np.ndindex(height, width):
        block = full[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        ids, counts = np.unique(block, return_counts=True)
        if 2 * (block == 0).sum() > block.size or not block.any():
            assert coarse[y, x] == 0
            continue
        assert coarse[y, x] != 0
        assert counts[ids == coarse[y, x]] == counts[ids != 0].max()


@unhurried
@given(
    shape=shapes,
    factor=factors,
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_refining_a_part_is_a_part_of_refining_all(
    shape: tuple[int, int], factor: int, seed: int, data: st.DataObject
) -> None:
    """To the last bit, with one coarse pixel more on each side of the box."""
    sides = coarse_shape(shape, factor)
    coarse = np.random.default_rng(seed).random((3, *sides), dtype=np.float32)
    whole = refine(coarse, factor, (0, 0), tuple(slice(0, n) for n in shape), shape)
    assert whole.shape == (3, *shape)
    box, part, origin = [], [], []
    for n, side in zip(shape, sides, strict=True):
        first = data.draw(st.integers(0, side - 1))
        last = data.draw(st.integers(first + 1, side))
        box.append(slice(first * factor, min(last * factor, n)))
        origin.append(max(first - 1, 0))
        part.append(slice(origin[-1], last + 1))
    piece = refine(coarse[:, *part], factor, tuple(origin), tuple(box), shape)
    np.testing.assert_array_equal(piece, whole[:, *box])


@unhurried
@given(shape=shapes, factor=st.integers(2, 5), data=st.data())
def test_a_box_of_any_size_reads_what_it_needs(
    shape: tuple[int, int], factor: int, data: st.DataObject
) -> None:
    """And no coarse pixel more; a single pixel at the edge, too."""
    coarse = np.random.default_rng(0).random((1, *coarse_shape(shape, factor)), dtype=np.float32)
    whole = refine(coarse, factor, (0, 0), tuple(slice(0, n) for n in shape), shape)
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    box = tuple(
        slice(start, data.draw(st.integers(start + 1, n)))
        for start, n in zip(starts, shape, strict=True)
    )
    y, x = coarse_box(box, factor, shape)
    piece = refine(coarse[:, y, x], factor, (y.start, x.start), box, shape)
    np.testing.assert_array_equal(piece, whole[:, *box])
    for span, read, n in zip(box, (y, x), coarse.shape[1:], strict=True):
        centres = (np.arange(span.start, span.stop) - (factor - 1) / 2) / factor
        before = np.clip(np.floor(centres), 0, max(n - 2, 0)).astype(int)
        assert (read.start, read.stop) == (before.min(), min(before.max() + 2, n))


@given(start=st.integers(0, 30), size=st.integers(1, 30), factor=factors)
def test_the_coarse_pixels_of_a_box_are_those_its_pixels_lie_in(
    start: int, size: int, factor: int
) -> None:
    """Also those that lie in it with a part only."""
    box = slice(start, start + size)
    (span,) = coarse_pixels((box,), factor)
    assert set(range(span.start, span.stop)) == {at // factor for at in range(start, box.stop)}


def test_classes_of_other_planes_change_nothing_for_a_plane() -> None:
    """Each is looked at among those that lie around it, and counted over all planes."""
    few = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((40, 40), int))
    planes = [few + 16 * k for k in range(12)]
    assert coarsest_factor([few], 40.0) == coarsest_factor(planes, 40.0) > 1


@unhurried
@given(
    sides=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    factor=factors,
    plane=st.tuples(*[st.floats(-3, 3)] * 3),
)
def test_refining_reproduces_linear_values_at_pixel_centres(
    sides: tuple[int, int], factor: int, plane: tuple[float, float, float]
) -> None:
    """What `coarsen` made of a ramp comes back, held constant beyond the outermost blocks."""
    a, b, c = plane
    shape = sides[0] * factor, sides[1] * factor
    y, x = np.indices(shape).astype(float)
    coarse = coarsen((a + b * y + c * x)[None], factor)
    inset = (factor - 1) / 2
    y, x = (np.clip(i, inset, n - 1 - inset) for i, n in zip((y, x), shape, strict=True))
    refined = refine(coarse, factor, (0, 0), (slice(0, shape[0]), slice(0, shape[1])), shape)
    np.testing.assert_allclose(refined[0], a + b * y + c * x, atol=1e-3)


def test_the_factor_brings_objects_to_a_size_the_network_sees() -> None:
    """At least 1, and half the resolution for objects of twice the wanted diameter."""
    assert choose_factor(0.0) == 1
    assert choose_factor(3.0) == 1
    assert choose_factor(TARGET_DIAMETER) == 1
    assert choose_factor(2 * TARGET_DIAMETER) == 2
    assert choose_factor(5 * TARGET_DIAMETER) == 5


def test_cells_that_fill_an_image_may_be_twice_as_large() -> None:
    """What is learned of them are the lines between them."""
    assert choose_factor(0.0, filled=True) == 1
    assert choose_factor(2.9 * TARGET_DIAMETER, filled=True) == 1
    assert choose_factor(4 * TARGET_DIAMETER, filled=True) == 2


def test_cells_fill_planes_where_most_of_all_their_pixels_are_cells() -> None:
    """Whatever numbers they have."""
    filled, empty = np.full((10, 20), 7), np.zeros((10, 10), int)
    filled[:2] = 0
    assert are_filled([filled])
    assert not are_filled([filled, empty])
    assert not are_filled([empty])


def patchwork(width: float, side: int = 120) -> NDArray[np.uint8]:
    """Two classes in winding stretches that are about so many pixels wide."""
    noise = np.random.default_rng(0).normal(size=(side, side))
    return np.where(ndimage.gaussian_filter(noise, width / 3, mode="wrap") > 0, 2, 1).astype("u1")


def test_classes_are_learned_as_coarsely_as_what_is_painted_survives() -> None:
    """Wide stretches at the coarsest, lines as they are."""
    found = [coarsest_factor([patchwork(width)], 0) for width in (3, 9, 40)]
    assert found == [1, 2, MOST]


def test_what_is_not_painted_counts_as_a_class() -> None:
    """Of thin strokes nobody knows how fine the rest is; they are seen where they lie."""
    y, x = np.indices((160, 160))
    found = []
    for width in (3, 8, 15):
        labels = np.zeros((160, 160), dtype=np.uint8)
        for stroke, middle in enumerate((-40, 40), start=1):
            labels[abs(y + x / 3 - 110 + middle) < width / 2] = stroke
        found.append(coarsest_factor([labels], 0))
    assert found == [1, 2, MOST]


def test_a_class_that_is_fine_keeps_the_resolution_for_all() -> None:
    """On whichever plane, and in whichever corner of it, it is painted."""
    coarse, fine = patchwork(40, 2 * WINDOW), patchwork(3)
    assert coarsest_factor([coarse], 0) == MOST
    assert coarsest_factor([coarse, np.where(fine > 1, 3, 0)], 0) < MOST
    coarse[: fine.shape[0], -fine.shape[1] :][fine > 1] = 3
    assert coarsest_factor([coarse], 0) < MOST


def test_large_pieces_may_be_learned_still_more_coarsely() -> None:
    """As cells of their size are."""
    labels = np.ones((800, 800), dtype=np.uint8)
    labels[:, 400:] = 2
    assert coarsest_factor([labels], 6 * TARGET_DIAMETER) == 6


@pytest.mark.parametrize("side", [0, 1, 30])
def test_nothing_painted_keeps_the_resolution(side: int) -> None:
    """Somebody else says what is wrong with that."""
    assert coarsest_factor([np.zeros((side, side), dtype=np.uint8)], 0) == 1
