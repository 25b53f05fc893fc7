"""The scores of the ISBI 2012 challenge against hand-worked cases, brute force and other libraries.

Libraries that are not installed are skipped; none is needed to use or to build this project.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable
from math import log2
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from skimage.segmentation import relabel_sequential

from napari_unet import sample_data
from napari_unet.core import metrics

Labels = NDArray[np.int64]
Pair = tuple[Labels, Labels]

unhurried = settings(deadline=None, max_examples=60)


@st.composite
def label_pairs(draw: st.DrawFn) -> Pair:
    """Two tiny label arrays of one shape."""
    shape = draw(array_shapes(max_dims=2, max_side=4))
    labels = arrays(np.int64, shape, elements=st.integers(0, 3))
    return draw(labels), draw(labels)


def wrong_cells(seed: int) -> Pair:
    """Cells, and a segmentation that misses, invents, joins, cuts and shifts some of them."""
    _, drawn = sample_data.touching_cells((128, 160), seed=seed)
    truth = drawn.astype(np.int64)
    predicted = np.where(truth % 5 == 1, 0, truth)
    predicted[predicted % 7 == 2] += 1
    columns = np.indices(truth.shape)[1]
    predicted[(predicted % 4 == 3) & (columns % 40 < 18)] += 1000
    predicted[60:70, 20:90] = 2000
    return truth, np.roll(predicted, (1, 2), (0, 1))


def inside_objects(truth: Labels, predicted: Labels) -> tuple[list[Hashable], list[Hashable]]:
    """Regions of the pixels inside true objects; a pixel of predicted background is one."""
    pixels = enumerate(zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True))
    kept = [(t, p or f"pixel {place}") for place, (t, p) in pixels if t]
    return [t for t, _ in kept], [p for _, p in kept]


def bits(names: list[Hashable]) -> float:
    """Entropy of names."""
    return sum(n / len(names) * log2(len(names) / n) for n in Counter(names).values())


def test_both_scores_of_a_case_worked_out_by_hand() -> None:
    """Two cells of four pixels: one loses two pixels, and half of the other runs into it."""
    truth = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2])
    predicted = np.array([8, 5, 5, 0, 0, 5, 5, 9, 9])
    # squares: 2, 1, 1, 2 and 2 shared pixels; 4 and 4 of the truth; 4, 2, 1 and 1 predicted
    assert metrics.foreground_rand_score(truth, predicted) == (28 / 54, 14 / 32, 14 / 22)
    # 1 bit names the true cell, 1.75 bits the predicted one, 2.25 bits both
    information = metrics.foreground_information_score(truth, predicted)
    assert information == pytest.approx((1 / 2.75, 0.5 / 1.75, 0.5))


@pytest.mark.parametrize("score", ["foreground_rand_score", "foreground_information_score"])
def test_splits_cost_the_split_score_and_merges_the_merge_score(score: str) -> None:
    """Cutting both of two cells in halves only splits, and joining the halves only merges."""
    whole, halves = np.array([1, 1, 1, 1, 2, 2, 2, 2]), np.array([1, 1, 3, 3, 2, 2, 4, 4])
    assert getattr(metrics, score)(whole, halves) == pytest.approx((2 / 3, 1 / 2, 1.0))
    assert getattr(metrics, score)(halves, whole) == pytest.approx((2 / 3, 1.0, 1 / 2))


def test_a_single_cell_holds_no_information_to_be_found() -> None:
    """Nothing can run into it; cut up at all, its score is 0, and found whole 1."""
    cell, halves = np.array([0, 1, 1, 1, 1]), np.array([0, 1, 1, 2, 2])
    assert metrics.foreground_information_score(cell, halves) == (0.0, 0.0, 1.0)
    assert metrics.foreground_information_score(cell, 7 * cell) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("score", ["foreground_rand_score", "foreground_information_score"])
def test_a_truth_without_objects_has_nothing_to_get_wrong(score: str) -> None:
    """Predicted objects lie outside of what is scored; missed ones are inside."""
    nothing, cells = np.zeros(4, int), np.array([0, 1, 2, 2])
    assert getattr(metrics, score)(nothing, cells) == (1.0, 1.0, 1.0)
    assert getattr(metrics, score)(cells, nothing).score < 1


@unhurried
@given(label_pairs())
def test_the_rand_score_equals_counting_every_pair_of_pixels(pair: Pair) -> None:
    """Pairs drawn with replacement, counted one by one."""
    true, found = inside_objects(*pair)
    pairs = list(itertools.product(range(len(true)), repeat=2))
    in_truth = {(a, b) for a, b in pairs if true[a] == true[b]}
    in_predicted = {(a, b) for a, b in pairs if found[a] == found[b]}
    both, either = len(in_truth & in_predicted), len(in_truth) + len(in_predicted)
    expected = (2 * both / either, both / len(in_truth), both / len(in_predicted)) if true else 1
    np.testing.assert_array_equal(metrics.foreground_rand_score(*pair), expected)


@unhurried
@given(label_pairs())
def test_the_information_score_equals_the_entropies_of_names(pair: Pair) -> None:
    """Mutual information from three entropies, over each one of its bounds."""
    true, found = inside_objects(*pair)
    in_truth, in_predicted = bits(true), bits(found)
    shared = in_truth + in_predicted - bits(list(zip(true, found, strict=True)))
    wholes = ((in_truth + in_predicted) / 2, in_predicted, in_truth)
    expected = [shared / whole if whole else 1.0 for whole in wholes]
    actual = metrics.foreground_information_score(*pair)
    assert actual == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_both_scores_equal_those_of_scikit_learn(seed: int) -> None:
    """Its V-measure is V_info, and its confusion of pairs lacks those of a pixel with itself."""
    cluster = pytest.importorskip("sklearn.metrics.cluster")
    truth, predicted = wrong_cells(seed)
    inside = truth > 0
    alone = -1 - np.arange(truth.size).reshape(truth.shape)
    names = truth[inside], np.where(predicted, predicted, alone)[inside]
    merge, split, score = cluster.homogeneity_completeness_v_measure(*names)
    assert metrics.foreground_information_score(truth, predicted) == pytest.approx(
        (score, split, merge)
    )
    (_, invented), (lost, joined) = cluster.pair_confusion_matrix(*names).tolist()
    joined += int(inside.sum())
    expected = (
        joined / (joined + (lost + invented) / 2),
        joined / (joined + lost),
        joined / (joined + invented),
    )
    assert metrics.foreground_rand_score(truth, predicted) == pytest.approx(expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_average_precision_equals_that_of_stardist(seed: int) -> None:
    """It calls it accuracy; at every threshold of AP@0.5:0.95."""
    stardist = pytest.importorskip("stardist.matching")
    truth, predicted = (relabel_sequential(labels)[0] for labels in wrong_cells(seed))
    theirs = [stardist.matching(truth, predicted, at).accuracy for at in metrics.IOU_RANGE]
    ours = metrics.average_precision(truth, predicted, metrics.IOU_RANGE)
    assert ours == pytest.approx(theirs)
    assert 0 <= ours[-1] < ours[0] < 1


@pytest.mark.parametrize("seed", [0, 1])
def test_seg_equals_that_of_the_cell_tracking_challenge(seed: int, tmp_path: Path) -> None:
    """As py-ctcmetrics, which is checked against the challenge's own program, computes it."""
    representations = pytest.importorskip("ctc_metrics.utils.representations")
    technical = pytest.importorskip("ctc_metrics.metrics.technical.seg")
    truth, predicted = wrong_cells(seed)
    files = [str(tmp_path / name) for name in ("man_seg.tif", "mask.tif")]
    for file, labels in zip(files, (truth, predicted), strict=True):
        tifffile.imwrite(file, labels.astype(np.int32))
    labels_true, *_, overlaps = representations.match(*files)
    theirs = technical.seg([labels_true], [overlaps])
    assert metrics.seg_score(truth, predicted) == pytest.approx(theirs)
    assert 0.2 < theirs < 0.9


def test_the_range_of_overlaps_is_the_one_of_the_challenges() -> None:
    """Ten thresholds, as exact as decimals can be: 0.55 is 11 of 20 pixels."""
    assert metrics.IOU_RANGE == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    cell = np.ones(20, int)
    assert metrics.average_precision(cell, np.arange(20) < 11, metrics.IOU_RANGE).sum() == 2
