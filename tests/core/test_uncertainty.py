"""How unsure the network is, and where to look next."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.cellclasses import ModelKind
from napari_unet.core.uncertainty import fill_uncertainty, most_uncertain, uncertainty


def test_of_cells_it_is_the_entropy_in_bits() -> None:
    """One bit where both outcomes are equally likely, none where one is certain."""
    probability = np.array([[0, 0.11, 0.5], [0.89, 0.999, 1]])
    bits = uncertainty(probability, "cells", 2)

    assert bits.dtype == np.float32
    assert bits[0, 0] == bits[1, 2] == 0
    np.testing.assert_allclose(bits, [[0, 0.5, 1], [0.5, 0.0114, 0]], atol=2e-3)


def test_of_classes_it_is_what_the_winner_lacks() -> None:
    """1 where all classes are equally likely, however many there are."""
    np.testing.assert_allclose(uncertainty(np.array([1 / 3, 0.5, 1]), "classes", 3), [1, 0.75, 0])
    np.testing.assert_allclose(uncertainty(np.array([0.2, 1]), "classes", 5), [1, 0])


@given(st.lists(st.floats(-0.125, 1.125), min_size=1), st.integers(2, 9))
def test_it_lies_between_0_and_1(probabilities: Any, n_classes: int) -> None:
    """Also where rounding left a probability a little outside."""
    kinds: tuple[ModelKind, ...] = ("cells", "classes")
    for kind in kinds:
        values = uncertainty(np.array(probabilities), kind, n_classes)
        assert values.min() >= 0
        assert values.max() <= 1


def test_strip_by_strip_it_is_the_same() -> None:
    """Every row is told once, in order."""
    probability = np.random.default_rng(0).random((2500, 1000), np.float32)
    out = np.full_like(probability, np.nan)
    rows = list(fill_uncertainty(probability, "cells", 2, out))

    assert len(rows) > 1
    assert [start for start, _ in rows[1:]] == [stop for _, stop in rows[:-1]]
    np.testing.assert_array_equal(out, uncertainty(probability, "cells", 2))


def blobs(*places: tuple[int, int, float]) -> Any:
    """Draw unsure squares of 20 pixels around places, of some height."""
    plane = np.zeros((200, 240), np.float32)
    for y, x, height in places:
        plane[y - 10 : y + 10, x - 10 : x + 10] = height
    return plane


NOTHING = np.zeros((200, 240), bool)


def near(place: Any, y: int, x: int) -> bool:
    """Whether a place is in the square around another."""
    return place is not None and max(abs(place[0] - y), abs(place[1] - x)) <= 10


def test_places_are_visited_from_the_most_uncertain_on() -> None:
    """Then there is none any more."""
    plane = blobs((40, 50, 0.5), (150, 60, 0.9), (90, 200, 0.7))
    visited: list[tuple[int, int]] = []
    for expected in ((150, 60), (90, 200), (40, 50)):
        place = most_uncertain(plane, NOTHING, 20, visited)
        assert near(place, *expected)
        assert place is not None
        visited.append(place)

    assert most_uncertain(plane, NOTHING, 20, visited) is None


def test_the_next_place_is_at_least_a_cell_away() -> None:
    """Also where a ring around a visited place is unsure, which is best seen from inside."""
    y, x = np.mgrid[:200, :240]
    ring = np.abs(np.hypot(y - 100, x - 120) - 22) < 3
    place = most_uncertain(ring.astype(float), NOTHING, 20, [(100, 120)])

    assert place is not None
    assert np.hypot(place[0] - 100, place[1] - 120) > 20


def test_a_whole_uncertain_cell_beats_a_brighter_outline() -> None:
    """Every outline is uncertain; what counts is the mean over about a cell."""
    plane = blobs((150, 60, 0.5))
    plane[20:60, 100] = 1

    assert near(most_uncertain(plane, NOTHING, 20), 150, 60)


def test_a_place_inside_beats_one_as_unsure_at_the_edge() -> None:
    """There is more to be painted, and to be seen around it."""
    unsure = np.zeros((100, 100), np.float32)
    unsure[:10, 40:60] = 1  # half of it would lie beyond the edge
    unsure[60:80, 40:60] = 0.8

    assert 60 <= most_uncertain(unsure, unsure < 0, 20)[0] < 80


def test_what_is_labelled_needs_no_visit() -> None:
    """Nor what is within half a cell of it."""
    plane, labelled = blobs((40, 50, 0.9), (150, 60, 0.5)), NOTHING.copy()
    labelled[40, 40:60] = True

    assert near(most_uncertain(plane, labelled, 20), 150, 60)


def test_what_is_further_than_half_a_cell_from_labels_is_worth_a_visit() -> None:
    """Also where all around it is labelled."""
    y, x = np.mgrid[:200, :240]
    distance = np.hypot(y - 150, x - 60)

    assert near(most_uncertain(blobs((150, 60, 0.9)), distance > 20, 20), 150, 60)
    assert most_uncertain(blobs((150, 60, 0.9)), distance > 12, 20) is None


def test_where_the_network_is_sure_there_is_nowhere_to_go() -> None:
    """Nor where everything is labelled."""
    assert most_uncertain(blobs((40, 50, 0.09)), NOTHING, 20) is None
    assert most_uncertain(blobs((40, 50, 0.9)), ~NOTHING, 20) is None


@pytest.mark.parametrize("diameter", [0.0, 0.3, 3.0, 20.0])
def test_any_size_of_cells_leads_somewhere(diameter: float) -> None:
    """Also where no cell size is known."""
    place = most_uncertain(blobs((150, 60, 0.9)), NOTHING, diameter)

    assert place is not None
    assert place == most_uncertain(blobs((150, 60, 0.9)), NOTHING, diameter)
    assert near(place, 150, 60)


def test_a_cell_may_be_larger_than_the_image() -> None:
    """There is one place then."""
    place = most_uncertain(np.ones((200, 240)), NOTHING, 500)

    assert place is not None
    assert most_uncertain(np.ones((200, 240)), NOTHING, 500, [place]) is None


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 30), st.integers(0, 3))
def test_a_place_is_a_pixel_that_was_not_visited(h: int, w: int, size: float, seed: int) -> None:
    """In planes of any shape."""
    plane = 0.2 + 0.8 * np.random.default_rng(seed).random((h, w))
    place = most_uncertain(plane, np.zeros((h, w), bool), size)

    assert place is not None
    assert 0 <= place[0] < h
    assert 0 <= place[1] < w
    assert most_uncertain(plane, np.zeros((h, w), bool), size, [place]) != place
