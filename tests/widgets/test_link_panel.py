"""Linking planes, from the dock."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.viewer.segmenting.results import Result

STACK = np.zeros((3, 40, 50), np.float32)


def test_one_click_links_the_planes_of_the_segmentation(viewer: Any, open_dock: Any) -> None:
    """Time is proposed to become tracks; what was linked stands in the dock."""
    image = viewer.add_image(STACK, name="film", axis_labels=("t", "y", "x"))
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[:, 10:20, 10:20] = np.array([5, 7, 6])[:, None, None]
    result.finish(complete=True)
    hand = open_dock()
    hand.dock.panels.link_fold.toggle()
    assert hand.dock.panels.link._kind.value == "tracks"
    hand.click("Link planes")
    hand.wait_until_idle(60)

    assert hand.reads("Linked 3 planes into 1 track, with 0 divisions.")
    assert np.unique(result.layer.data).tolist() == [0, 1]
    assert "film tracks" in viewer.layers


def test_the_kind_follows_the_axes_of_the_image(viewer: Any, open_dock: Any) -> None:
    """Z becomes objects, time tracks, and a photograph leaves the choice as it is."""
    film = viewer.add_image(STACK, name="film", axis_labels=("t", "y", "x"))
    sections = viewer.add_image(STACK, name="sections", axis_labels=("z", "y", "x"))
    photograph = viewer.add_image(STACK[0], name="photograph")
    hand = open_dock()
    kinds = []
    for image in (film, sections, film, photograph):
        hand.dock.panels.data.choice.image_box.value = image
        kinds.append(hand.dock.panels.link._kind.value)

    assert kinds == ["tracks", "objects", "tracks", "tracks"]


def test_the_kind_follows_the_name_that_is_written_beside_the_slider(
    viewer: Any, open_dock: Any
) -> None:
    """The image is open and chosen by then."""
    viewer.add_image(STACK, name="film")
    kind = open_dock().dock.panels.link._kind
    assert kind.value == "objects"
    viewer.dims.set_axis_label(0, "t")

    assert kind.value == "tracks"


def test_what_was_chosen_for_an_image_stays(viewer: Any, open_dock: Any) -> None:
    """Whatever layers come and go, such as that of the tracks."""
    image = viewer.add_image(STACK, name="film")
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[:, 10:20, 10:20] = 1
    result.finish(complete=True)
    hand = open_dock()
    kind = hand.dock.panels.link._kind
    assert kind.value == "objects"
    kind.value = "tracks"
    hand.dock.panels.link_fold.toggle()
    hand.click("Link planes")
    hand.wait_until_idle(60)
    viewer.add_labels(np.zeros(STACK.shape, int))

    assert "film tracks" in viewer.layers
    assert kind.value == "tracks"


def test_without_a_segmentation_the_dock_says_what_to_do(viewer: Any, open_dock: Any) -> None:
    """In a sentence under the button."""
    viewer.add_image(STACK, name="film")
    hand = open_dock()
    hand.dock.panels.link.link()

    assert hand.reads("has no finished segmentation: segment the whole layer")
