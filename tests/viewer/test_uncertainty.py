"""Where the network is unsure, as a layer and place by place."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from small_things import make_segmenter

from napari_unet.core.uncertainty import uncertainty
from napari_unet.errors import InputError
from napari_unet.viewer.field import shown_field
from napari_unet.viewer.layers import is_result
from napari_unet.viewer.session import Session
from napari_unet.viewer.uncertainty import AT_ONCE, Uncertainty, fly_to_next

SHAPE = (200, 300)
UNSURE = [(40, 60), (150, 250), (100, 150)]
"""Places where the network is unsure, most first."""

WINDOW = pytest.mark.parametrize("viewer", ["window"], indirect=True)


def foreground(places: Any = UNSURE) -> Any:
    """A network is sure of the background but for some places of about a cell (8 pixels)."""
    probability = np.full(SHAPE, 0.001, np.float32)
    for rank, (y, x) in enumerate(places):
        probability[y - 3 : y + 3, x - 3 : x + 3] = 0.5 - 0.1 * rank
    return probability


def is_near(told: str, place: tuple[int, int]) -> bool:
    """Whether a sentence names a place, give or take half a cell."""
    words = told.replace(",", "").replace(".", "").split()
    y, x = (int(words[words.index(name) + 1]) for name in ("y", "x"))
    return abs(y - place[0]) <= 5 and abs(x - place[1]) <= 5


@pytest.fixture
def image(viewer: Any) -> Image:
    """An image with large pixels."""
    layer: Image = viewer.add_image(np.zeros(SHAPE), name="cells", scale=(2, 2), translate=(7, 0))
    return layer


@pytest.fixture
def labels(viewer: Any, image: Image) -> Labels:  # noqa: ARG001 (lies below)
    """Nothing is painted on it yet."""
    layer: Labels = viewer.add_labels(np.zeros(SHAPE, np.uint16), name="painted", scale=(2, 2))
    return layer


@pytest.fixture
def shown(session: Session, image: Image) -> Uncertainty:
    """Its uncertainty."""
    session.kept.put(image, (), foreground(), make_segmenter())
    shown = Uncertainty.of(session)
    shown.show(image)
    return shown


def layer_of(viewer: Any) -> Any:
    """Return the layer of the uncertainty."""
    (layer,) = [layer for layer in viewer.layers if is_result(layer, "uncertainty")]
    return layer


def test_the_layer_shows_the_uncertainty_of_what_was_segmented(
    shown: Uncertainty, session: Session, image: Image
) -> None:
    """On the image, from 0 to 1, and nobody can paint on it."""
    layer = layer_of(session.viewer)

    assert shown.shown
    assert layer.name == "cells uncertainty"
    assert not layer.editable
    assert tuple(layer.contrast_limits) == (0, 1)
    np.testing.assert_array_equal(layer.scale, image.scale)
    np.testing.assert_array_equal(layer.data, uncertainty(foreground(), "cells", 2))


def test_it_follows_what_is_segmented_until_it_is_hidden(
    shown: Uncertainty, session: Session, image: Image
) -> None:
    """A layer that the user made invisible stays so."""
    layer = layer_of(session.viewer)
    layer.visible = False
    session.kept.put(image, (), foreground(UNSURE[1:]), make_segmenter())
    assert layer.data[40, 60] < 0.1
    assert not layer.visible

    shown.hide()
    assert layer not in session.viewer.layers
    session.kept.put(image, (), foreground(), make_segmenter())
    assert not shown.shown
    assert len(session.viewer.layers) == 1


@pytest.mark.parametrize("which", ["cells uncertainty", "cells"])
def test_a_layer_that_the_user_deletes_stays_away(
    shown: Uncertainty, session: Session, image: Image, which: str, qtbot: Any
) -> None:
    """Whether it is the uncertainty or its image."""
    session.viewer.layers.remove(which)
    with qtbot.assert_not_emitted(session.told):
        session.kept.put(image, (), foreground(), make_segmenter())

    assert not [layer for layer in session.viewer.layers if is_result(layer, "uncertainty")]
    assert not shown.shown


def test_in_a_stack_it_is_of_the_plane_in_view(session: Session) -> None:
    """As far as that was segmented; other planes are added when they come into view."""
    viewer = session.viewer
    stack = viewer.add_image(np.zeros((3, *SHAPE)), name="worm")
    viewer.dims.set_point(0, 1)
    with pytest.raises(InputError, match=r"Segment first: .* this plane of layer 'worm'"):
        Uncertainty.of(session).show(stack)
    for z in (1, 2):
        session.kept.put(stack, (z,), foreground(), make_segmenter())
    Uncertainty.of(session).show(stack)
    data = layer_of(viewer).data
    assert [bool(data[z].any()) for z in range(3)] == [False, True, False]
    viewer.dims.set_point(0, 2)

    assert [bool(data[z].any()) for z in range(3)] == [False, True, True]


def test_of_classes_the_winner_counts(session: Session, image: Image) -> None:
    """What is kept of them is the probability of the winning class."""
    session.kept.put(image, (), np.full(SHAPE, 0.5, np.float32), make_segmenter(kind="classes"))
    Uncertainty.of(session).show(image)

    np.testing.assert_allclose(layer_of(session.viewer).data, 0.75)


def test_a_large_plane_is_computed_beside_the_viewer(session: Session, qtbot: Any) -> None:
    """Painting never waits for it."""
    shape = (2, AT_ONCE // 2 + 5)
    wide = session.viewer.add_image(np.zeros(shape, np.uint8), name="wide")
    probability = np.random.default_rng(0).random(shape, np.float32)
    session.kept.put(wide, (), probability, make_segmenter())
    Uncertainty.of(session).show(wide)
    layer = layer_of(session.viewer)
    assert not layer.data.any()
    qtbot.wait_until(lambda: layer.data.any(), timeout=20_000)

    np.testing.assert_array_equal(layer.data, uncertainty(probability, "cells", 2))


def test_each_flight_goes_to_the_next_uncertain_place(
    session: Session, image: Image, labels: Labels
) -> None:
    """Until none is left; then it says so, and begins anew."""
    session.kept.put(image, (), foreground(), make_segmenter())
    for number, place in enumerate(UNSURE, start=1):
        told = fly_to_next(session, image, labels)
        assert told.startswith(f"Uncertain place {number}: ")
        assert is_near(told, place)
        world = np.array(place) * 2 + (7, 0)
        np.testing.assert_allclose(session.viewer.scene.camera.center[-2:], world, atol=10)

    assert fly_to_next(session, image, labels).startswith("No uncertain place is left")
    assert is_near(fly_to_next(session, image, labels), UNSURE[0])


def test_painted_places_and_a_new_segmentation_change_where_it_goes(
    session: Session, image: Image, labels: Labels
) -> None:
    """What is painted needs no visit, and a new segmentation is looked at anew."""
    session.kept.put(image, (), foreground(), make_segmenter())
    labels.data[38:42, 55:65] = 1
    assert is_near(fly_to_next(session, image, labels), UNSURE[1])
    assert is_near(fly_to_next(session, image, None), UNSURE[0])
    session.kept.put(image, (), foreground(UNSURE[1:]), make_segmenter())
    assert is_near(fly_to_next(session, image, labels), UNSURE[1])


def test_the_plane_in_view_comes_first_then_the_others(session: Session) -> None:
    """The sliders follow; an axis of channels, or layers with more axes, do not confuse it."""
    viewer = session.viewer
    viewer.add_image(np.zeros((2, 4, 2, *SHAPE)), name="more axes")
    stack = viewer.add_image(
        np.zeros((2, 4, *SHAPE)), name="worm", scale=(1, 5, 1, 1), axis_labels=("c", "z", "y", "x")
    )
    for z, place in ((1, UNSURE[0]), (3, UNSURE[1])):
        session.kept.put(stack, (z,), foreground([place]), make_segmenter(channels=2))
    viewer.dims.set_point(2, 15)
    first, second = (fly_to_next(session, stack, None) for _ in range(2))

    assert is_near(first, UNSURE[1])
    assert is_near(second, UNSURE[0])
    assert "z planes 3" in first
    assert second.startswith("Uncertain place 2: ")
    assert viewer.dims.point[2] == 5
    assert shown_field(viewer, stack).plane == (1,)


@WINDOW
def test_a_flight_shows_about_eight_cells(
    session: Session, viewer: Any, image: Image, labels: Labels, qtbot: Any
) -> None:
    """Whoever is closer already stays so."""
    session.kept.put(image, (), foreground(), make_segmenter())
    viewer.window.show()
    qtbot.wait(50)
    fly_to_next(session, image, labels)
    viewer.screenshot(flash=False)  # what is in view is known once it is drawn
    box = shown_field(viewer, image).box
    sides = sorted(span.stop - span.start for span in box)
    assert 60 <= sides[0] <= 72
    assert all(span.start < middle < span.stop for span, middle in zip(box, UNSURE[0], strict=True))

    viewer.scene.camera.zoom *= 3
    zoom = viewer.scene.camera.zoom
    fly_to_next(session, image, labels)
    assert viewer.scene.camera.zoom == zoom


def test_what_must_be_done_first_is_said(session: Session, image: Image, labels: Labels) -> None:
    """Segment, go back to 2D, choose labels of this image."""
    with pytest.raises(InputError, match="Segment first: where the network is unsure is known"):
        fly_to_next(session, image, labels)
    session.kept.put(image, (), foreground()[:50], make_segmenter())
    with pytest.raises(InputError, match="Segment first"):  # the image had other data then
        fly_to_next(session, image, labels)
    session.kept.put(image, (), foreground(), make_segmenter())
    labels.data = np.zeros((9, 9), np.uint16)
    with pytest.raises(InputError, match=r"has shape \(9, 9\)"):
        fly_to_next(session, image, labels)
    session.viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="go back to the 2D view first"):
        fly_to_next(session, image, None)
