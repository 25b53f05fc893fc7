"""The distances to the nearest two cells against one distance transform per cell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

import napari_unet
from napari_unet.core.annotation import Annotation
from napari_unet.core.boundary import boundary_weight_map
from napari_unet.core.nearesttwo import nearest_two
from napari_unet.core.nearesttwo_numba import CHUNK
from napari_unet.engine.learning.paintedplane import PaintedPlane
from napari_unet.errors import DeviceError

Cells = NDArray[np.int32]
Box = tuple[slice, ...]
unhurried = settings(deadline=None, max_examples=80)


@st.composite
def scattered(draw: st.DrawFn) -> tuple[Cells, tuple[float, ...]]:
    """Pixels of up to six ids, thrown anywhere on 1 to 4 axes, and the distances between pixels."""
    shape = draw(array_shapes(min_dims=1, max_dims=4, max_side=9))
    ids = st.sampled_from([0] * draw(st.integers(1, 20)) + [1, 1, 2, 3, 40, 500_000_000])
    cells = draw(arrays(np.int32, shape, elements=ids))
    spacing = draw(st.tuples(*[st.sampled_from([0.3, 1.0, 1.0, 2.5])] * len(shape)))
    return cells, spacing


def whole(cells: Cells) -> Box:
    """Return the box that is everything."""
    return tuple(slice(0, n) for n in cells.shape)


def slowly(cells: Cells, spacing: Any = None) -> Any:
    """One distance transform for each id, sorted."""
    nothing = np.full(cells.shape, np.inf)
    found = [
        ndimage.distance_transform_edt(cells != i, sampling=spacing) for i in np.unique(cells) if i
    ]
    return np.sort([*found, nothing, nothing], axis=0)[:2]


def spots(shape: tuple[int, ...], count: int, seed: int = 0) -> Cells:
    """Put single pixels of different cells at random places."""
    rng = np.random.default_rng(seed)
    cells = np.zeros(shape, dtype=np.int32)
    cells[tuple(rng.integers(0, n, count) for n in shape)] = np.arange(1, count + 1)
    return cells


@unhurried
@given(drawn=scattered())
def test_both_distances_are_those_of_one_transform_per_cell(drawn: Any) -> None:
    """In 1 to 4 dimensions, with cells in pieces, unequal spacing, and fewer than two cells."""
    cells, spacing = drawn
    expected = slowly(cells, spacing)

    np.testing.assert_allclose(
        nearest_two(cells, whole(cells), spacing), expected, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    ("shape", "count"),
    [((3 * CHUNK + 7,), 9), ((150, 2 * CHUNK + 5), 40), ((4, 40, CHUNK + 1), 30)],
)
def test_lines_longer_than_a_chunk_are_looked_along_to_the_end(
    shape: tuple[int, ...], count: int
) -> None:
    """The distances reach far beyond what is worked on together; no one is wrong by 1e-4."""
    cells = spots(shape, count)

    found = nearest_two(cells, whole(cells), [1.0] * len(shape))
    np.testing.assert_allclose(found, slowly(cells), atol=1e-4)


@unhurried
@given(drawn=scattered(), limit=st.sampled_from([0.1, 1.0, 2.0, 3.7, 8.0]))
def test_a_limit_changes_no_sum_below_it(drawn: Any, limit: float) -> None:
    """Below the limit both distances stay, bit for bit; no sum from the limit on gets below it."""
    cells, spacing = drawn
    free = nearest_two(cells, whole(cells), spacing)
    limited = nearest_two(cells, whole(cells), spacing, limit)

    matters = free[0] + free[1] < limit
    for before, after in zip(free, limited, strict=True):
        np.testing.assert_array_equal(after[matters], before[matters])
    assert (limited[0] + limited[1] >= limit)[~matters].all()


def test_a_limit_keeps_the_second_cell_that_is_far_while_the_first_is_near() -> None:
    """The second may be nearly as far as the limit, also across two axes."""
    cells = np.zeros((40, 60), dtype=np.int32)
    cells[2, 2], cells[22, 22], cells[2, 58] = 1, 2, 1
    free = nearest_two(cells, whole(cells), (1, 1))
    limited = nearest_two(cells, whole(cells), (1, 1), 30.0)

    assert limited[0][2, 2] == 0
    assert limited[1][2, 2] == pytest.approx(800**0.5)
    matters = free[0] + free[1] < 30
    np.testing.assert_array_equal(limited[1][matters], free[1][matters])


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("nearest", [1, 13, 20, 45])
def test_a_limit_keeps_two_cells_that_are_about_as_far(nearest: int, device: str | None) -> None:
    """Where both are nearly half of it away from all that is wanted, nothing stops too early."""
    cells = np.zeros((3, 2 * nearest + 2), dtype=np.int32)
    cells[1, 0], cells[1, -1] = 1, 2
    middle = slice(1, 2), slice(nearest, nearest + 2)

    found = nearest_two(cells, middle, (1, 1), 2 * nearest + 1.1, device)

    np.testing.assert_array_equal(found, np.array([[[nearest] * 2], [[nearest + 1] * 2]]))


@unhurried
@given(data=st.data(), drawn=scattered(), limit=st.sampled_from([3.0, np.inf]))
def test_a_box_gets_what_the_whole_image_has_there(
    data: st.DataObject, drawn: Any, limit: float
) -> None:
    """Bit for bit, for boxes of any size at any place."""
    cells, spacing = drawn
    starts = [data.draw(st.integers(0, n - 1)) for n in cells.shape]
    box = tuple(
        slice(start, data.draw(st.integers(start + 1, n)))
        for start, n in zip(starts, cells.shape, strict=True)
    )
    everything = nearest_two(cells, whole(cells), spacing)

    found = nearest_two(cells, box, spacing, limit)
    matters = (everything[0] + everything[1])[box] < limit
    for part, all_of_it in zip(found, everything, strict=True):
        np.testing.assert_array_equal(part[matters], all_of_it[box][matters])


@unhurried
@given(data=st.data(), drawn=scattered(), limit=st.sampled_from([2.0, 5.0, np.inf]))
def test_torch_finds_the_same_bits(data: st.DataObject, drawn: Any, limit: float) -> None:
    """On the CPU device of torch, in 1 to 4 dimensions and in a box, wherever the sum matters."""
    cells, spacing = drawn
    box = tuple(slice(data.draw(st.integers(0, n - 1)), n) for n in cells.shape)
    compiled = nearest_two(cells, box, spacing, limit)
    on_torch = nearest_two(cells, box, spacing, limit, "cpu")

    matters = compiled[0] + compiled[1] < limit
    np.testing.assert_array_equal(matters, on_torch[0] + on_torch[1] < limit)
    for ours, theirs in zip(compiled, on_torch, strict=True):
        assert theirs.dtype == np.float32
        np.testing.assert_array_equal(ours[matters], theirs[matters])


def test_torch_makes_the_same_map() -> None:
    """Of touching and scattered cells, balanced or not, with ignored pixels."""
    labels = np.kron(spots((40, 60), 150), np.ones((6, 5), dtype=np.int32))
    for options in ({}, {"class_weights": False, "sigma": 2.0}, {"ignore": 0}):
        np.testing.assert_array_equal(
            boundary_weight_map(labels, device="cpu", **options),
            boundary_weight_map(labels, **options),
        )


def test_a_plane_that_is_trained_on_can_be_weighed_by_torch() -> None:
    """Its border weights are the same, also after something was painted."""
    labels = np.kron(spots((12, 12), 30), np.ones((8, 8), dtype=np.int32))
    annotation = Annotation(np.zeros((1, 96, 96), np.float32), labels, "instances")
    plain, by_torch = (PaintedPlane(annotation, 1, 10.0, 5.0, device) for device in (None, "cpu"))
    assert plain.border.any()
    np.testing.assert_array_equal(by_torch.border, plain.border)

    box = (slice(20, 60), slice(30, 50))
    for plane in (plain, by_torch):
        plane.repaint(box, np.full((40, 20), 77, dtype=np.int32), None)
    np.testing.assert_array_equal(by_torch.border, plain.border)


@pytest.mark.parametrize("device", ["abacus", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    """The error names it, and what to do."""
    labels = np.array([[1, 0, 2]])
    with pytest.raises(DeviceError, match=f"'{device}' cannot be used.*leave `device` out"):
        boundary_weight_map(labels, device=device)


def test_the_distances_of_read_only_cells_are_found() -> None:
    """And of cells that do not lie in one piece of memory."""
    cells = spots((30, 40), 12)
    cells.flags.writeable = False
    turned = cells[::-1, ::2]
    np.testing.assert_allclose(nearest_two(turned, whole(turned), (1, 1)), slowly(turned))


def in_a_new_python(code: str, **environment: str) -> str:
    """Run code in a fresh Python, where every warning is an error; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-B", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | environment,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.strip()


