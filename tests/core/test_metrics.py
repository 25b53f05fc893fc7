"""Every score against a second, slower implementation or a case worked out by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skimage.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from napari_unet.core import metrics
from napari_unet.errors import InputError

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]
Pair = tuple[Labels, Labels]
NOT_ONE_SCORE = ("touching_cells", "class_iou")
SCORES: list[Callable[..., Any]] = [
    getattr(metrics, name)
    for name in metrics.__all__
    if name.islower() and name not in NOT_ONE_SCORE
]
FOREGROUND = {"foreground_rand_score", "foreground_information_score"}
BEST_IS_ONE = {"iou", "seg_score", "average_precision", *FOREGROUND}

unhurried = settings(deadline=None, max_examples=60)


@st.composite
def label_pairs(draw: st.DrawFn, min_dims: int = 1, max_dims: int = 3) -> Pair:
    """Two tiny label arrays of one shape."""
    shape = draw(array_shapes(min_dims=min_dims, max_dims=max_dims, max_side=4))
    labels = arrays(np.int64, shape, elements=st.integers(0, 3))
    return draw(labels), draw(labels)


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[Mask, Mask]:
    """Two small 2D masks of one shape."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=8))
    masks = arrays(np.bool_, shape)
    return draw(masks), draw(masks)


