"""Elastic deformation and patches: one flow, one interpolation, no label from nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import IGNORE
from napari_unet.core.augment import (
    Augmentation,
    Patch,
    Plane,
    bicubic_field,
    cut_patch,
    elastic_deform,
)
from napari_unet.errors import InputError

torch.set_num_threads(1)
unhurried = settings(deadline=None, max_examples=40)
GEOMETRY = Augmentation(elastic=6.0, rotate=True, mirror=True, scale=0.3)
EVERYTHING = Augmentation(
    elastic=6.0,
    rotate=True,
    mirror=True,
    scale=0.3,
    contrast=0.5,
    brightness=0.2,
    gamma=0.3,
    noise=0.1,
)
seeds = st.integers(0, 2**32 - 1)


def cells(shape: tuple[int, int], seed: int = 0) -> NDArray[np.int64]:
    """Smooth blobs, numbered."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3.0)
    numbered, _ = ndimage.label(noise > 0.05)
    return np.asarray(numbered, dtype=np.int64)


def with_positions(plane: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Channels: the plane, and the y and the x of each of its pixels."""
    y, x = np.indices(plane.shape)
    return np.stack([plane, y, x]).astype(np.float32)


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
    field = bicubic_field(coarse, (height, width))
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
    np.testing.assert_allclose(bicubic_field(coarse, shape), a + b * y[:, None] + c * x, atol=1e-4)


def test_the_field_is_smooth() -> None:
    """Its slope does not jump at a node: cubic, not linear."""
    coarse = np.array([[0.0, 10, 0], [0, 10, 0], [0, 10, 0]])
    slope = np.diff(bicubic_field(coarse, (3, 401))[0])
    assert np.abs(np.diff(slope)).max() < 0.05 * np.abs(slope).max()


def test_displacements_are_gaussian_of_ten_pixels_on_three_by_three_nodes() -> None:
    """At the middle node, over many draws: mean 0, std 10; other nodes are independent of it."""
    positions = with_positions(np.zeros((181, 181)))
    labels = np.zeros((181, 181), dtype=np.uint8)
    moves = []
    for seed in range(120):
        warped, _ = elastic_deform(positions, labels, rng=np.random.default_rng(seed))
        moves.append(warped[1:, 90, 90] - 90)
    moves = np.array(moves).ravel()
    assert abs(moves.mean()) < 4 * 10 / len(moves) ** 0.5
    assert abs(moves.std() / 10 - 1) < 4 / (2 * len(moves)) ** 0.5


@unhurried
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    std=st.sampled_from([0.0, 2.0, 10.0, 60.0]),
    grid=st.integers(2, 4),
    seed=seeds,
)
def test_image_and_labels_move_together(
    shape: tuple[int, int], std: float, grid: int, seed: int
) -> None:
    """Where the label is a cell, at least a quarter of the interpolated image is that cell."""
    labels = cells(shape, seed)
    image = (labels == 1).astype(np.uint8)
    rng = np.random.default_rng(seed)
    warped, moved = elastic_deform(image, labels, rng=rng, grid=grid, std=std)
    assert (warped.shape, warped.dtype) == (shape, np.float32)
    assert (moved.shape, moved.dtype) == (shape, labels.dtype)
    assert set(np.unique(moved)) <= set(np.unique(labels))
    # of the four pixels that linear interpolation mixes, the nearest weighs a quarter or more
    assert (warped[moved == 1] >= 0.25 - 1e-3).all()
    assert (warped[moved != 1] <= 0.75 + 1e-3).all()


def test_no_displacement_changes_nothing() -> None:
    """With std 0 the image comes back to the last bit."""
    image, labels = np.random.default_rng(0).random((2, 33, 47)), cells((33, 47))
    warped, moved = elastic_deform(image, labels, rng=np.random.default_rng(0), std=0)
    np.testing.assert_array_equal(warped, image.astype(np.float32))
    np.testing.assert_array_equal(moved, labels)


def test_the_same_seed_deforms_the_same_way() -> None:
    """And another seed another way; the arrays given stay as they are."""
    image, labels = np.random.default_rng(0).random((40, 50)), cells((40, 50))
    before = image.copy(), labels.copy()
    one, two, other = (
        elastic_deform(image, labels, rng=np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(">u2"),
        lambda a: np.asfortranarray(a),
        lambda a: a[::-1, ::-1][::-1, ::-1],
        lambda a: a.astype(np.int32),
        lambda a: a.astype(np.float64),
    ],
)
def test_any_memory_layout_and_type_deforms_alike(change: Any) -> None:
    """Byte order, strides and type of the pixels do not matter; neither does read-only memory."""
    image = np.random.default_rng(0).integers(0, 60000, (30, 40)).astype(np.uint16)
    labels = cells((30, 40))
    expected = elastic_deform(image, labels, rng=np.random.default_rng(1))
    strange = change(image)
    strange.flags.writeable = False
    moved = np.asfortranarray(labels).astype(">i4")
    warped = elastic_deform(strange, moved, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(warped[0], expected[0])
    np.testing.assert_array_equal(warped[1], expected[1])


def test_deforming_what_does_not_fit_is_refused() -> None:
    """Shapes that differ, and settings that mean nothing."""
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"\(4, 5\).*\(5, 4\)"):
        elastic_deform(np.zeros((4, 5)), np.zeros((5, 4), int), rng=rng)
    with pytest.raises(InputError, match="grid = 1"):
        elastic_deform(np.zeros((4, 5)), np.zeros((4, 5), int), rng=rng, grid=1)
    with pytest.raises(InputError, match="std = nan"):
        elastic_deform(np.zeros((4, 5)), np.zeros((4, 5), int), rng=rng, std=float("nan"))


@st.composite
def planes(draw: st.DrawFn) -> Plane:
    """A small plane of noise with partly ignored targets and weights that are partly 0."""
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    rng = np.random.default_rng(draw(seeds))
    target = draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 1, IGNORE])))
    weight = rng.uniform(0.5, 5, shape) * (rng.random(shape) < 0.7)
    image = with_positions(rng.normal(size=shape))
    return Plane(*map(torch.from_numpy, (image, target, weight.astype(np.float32))))


@unhurried
@given(plane=planes(), data=st.data())
def test_a_patch_without_variation_is_the_mirrored_crop(plane: Plane, data: st.DataObject) -> None:
    """To the last bit, at any place, also where the patch is much larger than the plane."""
    size = data.draw(st.integers(1, 60))
    context = data.draw(st.integers(0, (size - 1) // 2)) * 2
    height, width = plane.target.shape
    top, left = (data.draw(st.integers(-size, n)) for n in (height, width))
    centre = top + (size - 1) / 2, left + (size - 1) / 2
    patch = cut_patch(plane, centre, size, context, np.random.default_rng(0), Augmentation())

    reach = 2 * size + 2
    pads = [(reach, reach), (reach, reach)]
    image = np.pad(plane.image.numpy(), [(0, 0), *pads], mode="reflect")
    target = np.pad(plane.target.numpy(), pads, mode="reflect")
    weight = np.pad(plane.weight.numpy(), pads, mode="reflect")
    box = np.s_[top + reach : top + reach + size, left + reach : left + reach + size]
    half = context // 2
    inner = np.s_[half : size - half, half : size - half]
    np.testing.assert_array_equal(patch.image.numpy(), image[:, *box])
    np.testing.assert_array_equal(patch.target.numpy(), target[box][inner])
    expected = np.where(target[box][inner] == IGNORE, 0, weight[box][inner])
    np.testing.assert_array_equal(patch.weight.numpy(), expected)


@unhurried
@given(plane=planes(), seed=seeds)
def test_unlabelled_stays_without_weight(plane: Plane, seed: int) -> None:
    """However a patch is varied, ignored pixels weigh exactly 0, and nothing weighs below 0."""
    patch = cut_patch(plane, (5.3, 8.1), 44, 20, np.random.default_rng(seed), EVERYTHING)
    assert patch.image.shape == (3, 44, 44)
    assert patch.target.shape == patch.weight.shape == (24, 24)
    assert patch.target.dtype == torch.int64
    assert (patch.weight[patch.target == IGNORE] == 0).all()
    assert (patch.weight >= 0).all()
    assert set(patch.target.unique().tolist()) <= set(plane.target.unique().tolist())
    assert torch.isfinite(patch.image).all()


@unhurried
@given(plane=planes(), seed=seeds)
def test_everything_is_read_once_from_the_same_place(plane: Plane, seed: int) -> None:
    """The positions that a patch carries along explain its image, its target and its weight."""
    rng = np.random.default_rng(seed)
    patch = cut_patch(plane, (11.0, 9.0), 32, 8, rng, GEOMETRY)
    noise, y, x = patch.image.numpy()
    again = ndimage.map_coordinates(plane.image[0].numpy(), [y, x], order=1, mode="mirror")
    np.testing.assert_allclose(noise, again, atol=1e-3)

    y, x = y[4:-4, 4:-4], x[4:-4, 4:-4]
    rows, columns = np.rint(y).astype(int), np.rint(x).astype(int)
    # half-way between two pixels either may be the nearest
    sure = (np.abs(y % 1 - 0.5) > 1e-3) & (np.abs(x % 1 - 0.5) > 1e-3)
    target = plane.target.numpy()[rows, columns]
    np.testing.assert_array_equal(patch.target.numpy()[sure], target[sure])
    labelled = (target != IGNORE) & (plane.weight.numpy()[rows, columns] > 0)
    np.testing.assert_array_equal((patch.weight.numpy() > 0)[sure], labelled[sure])


def test_rotation_mirror_and_scale_keep_the_middle() -> None:
    """Without elastic deformation the centre asked for is the middle of the patch."""
    plane = Plane(
        torch.from_numpy(with_positions(np.zeros((80, 90)))),
        torch.zeros(80, 90, dtype=torch.uint8),
        torch.ones(80, 90),
    )
    rigid = Augmentation(rotate=True, mirror=True, scale=0.25)
    areas, turns = [], []
    for seed in range(60):
        patch = cut_patch(plane, (40.0, 45.0), 21, 0, np.random.default_rng(seed), rigid)
        _, y, x = patch.image.double().numpy()
        np.testing.assert_allclose([y[10, 10], x[10, 10]], [40, 45], atol=1e-4)
        down, right = (
            np.array([y[10 + a, 10 + b], x[10 + a, 10 + b]]) - [40, 45] for a, b in ((1, 0), (0, 1))
        )
        assert abs(down @ right) < 1e-3  # no shear
        areas.append(down[0] * right[1] - down[1] * right[0])
        turns.append(np.arctan2(down[1], down[0]))
    zoom = np.sqrt(np.abs(areas))
    assert 0.79 < zoom.min() < 0.9 < 1.1 < zoom.max() < 1.26
    assert 15 < np.sum(np.array(areas) < 0) < 45  # mirrored about half of the time
    assert np.histogram(turns, bins=4, range=(-np.pi, np.pi))[0].min() > 4


def test_grey_values_vary_and_labels_do_not() -> None:
    """Gain, offset, gamma and noise change the image only."""
    rng = np.random.default_rng(0)
    image = rng.random((1, 60, 60)).astype(np.float32)
    plane = Plane(
        torch.from_numpy(image), torch.zeros(60, 60, dtype=torch.uint8), torch.ones(60, 60)
    )

    def cut(augmentation: Augmentation, seed: int = 1) -> Patch:
        rng = np.random.default_rng(seed)
        return cut_patch(plane, (29.5, 29.5), 40, 4, rng, augmentation)

    plain = cut(Augmentation())
    x = plain.image.numpy().ravel()
    for strength in (
        Augmentation(contrast=0.5, brightness=0.2),
        Augmentation(gamma=0.5),
        Augmentation(noise=0.2),
    ):
        patch = cut(strength)
        assert not torch.equal(patch.image, plain.image)
        assert torch.equal(patch.target, plain.target)
        assert torch.equal(patch.weight, plain.weight)
        assert torch.equal(patch.image, cut(strength).image)
        assert not torch.equal(patch.image, cut(strength, seed=2).image)
    gain, offset = np.polyfit(x, cut(Augmentation(contrast=0.5, brightness=0.2)).image.ravel(), 1)
    assert 1 / 1.5 <= gain <= 1.5
    assert abs(offset) <= 0.2
    noise = cut(Augmentation(noise=0.2)).image.numpy().ravel() - x
    assert 0 < noise.std() < 0.21