MAP = """
import sys, numpy as np
from napari_unet.core import boundary
first = {"numba", "torch"} & sys.modules.keys()
weights = boundary.boundary_weight_map(np.array([[1, 0, 0, 2]]), class_weights=False)
assert abs(weights - 1 - 10 * np.exp(-9 / 50)).max() < 1e-6, weights
"""


def test_numba_is_loaded_with_the_first_map_and_torch_never() -> None:
    """Importing the module must not take the time of either."""
    assert in_a_new_python(
        MAP + "print(first, 'numba' in sys.modules, 'torch' in sys.modules)"
    ) == ("set() True False")


@pytest.mark.skipif(sys.platform == "win32", reason="its folder for caches is not in a variable")
@pytest.mark.parametrize("writable", [True, False])
def test_the_kernel_is_kept_where_there_is_a_place_and_works_where_there_is_none(
    tmp_path: Path, *, writable: bool
) -> None:
    """Neither a word nor a warning, if no folder can be written or what is kept was damaged."""
    package = tmp_path / "site" / "napari_unet"
    shutil.copytree(
        Path(napari_unet.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    # a file where a folder should be stops even the administrator
    nowhere = package / "core" / "__pycache__"
    nowhere.write_text("")
    folder = str(tmp_path / "cache" if writable else nowhere / "cache")
    places = dict.fromkeys(["HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"], folder)
    code = MAP + "print(boundary.__file__)"

    found = in_a_new_python(code, PYTHONPATH=str(tmp_path / "site"), **places)
    assert Path(found) == package / "core" / "boundary.py"
    kept = list(tmp_path.rglob("*.nbi")) + list(tmp_path.rglob("*.nbc"))
    assert bool(kept) == writable
    for file in kept:
        file.write_bytes(b"")  # as after a power failure
    assert not kept or in_a_new_python(code, PYTHONPATH=str(tmp_path / "site"), **places) == found
