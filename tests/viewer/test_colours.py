"""Colours of the layers that are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.utils.colormaps import label_colormap

from napari_unet.viewer.colours import MOST, are_given, faint_where_low, given_colours


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_every_label_has_the_colour_that_it_was_given(
    make_napari_viewer: Any, dtype: Any, qtbot: Any
) -> None:
    """On the screen, too; background has none."""
    viewer = make_napari_viewer(show=True)
    count = 200 if dtype is np.uint8 else MOST
    colours = np.random.default_rng(0).random((count + 1, 4)).astype(np.float32)
    colours[:, 3], colours[0] = 1, 0
    layer = viewer.add_labels(np.full((40, 40), count, dtype), opacity=1)
    layer.colormap = given_colours(colours)

    for label in (1, 2, count // 2, count):
        np.testing.assert_allclose(layer.get_color(label), colours[label])
    assert layer.get_color(0) is None
    qtbot.wait(100)
    pixels = viewer.screenshot(canvas_only=True, flash=False)
    shown = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, :3] / 255
    np.testing.assert_allclose(shown, colours[count, :3], atol=0.02)


def test_given_colours_are_told_from_others(viewer: Any) -> None:
    """So that they can be taken back."""
    layer = viewer.add_labels(np.ones((4, 4), int))
    assert not are_given(layer)
    layer.colormap = given_colours(["transparent", "red"])
    assert are_given(layer)
    layer.colormap = label_colormap()
    assert not are_given(layer)


@pytest.mark.parametrize("brightness", [0, 255])
def test_high_values_are_seen_on_any_image_and_low_ones_hide_none(
    make_napari_viewer: Any, brightness: int, qtbot: Any
) -> None:
    """Stained tissue is nearly white."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.full((40, 40, 3), brightness, np.uint8))
    values = np.zeros((40, 40), np.float32)
    values[:, 20:] = 0.7
    colours = {"colormap": faint_where_low("inferno"), "blending": "translucent_no_depth"}
    viewer.add_image(values, contrast_limits=(0, 1), **colours)
    qtbot.wait(100)
    pixels = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    middle = pixels[pixels.shape[0] // 2]
    low, high = middle[len(middle) // 2 - 30, :3], middle[len(middle) // 2 + 30, :3]

    assert np.abs(low - brightness).max() < 5
    assert np.abs(high - brightness).max() > 100