def cells(seed: int, shape: tuple[int, ...]) -> Labels:
    """Smooth blobs, numbered."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    numbered, _ = ndimage.label(noise > 0.05)
    return np.asarray(numbered, dtype=np.int64)


def objects(labels: Labels) -> list[Mask]:
    """One mask per object."""
    return [labels == one for one in np.unique(labels) if one != 0]


def jaccard(first: Mask, second: Mask) -> float:
    """Intersection over union, from sets of positions."""
    one, two = set(np.flatnonzero(first)), set(np.flatnonzero(second))
    return len(one & two) / len(one | two)


def pair_counts(truth: Labels, predicted: Labels) -> dict[tuple[bool, bool], int]:
    """How many pairs of pixels are joined (in the truth, in the prediction)."""
    counts = dict.fromkeys(itertools.product((True, False), repeat=2), 0)
    pixels = zip(truth.ravel(), predicted.ravel(), strict=True)
    for (t1, p1), (t2, p2) in itertools.combinations(pixels, 2):
        counts[bool(t1 == t2), bool(p1 == p2)] += 1
    return counts


def test_iou_and_pixel_error_of_a_case_worked_out_by_hand() -> None:
    """Two of five foreground pixels are shared, and three of six pixels differ."""
    truth = np.array([[0, 7, 7], [7, 0, 0]])
    predicted = np.array([[1, 1, 0], [1, 1, 0]])
    assert metrics.iou(truth, predicted) == 2 / 5
    assert metrics.pixel_error(truth, predicted) == 3 / 6
    assert metrics.iou(truth != 0, predicted) == 2 / 5


@unhurried
@given(label_pairs())
def test_seg_is_the_mean_jaccard_of_objects_covered_by_more_than_half(pair: Pair) -> None:
    """The definition, written with one loop over the objects of each side."""
    truth, predicted = pair
    scores = []
    for cell in objects(truth):
        half = cell.sum() / 2
        covering = [other for other in objects(predicted) if (cell & other).sum() > half]
        scores.append(jaccard(cell, covering[0]) if covering else 0.0)
    expected = np.mean(scores) if scores else float(not predicted.any())
    assert metrics.seg_score(truth, predicted) == pytest.approx(expected)


def test_seg_does_not_match_an_object_that_is_covered_by_exactly_half() -> None:
    """The first of two objects is covered by 2 of its 4 pixels, the second by 3 of 4."""
    truth = np.array([1, 1, 1, 1, 0, 2, 2, 2, 2])
    predicted = np.array([5, 5, 0, 0, 0, 9, 9, 9, 0])
    assert metrics.seg_score(truth, predicted) == (0 + 3 / 4) / 2


@unhurried
@given(label_pairs(), st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
def test_average_precision_equals_an_optimal_assignment(pair: Pair, threshold: float) -> None:
    """The dense assignment that maximises the pairs above the threshold, then their overlap."""
    true, found = objects(pair[0]), objects(pair[1])
    table = np.array([[jaccard(a, b) for b in found] for a in true]).reshape(len(true), len(found))
    benefit = (table >= threshold) + table / (2 * max(min(table.shape), 1))
    hits = int((table[linear_sum_assignment(-benefit)] >= threshold).sum())
    total = len(true) + len(found) - hits
    assert metrics.average_precision(*pair, threshold) == (hits / total if total else 1.0)


def test_average_precision_takes_one_threshold_or_several() -> None:
    """A cell found whole, one found by three quarters, one in halves, and one invented."""
    truth = np.array([1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 0, 0])
    predicted = np.array([4, 4, 0, 5, 5, 5, 0, 0, 6, 7, 0, 8])
    several = metrics.average_precision(truth, predicted, [0.5, 0.75, 0.8])
    np.testing.assert_array_equal(several, [3 / 5, 2 / 6, 1 / 7])
    assert metrics.average_precision(truth, predicted) == 3 / 5


@pytest.mark.parametrize("threshold", [0, 1.5, float("nan"), [0.5, -1.0], [[0.5]]])
def test_average_precision_refuses_thresholds_that_mean_nothing(threshold: Any) -> None:
    """At 0 any two objects would be a pair, and no overlap is above 1."""
    with pytest.raises(InputError, match="threshold is"):
        metrics.average_precision(np.ones((2, 2), int), np.ones((2, 2), int), threshold)


@unhurried
@given(label_pairs(max_dims=2))
def test_rand_errors_equal_counting_every_pair_of_pixels(pair: Pair) -> None:
    """Both errors by brute force, the adapted one on the pixels of true objects alone."""
    truth, predicted = pair
    counts = pair_counts(truth, predicted)
    wrong = counts[True, False] + counts[False, True]
    assert metrics.rand_error(truth, predicted) == wrong / max(sum(counts.values()), 1)

    inside = pair_counts(truth[truth > 0], predicted[truth > 0])
    both, either = 2 * inside[True, True], inside[True, False] + inside[False, True]
    expected = 1 - both / (both + either) if both + either else 0.0
    assert metrics.adapted_rand_error(truth, predicted) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(40, 50), (12, 20, 24)])
def test_adapted_rand_error_and_variation_of_information_equal_scikit_image(
    shape: tuple[int, ...],
) -> None:
    """Blobs in two and three dimensions, with background on both sides."""
    truth, predicted = cells(0, shape), cells(1, shape)
    expected = skimage.metrics.adapted_rand_error(truth, predicted)[0]
    assert metrics.adapted_rand_error(truth, predicted) == pytest.approx(expected)
    bits = skimage.metrics.variation_of_information(truth, predicted)
    assert metrics.variation_of_information(truth, predicted) == pytest.approx(tuple(bits))


def test_splits_and_merges_cost_their_own_half_of_the_variation_of_information() -> None:
    """Cutting a region into two equal halves loses one bit, and so does joining them."""
    whole, halves = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])
    assert metrics.variation_of_information(whole, halves) == (1.0, 0.0)
    assert metrics.variation_of_information(halves, whole) == (0.0, 1.0)


def topology(mask: Mask) -> tuple[int, int]:
    """Objects (4-connected) and background parts (8-connected, joined outside the image)."""
    padded = np.pad(mask, 1)
    return ndimage.label(padded)[1], ndimage.label(~padded, np.ones((3, 3)))[1]


def warp_one_by_one(truth: Mask, predicted: Mask) -> float:
    """Flip one differing pixel at a time if the objects and background parts stay as many."""
    warped, rows, columns = truth.copy(), *np.indices(truth.shape)
    parity, changed = rows % 2 * 2 + columns % 2, True
    order = [*itertools.chain(*(np.argwhere(parity == p) for p in (3, 2, 1, 0)))]
    while changed:
        changed = False
        for where in map(tuple, order):
            if warped[where] != predicted[where]:
                flipped = warped.copy()
                flipped[where] = predicted[where]
                if topology(flipped) == topology(warped):
                    warped, changed = flipped, True
    return float((warped != predicted).mean())


def test_every_neighbourhood_is_simple_exactly_if_flipping_it_keeps_the_topology() -> None:
    """All 512 patterns of 3 x 3 pixels, judged by counting connected parts."""
    for bits in itertools.product((False, True), repeat=9):
        before = np.array(bits).reshape(3, 3)
        after = before.copy()
        after[1, 1] = not after[1, 1]
        expected = 0 if topology(before) == topology(after) else 1 / 9
        assert metrics.warping_error(before, after) == expected


@unhurried
@given(mask_pairs())
def test_warping_whole_sublattices_equals_warping_pixel_by_pixel(pair: tuple[Mask, Mask]) -> None:
    """The sequential definition visits the same sub-lattices and counts connected parts."""
    error = metrics.warping_error(*pair)
    assert error == warp_one_by_one(*pair)
    assert error <= metrics.pixel_error(*pair)


def drawing(*rows: str) -> Mask:
    """A mask from lines of # and dots."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


