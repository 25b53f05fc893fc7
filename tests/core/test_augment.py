"""Elastic deformation and patches: one interpolation, no label from nowhere, any grey values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage
from torch.utils._python_dispatch import TorchDispatchMode

from napari_unet.core.annotation import IGNORE
from napari_unet.core.augment import Augmentation, Patch, Plane, cut_patch, elastic_deform
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
    blur=1.5,
    illumination=0.3,
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
        elastic_deform(image, labels, rng=rng) for rng in (np.random.default_rng(3), 3, 4)
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
    with pytest.raises(InputError, match="at least one pixel"):
        elastic_deform(np.zeros((0, 5)), np.zeros((0, 5), int), rng=rng)
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


@unhurried
@given(plane=planes(), seed=seeds, flow=st.sampled_from([GEOMETRY, Augmentation(elastic=30.0)]))
def test_beyond_the_border_a_plane_goes_on_mirrored(
    plane: Plane, seed: int, flow: Augmentation
) -> None:
    """A patch is the same if the mirror images stand around the plane in truth, and it is inside.

    Then it is read through a small window of the plane, which must hold all of it.
    """
    reach = 300
    height, width = plane.target.shape
    y, x = (np.pad(np.arange(n), reach, mode="reflect") for n in (height, width))
    around = Plane(
        *(values[..., y[:, None], x] for values in (plane.image, plane.target, plane.weight))
    )
    centre = height / 2 + 0.3, width / 2 - 0.2
    cuts = [
        cut_patch(one, (centre[0] + by, centre[1] + by), 40, 8, np.random.default_rng(seed), flow)
        for one, by in ((plane, 0), (around, reach))
    ]
    np.testing.assert_allclose(cuts[0].image, cuts[1].image, atol=2e-3)
    # half-way between two pixels, rounding decides
    assert (cuts[0].target != cuts[1].target).sum() <= 2
    assert ((cuts[0].weight - cuts[1].weight).abs() > 1e-2).sum() <= 2


@unhurried
@given(seed=seeds, mirror=st.booleans())
def test_a_patch_mirrored_and_shifted_by_whole_pixels_is_their_pixels(
    seed: int, mirror: bool
) -> None:
    """Without rotation, scale and elastic deformation no pixel is interpolated."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(1, 30, 30)).astype(np.float32)
    plane = Plane(
        torch.from_numpy(image), torch.zeros(30, 30, dtype=torch.uint8), torch.ones(30, 30)
    )
    patch = cut_patch(plane, (14.5, 13.5), 20, 4, rng, Augmentation(mirror=mirror))
    crop = image[:, 5:25, 4:24]
    same = np.array_equal(patch.image, crop)
    assert same or (mirror and np.array_equal(patch.image, crop[:, :, ::-1]))


@pytest.mark.parametrize("strength", [EVERYTHING, Augmentation()])
def test_a_plane_stays_as_it_is(strength: Augmentation) -> None:
    """Patches are copies: nothing done to them reaches the plane."""
    rng = np.random.default_rng(0)
    plane = Plane(
        torch.from_numpy(with_positions(rng.normal(size=(60, 60)))),
        torch.from_numpy(rng.choice([0, 1, IGNORE], (60, 60)).astype(np.uint8)),
        torch.rand(60, 60),
    )
    before = [values.clone() for values in (plane.image, plane.target, plane.weight)]
    for _ in range(4):
        patch = cut_patch(plane, (29.5, 29.5), 40, 0, rng, strength)
        for values in (patch.image, patch.target, patch.weight):
            values.zero_()
    for values, old in zip((plane.image, plane.target, plane.weight), before, strict=True):
        assert torch.equal(values, old)


@pytest.mark.parametrize("size", [44, 45])
def test_the_same_seed_cuts_the_same_patch(size: int) -> None:
    """To the last bit, noise and all; a training can be repeated."""
    rng = np.random.default_rng(0)
    plane = Plane(torch.randn(2, 50, 60), torch.ones(50, 60, dtype=torch.uint8), torch.rand(50, 60))
    seeds = rng.integers(1000, size=6).tolist()
    one, two = (
        [cut_patch(plane, (9, 50), size, 4, np.random.default_rng(n), EVERYTHING) for n in seeds]
        for _ in range(2)
    )
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("image", "target", "weight"))


