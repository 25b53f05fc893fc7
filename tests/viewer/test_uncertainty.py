"""Where the network is unsure, as a layer."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from small_things import make_segmenter
from unsure_places import SHAPE, UNSURE, foreground

from napari_unet.core.uncertainty import uncertainty
from napari_unet.errors import InputError
from napari_unet.viewer.correcting.uncertainty import AT_ONCE, Uncertainty
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.session import Session


@pytest.fixture
def image(viewer: Any) -> Image:
    """An image with large pixels."""
    layer: Image = viewer.add_image(np.zeros(SHAPE), name="cells", scale=(2, 2), translate=(7, 0))
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


def test_a_stack_whose_axes_make_no_sense_is_left_as_it_is(session: Session) -> None:
    """Until a name that was written beside the wrong slider is put right."""
    viewer = session.viewer
    stack = viewer.add_image(np.zeros((3, 2, *SHAPE)), name="worm")
    for plane in [(0, 0), (1, 0)]:
        session.kept.put(stack, plane, foreground(), make_segmenter())
    viewer.dims.current_step = (0, 0, 0, 0)
    Uncertainty.of(session).show(stack)
    data = layer_of(viewer).data
    stack.axis_labels = ("z", "c", "y", "x")
    viewer.dims.set_current_step(0, 1)
    assert not data[1].any()

    stack.axis_labels = ("t", "z", "y", "x")
    viewer.dims.set_current_step(0, 0)
    viewer.dims.set_current_step(0, 1)
    assert data[1, 0].any()


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
    qtbot.wait_until(lambda: layer.data.any(), timeout=100_000)

    np.testing.assert_array_equal(layer.data, uncertainty(probability, "cells", 2))


def test_a_large_plane_that_was_left_is_computed_when_it_is_shown_again(
    session: Session, qtbot: Any
) -> None:
    """Its answer was no longer waited for; other planes that come in do not hold it up."""
    shape = (2, 2, AT_ONCE // 2 + 5)
    wide = session.viewer.add_image(np.zeros(shape, np.uint8), name="wide")
    probability = np.random.default_rng(0).random(shape, np.float32)
    for z in (0, 1):
        session.kept.put(wide, (z,), probability[z], make_segmenter())
    session.viewer.dims.set_point(0, 0)
    Uncertainty.of(session).show(wide)
    layer = layer_of(session.viewer)
    session.viewer.dims.set_point(0, 1)
    qtbot.wait_until(lambda: layer.data[1].any(), timeout=100_000)
    assert not layer.data[0].any()
    session.viewer.dims.set_point(0, 0)

    def look() -> bool:
        session.kept.put(wide, (1,), probability[1], make_segmenter())
        return bool(layer.data[0].any())

    qtbot.wait_until(look, timeout=100_000)
    np.testing.assert_array_equal(layer.data[0], uncertainty(probability[0], "cells", 2))
