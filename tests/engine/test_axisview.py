"""A view puts axes in order and flattens planes, reading and writing what NumPy would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.engine.formats.axisview import AxisView
from napari_unet.errors import InputError

STORED = np.arange(3 * 2 * 4 * 5 * 6, dtype=np.uint16).reshape(3, 2, 4, 5, 6)
"""(T, C, Z, Y, X)"""
SEEN = STORED.transpose(1, 0, 2, 3, 4).reshape(2, 12, 5, 6)
AXES = [[1], [0, 2], [3], [4]]


def in_zarr(array: np.ndarray) -> zarr.Array[Any]:
    """The array as a zarr array of small chunks."""
    chunks = tuple(max(n // 2, 1) for n in array.shape)
    return zarr.create_array(zarr.storage.MemoryStore(), data=array, chunks=chunks)


def index_of(n: int) -> st.SearchStrategy[int | slice]:
    """Any number or forward slice of an axis."""
    ends = st.none() | st.integers(-n, n)
    return st.integers(-n, n - 1) | st.builds(slice, ends, ends, st.none() | st.integers(1, 3))


IN_ZARR = in_zarr(STORED)
INDICES = st.tuples(*(index_of(n) for n in SEEN.shape)) | index_of(2) | st.just(())


@settings(max_examples=60)
@given(INDICES, st.booleans())
def test_a_view_gives_what_numpy_gives(index: Any, use_numpy: bool) -> None:
    """Numbers, slices with steps, and fewer of them than axes."""
    view = AxisView(STORED if use_numpy else IN_ZARR, AXES, "a")

    assert view.shape == SEEN.shape
    np.testing.assert_array_equal(view[index], SEEN[index])


@given(INDICES)
def test_a_view_writes_where_numpy_writes(index: Any) -> None:
    """The stored array changes where the view was assigned to, and nowhere else."""
    stored, expected = STORED.copy(), SEEN.copy()
    values = np.arange(expected[index].size, dtype=np.uint16).reshape(expected[index].shape)
    expected[index] = values

    AxisView(stored, AXES, "a")[index] = values

    np.testing.assert_array_equal(np.asarray(AxisView(stored, AXES, "a")), expected)


def test_a_view_writes_into_zarr() -> None:
    """As above, with a store that does not broadcast."""
    stored = in_zarr(np.zeros((2, 3, 5, 6), np.uint32))
    view = AxisView(stored, [[0, 1], [2], [3]], "a")

    view[4:5, 1:3, 2:6] = np.ones((1, 2, 4), np.uint32)
    view[0] = 7

    assert (stored[1, 1, 1:3, 2:6] == 1).all()
    assert (stored[0, 0] == 7).all()
    assert np.asarray(stored).sum() == 8 + 7 * 30


@pytest.mark.parametrize("order", ["YXS", "SYX", "YSX", "XYS"])
def test_axes_may_stand_in_any_order(order: str) -> None:
    """Colours last, rows after columns: the view has channels, rows, columns."""
    stored = np.arange(60).reshape(3, 4, 5)
    view = AxisView(in_zarr(stored), [[order.index(axis)] for axis in "SYX"], "a")

    expected = stored.transpose([order.index(axis) for axis in "SYX"])
    np.testing.assert_array_equal(view[:, 1:, ::2], expected[:, 1:, ::2])


def test_a_limit_leaves_alpha_out() -> None:
    """An axis can end before its end, also with a single one left."""
    stored = np.arange(4 * 5 * 4).reshape(4, 5, 4)
    for n in (3, 1):
        view = AxisView(in_zarr(stored), [[2], [0], [1]], "a", {2: n})
        np.testing.assert_array_equal(np.asarray(view), stored.transpose(2, 0, 1)[:n])


def test_what_is_stored_in_one_piece_is_read_once(tmp_path: Path) -> None:
    """After the first read the file is not needed any more, unless it is stored in pieces."""
    for name, chunks in (("whole", (20, 30)), ("pieces", (10, 30))):
        array = zarr.create_array(tmp_path / name, data=np.ones((20, 30)), chunks=chunks)
        view = AxisView(array, [[], [0], [1]], name, keep=True)
        assert view[:, 5:7, 3:4].sum() == 2
        for chunk in (tmp_path / name / "c").rglob("0"):
            if chunk.is_file():
                chunk.write_bytes(b"damaged")
        if name == "whole":
            assert view[0].sum() == 600
        else:
            with pytest.raises(InputError, match="pixels of pieces could not be read"):
                view[0]
