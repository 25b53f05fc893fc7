"""Flying to uncertain places, one after the other."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer
from small_things import make_segmenter
from unsure_places import SHAPE, UNSURE, foreground

from napari_unet.errors import InputError
from napari_unet.viewer.correcting.flight import LOOKING, Flight, fly_to_next
from napari_unet.viewer.field import shown_field
from napari_unet.viewer.session import Session

WINDOW = pytest.mark.parametrize("viewer", ["window"], indirect=True)


def is_near(told: str, place: tuple[int, int]) -> bool:
    """Whether a sentence names a place, give or take half a cell."""
    words = told.replace(",", "").replace(".", "").split()
    y, x = (int(words[words.index(name) + 1]) for name in ("y", "x"))
    return abs(y - place[0]) <= 5 and abs(x - place[1]) <= 5


def fly(session: Session, image: Image, labels: Labels | None) -> str:
    """Fly to the next place; return where it went."""
    *_, told = fly_to_next(session, image, labels)
    assert told is not None
    return told


@pytest.fixture
def image(viewer: Any) -> Image:
    """An image with large pixels."""
    layer: Image = viewer.add_image(np.zeros(SHAPE), name="cells", scale=(2, 2), translate=(7, 0))
    return layer


@pytest.fixture
def labels(viewer: Any, image: Image) -> Labels:  # noqa: ARG001 (lies below)
    """Nothing is painted on it yet."""
    placed = {"scale": (2, 2), "translate": (7, 0)}
    layer: Labels = viewer.add_labels(np.zeros(SHAPE, np.uint16), name="painted", **placed)
    return layer


@pytest.fixture
def stack(session: Session) -> Image:
    """Many large planes that were segmented; the network is sure of all but one place, at the end.

    To look through all of them takes half a second or more.
    """
    planes, unsure = 24, np.full((1024, 1024), 0.001, np.float32)
    image = session.viewer.add_image(np.broadcast_to(np.uint8(0), (planes, *unsure.shape)))
    for z in range(planes):
        if z == planes - 1:
            unsure = unsure.copy()
            unsure[700:706, 200:206] = 0.5
        session.kept.put(image, (z,), unsure, make_segmenter())
    session.viewer.dims.set_point(0, 0)
    return image


def test_the_window_goes_on_while_all_planes_are_looked_through(
    session: Session, stack: Image, qtbot: Any
) -> None:
    """It gets its turn after every plane; who asks again meanwhile does not begin anew."""
    told: list[str] = []
    flight = Flight(session, told.append)
    turns: list[int] = []
    timer = QTimer()
    timer.timeout.connect(lambda: turns.append(len(told)))
    timer.start(0)
    flight.begin(stack, None)
    assert told == [LOOKING]
    qtbot.wait_until(lambda: len(turns) > 5, timeout=100_000)
    flight.begin(stack, None)
    qtbot.wait_until(lambda: len(told) == 2, timeout=100_000)
    timer.stop()

    assert told[1].startswith("Uncertain place 1: y 70")
    assert shown_field(session.viewer, stack).plane == (23,)
    assert turns.count(1) >= 22
    flight.begin(stack, None)  # from there
    qtbot.wait_until(lambda: len(told) == 4, timeout=100_000)
    assert told[3].startswith("No uncertain place is left")


@pytest.mark.parametrize(
    ("what", "expected"),
    [("left", []), ("3D", ["In 3D the view canno"]), ("closed", ["Layer 'Image' is not open"])],
)
def test_a_search_ends_where_it_makes_no_sense_any_more(
    session: Session, stack: Image, qtbot: Any, what: str, expected: list[str]
) -> None:
    """With a word, unless the dock was closed."""
    told: list[str] = []
    flight = Flight(session, told.append)
    flight.begin(stack, None)
    if what == "left":
        flight.leave()
    elif what == "3D":
        session.viewer.dims.ndisplay = 3
    else:
        session.viewer.layers.remove(stack)
    qtbot.wait(200)

    assert not flight._timer.isActive()
    assert [text[: len(start)] for text, start in zip(told[1:], expected, strict=True)] == expected


def test_each_flight_goes_to_the_next_uncertain_place(
    session: Session, image: Image, labels: Labels
) -> None:
    """Until none is left; then it says so, and begins anew."""
    session.kept.put(image, (), foreground(), make_segmenter())
    for number, place in enumerate(UNSURE, start=1):
        told = fly(session, image, labels)
        assert told.startswith(f"Uncertain place {number}: ")
        assert is_near(told, place)
        world = np.array(place) * 2 + (7, 0)
        np.testing.assert_allclose(session.viewer.scene.camera.center[-2:], world, atol=10)

    assert fly(session, image, labels).startswith("No uncertain place is left")
    assert is_near(fly(session, image, labels), UNSURE[0])


def test_painted_places_and_a_new_segmentation_change_where_it_goes(
    session: Session, image: Image, labels: Labels
) -> None:
    """What is painted needs no visit, and a new segmentation is looked at anew."""
    session.kept.put(image, (), foreground(), make_segmenter())
    labels.data[38:42, 55:65] = 1
    assert is_near(fly(session, image, labels), UNSURE[1])
    assert is_near(fly(session, image, None), UNSURE[0])
    session.kept.put(image, (), foreground(UNSURE[1:]), make_segmenter())
    assert is_near(fly(session, image, labels), UNSURE[1])


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
    first, second = (fly(session, stack, None) for _ in range(2))

    assert is_near(first, UNSURE[1])
    assert is_near(second, UNSURE[0])
    assert "z plane 3" in first
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
    fly(session, image, labels)
    viewer.screenshot(flash=False)  # what is in view is known once it is drawn
    box = shown_field(viewer, image).box
    sides = sorted(span.stop - span.start for span in box)
    assert 60 <= sides[0] <= 72
    assert all(span.start < middle < span.stop for span, middle in zip(box, UNSURE[0], strict=True))

    viewer.scene.camera.zoom *= 3
    zoom = viewer.scene.camera.zoom
    fly(session, image, labels)
    assert viewer.scene.camera.zoom == zoom


def test_what_must_be_done_first_is_said(session: Session, image: Image, labels: Labels) -> None:
    """Segment, go back to 2D, choose labels of this image."""
    with pytest.raises(InputError, match="Segment first: only then is it known"):
        fly(session, image, labels)
    session.kept.put(image, (), foreground()[:50], make_segmenter())
    with pytest.raises(InputError, match="Segment first"):  # the image had other data then
        fly(session, image, labels)
    session.kept.put(image, (), foreground(), make_segmenter())
    labels.data = np.zeros((9, 9), np.uint16)
    with pytest.raises(InputError, match=r"has shape \(9, 9\)"):
        fly(session, image, labels)
    session.viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="go back to the 2D view first"):
        fly(session, image, None)
