"""Counting and looking up some rows at a time is counting and looking up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core import lookup
from napari_unet.core.lookup import count_labels, look_up, named

planes = arrays(
    np.int32, st.tuples(st.integers(0, 9), st.integers(0, 9)), elements=st.integers(0, 7)
)


@pytest.fixture(params=[1, 10, 1 << 17])
def _pixels(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """How many pixels are converted together."""
    monkeypatch.setattr(lookup, "PIXELS", request.param)


@pytest.mark.usefixtures("_pixels")
@given(labels=planes)
def test_rows_together_are_the_plane(labels: Any) -> None:
    """Any shape, also none."""
    table = np.arange(8, dtype=np.float32) ** 2

    assert count_labels(labels, 7).tolist() == np.bincount(labels.ravel(), minlength=8).tolist()
    np.testing.assert_array_equal(look_up(table, labels), table[labels])
    assert set(np.flatnonzero(named(labels, 7))) == set(labels.ravel()) - {0}


@pytest.mark.parametrize("dtype", ["u1", ">i2", "u8"])
def test_labels_of_any_type_are_counted(dtype: str) -> None:
    """Also those without a sign, as some programs write them."""
    assert count_labels(np.array([[0, 2], [2, 3]], dtype), 4).tolist() == [1, 0, 2, 1, 0]


def test_the_background_may_be_the_last_of_a_table() -> None:
    """As -1, in the numbers of hills."""
    assert look_up(np.array([5, 6, 0], np.int32), np.array([[-1, 0, 1]])).tolist() == [[0, 5, 6]]
