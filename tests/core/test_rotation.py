"""Turning a plane and turning it back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.rotation import rotate, rotate_back, rotated_shape

unhurried = settings(deadline=None, max_examples=50)
angles = st.floats(-7, 7)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@unhurried
@given(shape=shapes, quarters=st.integers(-4, 4))
def test_quarter_turns_are_rot90(shape: tuple[int, int], quarters: int) -> None:
    """Up to rounding, on rectangles too, there and back; positive angles turn clockwise."""
    image = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    turned = rotate(image, quarters * np.pi / 2)
    np.testing.assert_allclose(turned, np.rot90(image, -quarters, axes=(1, 2)), atol=1e-4)
    back = rotate_back(turned, quarters * np.pi / 2, shape)
    np.testing.assert_allclose(back, image, atol=1e-4)


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
    assert rotate(np.zeros((1, *shape), np.float32), angle).shape == (1, *canvas)


@pytest.mark.parametrize("shape", [(90, 90), (61, 120)])
@pytest.mark.parametrize("angle", [0.3, 2 * np.pi / 7, -1.9, 12 * np.pi / 7])
def test_there_and_back_is_where_it_was(shape: tuple[int, int], angle: float) -> None:
    """A smooth image comes back; an error of a pixel would show as a tenth of its range."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 4)
    image = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)[None]
    back = rotate_back(rotate(image, angle), angle, shape)
    assert back.shape == image.shape
    inner = np.s_[0, 3:-3, 3:-3]
    assert np.abs(back - image)[inner].max() < 0.03
    assert np.abs(back - np.roll(image, 1, axis=2))[inner].max() > 0.06


@unhurried
@given(shape=shapes, angle=angles)
def test_the_corners_are_filled_with_values_of_the_image(
    shape: tuple[int, int], angle: float
) -> None:
    """A constant stays constant, and a positive image has no black corner."""
    turned = rotate(np.full((1, *shape), 0.7, np.float32), angle)
    np.testing.assert_allclose(turned, 0.7, atol=1e-5)
