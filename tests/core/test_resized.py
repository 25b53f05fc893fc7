"""Drawing a plane larger or smaller and bringing results back, as a whole and in parts."""

from __future__ import annotations

import numpy as np
import pytest
from boxes import Box, box_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.data import coins
from skimage.transform import downscale_local_mean, resize

from napari_unet.core.resized import Resized, resized_shape

Floats = NDArray[np.float32]

unhurried = settings(deadline=None, max_examples=60)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
magnifications = st.floats(0.25, 4)


def random_plane(shape: tuple[int, int]) -> Floats:
    """Two channels of noise."""
    return np.random.default_rng(0).random((2, *shape), dtype=np.float32)


@st.composite
def parts(draw: st.DrawFn) -> tuple[tuple[int, int], float, Box, Box]:
    """A plane, a magnification, a box of the resized plane and one of itself."""
    shape, magnification = draw(shapes), draw(magnifications)
    there = box_of(draw, resized_shape(shape, magnification))
    return shape, magnification, there, box_of(draw, shape)


@unhurried
@given(case=parts())
def test_parts_are_those_of_the_whole_bit_by_bit(
    case: tuple[tuple[int, int], float, Box, Box],
) -> None:
    """There and back, for any box, from no more pixels than are needed."""
    shape, magnification, there, here = case
    image = random_plane(shape)
    resized = Resized(image, magnification)
    whole = resized[:, :, :]
    assert whole.shape == resized.shape
    np.testing.assert_array_equal(resized[:, there[0], there[1]], whole[(slice(None), *there)])
    everything = tuple(slice(0, n) for n in shape)
    canvas = tuple(slice(0, n) for n in resized.shape[1:])
    back = resized.back(whole, canvas, everything)
    needed = resized.needed(here)
    part = resized.back(whole[(slice(None), *needed)], needed, here)
    np.testing.assert_array_equal(part, back[(slice(None), *here)])


@unhurried
@given(shape=shapes)
def test_a_magnification_of_one_changes_nothing(shape: tuple[int, int]) -> None:
    """Not one bit, there or back."""
    image = random_plane(shape)
    resized = Resized(image, 1)
    np.testing.assert_array_equal(resized[:, :, :], image)
    box = tuple(slice(0, n) for n in shape)
    np.testing.assert_array_equal(resized.back(image, box, box), image)


def test_a_missing_pixel_takes_none_with_it_along_an_axis_that_stays() -> None:
    """A plane that becomes twice as high: the column of a pixel without a value, and no other."""
    image = random_plane((10, 12))
    image[:, 4, 5] = np.nan
    missing = np.isnan(Resized(image, (0.5, 1.0))[:, :, :]).any(axis=(0, 1))
    assert np.flatnonzero(missing).tolist() == [5]


@pytest.mark.parametrize("magnification", [2, 3, 4])
def test_whole_magnifications_are_close_to_block_means(magnification: int) -> None:
    """Means of several places inside a block, each interpolated, so nearly the block mean."""
    image = coins()[:300, :384].astype(np.float32)
    found = Resized(image[None], magnification)[:, :, :][0]
    means = downscale_local_mean(image, (magnification, magnification))
    assert found.shape == means.shape
    assert np.abs(found - means)[1:-1, 1:-1].mean() < 0.01 * image.std()


@pytest.mark.parametrize("magnification", [0.25, 0.5, 0.7])
def test_a_plane_that_gets_larger_is_that_of_scikit_image(magnification: float) -> None:
    """Linear interpolation between the same places."""
    image = coins()[:101, :77].astype(np.float32)
    found = Resized(image[None], magnification)
    expected = resize(image, found.shape[1:], order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(found[:, :, :][0], expected, atol=1e-2)


@pytest.mark.parametrize("magnification", [0.25, 0.6, 1.7, 4])
def test_what_is_computed_comes_back_to_its_place(magnification: float) -> None:
    """A slope, which interpolation keeps, is back where it was but for the outermost pixels."""
    rows, columns = np.mgrid[:90, :70].astype(np.float32)
    image = np.stack([rows, columns])
    resized = Resized(image, magnification)
    canvas = tuple(slice(0, n) for n in resized.shape[1:])
    back = resized.back(resized[:, :, :], canvas, (slice(0, 90), slice(0, 70)))
    inside = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(back[inside], image[inside], atol=1e-3)


def test_only_what_is_needed_is_read() -> None:
    """A box of the resized plane reads the pixels under it and one beside."""
    read: list[tuple[slice, ...]] = []

    class Recording:
        shape = (1, 1000, 1000)

        def __getitem__(self, index: tuple[slice, ...]) -> Floats:
            read.append(index)
            return np.zeros([1, *(s.stop - s.start for s in index[1:])], np.float32)

    assert Resized(Recording(), 2)[:, 100:110, 0:5].shape == (1, 10, 5)
    ((_, rows, columns),) = read
    assert rows.start >= 199
    assert rows.stop <= 222
    assert columns.stop <= 11
