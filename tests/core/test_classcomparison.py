"""How well classes of pixels agree: by hand, and as masks class by class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet import metrics
from napari_unet.core.classcomparison import (
    ClassScore,
    compare_classes,
    mean_iou,
    together,
    wrong_classes,
    wrong_share,
)
from napari_unet.errors import InputError

PLANES = arrays(np.uint8, (4, 5), elements=st.integers(0, 3))


def test_classes_of_a_case_worked_out_by_hand() -> None:
    """What is not labelled counts nowhere; a class that is never true still costs."""
    truth = np.array([[1, 1, 2, 2, 0, 0]])
    predicted = np.array([[1, 2, 2, 3, 1, 9]])
    assert compare_classes(truth, predicted) == [
        ClassScore(1, 2, 1, 1),
        ClassScore(2, 2, 2, 1),
        ClassScore(3, 0, 1, 0),
    ]
    assert [one.iou for one in compare_classes(truth, predicted)] == [1 / 2, 1 / 3, 0.0]
    assert mean_iou(compare_classes(truth, predicted)) == pytest.approx(5 / 18)
    assert wrong_share(compare_classes(truth, predicted)) == 1 / 2
    assert wrong_classes(truth, predicted).tolist() == [[False, True, False, True, False, False]]


@settings(deadline=None)
@given(PLANES, PLANES)
def test_every_class_has_the_overlap_of_its_masks(truth: np.ndarray, predicted: np.ndarray) -> None:
    """Where the truth is labelled."""
    scores = compare_classes(truth, predicted)
    seen = np.where(truth > 0, predicted, 0)
    assert [one.label for one in scores] == sorted({*truth.flat, *seen.flat} - {0})
    for one in scores:
        assert one.iou == metrics.iou(truth == one.label, seen == one.label)
    assert metrics.class_iou(truth, predicted) == {one.label: one.iou for one in scores}
    if scores:
        assert wrong_share(scores) == pytest.approx(
            wrong_classes(truth, predicted).sum() / (truth > 0).sum()
        )


@settings(deadline=None)
@given(PLANES, PLANES, PLANES, PLANES)
def test_planes_together_are_scored_as_one_image(
    truth: np.ndarray, predicted: np.ndarray, more: np.ndarray, found: np.ndarray
) -> None:
    """A rare class that one of them lacks is no reason to leave the plane out."""
    planes = [compare_classes(truth, predicted), compare_classes(more, found)]
    assert together(planes) == compare_classes([truth, more], [predicted, found])


def test_nothing_labelled_has_no_class() -> None:
    """Whatever was predicted; other arrays are refused."""
    assert compare_classes(np.zeros((2, 3), int), np.ones((2, 3), int)) == []
    with pytest.raises(InputError, match="predicted holds float64"):
        compare_classes(np.ones((2, 3), int), np.ones((2, 3)))
