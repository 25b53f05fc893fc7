"""From annotations to patches: what is trained on, what is held out, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import IGNORE, Annotation
from napari_unet.core.augment import Augmentation, cut_patch
from napari_unet.core.config import TrainConfig
from napari_unet.core.unet import UNet, weighted_cross_entropy
from napari_unet.engine.learning.heldout import BLOCK, Seen, hold_out
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.quality import is_worse, measure
from napari_unet.engine.learning.trainingset import MAX_CENTRES, TrainingSet
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

torch.set_num_threads(1)
unhurried = settings(deadline=None, max_examples=25)
CPU = torch.device("cpu")
VARIED = Augmentation(elastic=8.0, rotate=True, mirror=True, scale=0.3, contrast=0.3, gamma=0.2)


def cells(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.int32]:
    """Smooth blobs, numbered from 2."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4.0)
    numbered, _ = ndimage.label(noise > 0.02)
    return np.asarray(np.where(numbered > 0, numbered + 1, 0), dtype=np.int32)


def scribbles(shape: tuple[int, int], seed: int) -> NDArray[np.int32]:
    """Some of the cells, some background, the rest not labelled."""
    truth = cells(shape, seed)
    rng = np.random.default_rng(seed)
    patches = ndimage.zoom(rng.random((5, 5)), [n / 5 for n in shape], order=0, mode="nearest")
    return np.where(patches[: shape[0], : shape[1]] < 0.6, np.where(truth > 0, truth, 1), 0)


def annotate(labels: Any, meaning: Any = "scribbles", **more: Any) -> Annotation:
    """Annotate an image of noise."""
    labels = np.asarray(labels)
    rng = np.random.default_rng(0)
    return Annotation(rng.random((1, *labels.shape)), labels, meaning, **more)


def training_set(*annotations: Annotation, start: Any = None, **knobs: Any) -> TrainingSet:
    """Prepare at full resolution unless asked otherwise."""
    config = TrainConfig(**({"downsample": 1} | knobs))
    return prepare(list(annotations), config, start, CPU)


def held_out_mask(data: TrainingSet, plane: int) -> NDArray[np.bool_]:
    """Where a plane is held out: blocks, and the cells that lie mostly in them."""
    mask = np.zeros(data.planes[plane].target.shape, dtype=bool)
    for block in data.held_out:
        if block.plane == plane:
            mask[block.y : block.y + BLOCK, block.x : block.x + BLOCK] = True
    for cell in data.held_out_cells[plane]:
        assert 2 * mask[data.cells[plane] == cell].sum() > (data.cells[plane] == cell).sum()
    return mask | np.isin(data.cells[plane], data.held_out_cells[plane])


@unhurried
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(150, 330), st.integers(150, 330)),
    planes=st.integers(1, 2),
)
def test_held_out_pixels_are_never_trained_on(
    seed: int, shape: tuple[int, int], planes: int
) -> None:
    """No training weight in a held-out block, and no held-out weight outside of one."""
    labels = [scribbles(shape, seed + p) for p in range(planes)]
    data = training_set(*(annotate(one) for one in labels), seed=seed)
    for index, plane in enumerate(data.planes):
        mask = held_out_mask(data, index)
        weight, held_out = plane.weight.numpy(), data.held_out_weights[index].numpy()
        target = plane.target.numpy()
        assert not weight[mask].any()
        assert not held_out[~mask].any()
        # every labelled pixel is in exactly one of the two
        np.testing.assert_array_equal((weight > 0) | (held_out > 0), target != IGNORE)
        np.testing.assert_array_equal(target == IGNORE, labels[index] == 0)
    # enough of every class is left
    for k in range(2):
        left = sum(int(((p.target == k) & (p.weight > 0)).sum()) for p in data.planes)
        all_ = sum(int((p.target == k).sum()) for p in data.planes)
        assert left >= 0.5 * all_