class Moved(TorchDispatchMode):
    """Notes how many bytes are copied from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and args[0].device != result.device:
            self.sizes.append(args[0].nbytes)
        return result


@pytest.mark.parametrize("beyond", [False, True])
@pytest.mark.parametrize("strength", [replace(EVERYTHING, noise=0.0), Augmentation()])
def test_patches_are_cut_where_the_plane_is(strength: Augmentation, beyond: bool) -> None:
    """On a device of which no value can be read, from fewer than 100 numbers that are sent there.

    A patch that needed a value of the plane (an `.item()`, a comparison of tensors, indexing with a
    mask) would make a GPU and the CPU wait for each other; here it would fail.
    """
    meta = torch.device("meta")
    plane = Plane(
        torch.empty(2, 400, 400, device=meta),
        torch.empty(400, 400, dtype=torch.uint8, device=meta),
        torch.empty(400, 400, device=meta),
    )
    centre = (3.5, 390.5) if beyond else (199.5, 199.5)
    for seed in range(4):  # with and without blur
        cut_patch(plane, centre, 92, 40, np.random.default_rng(seed), strength)
        with Moved() as moved:
            patch = cut_patch(plane, centre, 92, 40, np.random.default_rng(seed), strength)
        assert patch.image.device == patch.target.device == patch.weight.device == meta
        assert patch.image.shape == (2, 92, 92)
        assert patch.target.shape == patch.weight.shape == (52, 52)
        assert sum(moved.sizes) < 100 * 4


def test_coordinates_are_precise_in_a_large_plane() -> None:
    """As precise 60 000 pixels away as in a plane of the size of the patch."""
    columns = torch.arange(60_000.0)
    image = torch.stack([columns % 7, 59_800 - columns])[:, None].expand(2, 40, 60_000)
    labels = torch.ones(40, 60_000, dtype=torch.uint8)
    plane = Plane(image, labels, labels.float())
    part = Plane(*(values[..., 59_500:] for values in (image, labels, labels.float())))
    for seed in range(5):
        patch, same = (
            cut_patch(one, (20, x), 60, 20, np.random.default_rng(seed), GEOMETRY)
            for one, x in ((plane, 59_800), (part, 300))
        )
        np.testing.assert_allclose(patch.image, same.image, atol=1e-3)


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
        Augmentation(illumination=0.5),
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


def grey(image: NDArray[np.floating[Any]], seed: int, **strength: float) -> NDArray[np.float32]:
    """Vary the grey values of an image, and nothing else."""
    _, size, _ = image.shape
    nothing = torch.zeros(size, size)
    plane = Plane(torch.from_numpy(image.astype(np.float32)), nothing.byte(), nothing)
    middle, rng = (size - 1) / 2, np.random.default_rng(seed)
    patch = cut_patch(plane, (middle, middle), size, 0, rng, Augmentation(**strength))
    return patch.image.numpy()


def test_blur_is_gaussian_and_mirrored_at_the_border() -> None:
    """Half of the time, by at most the pixels asked for, the same for all channels."""
    point = np.zeros((1, 41, 41))
    point[0, 20, 20] = 1
    image = np.random.default_rng(0).normal(size=(3, 41, 41))
    spreads = []
    for seed in range(60):
        kernel = grey(point, seed, blur=3.0)[0]
        again = [ndimage.convolve(channel, kernel, mode="mirror") for channel in image]
        np.testing.assert_allclose(grey(image, seed, blur=3.0), again, atol=1e-5)
        middle = kernel[20, 20:]
        if middle[2] == 0:  # not blurred, or by a hair's breadth
            continue
        np.testing.assert_allclose(kernel, np.outer(kernel[20], kernel[20]) / middle[0], atol=1e-6)
        assert abs(kernel.sum() - 1) < 1e-5
        spread = (-0.5 / np.log(middle[1] / middle[0])) ** 0.5
        np.testing.assert_allclose(np.log(middle[2] / middle[0]), -2 / spread**2, rtol=1e-3)
        # cut off at three times the spread, where three hundredths of the variance are missing
        width = (kernel.sum(0) * np.arange(-20, 21) ** 2).sum() ** 0.5
        np.testing.assert_allclose(width, spread, rtol=0.08)
        spreads.append(spread)
    assert 15 < len(spreads) < 45
    assert 0.4 < min(spreads) < 1.2
    assert 2.5 < max(spreads) <= 3.0


def test_gamma_keeps_the_sign_and_one() -> None:
    """Grey values are spread about the middle grey 0, on both sides alike."""
    image = np.linspace(-2, 2, 25 * 25).reshape(1, 25, 25)
    exponents = []
    for seed in range(20):
        varied = grey(image, seed, gamma=0.5)
        exponent = np.log(varied[0, -1, -1]) / np.log(2)
        expected = np.sign(image) * np.abs(image) ** exponent
        np.testing.assert_allclose(varied, expected, rtol=1e-4, atol=1e-5)
        exponents.append(exponent)
    assert 1 / 1.5 <= min(exponents) < 0.8
    assert 1.2 < max(exponents) <= 1.5


def test_light_is_a_slope_from_edge_to_edge() -> None:
    """Straight along each axis, nothing in the middle, and at most as high as asked for."""
    flat = np.zeros((2, 31, 31))
    rises = []
    for seed in range(20):
        light = grey(flat, seed, illumination=0.5)
        np.testing.assert_array_equal(light[0], light[1])
        down, right = light[0, -1, 15] - light[0, 0, 15], light[0, 15, -1] - light[0, 15, 0]
        y, x = np.mgrid[-0.5:0.5:31j, -0.5:0.5:31j]
        np.testing.assert_allclose(light[0], down * y + right * x, atol=1e-6)
        rises += [abs(down), abs(right)]
    assert min(rises) < 0.1
    assert 0.35 < max(rises) <= 0.5


def test_noise_is_gaussian_and_its_own_in_every_pixel() -> None:
    """In every channel, too, and another one in the next patch."""
    flat = np.zeros((2, 101, 101))
    for seed in range(5):
        noise = grey(flat, seed, noise=0.5).ravel()
        np.testing.assert_array_equal(noise, grey(flat, seed, noise=0.5).ravel())
        assert 0 < noise.std() < 0.51
        inside = np.abs(noise) < noise.std()
        assert abs(inside.mean() - 0.683) < 0.02
        others = (noise[::-1], np.roll(noise, 1), np.roll(noise, 101 * 101))
        others += (grey(flat, seed + 1, noise=0.5).ravel(),)
        for other in others:
            assert abs(np.corrcoef(noise, other)[0, 1]) < 0.05


def test_patches_of_few_pixels_can_be_blurred() -> None:
    """A blur that reaches further than the patch is cut off."""
    for seed in range(20):
        tiny = grey(np.full((1, 2, 2), 3.0), seed, blur=5.0)
        np.testing.assert_allclose(tiny, 3.0, rtol=1e-6)
