"""Regions by number, whatever their ids."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.core import overlaps as counting
from napari_unet.core.overlaps import comparable_planes, numbered, overlaps
from napari_unet.errors import InputError


@given(
    labels=st.sampled_from(["?", "u1", ">i2", "i4", "u8"]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    ),
    few=st.booleans(),
)
def test_regions_are_numbered_in_the_order_of_their_ids(labels: Any, few: bool) -> None:
    """Of any shape, also none; few low ids by a table, and others, huge or negative, sorted."""
    kind = labels.dtype.kind
    if few and kind != "b":
        labels = labels % np.array(4, labels.dtype) - np.array(kind == "i", labels.dtype)
    numbers, ids = numbered(labels)

    assert numbers.dtype == np.int64
    assert ids.dtype == (np.uint8 if kind == "b" else labels.dtype.newbyteorder("="))
    assert ids.tolist() == sorted(
        {0, *map(int, labels.ravel().tolist())}, key=lambda n: (n != 0, n)
    )
    np.testing.assert_array_equal(ids[numbers], labels)


@pytest.mark.parametrize("highest", [3, 10**9])
def test_the_background_is_there_without_a_pixel(highest: int) -> None:
    """So that an object is never number 0."""
    numbers, ids = numbered(np.array([[2, highest], [highest, 2]]))

    assert ids.tolist() == [0, 2, highest]
    assert numbers.tolist() == [[1, 2], [2, 1]]


@pytest.mark.parametrize("pixels", [1, 7, 1 << 22])
@pytest.mark.parametrize("regions", [1, 3, 200])
def test_pixels_of_a_volume_are_counted_some_at_a_time(
    monkeypatch: pytest.MonkeyPatch, pixels: int, regions: int
) -> None:
    """Few pairs by a table of them all, many sorted: each as often as both lie on one pixel."""
    monkeypatch.setattr(counting, "PIXELS", pixels)
    rng = np.random.default_rng(regions)
    truth, predicted = (rng.integers(0, regions + more, (3, 4, 5)) for more in (1, 3))

    found = overlaps(truth, predicted)

    assert {counts.dtype for counts in found} == {np.dtype(np.int64)}
    ids, others = (numbered(labels).ids.tolist() for labels in (truth, predicted))
    pairs = zip(found.truth, found.predicted, found.shared, strict=True)
    assert {(ids[one], others[other]): n for one, other, n in pairs} == Counter(
        zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True)
    )
    assert [found.truth_sizes.tolist(), found.predicted_sizes.tolist()] == [
        [np.count_nonzero(truth == one) for one in ids],
        [np.count_nonzero(predicted == other) for other in others],
    ]


@pytest.mark.parametrize("shape", [(2, 4), (3, 4, 1), (3, 5)])
def test_only_labels_of_one_shape_are_compared(shape: tuple[int, ...]) -> None:
    """Whichever has more rows, columns or axes."""
    one, other = np.ones((3, 4), int), np.ones(shape, int)

    for pair in ((one, other), (other, one)):
        with pytest.raises(InputError, match="two arrays of the same image"):
            overlaps(*pair)
    with pytest.raises(InputError, match=r"shape \(12,\): pass one 2D plane"):
        comparable_planes(one.ravel(), one.ravel())


@pytest.mark.parametrize("masked", ["truth", "prediction"])
def test_masked_labels_are_refused(masked: str) -> None:
    """What is masked would count all the same."""
    labels = {name: np.eye(3, dtype=np.uint8) for name in ("truth", "prediction")}
    labels[masked] = np.ma.masked_array(labels[masked], mask=labels[masked] > 0)

    with pytest.raises(InputError, match=masked):
        overlaps(labels["truth"], labels["prediction"])
