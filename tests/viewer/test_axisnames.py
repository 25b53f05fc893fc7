"""What is written beside a slider names the axis of the image."""

from typing import Any

import numpy as np
import pytest

from napari_unet.viewer.axisnames import AxisNames
from napari_unet.viewer.layers import new_scribbles
from napari_unet.viewer.stack import ImageStack


@pytest.fixture
def image(viewer: Any) -> Any:
    """An image of two channels that napari takes for planes."""
    return viewer.add_image(np.zeros((2, 30, 40)), name="two channels")


def test_a_slider_that_is_named_c_goes_through_channels(viewer: Any, image: Any) -> None:
    """Napari itself names the slider and not the layer; and back, if it was a mistake."""
    names = AxisNames(viewer, lambda: image)
    names.follow()
    viewer.dims.set_axis_label(0, "c")
    assert image.axis_labels == ("c", "-2", "-1")
    assert ImageStack.of(image).channels == 2
    assert viewer.dims.axis_labels[0] == "c"
    viewer.dims.set_axis_label(0, "-3")
    assert ImageStack.of(image).leading == (2,)

    names.leave()
    viewer.dims.set_axis_label(0, "t")
    assert image.axis_labels == ("-3", "-2", "-1")


def test_what_is_drawn_on_an_image_is_named_along(viewer: Any, image: Any) -> None:
    """Or the slider would go on showing what that says, and a mistake could not be put right."""
    names = AxisNames(viewer, lambda: image)
    names.follow()
    viewer.dims.set_axis_label(0, "z")
    scribbles = new_scribbles(viewer, image)
    opened = viewer.add_labels(np.zeros((2, 30, 40), int), axis_labels=("z", "y", "x"))
    viewer.add_labels(np.zeros((30, 40), int))
    for written in ("c", "z", "t"):
        viewer.dims.set_axis_label(0, written)
        layers = (image, scribbles, opened)
        assert [layer.axis_labels[0] for layer in layers] == [written] * 3
        assert viewer.dims.axis_labels[0] == written


def test_what_another_layer_says_of_its_axes_is_about_that_layer(viewer: Any, image: Any) -> None:
    """Napari shows it beside the slider, too, also when that layer is gone."""
    names = AxisNames(viewer, lambda: image)
    names.follow()
    labels = ("c", "y", "x")
    other = viewer.add_image(np.zeros((2, 30, 40)), name="other", axis_labels=labels)
    deeper = viewer.add_image(np.zeros((3, 2, 30, 40)), name="deeper")
    assert viewer.dims.axis_labels[1] == "c"
    viewer.dims.set_axis_label(0, "t")
    viewer.layers.remove(other)
    viewer.layers.remove(deeper)
    viewer.add_image(np.zeros((4, 30, 40)), axis_labels=("z", "y", "x"))

    assert ImageStack.of(image).leading_names == ("planes (z or time)",)


def test_the_chosen_image_is_named_and_no_other(viewer: Any, image: Any) -> None:
    """Of two stacks the one may be of channels, and the other of time points."""
    viewer.add_image(np.zeros((5, 30, 40)), name="movie")
    chosen = [None, viewer.layers["movie"]]
    names = AxisNames(viewer, lambda: chosen[-1])
    names.follow()
    viewer.dims.set_axis_label(0, "t")
    chosen.append(None)
    viewer.dims.set_axis_label(0, "c")

    assert ImageStack.of(viewer.layers["movie"]).leading_names == ("time points",)
    assert ImageStack.of(image).leading_names == ("planes (z or time)",)


def test_images_with_as_many_planes_are_named_along(viewer: Any, image: Any) -> None:
    """Beside the slider that they share stands c already, which cannot be written once more."""
    lower = viewer.add_image(np.zeros((2, 50, 60)), name="lower")
    movie = viewer.add_image(np.zeros((5, 30, 40)), name="movie")
    told = viewer.add_image(np.zeros((2, 30, 40)), name="told", axis_labels=("z", "y", "x"))
    names = AxisNames(viewer, lambda: image)
    names.follow()
    for written in ("c", "ch", "channel"):  # letter by letter
        viewer.dims.set_axis_label(0, written)
    opened = viewer.add_image(np.zeros((2, 30, 40)), name="opened later")

    assert [ImageStack.of(one).channels for one in (image, lower, opened)] == [2, 2, 2]
    assert lower.axis_labels == ("channel", "-2", "-1")
    assert ImageStack.of(movie).leading_names == ("planes (z or time)",)
    assert ImageStack.of(told).leading_names == ("z planes",)


def test_one_of_them_can_be_something_else(viewer: Any, image: Any) -> None:
    """It is chosen, and the name is written over; the others keep theirs."""
    movie = viewer.add_image(np.zeros((2, 30, 40)), name="two frames")
    chosen = [image]
    names = AxisNames(viewer, lambda: chosen[-1])
    names.follow()
    viewer.dims.set_axis_label(0, "c")
    chosen.append(movie)
    viewer.dims.set_axis_label(0, "t")

    assert ImageStack.of(image).channels == 2
    assert ImageStack.of(movie).leading_names == ("time points",)