@unhurried
@given(seed=st.integers(0, 10**6))
def test_no_patch_weighs_a_held_out_pixel(seed: int) -> None:
    """However it is turned and deformed; the plane carries a map of what is held out along."""
    data = training_set(annotate(scribbles((200, 270), seed)), seed=seed)
    plane = data.planes[0]
    forbidden = torch.from_numpy(held_out_mask(data, 0)) | (plane.target == IGNORE)
    plane.image[0] = forbidden.float()
    rng = np.random.default_rng(seed)
    _, y, x = data.draw_centre(rng)
    geometry = Augmentation(elastic=8.0, rotate=True, mirror=True, scale=0.3)
    patch = cut_patch(plane, (y + 20, x - 20), 140, 40, rng, geometry)
    inner = patch.image[0, 20:-20, 20:-20]
    # a forbidden nearest pixel weighs a quarter or more in the interpolated map
    assert (inner[patch.weight > 0] <= 0.75 + 1e-3).all()
    assert (patch.weight[inner > 0.76] == 0).all()


def test_patches_are_put_around_every_pixel_that_is_trained_on() -> None:
    """Of all planes, each in its class, once; where there are very many, around some of them."""
    shapes = ((150, 200), (170, 130), (90, 300))
    data = training_set(*(annotate(scribbles(shape, seed)) for seed, shape in enumerate(shapes)))
    for k, centres in enumerate(data.centres):
        expected = [
            (index, y, x)
            for index, plane in enumerate(data.planes)
            for y, x in ((plane.target == k) & (plane.weight > 0)).nonzero().tolist()
        ]
        assert list(map(tuple, centres.tolist())) == expected
    large = training_set(annotate(scribbles((900, 1100), 0)))
    for k, centres in enumerate(large.centres):
        _, y, x = centres.T
        assert len(set(zip(y.tolist(), x.tolist(), strict=True))) == len(centres)
        assert (large.planes[0].target.numpy()[y, x] == k).all()
        assert (large.planes[0].weight.numpy()[y, x] > 0).all()
    assert max(map(len, large.centres)) == MAX_CENTRES


@unhurried
@given(seed=st.integers(0, 10**6), validate=st.booleans())
def test_an_unlabelled_pixel_of_a_patch_has_no_gradient(seed: int, validate: bool) -> None:
    """From the annotation through a varied patch to the loss: exactly 0."""
    data = training_set(annotate(scribbles((150, 200), seed)), seed=seed, validate=validate)
    rng = np.random.default_rng(seed)
    plane, y, x = data.draw_centre(rng)
    patch = cut_patch(data.planes[plane], (y, x), 92, 20, rng, VARIED)
    logits = torch.randn(1, 2, 72, 72, requires_grad=True)
    weighted_cross_entropy(logits, patch.target[None], patch.weight[None]).backward()
    assert logits.grad is not None
    silent = (patch.weight == 0) | (patch.target == IGNORE)
    assert (logits.grad[0][:, silent] == 0).all()
    assert (logits.grad[0][:, ~silent] != 0).any()


@unhurried
@given(seed=st.integers(0, 10**6))
def test_patches_are_drawn_around_training_pixels_of_every_class(seed: int) -> None:
    """Each class equally often, however rare; never around held-out or unlabelled pixels."""
    labels = scribbles((200, 200), seed)
    data = training_set(annotate(labels), seed=seed)
    rng = np.random.default_rng(0)
    drawn = [data.draw_centre(rng) for _ in range(200)]
    plane = data.planes[0]
    assert all(plane.weight[int(y), int(x)] > 0 for _, y, x in drawn)
    share = np.mean([int(plane.target[int(y), int(x)]) for _, y, x in drawn])
    assert 0.3 < share < 0.7


def test_classes_weigh_the_same_over_all_planes() -> None:
    """In the paper's recipe, without border weights: the totals are equal and the mean is 1."""
    first, second = np.full((40, 50), 1), np.full((30, 30), 1)
    first[:3, :4], second[5, 5] = 7, 9
    data = training_set(annotate(first), annotate(second), validate=False, w0=0.0, recipe="paper")
    weight = torch.cat([p.weight.ravel() for p in data.planes])
    target = torch.cat([p.target.ravel() for p in data.planes])
    assert float(weight.mean()) == pytest.approx(1, rel=1e-4)
    assert float(weight[target == 0].sum()) == pytest.approx(float(weight[target == 1].sum()))


