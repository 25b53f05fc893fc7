"""Which predicted objects go with which painted cells."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.acceptance import Matching, match_objects


def plane(*rows: str) -> Any:
    """Draw a plane: a digit is a number, a dot is 0."""
    return np.array([[int(c.replace(".", "0")) for c in row] for row in rows])


def match(predicted: Any, painted: Any, verified: tuple[int, ...] = ()) -> Matching:
    """Match with scribbles: 1 is background."""
    return match_objects(predicted, painted, first=2, verified=verified)


ONE = plane("....", ".77.", ".77.", "....")


def test_an_object_on_nothing_painted_is_new() -> None:
    """And completes nothing."""
    matching = match(ONE, np.zeros_like(ONE))

    assert matching.new.tolist() == [False, True]
    assert matching.partner.tolist() == [0, 0]
    np.testing.assert_array_equal(matching.objects, ONE > 0)


def test_an_object_on_a_stroke_completes_that_cell() -> None:
    """However small the stroke."""
    matching = match(ONE, plane("....", ".5..", "....", "...."))

    assert matching.partner.tolist() == [0, 5]
    assert not matching.new.any()


def test_an_outline_that_spills_into_a_neighbour_does_not_join_it() -> None:
    """Two pixels of a cell painted beside it are not a stroke inside the object."""
    predicted = plane("777777....", "777777....", "777777....", "777777....")
    painted = plane(".....44444", ".....44444", "......4444", "..5.......")

    assert match(predicted, painted).partner.tolist() == [0, 5]
    painted[3, 2] = 0
    assert match(predicted, painted).new.tolist() == [False, True]


def test_a_thin_stroke_at_a_slant_is_one_stroke() -> None:
    """Its pixels touch at their corners only; one of six in the object is no stroke in it."""
    predicted, painted = np.zeros((2, 8, 10), int)
    predicted[:, :4] = 7
    painted[np.arange(6), np.arange(3, 9)] = 4
    assert match(predicted, painted).new.tolist() == [False, True]

    painted[5] = 0  # but one of five is
    assert match(predicted, painted).partner.tolist() == [0, 4]


def test_an_object_on_two_painted_cells_would_join_them() -> None:
    """Two strokes of one number are one cell, though."""
    assert match(ONE, plane("....", ".5..", "..6.", "....")).joining.tolist() == [False, True]
    apart = plane("777777", "5....5")[:1], plane("5....5")
    assert match(*apart).partner.tolist() == [0, 5]


def test_all_cells_painted_with_one_number_are_judged_stroke_by_stroke() -> None:
    """The object lies on a twentieth of all that has number 2, but on one whole stroke."""
    predicted, painted = np.zeros((8, 44), int), np.zeros((8, 44), int)
    predicted[1:7, :6] = 1
    painted[3, 2:4] = 2
    painted[:, 8:] = 2

    assert match(predicted, painted).partner.tolist() == [0, 2]


def test_background_strokes_win_where_they_cover_most_of_an_object() -> None:
    """Half is not most."""
    assert match(ONE, plane("....", ".11.", ".1..", "....")).on_background.tolist() == [False, True]
    assert match(ONE, plane("....", ".11.", "....", "....")).new.tolist() == [False, True]


def test_a_verified_cell_is_neither_completed_nor_joined() -> None:
    """An object mostly on it is that cell; one that covers less than half of it is another one."""
    mostly = match(ONE, plane("....", ".55.", ".5..", "...."), verified=(5,))
    beside = match(ONE, plane(".55.", ".55.", "....", "...."), verified=(5,))
    with_stroke = match(ONE, plane(".55.", ".55.", ".6..", "...."), verified=(5,))

    assert not (mostly.new | mostly.joining | mostly.on_background | (mostly.partner > 0)).any()
    assert not mostly.on_verified.any()
    assert beside.new.tolist() == [False, True]
    assert with_stroke.partner.tolist() == [0, 6]


def test_what_is_predicted_around_a_verified_cell_is_no_cell() -> None:
    """Whether it is a ring around a stroke, or another cell that the prediction joins to it."""
    ring = match(ONE, plane("....", ".5..", "....", "...."), verified=(5,))
    joined = match(ONE, plane("....", ".5..", ".6..", "...."), verified=(5,))

    for matching in (ring, joined):
        assert matching.on_verified.tolist() == [False, True]
        assert not (matching.new | matching.joining | (matching.partner > 0)).any()


small = arrays(np.uint16, (5, 6), elements=st.integers(0, 4))


@given(small, small, st.sets(st.integers(2, 4)))
def test_every_object_has_one_part_at_most(predicted: Any, painted: Any, verified: Any) -> None:
    """And none where it has no unpainted pixel; no verified cell is ever completed."""
    matching = match_objects(predicted, painted, first=2, verified=verified)
    parts = matching.new.astype(int) + matching.joining + matching.on_background
    parts += matching.on_verified.astype(int) + (matching.partner > 0)

    assert parts.max() <= 1
    assert parts[0] == 0
    assert not set(matching.partner.tolist()) & verified
    for number in range(1, len(parts)):
        assert parts[number] == 0 or (painted[matching.objects == number] == 0).any()


@given(small)
def test_what_is_not_painted_on_is_new_altogether(predicted: Any) -> None:
    """Whatever the numbers."""
    matching = match(predicted, np.zeros_like(predicted))

    assert matching.new.sum() == len(set(predicted.ravel().tolist()) - {0})
    np.testing.assert_array_equal(matching.objects > 0, predicted > 0)
