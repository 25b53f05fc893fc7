"""Turning a plane and turning it back, as a whole and in parts."""

from __future__ import annotations

import numpy as np
import pytest
from boxes import Box, box_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.rotation import Rotated, rotated_shape
from napari_unet.core.tiles import lengths

Floats = NDArray[np.float32]

unhurried = settings(deadline=None, max_examples=50)
angles = st.floats(-7, 7)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def all_of(turned: Rotated) -> Floats:
    """Return the whole canvas."""
    return turned[:, :, :]


def back(turned: Rotated, canvas: Floats, box: Box) -> Floats:
    """Turn back a box from no more of the canvas than it needs."""
    needed = turned.needed(box)
    part = canvas[(slice(None), *needed)]
    assert part.shape[1:] == lengths(needed), "it needs what is not there"
    return turned.back(part, needed, box)


def there_and_back(image: Floats, angle: float) -> Floats:
    """Turn a plane (C, Y, X) and turn it back."""
    turned = Rotated(image, angle)
    return back(turned, all_of(turned), (slice(0, image.shape[1]), slice(0, image.shape[2])))


@unhurried
@given(shape=shapes, quarters=st.integers(-4, 4))
def test_quarter_turns_are_rot90(shape: tuple[int, int], quarters: int) -> None:
    """Up to rounding, on rectangles too, there and back; positive angles turn clockwise."""
    image = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    turned = all_of(Rotated(image, quarters * np.pi / 2))
    np.testing.assert_allclose(turned, np.rot90(image, -quarters, axes=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(there_and_back(image, quarters * np.pi / 2), image, atol=1e-5)


@unhurried
@given(shape=shapes, angle=angles)
def test_the_canvas_holds_every_pixel(shape: tuple[int, int], angle: float) -> None:
    """The corners of the plane, turned about its centre, lie within the canvas."""
    canvas = rotated_shape(shape, angle)
    cos, sin = np.cos(angle), np.sin(angle)
    for y, x in ((1, 1), (1, -1)):
        y, x = y * (shape[0] - 1) / 2, x * (shape[1] - 1) / 2
        assert abs(cos * y + sin * x) <= (canvas[0] - 1) / 2 + 0.5
        assert abs(cos * x - sin * y) <= (canvas[1] - 1) / 2 + 0.5
    turned = Rotated(np.zeros((1, *shape), np.float32), angle)
    assert all_of(turned).shape == turned.shape == (1, *canvas)


@st.composite
def parts(draw: st.DrawFn) -> tuple[tuple[int, int], float, Box, Box]:
    """A plane, an angle, a box of its canvas and one of itself."""
    shape, angle = draw(shapes), draw(angles)
    return shape, angle, box_of(draw, rotated_shape(shape, angle)), box_of(draw, shape)


@unhurried
@given(case=parts())
def test_what_is_turned_in_parts_is_what_is_turned_at_once(
    case: tuple[tuple[int, int], float, Box, Box],
) -> None:
    """Bit by bit, both ways."""
    shape, angle, of_canvas, of_plane = case
    image = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    turned = Rotated(image, angle)
    canvas = all_of(turned)
    part = turned[(slice(None), *of_canvas)]
    np.testing.assert_array_equal(part, canvas[(slice(None), *of_canvas)])
    whole = there_and_back(image, angle)
    np.testing.assert_array_equal(back(turned, canvas, of_plane), whole[(slice(None), *of_plane)])


@pytest.mark.parametrize("shape", [(90, 90), (61, 120)])
@pytest.mark.parametrize("angle", [0.3, 2 * np.pi / 7, -1.9, 12 * np.pi / 7])
def test_there_and_back_is_where_it_was(shape: tuple[int, int], angle: float) -> None:
    """A smooth image comes back; an error of a pixel would show as a tenth of its range."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 4)
    image = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)[None]
    again = there_and_back(image, angle)
    assert again.shape == image.shape
    inner = np.s_[0, 3:-3, 3:-3]
    assert np.abs(again - image)[inner].max() < 0.03
    assert np.abs(again - np.roll(image, 1, axis=2))[inner].max() > 0.06


@unhurried
@given(shape=shapes, angle=angles)
def test_the_corners_are_filled_with_values_of_the_image(
    shape: tuple[int, int], angle: float
) -> None:
    """A constant stays constant, and a positive image has no black corner."""
    turned = all_of(Rotated(np.full((1, *shape), 0.7, np.float32), angle))
    np.testing.assert_allclose(turned, 0.7, atol=1e-5)


def test_what_is_not_finite_does_not_spread() -> None:
    """It is read as another value of its channel."""
    image = np.ones((2, 9, 9), np.float32)
    image[1, 4, 4] = np.nan
    instead = np.array([[5.0], [1.0]], np.float32)
    np.testing.assert_allclose(all_of(Rotated(image, 0.4, instead)), 1, atol=1e-6)