@pytest.mark.parametrize(
    ("truth", "predicted", "pixels"),
    [
        (("..####..", "..####.."), ("####....", "####...."), 0),  # moved, with some overlap
        (("########", "########"), ("###.####", "###.####"), 1),  # split: a bridge stays
        (("###.####", "###.####"), ("########", "########"), 2),  # merged: the wall stays
        (("........", ".##..###"), ("........", ".....###"), 1),  # missed: a pixel stays
        (("........", ".....###"), ("........", ".##..###"), 2),  # invented: all of it
        (("#####", "#####", "#####"), ("#####", "##.##", "#####"), 1),  # a hole
        (("#####", "#####", "#####"), ("#####", "##.##", "##.##"), 0),  # a bay
    ],
)
def test_warping_error_forgives_outlines_and_counts_splits_merges_objects_and_holes(
    truth: tuple[str, ...], predicted: tuple[str, ...], pixels: int
) -> None:
    """Cases worked out by hand, in pixels that no bending can repair."""
    first, second = drawing(*truth), drawing(*predicted)
    assert metrics.warping_error(first, second) == pixels / first.size


def test_warping_repairs_what_it_can_of_a_whole_frame() -> None:
    """512 x 512 pixels of blobs that share nothing with the truth."""
    truth, predicted = cells(2, (512, 512)), cells(3, (512, 512))
    error = metrics.warping_error(truth, predicted)
    assert 0 < error < metrics.pixel_error(truth, predicted)


def test_warping_error_refuses_a_stack() -> None:
    """A stack is scored plane by plane, because simple points here are those of a plane."""
    with pytest.raises(InputError, match=r"\(2, 3, 4\)"):
        metrics.warping_error(np.ones((2, 3, 4), bool), np.ones((2, 3, 4), bool))


@pytest.mark.parametrize("score", SCORES)
def test_arrays_that_cannot_be_compared_are_refused_by_name(score: Callable[..., Any]) -> None:
    """The message names both shapes, or the type that is neither labels nor a mask."""
    with pytest.raises(InputError, match=r"\(4, 5\).*\(5, 4\)"):
        score(np.zeros((4, 5), int), np.zeros((5, 4), int))
    with pytest.raises(InputError, match="predicted holds float32"):
        score(np.zeros((4, 5), int), np.zeros((4, 5), np.float32))


@unhurried
@given(label_pairs(min_dims=2, max_dims=2))
def test_scores_stay_in_bounds_and_are_best_for_the_truth_itself(pair: Pair) -> None:
    """Bits are bounded by the logarithm of the pixels, all else by 0 and 1."""
    for score in SCORES:
        bits = score is metrics.variation_of_information
        best = 1.0 if score.__name__ in BEST_IS_ONE else 0.0
        assert np.all(np.equal(score(pair[0], pair[0]), best))
        values = np.atleast_1d(score(*pair))
        limit = np.log2(pair[0].size) if bits else 1.0
        assert np.all((values >= 0) & (values <= limit + 1e-12))


@unhurried
@given(
    label_pairs(min_dims=2, max_dims=2),
    st.permutations([3, 1, 70_000, 2**40]),
    st.permutations([-5, 2, 2**33]),
)
def test_the_numbers_of_regions_do_not_matter(pair: Pair, ids: list[int], more: list[int]) -> None:
    """Relabelling either side with other, huge or negative ids changes no score."""
    relabelled = np.array([0, *ids])[pair[0]], np.array([0, *more])[pair[1]]
    for score in SCORES:
        assert score(*relabelled) == pytest.approx(score(*pair))


@pytest.mark.parametrize("shape", [(0, 3), (3, 3)])
@pytest.mark.parametrize("score", SCORES)
def test_nothing_against_nothing_is_a_perfect_score(
    score: Callable[..., Any], shape: tuple[int, int]
) -> None:
    """Neither an array without pixels nor one without objects gives NaN or a warning."""
    nothing = np.zeros(shape, np.uint8)
    best = 1.0 if score.__name__ in BEST_IS_ONE else 0.0
    assert np.all(np.equal(score(nothing, nothing), best))


def test_objects_on_one_side_only_have_the_documented_scores() -> None:
    """Missing and invented objects score 0; a truth without objects has no inside."""
    nothing, cell = np.zeros((3, 3), int), np.eye(3, dtype=int)
    for score in (metrics.iou, metrics.seg_score, metrics.average_precision):
        assert score(nothing, cell) == score(cell, nothing) == 0.0
    assert metrics.adapted_rand_error(nothing, cell) == 0.0
