"""The flow of a patch: smooth through its nodes, held by its window, exact where it only shifts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unet.core.flow import Flow, Move, Pixels, bicubic_field, pick, reading

torch.set_num_threads(1)
unhurried = settings(deadline=None, max_examples=40)
CPU = torch.device("cpu")
ALL = slice(None)
seeds = st.integers(0, 2**32 - 1)


def field_of(coarse: NDArray[np.floating[Any]], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Interpolate a coarse grid given as an array."""
    return np.asarray(bicubic_field(torch.from_numpy(coarse.astype(np.float32)), shape))


@unhurried
@given(
    grid=st.integers(2, 5),
    steps=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=seeds,
)
def test_the_field_passes_through_its_nodes(grid: int, steps: tuple[int, int], seed: int) -> None:
    """Bicubic interpolation does not smooth: at a node the field is the displacement drawn."""
    coarse = np.random.default_rng(seed).normal(size=(2, grid, grid))
    height, width = ((grid - 1) * step + 1 for step in steps)
    field = field_of(coarse, (height, width))
    assert field.shape == (2, height, width)
    np.testing.assert_allclose(field[:, :: steps[0], :: steps[1]], coarse, atol=1e-6)


@unhurried
@given(
    grid=st.integers(2, 5),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    plane=st.tuples(*[st.floats(-20, 20)] * 3),
)
def test_the_field_reproduces_linear_displacements(
    grid: int, shape: tuple[int, int], plane: tuple[float, float, float]
) -> None:
    """Constant and linear displacements stay so, up to the border."""
    a, b, c = plane
    nodes = np.linspace(0, 1, grid)
    coarse = a + b * nodes[:, None] + c * nodes
    # a single pixel lies in the middle
    y, x = (np.linspace(0, 1, n) if n > 1 else np.array([0.5]) for n in shape)
    np.testing.assert_allclose(field_of(coarse, shape), a + b * y[:, None] + c * x, atol=1e-4)


def test_the_field_is_smooth() -> None:
    """Its slope does not jump at a node: cubic, not linear."""
    coarse = np.array([[0.0, 10, 0], [0, 10, 0], [0, 10, 0]])
    slope = np.diff(field_of(coarse, (3, 401))[0])
    assert np.abs(np.diff(slope)).max() < 0.05 * np.abs(slope).max()


def move(
    shape: tuple[int, int], centre: tuple[float, float], displacement: Any = 0.0, **matrix: Any
) -> Move:
    """Lay a patch upright on a plane, unless a matrix is given."""
    return Move(
        shape=shape,
        centre=np.array(centre),
        matrix=np.array(matrix.get("matrix", np.eye(2))),
        displacement=np.broadcast_to(np.asarray(displacement, dtype=float), (2, 3, 3)),
    )


@unhurried
@given(seed=seeds, std=st.sampled_from([0.5, 10.0, 100.0]), turned=st.booleans())
def test_a_window_holds_all_that_is_read(seed: int, std: float, turned: bool) -> None:
    """And little more, however the field swings between its nodes: it is read as from the plane."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(2, 2)) if turned else np.eye(2)
    patch = move((33, 41), (1500.0, 1600.0), rng.normal(0, std, (2, 3, 3)), matrix=matrix)
    nodes = torch.from_numpy(patch.nodes().astype(np.float32))
    read = bicubic_field(nodes, patch.shape).numpy()
    flow = Flow(patch, (3000, 3100), CPU)
    for axis, window in enumerate(flow._window):
        assert window.start - 1e-3 <= read[axis].min()
        assert read[axis].max() <= window.stop - 1 + 1e-3
        swing = 1.5 * (nodes[axis].max() - nodes[axis].min()) + 2
        assert window.stop - window.start <= swing
    y, x = np.divmod(flow.nearest(ALL).numpy(), 3100)
    assert np.abs(np.stack([y, x]) - read).max() < 0.51


def test_the_window_of_an_upright_patch_is_the_patch() -> None:
    """To the pixel, if all of it moves by one displacement."""
    flow = Flow(move((33, 41), (200.0, 300.0), 0.25), (400, 600), CPU)
    assert flow._window == (slice(184, 218), slice(280, 322))


@pytest.mark.parametrize("mirror", [1.0, -1.0])
@pytest.mark.parametrize("plane", [(9, 12), (1, 1), (300, 200)])
def test_a_shift_by_whole_pixels_reads_pixels(plane: tuple[int, int], mirror: float) -> None:
    """Both ways of reading agree on such a shift, and this one is exact to the last bit."""
    patch = move((21, 31), (4.0, 3.0), matrix=np.diag([1.0, mirror]))
    exact = reading(patch, plane, CPU)
    between = Flow(patch, plane, CPU)
    assert isinstance(exact, Pixels)
    values = torch.randn(2, *plane, generator=torch.Generator().manual_seed(0))
    for inner in (ALL, slice(3, 18)):
        index = exact.nearest(inner)
        assert torch.equal(index, between.nearest(inner))
        assert torch.equal(pick(values[0], index), exact.linear(values, inner)[0])
        np.testing.assert_allclose(
            exact.linear(values, inner), between.linear(values, inner), atol=1e-3
        )


@pytest.mark.parametrize(
    "patch",
    [
        move((20, 20), (9.5, 9.0)),
        move((20, 20), (9.5, 9.5), 1e-9),
        move((20, 20), (9.5, 9.5), matrix=1.01 * np.eye(2)),
        move((20, 20), (9.5, 9.5), matrix=[[0.0, 1.0], [-1.0, 0.0]]),
    ],
)
def test_anything_else_is_interpolated(patch: Move) -> None:
    """Half pixels, the least displacement, another size, and a quarter turn."""
    assert isinstance(reading(patch, (40, 40), CPU), Flow)


def test_planes_of_more_than_two_billion_pixels_are_indexed() -> None:
    """The place of a pixel does not fit 32 bits there."""
    patch = move((4, 4), (49_990.0, 49_990.0), 0.1)
    index = Flow(patch, (50_000, 50_000), CPU).nearest(ALL).numpy()
    y, x = np.divmod(index, 50_000)
    # 0.1 beyond half-way between two pixels
    np.testing.assert_array_equal(y[:, 0], [49_989, 49_990, 49_991, 49_992])
    np.testing.assert_array_equal(x, y.T)