def test_the_border_between_cells_weighs_more() -> None:
    """By w0 at most, in network pixels."""
    labels = np.full((30, 40), 1)
    labels[5:25, 5:19], labels[5:25, 20:35] = 2, 3
    plain, bordered = (
        training_set(annotate(labels), validate=False, w0=w0, sigma=3.0).planes[0].weight
        for w0 in (0.0, 8.0)
    )
    extra = bordered - plain
    assert float(extra[15, 19]) == pytest.approx(8 * np.exp(-4 / 18), rel=1e-4)
    assert float(extra[1, 1]) < 0.1


@pytest.mark.parametrize("factors", [(), (2,)])
def test_held_out_blocks_are_measured_where_they_lie(factors: tuple[int, ...]) -> None:
    """A network that passes its input on is right about an image that shows the labels."""
    labels = np.zeros((330, 250), dtype=np.uint8)
    labels[:, :130], labels[:, 130:] = 1, 2
    data = training_set(annotate(labels))
    assert len(data.held_out) > 2
    network = UNet(1, 2, 1, 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for step in (*network.down[0], *network.merge[0]):
            if isinstance(step, torch.nn.Conv2d):
                step.weight[0, 0, 1, 1] = 1
        network.head.weight[1, 0], network.head.bias[1] = 40, -20
    for plane in data.planes:
        plane.image[0] = plane.target.float()

    loss, iou = measure(network, data, factors)
    assert iou > 0.97
    for plane in data.planes:
        plane.image[0] = 1 - plane.image[0]
    wrong, none = measure(network, data, factors)
    assert none < 0.03
    assert wrong > 10 > 1 > loss


def test_validation_can_be_switched_off() -> None:
    """Then everything that is labelled is trained on."""
    data = training_set(annotate(scribbles((300, 300), 0)), validate=False)
    assert data.held_out == []
    assert ((data.planes[0].weight > 0) == (data.planes[0].target != IGNORE)).all()


def test_few_labels_are_not_held_out() -> None:
    """With one small image there is nothing to spare."""
    assert training_set(annotate(scribbles((100, 100), 0))).held_out == []


def test_huge_ids_are_only_names() -> None:
    """Ids of 255, 2**40 and so on train like 2 and 3, in any integer type."""
    small = np.ones((40, 60), dtype=np.int64)
    small[4:20, 4:20], small[4:20, 21:40], small[25:30, 2:50] = 2, 3, 4
    huge = np.select([small == 2, small == 3, small == 4], [255, 2**40, 2**62], small)
    expected = training_set(annotate(small)).planes[0]
    for dtype in (np.int64, np.uint64, ">i8"):
        plane = training_set(annotate(huge.astype(dtype))).planes[0]
        assert torch.equal(plane.target, expected.target)
        assert torch.equal(plane.weight, expected.weight)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64, ">i4"])
def test_classes_keep_their_numbers(dtype: Any) -> None:
    """A class that is not painted is still an output of the network."""
    labels = np.zeros((40, 40), dtype=dtype)
    labels[:10], labels[20:30] = 1, 4
    data = training_set(annotate(labels, "classes"))
    assert (data.kind, data.n_classes) == ("classes", 4)
    assert set(data.planes[0].target.unique().tolist()) == {0, 3, IGNORE}


