"""Grey values to network input: robust, per channel, always finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from napari_unet.core.normalise import (
    SAMPLE,
    grey_statistics,
    normalise,
    oddity,
    statistics_and_oddity,
)
from napari_unet.core.resolution import read_coarse

unhurried = settings(deadline=None, max_examples=60)
values = st.one_of(
    st.floats(-1e9, 1e9, width=32),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 7.0, 65535.0]),
)


def apply(image: NDArray[Any]) -> NDArray[np.float32]:
    """Normalise an image with its own statistics."""
    return normalise(image, grey_statistics(image))


@unhurried
@given(image=arrays(np.float32, st.tuples(*[st.integers(1, 6)] * 3), elements=values))
def test_the_result_is_always_finite(image: NDArray[np.float32]) -> None:
    """Whatever is in the image; what was not a number becomes 0."""
    statistics = grey_statistics(image)
    assert (statistics.shape, statistics.dtype) == ((len(image), 4), np.float32)
    assert np.isfinite(statistics).all()
    assert (statistics[:, [1, 3]] > 0).all()
    result = normalise(image, statistics)
    assert (result.shape, result.dtype) == (image.shape, np.float32)
    assert np.isfinite(result).all()
    assert (result[~np.isfinite(image)] == 0).all()


@pytest.mark.parametrize("value", [0, 7, 65535, np.nan, np.inf])
def test_a_constant_image_is_no_division_by_zero(value: float) -> None:
    """It becomes constant, whatever the constant."""
    result = apply(np.full((1, 5, 5), value, dtype=np.float64))
    assert np.isfinite(result).all()
    assert np.ptp(result) == 0


def test_pixels_that_are_not_numbers_do_not_move_the_others() -> None:
    """Statistics come from the finite pixels only."""
    image = 10 + np.random.default_rng(0).random((1, 40, 40))
    holes = image.copy()
    holes[0, :5], holes[0, 5:10], holes[0, 10:20] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(apply(holes)[:, 20:], apply(image[:, 20:]))


def test_gain_and_offset_of_the_camera_do_not_matter() -> None:
    """The same scene at another exposure gives the same input, channel by channel."""
    image = np.random.default_rng(0).gamma(2.0, 1.0, (2, 60, 60))
    brighter = (
        image * np.array([3.0, 700.0])[:, None, None] + np.array([100.0, -5.0])[:, None, None]
    )
    np.testing.assert_allclose(apply(brighter), apply(image), atol=1e-4)


@pytest.mark.parametrize("spread", [1.0, 3.0], ids=["noise is linear", "a tenth of all is"])
def test_grey_values_become_what_every_model_was_trained_on(spread: float) -> None:
    """Written once more with SciPy: a saved model would not notice other values, but find less."""
    image = np.exp(spread * np.random.default_rng(0).normal(size=(1, 80, 80)))
    image[0, :2, :5] = [[-1e9], [1e9]]  # broken pixels
    low, median, high = np.percentile(image, [1, 50, 99.8])
    noise = 3 * stats.median_abs_deviation(image, axis=None, scale="normal")
    assert (noise > (high - low) / 10) == (spread == 1)
    width = max(noise, (high - low) / 10)
    dark, bright = np.arcsinh((np.array([low, high]) - median) / width)
    expected = (np.arcsinh((image - median) / width) - dark) / (bright - dark)
    assert expected.min() < -2 < 4 < expected.max()
    np.testing.assert_allclose(apply(image), np.clip(expected, -2, 4), rtol=1e-3, atol=1e-4)


def test_a_hot_pixel_does_not_darken_the_rest() -> None:
    """One saturated pixel hardly changes the others."""
    image = np.random.default_rng(0).random((1, 60, 60))
    hot = image.copy()
    hot[0, 30, 30] = 1e6
    rest = np.ones(image.shape, dtype=bool)
    rest[0, 30, 30] = False
    np.testing.assert_allclose(apply(hot)[rest], apply(image)[rest], atol=0.02)


def test_very_few_cells_on_a_flat_background_keep_their_contrast() -> None:
    """Most pixels being equal, the darkest and the brightest one are what is dark and bright."""
    image = np.zeros((1, 100, 100))
    image[0, 40:42, 40:43] = [[1, 1, 1], [2, 2, 2]]
    seen = np.unique(apply(image))
    np.testing.assert_allclose(seen[[0, -1]], [0, 1], atol=1e-6)
    assert 0.3 < seen[1] < 0.9


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize(
    ("filler", "dtype"), [(-3.4e38, np.float32), (3.4e38, np.float32), (-1.7e308, np.float64)]
)
def test_a_filler_for_missing_pixels_costs_only_these(
    filler: float, dtype: Any, factor: int
) -> None:
    """The number farthest from all others, as some programs write it; no warning either."""
    image = np.random.default_rng(0).random((1, 60, 60)).astype(dtype)
    filled = image.copy()
    filled[0, :2, 30] = filler
    whole, part = (
        apply(read_coarse(one, (slice(0, 60 // factor),) * 2, factor)) for one in (image, filled)
    )
    rest = np.ones(whole.shape, dtype=bool)
    rest[0, : 2 // factor, 30 // factor] = False
    np.testing.assert_allclose(part[rest], whole[rest], atol=0.02)
    assert np.isfinite(part).all()


def test_a_margin_of_numbers_that_the_network_cannot_take_is_as_one_of_nan() -> None:
    """A quarter of the lowest number of 64 bits moves no percentile, and is told."""
    image = np.random.default_rng(0).random((1, 60, 60))
    margins = np.repeat(image, 2, axis=0)
    margins[:, :15] = [[[-1.7976931348623157e308]], [[np.nan]]]
    lowest, missing = margins[:1], margins[1:]
    np.testing.assert_array_equal(grey_statistics(lowest), grey_statistics(missing))
    assert oddity(lowest) == oddity(missing) != ""


def test_debris_much_brighter_than_the_cells_leaves_them_visible() -> None:
    """Ten times brighter, on a fiftieth of the plane: cells keep a quarter of the range."""
    image = np.random.default_rng(0).normal(10, 1, (1, 100, 100))
    image[0, 40:50, 40:50] = 60  # a cell
    cell_alone = apply(image)[0, 45, 45]
    image[0, :2] = 600
    assert apply(image)[0, 45, 45] > 0.25
    assert cell_alone > 0.9


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, ">u2", np.int32, np.float16])
def test_the_type_of_the_pixels_does_not_matter(dtype: Any) -> None:
    """Integers, bytes the wrong way round, strides and read-only memory give one result."""
    image = np.random.default_rng(0).integers(0, 2 if dtype is bool else 200, (1, 20, 30))
    strange = np.asfortranarray(image.astype(dtype))[:, ::-1][:, ::-1]
    strange.flags.writeable = False
    np.testing.assert_array_equal(apply(strange), apply(image.astype(np.float64)))


def test_large_planes_are_sampled() -> None:
    """From a fraction of the pixels, nearly the statistics of all."""
    side = int(SAMPLE**0.5) * 2
    image = np.random.default_rng(0).integers(0, 255, (1, side, side), dtype=np.uint8)
    statistics = grey_statistics(image)
    np.testing.assert_allclose(statistics, grey_statistics(image[:, :512, :512]), atol=3)


SAME = "All pixels of the plane have the same grey value: look at the image."


@pytest.mark.parametrize(
    ("channels", "told"),
    [
        ([[1, 2, 3, 4]], ""),
        ([[1, 2, 3, 4], [7, 7, 7, 7]], ""),
        ([[0, 0, 0, 0], [7, 7, 7, 7]], SAME),
        ([[7, 7, np.nan, 7]], SAME),
        ([[1, 2, np.inf, 4]], "25 % of the pixels are NaN or infinite, and count as dark."),
        ([[np.nan] * 4], "No pixel of the plane has a grey value: all are NaN or infinite."),
    ],
)
def test_odd_grey_values_are_told(channels: list[list[float]], told: str) -> None:
    """Not so that one channel of several is empty."""
    image = np.array(channels, dtype=float).reshape(-1, 2, 2)

    statistics, said = statistics_and_oddity(image)

    assert said == told
    np.testing.assert_array_equal(statistics, grey_statistics(image))


def test_few_pixels_without_a_value_are_told_too() -> None:
    """One of a thousand is no 0 %."""
    image = np.arange(1000.0).reshape(1, 20, 50)
    image[0, 3, 3] = np.nan
    assert statistics_and_oddity(image)[1].startswith("Less than 1 % of the pixels are NaN")


def far_above(dark: float, seed: int = 0) -> np.ndarray:
    """Grey values of a dark background with some cells, far above 0, as of many cameras."""
    rng = np.random.default_rng(seed)
    image = rng.normal(dark, 3, (100, 100))
    image[40:60, 40:60] += 50
    return np.round(image)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((slice(0, 5), slice(None)), "5 % of the pixels are 0, far below all others"),
        ((slice(0, 40), slice(None)), "40 % of the pixels are 0, far below all others"),
        ((slice(0, 1), slice(0, 50)), ""),
        ((slice(0, 60), slice(None)), ""),
    ],
    ids=["a frame", "a large one", "dead pixels", "a background that was set to 0"],
)
def test_pixels_that_were_not_imaged_are_told(shape: tuple[slice, slice], said: str) -> None:
    """As zeros around a mosaic: they become the dark end, and cells differ little from the rest."""
    image = far_above(100.0)
    image[shape] = 0

    told = oddity(image[None])

    assert told.startswith(said)
    assert bool(told) == bool(said)


def test_a_dark_background_is_no_filler() -> None:
    """Many pixels of the lowest value are usual where a camera or a program cuts off below it."""
    image = np.maximum(far_above(100.0) - 100, 0)
    assert (image == 0).mean() > 0.4
    assert oddity(image[None]) == ""
