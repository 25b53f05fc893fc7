"""Counting and looking up some rows at a time is counting and looking up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.core.lookup import count_labels, look_up, named, row_bands

planes = arrays(
    np.int32, st.tuples(st.integers(0, 9), st.integers(0, 9)), elements=st.integers(0, 7)
)


def check(labels: Any) -> None:
    """All at once, in NumPy's own words."""
    table = np.arange(8, dtype=np.float32) ** 2
    counts = count_labels(labels, 7)

    assert counts.dtype == np.int64
    assert counts.tolist() == np.bincount(labels.ravel(), minlength=8).tolist()
    np.testing.assert_array_equal(look_up(table, labels), table[labels], strict=True)
    known = [n in labels for n in range(8)]
    assert named(labels, 7).tolist() == [False, *known[1:]]


@given(labels=planes)
def test_counts_and_tables_of_a_plane_are_right(labels: Any) -> None:
    """Any shape, also none."""
    check(labels)


@pytest.mark.parametrize("shape", [(2, 200_000), (300_000, 1), (700, 600), (40, 70, 150)])
def test_rows_together_are_the_plane(shape: tuple[int, ...]) -> None:
    """Of more pixels than are converted at once."""
    check(np.random.default_rng(0).integers(0, 8, shape, np.uint8))


@given(
    shape=array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9), pixels=st.integers(1, 99)
)
def test_bands_have_as_many_rows_as_they_may(shape: tuple[int, ...], pixels: int) -> None:
    """Every row is in one of them, in their order; a row is never divided."""
    plane, row = np.zeros(shape), int(np.prod(shape[1:]))
    most = max(pixels // row, 1) if row else pixels * shape[0]

    bands = [range(shape[0])[band] for band in row_bands(plane, pixels)]

    assert [n for band in bands for n in band] == list(range(shape[0]))
    assert all(len(band) == most for band in bands[:-1])
    assert all(0 < len(band) <= most for band in bands)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "u8"])
def test_labels_of_any_type_are_counted(dtype: str) -> None:
    """Also those without a sign, as some programs write them."""
    assert count_labels(np.array([[0, 2], [2, 3]], dtype), 4).tolist() == [1, 0, 2, 1, 0]


def test_the_background_may_be_the_last_of_a_table() -> None:
    """As -1, in the numbers of hills."""
    assert look_up(np.array([5, 6, 0], np.int32), np.array([[-1, 0, 1]])).tolist() == [[0, 5, 6]]