def test_the_resolution_follows_the_painted_objects() -> None:
    """Large objects are learned on a coarser grid, unless the user says otherwise."""
    labels = np.ones((400, 500), dtype=np.int32)
    y, x = np.indices(labels.shape)
    labels[(y - 130) ** 2 + (x - 130) ** 2 < 80**2] = 2
    labels[(y - 260) ** 2 + (x - 350) ** 2 < 80**2] = 3
    automatic = training_set(annotate(labels), downsample=0)
    assert automatic.downsample > 1
    assert automatic.diameter == pytest.approx(160, rel=0.02)
    side = -(-400 // automatic.downsample)
    assert automatic.planes[0].target.shape[0] == side
    assert automatic.planes[0].image.shape[1] == side
    assert training_set(annotate(labels), downsample=2).downsample == 2
    assert training_set(annotate(np.minimum(labels, 2)), downsample=1).downsample == 1


def test_cells_that_fill_the_image_keep_the_resolution_of_the_lines_between_them() -> None:
    """The same cells with room around them are learned more coarsely."""
    y, x = np.indices((400, 400))
    labels = np.where((y % 100 < 92) & (x % 100 < 92), 1 + y // 100 * 4 + x // 100, 0)
    apart = np.where(labels % 2 == y // 100 % 2, labels, 0)
    assert training_set(annotate(labels, "instances"), downsample=0).downsample == 1
    assert training_set(annotate(apart, "instances"), downsample=0).downsample == 2


def test_the_resolution_of_classes_follows_how_fine_they_are() -> None:
    """Unless it is told."""
    wide = np.indices((240, 240))[1] // 60 % 2 + 1
    fine = np.random.default_rng(0).integers(1, 3, (240, 240))
    assert training_set(annotate(wide, "classes"), downsample=0).downsample == 3
    assert training_set(annotate(fine, "classes"), downsample=0).downsample == 1
    assert training_set(annotate(wide, "classes"), downsample=1).downsample == 1


def make_segmenter(**settings_: Any) -> Segmenter:
    """A tiny untrained network."""
    shape = {"in_channels": 1, "n_classes": 2, "base_channels": 2, "depth": 1}
    chosen = shape | {k: v for k, v in settings_.items() if k in shape}
    network = UNet(*chosen.values())
    return Segmenter(weights={}, **(shape | settings_)).with_weights(network)


def test_a_model_that_is_continued_keeps_its_resolution_and_classes() -> None:
    """Whatever the new labels would suggest."""
    labels = np.zeros((60, 60), dtype=np.uint8)
    labels[:20], labels[30:50] = 1, 2
    start = make_segmenter(n_classes=5, kind="classes", downsample=3, diameter=12.0)
    data = training_set(annotate(labels, "classes"), start=start, downsample=0)
    assert (data.n_classes, data.downsample, data.diameter) == (5, 3, 12.0)


def test_cells_are_those_that_were_painted_and_touch() -> None:
    """The line that is learned between them is not taken from what is measured against them."""
    labels = np.zeros((60, 60), dtype=np.uint8)
    labels[10:40, 10:25], labels[10:40, 25:40] = 1, 2
    data = training_set(annotate(labels, "instances"))
    np.testing.assert_array_equal(data.cells[0], labels)
    assert not data.planes[0].target[10:40, 25].any()


UNPAINTED = np.zeros((20, 30), dtype=np.int32)
ONLY_BACKGROUND = np.ones((20, 30), dtype=np.int32)
ONLY_CELLS = np.where(np.arange(30) < 9, 2, UNPAINTED)
FINE = np.where(np.arange(30) > 20, 1, ONLY_CELLS)


@pytest.mark.parametrize(
    ("annotations", "start", "message"),
    [
        ([], None, "nothing to train on; give"),
        ([annotate(UNPAINTED)], None, "Nothing is painted yet; paint"),
        ([annotate(UNPAINTED, "classes")], None, "Nothing is painted yet; paint"),
        ([annotate(np.zeros((3, 20, 30), int))], None, "Nothing is painted yet; paint"),
        ([annotate(UNPAINTED, "instances")], None, "No cell is painted yet .*600 px.*; paint"),
        ([annotate(ONLY_BACKGROUND)], None, "No cell is painted yet .*; paint"),
        ([annotate(ONLY_CELLS)], None, "No background is painted yet .*; .* label 1,"),
        ([annotate(ONLY_BACKGROUND, "instances")], None, "No background is .*; .* label 0,"),
        ([annotate(ONLY_BACKGROUND, "classes")], None, "Only one class .*600 px class 1.*paint"),
        ([annotate(ONLY_CELLS, "classes")], None, "Only one class .*180 px class 2"),
        ([annotate(FINE), annotate(FINE, "classes")], None, "some are cells"),
        (
            [annotate(FINE), Annotation(np.zeros((2, 20, 30)), FINE, "scribbles")],
            None,
            r"different numbers of channels \(\[1, 2\]\)",
        ),
        ([annotate(FINE)], make_segmenter(in_channels=3), "trained on 3 channel.*have 1"),
        (
            [annotate(FINE, "classes")],
            make_segmenter(),
            "knows cells, but 2 classes are painted",
        ),
        (
            [annotate(FINE)],
            make_segmenter(n_classes=3, kind="classes"),
            "knows 3 classes, but cells are painted",
        ),
        (
            [annotate(FINE + 2, "classes")],
            make_segmenter(n_classes=2, kind="classes"),
            "knows 2 classes, but 4 classes",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused_with_a_remedy(
    annotations: list[Annotation], start: Segmenter | None, message: str
) -> None:
    """Before anything is computed; the numbers that were seen are in the message."""
    with pytest.raises(InputError, match=message):
        training_set(*annotations, start=start)


def test_labels_that_vanish_at_the_working_resolution_are_refused() -> None:
    """A speck among other labels, the only one of its class, does not survive a coarse grid."""
    labels = np.ones((40, 40), dtype=np.int32)
    labels[17, 17] = 2
    assert training_set(annotate(labels)).n_classes == 2
    with pytest.raises(InputError, match=r"only one class is left.*downsample=1"):
        training_set(annotate(labels), downsample=8)


def mean_background_weight(labels: NDArray[np.integer], **knobs: Any) -> float:
    """Of the labelled background of one plane."""
    (plane,) = training_set(annotate(labels, "instances"), validate=False, **knobs).planes
    return float(plane.weight[plane.target == 0].mean())


def test_border_weights_do_not_become_class_weights_in_tissue() -> None:
    """Where all background is border they add 1 on average; the paper's recipe has no limit."""
    y, x = np.indices((120, 120))
    tissue = np.where((y % 12 > 1) & (x % 12 > 1), 1 + y // 12 * 10 + x // 12, 0)
    alone = np.where((y - 60) ** 2 + (x - 60) ** 2 < 200, 1, 0)

    assert mean_background_weight(tissue) == pytest.approx(2, abs=0.01)
    assert mean_background_weight(alone) == pytest.approx(1, abs=0.01)
    assert mean_background_weight(tissue, w0=0.5) == pytest.approx(1.4, abs=0.05)
    assert mean_background_weight(tissue, recipe="paper") > 5


def test_fewer_held_out_blocks_say_less_of_a_later_network() -> None:
    """What is worse on 12 blocks may be chance on 3; where nothing is held out, nothing is said."""
    assert is_worse(0.64, 0.8, 12)
    assert not is_worse(0.66, 0.8, 12)
    assert not is_worse(0.51, 0.8, 3)
    assert is_worse(0.49, 0.8, 3)
    assert not is_worse(float("nan"), 0.8, 0)


@pytest.mark.parametrize("seed", range(20))
def test_the_only_place_of_a_class_is_never_held_out(seed: int) -> None:
    """The network could not learn it."""
    counts = {(0, BLOCK * n): np.array([50, 50, 9 if n == 7 else 0]) for n in range(20)}
    blocks = hold_out([counts], ["a plane"], 3, seed, Seen())
    assert len(blocks) == 3
    assert BLOCK * 7 not in [block.x for block in blocks]


@pytest.mark.parametrize("elsewhere", [0, 1], ids=["nothing", "background"])
def test_a_held_out_block_is_learned_from_where_cells_are_painted_in_no_other(
    elsewhere: int,
) -> None:
    """Of a model that is trained further on its image, when other labels are painted there."""
    labels = scribbles((330, 330), 0)
    first = training_set(annotate(labels))
    block = first.held_out[0]
    there = np.s_[block.y : block.y + BLOCK, block.x : block.x + BLOCK]
    painted = np.where(labels > 0, elsewhere, 0)
    painted[there] = labels[there]
    start = Segmenter(
        weights={},
        in_channels=1,
        n_classes=2,
        base_channels=4,
        depth=1,
        seen=first.seen.record(),
    )

    data = training_set(annotate(painted), start=start)

    known = data.planes[0].target[data.planes[0].weight > 0]
    assert {0, 1} <= set(known.tolist())
    assert len(data.draw_centre(np.random.default_rng(0))) == 3
    assert (block.y, block.x) in data.seen.trained[next(iter(data.seen.trained))]
    assert block not in data.held_out
