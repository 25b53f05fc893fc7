"""What becomes of objects: each fate by hand, all by definition, and where they are drawn."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from napari_unet import metrics
from napari_unet.core.comparison import ERRORS, Fate, ObjectScore, compare_objects, error_map
from napari_unet.core.overlaps import PIXELS, overlaps
from napari_unet.errors import InputError

Labels = NDArray[np.int64]
Pair = tuple[Labels, Labels]

unhurried = settings(deadline=None, max_examples=100)


@st.composite
def label_pairs(draw: st.DrawFn) -> Pair:
    """Two small label planes, or volumes, of one shape."""
    shape = draw(array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=6))
    labels = arrays(np.int64, shape, elements=st.integers(0, 4))
    return draw(labels), draw(labels)


def drawing(text: str) -> Labels:
    """Labels from lines of digits and dots."""
    return np.array([[int(pixel.replace(".", "0")) for pixel in row] for row in text.split()])


def fates(truth: str, predicted: str) -> tuple[str, str]:
    """The fates of the true and of the predicted objects of two drawings."""
    scores = compare_objects(drawing(truth), drawing(predicted))
    sides = ("truth", "predicted")
    true, found = (" ".join(s.fate for s in scores if s.side == side) for side in sides)
    return true, found


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        ("11..22", "11..22", ("found found", "found found")),
        ("1111..", ".1111.", ("found", "found")),
        ("1111.", ".11..", ("found", "found")),  # an overlap of exactly one half
        ("11..", "....", ("missed", "")),
        ("....", ".22.", ("", "spurious")),
        ("111..", "..333", ("missed", "spurious")),  # they overlap too little
        ("1111", "3344", ("split", "split split")),  # exact halves
        ("1122", "3333", ("merged merged", "merged")),  # exact halves
        ("111111", "22.3.4", ("split", "split split split")),
        ("111111", "2222.3", ("found", "found split")),  # a speck is cut off
        ("11.22.", "333333", ("merged merged", "merged")),
        ("1111.2", "333333", ("found merged", "found")),  # a speck is swallowed
        ("111.222", "..33333", ("missed found", "found")),  # covers a third of the first
        ("1111", ".2..", ("missed", "spurious")),  # one part is no split
        ("1111111122222222", "4553333333333333", ("merged found", "found split split")),
        ("1111111111222..", "4...33333333333", ("merged merged", "merged split")),
    ],
)
def test_the_fate_of_objects_by_hand(truth: str, predicted: str, expected: tuple[str, str]) -> None:
    """Each fate, at its border, and where two definitions hold."""
    assert fates(truth, predicted) == expected


def test_an_object_is_described_with_its_place_and_its_best_partner() -> None:
    """Labels as they are in the arrays, areas, centroids, and the larger of two overlaps."""
    truth = drawing("777. 777. ....")
    predicted = drawing("99.. 993. ...5")
    assert compare_objects(truth, predicted) == [
        ObjectScore("truth", 7, "found", 6, 0.5, 1.0, 9, 4 / 6),
        ObjectScore("predicted", 3, "split", 1, 1.0, 2.0, 7, 1 / 6),
        ObjectScore("predicted", 5, "spurious", 1, 2.0, 3.0, 0, 0.0),
        ObjectScore("predicted", 9, "found", 4, 0.5, 0.5, 7, 4 / 6),
    ]


def test_of_equal_partners_the_lowest_label_is_named() -> None:
    """Both halves overlap equally, in either order of the arrays."""
    whole, halves = drawing("1111"), drawing("3322")
    assert compare_objects(whole, halves)[0].partner == 2
    assert compare_objects(halves, whole)[-1].partner == 2


def by_definition(pair: Pair) -> list[str]:
    """The fates of all objects, from sets of pixels and the words of the module."""
    true, found = (
        {label: set(np.flatnonzero(side == label)) for label in np.unique(side) if label}
        for side in pair
    )
    good = [
        (t, f) for t, a in true.items() for f, b in found.items() if 2 * len(a & b) >= len(a | b)
    ]
    hits = [
        (t, f)
        for t, f in good
        if sum(t == other for other, _ in good) == sum(f == other for _, other in good) == 1
    ]
    covered = {f: {t for t, a in true.items() if 2 * len(a & b) > len(a)} for f, b in found.items()}
    inside = {t: {f for f, b in found.items() if 2 * len(a & b) > len(b)} for t, a in true.items()}
    merges = {f: some for f, some in covered.items() if len(some) > 1}
    splits = {t: some for t, some in inside.items() if len(some) > 1}

    def first(*kinds: tuple[str, bool]) -> str:
        return next(kind for kind, holds in kinds if holds)

    of_truth = [
        first(
            ("found", any(t == hit for hit, _ in hits)),
            ("merged", any(t in some for some in merges.values())),
            ("split", t in splits),
            ("missed", True),
        )
        for t in true
    ]
    of_predicted = [
        first(
            ("found", any(f == hit for _, hit in hits)),
            ("merged", f in merges),
            ("split", any(f in some for some in splits.values())),
            ("spurious", True),
        )
        for f in found
    ]
    return of_truth + of_predicted


@unhurried
@given(label_pairs())
def test_every_object_has_the_fate_of_the_definition(pair: Pair) -> None:
    """All objects of both sides, in the order of the sides and of their labels."""
    scores = compare_objects(*pair)
    labels = [(side, v) for side in (0, 1) for v in np.unique(pair[side]) if v]
    assert [(s.side == "predicted", s.label) for s in scores] == labels
    assert [s.fate for s in scores] == by_definition(pair)
    for score, (side, label) in zip(scores, labels, strict=True):
        assert score.area == (pair[side] == label).sum()
        middle = np.argwhere(pair[side] == label).mean(axis=0)
        assert (score.z, score.y, score.x)[-len(middle) :] == pytest.approx(middle)


@unhurried
@given(label_pairs())
def test_found_objects_are_the_hits_of_average_precision(pair: Pair) -> None:
    """As many on both sides, and AP@0.5 follows from them, but for objects cut in exact halves."""
    scores = compare_objects(*pair)
    found = [
        sum(s.fate == "found" for s in scores if s.side == side) for side in ("truth", "predicted")
    ]
    halves = {s.iou for s in scores if s.fate in ("merged", "split") and s.iou >= 0.5}
    assert found[0] == found[1]
    assert halves <= {0.5}
    if scores and not halves:
        expected = found[0] / (len(scores) - found[0])
        assert metrics.average_precision(*pair) == expected


@unhurried
@given(label_pairs())
def test_the_map_marks_the_pixels_of_objects_with_their_fates(pair: Pair) -> None:
    """Of two claims on a pixel the first of merged, split, missed, spurious is drawn."""
    expected = np.zeros(pair[0].shape, np.uint8)
    for kind in ("spurious", "missed", "split", "merged"):
        for score in compare_objects(*pair):
            if score.fate == kind:
                side = pair[score.side == "predicted"]
                expected[side == score.label] = 1 + ERRORS.index(kind)
    drawn = error_map(*pair)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, expected)


def test_the_map_of_a_case_worked_out_by_hand() -> None:
    """Missed 1, spurious 2, merged 3 with the wall between, split 4; a shifted outline is right."""
    truth = drawing("111....2.3.44.55555 .......2.3.44.55555")
    predicted = drawing("....66.777.44488.99 ....66.777.444.8899")
    np.testing.assert_array_equal(
        error_map(truth, predicted), drawing("111.22.333.00044444 ....22.333.00044444")
    )


def test_what_is_merged_and_split_is_drawn_as_merged() -> None:
    """A cell whose larger part runs into the next one also loses two specks."""
    drawn = error_map(drawing("1111111122222222"), drawing("4553333333333333"))
    np.testing.assert_array_equal(drawn, drawing("3333333300000000"))


def test_every_fate_but_found_is_an_error() -> None:
    """The numbers of the map have names, in one order."""
    assert set(get_args(Fate)) == {"found", *ERRORS}
    assert ERRORS == ("missed", "spurious", "merged", "split")


def test_masks_and_labels_of_any_number_are_compared() -> None:
    """A mask is one object, and labels may be huge or negative."""
    mask = np.eye(3, dtype=bool)
    huge = np.where(mask, np.uint64(2**63 + 5), np.uint64(0))
    (true, found) = compare_objects(mask, huge)
    assert (true.label, true.partner, found.label, found.partner) == (1, 2**63 + 5, 2**63 + 5, 1)
    assert compare_objects(-1 * mask, mask)[0].label == -1
    assert not error_map(mask, huge).any()


def test_arrays_without_objects_or_pixels_have_nothing_to_compare() -> None:
    """Neither gives NaN, nor a warning."""
    for shape in ((0, 4), (3, 4)):
        nothing = np.zeros(shape, np.uint16)
        assert compare_objects(nothing, nothing) == []
        assert error_map(nothing, nothing).shape == shape


@pytest.mark.parametrize("compare", [compare_objects, error_map])
def test_only_two_planes_or_volumes_of_one_image_can_be_compared(compare: object) -> None:
    """A line, two shapes and fractions are refused with what was seen."""
    plane = np.zeros((3, 4), int)
    assert callable(compare)
    with pytest.raises(InputError, match=r"\(4,\): pass one plane \(Y, X\) or volume"):
        compare(plane[0], plane[0])
    with pytest.raises(InputError, match=r"\(3, 4\).*\(4, 3\)"):
        compare(plane, plane.T)
    with pytest.raises(InputError, match="predicted holds float64"):
        compare(plane, plane / 2)


def test_an_object_of_a_volume_is_one_through_its_planes() -> None:
    """With its voxels, and where its middle is; cut in two it is split."""
    truth = np.zeros((4, 3, 5), int)
    truth[1:, :2, 2:] = 7
    predicted = truth.copy()
    predicted[3][truth[3] > 0] = 0
    found, _ = compare_objects(truth, predicted)
    assert found == ObjectScore("truth", 7, "found", 18, 0.5, 3.0, 7, 2 / 3, 2.0)

    predicted[2:][truth[2:] > 0] = 9
    truth[0, :2, 2:], predicted[0, :2, 2:] = 7, 7
    assert [one.fate for one in compare_objects(truth, predicted)] == ["split"] * 3
    np.testing.assert_array_equal(error_map(truth, predicted), np.where(truth > 0, 4, 0))


@pytest.mark.parametrize("objects", [14, 2800], ids=["a few", "many"])
def test_the_objects_of_a_large_volume_are_counted_in_parts(objects: int) -> None:
    """Exactly as all at once."""
    truth = np.zeros((70, 300, 300), np.uint16)
    number = np.arange(70 * 280) * objects // (70 * 280)
    truth[:, 10:290, 10:290] = number.reshape(70, 280)[:, :, None]
    predicted = np.roll(truth, 2, axis=0)
    assert truth.size > PIXELS
    pairs = overlaps(truth, predicted)
    together, counts = np.unique(truth.astype(np.int64) * 10_000 + predicted, return_counts=True)
    np.testing.assert_array_equal([pairs.truth, pairs.predicted], np.divmod(together, 10_000))
    np.testing.assert_array_equal(pairs.shared, counts)
    np.testing.assert_array_equal(pairs.truth_sizes, np.bincount(truth.ravel()))
    if objects == 14:
        (one,) = [o for o in compare_objects(truth, predicted) if (o.side, o.label) == ("truth", 3)]
        assert (one.z, one.y, one.x, one.area) == (17.0, 149.5, 149.5, 5 * 280**2)


def test_thousands_of_objects_are_found_at_once() -> None:
    """A loop that looks at the whole image for each of 40 000 squares would take hours."""
    square = np.pad(np.ones((3, 3), int), (0, 1))
    truth = np.kron(np.arange(1, 40_001).reshape(200, 200), square)
    predicted = np.roll(truth, 1, axis=0)
    scores = compare_objects(truth, predicted)
    assert len(scores) == 80_000
    assert {(score.fate, score.area) for score in scores} == {("found", 9)}
    assert not error_map(truth, predicted).any()
