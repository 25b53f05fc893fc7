"""Overlap-tile prediction: one result, however it is cut, read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.config import PredictConfig
from napari_unet.core.unet import UNet
from napari_unet.engine.events import PlaneDone, TileDone
from napari_unet.engine.inference import predict, probabilities, segment, segment_into
from napari_unet.engine.process.mailbox import Finish, InView, Mailbox
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import DeviceError, InputError

torch.set_num_threads(1)
unhurried = settings(deadline=None, max_examples=30)


def make_segmenter(seed: int = 0, **settings_: Any) -> Segmenter:
    """A tiny network with random weights, sharp enough that its classes differ."""
    shape = {"in_channels": 1, "n_classes": 2, "base_channels": 4, "depth": 1}
    chosen = shape | {k: v for k, v in settings_.items() if k in shape}
    torch.manual_seed(seed)
    network = UNet(*chosen.values())
    with torch.no_grad():
        network.head.weight.mul_(4)
    return Segmenter(weights={}, **(shape | settings_)).with_weights(network)


def threshold_at(level: float, **settings_: Any) -> Segmenter:
    """A network that passes its input on: foreground where the normalised image exceeds a level."""
    segmenter = make_segmenter(base_channels=1, **settings_)
    weights = {name: np.zeros_like(w) for name, w in segmenter.weights.items()}
    for name in ("down.0.0", "down.0.2", "merge.0.0", "merge.0.2"):
        weights[f"{name}.weight"][0, 0, 1, 1] = 1
    weights["head.weight"][1, 0] = 40
    weights["head.bias"][1] = -40 * level
    return replace(segmenter, weights=weights)


def config(**knobs: Any) -> PredictConfig:
    """On the CPU, and cells are the components."""
    return PredictConfig(**({"device": "cpu", "split": 0.0} | knobs))


def picture(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """Smooth noise."""
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, [0] * (len(shape) - 2) + [2, 2]).astype(np.float32)


def in_memory(array: NDArray[Any], chunks: tuple[int, ...]) -> zarr.Array[Any]:
    """The array as a zarr array."""
    return zarr.create_array(store=zarr.storage.MemoryStore(), data=array, chunks=chunks)


@unhurried
@given(
    sides=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    tile=st.integers(1, 90),
    depth=st.integers(1, 3),
    downsample=st.integers(1, 3),
    scales=st.integers(1, 3),
    classes=st.integers(2, 3),
    seed=st.integers(0, 99),
)
def test_tiles_do_not_show(
    sides: tuple[int, int],
    tile: int,
    depth: int,
    downsample: int,
    scales: int,
    classes: int,
    seed: int,
) -> None:
    """Any size, tile, depth and resolution: the probabilities agree, and classes but for ties."""
    segmenter = make_segmenter(
        seed, depth=depth, downsample=downsample, scales=scales, n_classes=classes, kind="classes"
    )
    image = picture(sides, seed)
    whole = probabilities(segmenter, image, config(tile_size=400))
    tiled = probabilities(segmenter, image, config(tile_size=tile))
    assert (whole.shape, whole.dtype) == ((classes, *sides), np.float32)
    # logits of random weights reach 50, where one rounding of 32 bits is 4e-6
    assert np.abs(whole - tiled).max() < 2e-5
    np.testing.assert_allclose(whole.sum(axis=0), 1, atol=1e-5)
    sure = np.diff(np.sort(whole, axis=0)[-2:], axis=0)[0] > 1e-5
    np.testing.assert_array_equal(whole.argmax(axis=0)[sure], tiled.argmax(axis=0)[sure])


@pytest.mark.parametrize(("downsample", "scales"), [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_no_pixel_changes_class_with_the_tiles(downsample: int, scales: int) -> None:
    """An odd-sized image in many sizes of tiles gives one foreground and one numbering of it."""
    segmenter = make_segmenter(3, depth=2, downsample=downsample, scales=scales)
    image = picture((203, 151))
    masks, cells = [], []
    for tile_size in (1, 60, 77, 100, 150, 400):
        masks.append(np.zeros((203, 151), dtype=np.uint8))
        for _ in predict(segmenter, image, masks[-1], config(tile_size=tile_size)):
            pass
        # the border that is given back between cells may fall to either side by rounding
        cells.append(segment(segmenter, image, config(tile_size=tile_size)) * masks[-1])
    assert cells[0].max() > 3
    for mask, numbered in zip(masks, cells, strict=True):
        np.testing.assert_array_equal(mask, masks[0])
        np.testing.assert_array_equal(numbered, cells[0])


def test_the_events_tell_which_pixels_are_final() -> None:
    """After each event its region holds its final values; the regions cover the output once."""
    segmenter = make_segmenter(depth=2)
    image = picture((90, 131))
    final = probabilities(segmenter, image, config())
    out = np.full((2, 90, 131), np.nan, dtype=np.float32)
    seen = np.zeros((90, 131), dtype=int)
    total = 0
    for index, event in enumerate(predict(segmenter, image, out, config(tile_size=80)), start=1):
        assert isinstance(event, TileDone)
        assert event.index == index
        total = event.total
        seen[event.region] += 1
        np.testing.assert_allclose(out[:, *event.region], final[:, *event.region], atol=1e-5)
        np.testing.assert_array_equal(np.isfinite(out[0]), seen > 0)
    assert index == total > 4
    assert (seen == 1).all()


@unhurried
@given(
    downsample=st.integers(1, 2),
    scales=st.integers(1, 2),
    views=st.lists(st.tuples(st.integers(0, 89), st.integers(0, 130)), max_size=12),
)
def test_the_order_of_the_tiles_does_not_show(
    downsample: int, scales: int, views: list[tuple[int, int]]
) -> None:
    """Wherever one looks, and whenever that changes: the same bits."""
    segmenter = make_segmenter(depth=2, downsample=downsample, scales=scales)
    image = picture((90, 131))
    mailbox, out = Mailbox(), np.full((2, 90, 131), np.nan, dtype=np.float32)
    for event in predict(segmenter, image, out, config(tile_size=64), mailbox=mailbox):
        if views:
            y, x = views.pop()
            mailbox.put(InView(box=(slice(y, y + 9), slice(x, x + 9))))
        assert np.isfinite(out[:, *event.region]).all()
    np.testing.assert_array_equal(out, probabilities(segmenter, image, config(tile_size=64)))


@pytest.mark.parametrize("downsample", [1, 3])
def test_what_is_in_view_is_segmented_first(downsample: int) -> None:
    """From its middle outward; who looks elsewhere gets that next; other mail is not for us."""
    segmenter, side = make_segmenter(depth=2, downsample=downsample), 240 * downsample
    image, mailbox = picture((side, side)), Mailbox()
    labels = np.zeros((side, side), np.uint16)
    views = [
        (slice(a, a + side // 4), slice(b, b + side // 4))
        for a, b in ((side // 2, side // 2), (0, side // 2), (side // 2, 0))
    ]
    mailbox.put(InView(box=views[1]))
    mailbox.put(InView(box=views[0]))  # only the newest counts
    events = segment_into(segmenter, image, labels, config(tile_size=80), mailbox=mailbox)
    for view, following in zip(views, [*views[1:], None], strict=True):
        event = next(events)
        assert all(
            place.start < (seen.start + seen.stop) / 2 <= place.stop
            for place, seen in zip(event.region, view, strict=True)
        )
        mailbox.put(Finish())
        if following is not None:
            mailbox.put(InView(box=following))
    rest = list(events)
    assert len(rest) > 10
    apart = [max(abs(s.start - side // 2) for s in e.region) for e in rest[-6:-1]]
    assert min(apart) >= side // 4


def test_closing_early_keeps_what_is_done() -> None:
    """Nothing is written outside the regions that were announced."""
    segmenter = make_segmenter(depth=2)
    out = np.full((2, 90, 131), np.nan, dtype=np.float32)
    events = predict(segmenter, picture((90, 131)), out, config(tile_size=80))
    first, second = next(events), next(events)
    events.close()
    mask = np.zeros((90, 131), dtype=bool)
    mask[first.region] = mask[second.region] = True
    np.testing.assert_array_equal(np.isfinite(out[0]), mask)


@pytest.mark.parametrize("kind", ["cells", "classes"])
@pytest.mark.parametrize("planes", [None, 3])
@pytest.mark.parametrize("where", ["numpy", "zarr"])
def test_any_output_can_be_written(kind: Any, planes: int | None, where: str) -> None:
    """Probabilities or classes, planes or stacks, in memory or in a zarr array."""
    spatial = (70, 91) if planes is None else (planes, 70, 91)
    segmenter = make_segmenter(n_classes=2, kind=kind)
    image = picture((1, *spatial))
    expected = probabilities(segmenter, image, config())
    classes = (
        (expected[1] >= 0.5).astype(np.uint8) if kind == "cells" else expected.argmax(axis=0) + 1
    )
    for empty, result in (
        (np.zeros((2, *spatial), np.float32), expected),
        (np.zeros(spatial, np.uint8), classes),
        (np.zeros(spatial, np.int64), classes),
    ):
        out = empty if where == "numpy" else in_memory(empty, (*[1] * (empty.ndim - 2), 32, 32))
        for _ in predict(segmenter, image, out, config(tile_size=60)):
            pass
        np.testing.assert_allclose(np.asarray(out[...]), result, atol=1e-5)


@pytest.mark.parametrize("shape", [(70, 91), (1, 70, 91), (2, 70, 91), (2, 3, 70, 91)])
def test_an_image_on_disk_is_read_like_one_in_memory(shape: tuple[int, ...]) -> None:
    """A plane, channels or a stack in a zarr array, also when it is turned."""
    segmenter = make_segmenter(in_channels=1 if shape[0] == 70 else shape[0], downsample=2)
    image = (picture(shape) * 1000).astype(np.int16)
    stored = in_memory(image, (*[1] * (len(shape) - 2), 16, 16))
    for knobs in ({}, {"rotations": 2}):
        np.testing.assert_array_equal(
            probabilities(segmenter, stored, config(**knobs)),
            probabilities(segmenter, image, config(**knobs)),
        )


def test_no_plane_of_a_stack_on_disk_is_read_as_a_whole() -> None:
    """Once for the statistics, of every eighth pixel here, and then tile by tile."""
    image = (picture((1, 2, 150, 170)) * 1000).astype(np.int16)
    stored, read = in_memory(image, (1, 1, 32, 32)), []

    class Watched:
        shape, ndim, dtype, chunks = stored.shape, 4, stored.dtype, stored.chunks

        def __getitem__(self, index: Any) -> Any:
            read.append(stored[index].shape)
            return stored[index]

    segmenter = make_segmenter()
    found = segment(segmenter, Watched(), config(tile_size=60))
    np.testing.assert_array_equal(found, segment(segmenter, image, config(tile_size=60)))
    assert read.count((1, 150, 170)) == 2
    assert all(max(shape) <= 60 for shape in read if shape != (1, 150, 170))


@pytest.mark.parametrize("where", ["numpy", "zarr"])
@pytest.mark.parametrize("planes", [None, 3])
@pytest.mark.parametrize("rotations", [1, 3])
def test_cells_stream_into_labels(where: str, planes: int | None, rotations: int) -> None:
    """First the foreground, then the cells, numbered through all planes; also into zarr."""
    spatial = (70, 91) if planes is None else (planes, 70, 91)
    segmenter = threshold_at(0.6)
    image = picture((1, *spatial))
    labels: Any = np.zeros(spatial, np.uint16)
    foreground: Any = np.zeros(spatial, np.float32)
    if where == "zarr":
        labels, foreground = (in_memory(a, spatial) for a in (labels, foreground))
    objects, tiles = [], []
    events = segment_into(
        segmenter, image, labels, config(tile_size=60, rotations=rotations), foreground
    )
    for event in events:
        if isinstance(event, PlaneDone):
            objects.append(event.objects)
            assert (event.plane, event.planes) == (len(objects), planes or 1)
            continue
        tiles.append((event.index, event.total))
        shown = np.asarray(labels[event.region])
        np.testing.assert_array_equal(shown, np.asarray(foreground[event.region]) >= 0.5)
    assert [index for index, _ in tiles] == list(range(1, tiles[0][1] + 1))
    assert min(objects) > 1
    final = np.asarray(labels[...])
    np.testing.assert_array_equal(np.unique(final), np.arange(sum(objects) + 1))
    again = segment(segmenter, image, config(tile_size=60, rotations=rotations))
    np.testing.assert_array_equal(final, again)
    assert again.dtype == np.uint32
    if planes:
        ids = [set(np.unique(plane)) - {0} for plane in final]
        assert not ids[0] & ids[1] | ids[1] & ids[2]


def test_segmentation_is_what_the_network_says() -> None:
    """With a network that thresholds: the cells are the bright components, without specks."""
    segmenter = threshold_at(0.5, diameter=20.0)
    image = np.zeros((80, 90), dtype=np.uint16)
    image[10:30, 10:30] = image[10:30, 40:60] = image[50:75, 20:70] = 5000
    image[40, 80] = 5000  # below a tenth of the usual area
    mask = image > 0
    mask[40, 80] = False
    labels = segment(segmenter, image, config())
    np.testing.assert_array_equal(labels > 0, mask)
    assert labels.max() == 3
    assert segment(segmenter, image, config(min_size=0)).max() == 4
    assert segment(segmenter, image, config(min_size=500)).max() == 1


@pytest.mark.parametrize("downsample", [1, 3])
def test_the_border_between_cells_is_given_back_at_the_working_resolution(downsample: int) -> None:
    """A gap of one network pixel is closed, and one of five is not."""
    pixels = np.zeros((30, 40), dtype=np.uint8)
    pixels[5:15, 5:14] = pixels[5:15, 15:24] = pixels[5:15, 29:38] = 200
    image = pixels.repeat(downsample, axis=0).repeat(downsample, axis=1)
    labels = segment(threshold_at(0.5, downsample=downsample), image, config())
    row = labels[10 * downsample]
    assert labels.max() == 3
    assert (row[6 * downsample : 23 * downsample] > 0).all()
    assert not row[25 * downsample : 28 * downsample].any()


def test_classes_keep_the_numbers_they_were_painted_with() -> None:
    """1 ... K, never 0."""
    segmenter = make_segmenter(n_classes=3, kind="classes")
    image = picture((60, 60))
    expected = probabilities(segmenter, image, config()).argmax(axis=0) + 1
    np.testing.assert_array_equal(segment(segmenter, image, config()), expected)


def test_the_foreground_of_classes_is_how_sure_the_network_is() -> None:
    """The probability of the class that is shown, whichever it is."""
    segmenter = make_segmenter(n_classes=3, kind="classes")
    image, labels = picture((60, 60)), np.zeros((60, 60), np.uint8)
    foreground = np.zeros((60, 60), np.float32)
    for _ in segment_into(segmenter, image, labels, config(), foreground):
        pass
    expected = probabilities(segmenter, image, config())
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(foreground, expected.max(axis=0))
    assert foreground.min() >= np.float32(1 / 3)


def test_labels_too_narrow_for_the_cells_are_refused() -> None:
    """Never a number that wraps around."""
    image = np.zeros((64, 64), dtype=np.uint8)
    image[1::3, 1::3] = 200  # 441 specks
    segmenter = threshold_at(0.5)
    labels = np.zeros((64, 64), dtype=np.uint16)
    assert list(segment_into(segmenter, image, labels, config(min_size=0)))
    assert labels.max() > 255
    for dtype, most in (("uint8", 255), ("bool", 1)):
        with pytest.raises(InputError, match=f"{labels.max()} cells.*{dtype} can hold {most}"):
            list(segment_into(segmenter, image, labels.astype(dtype), config(min_size=0)))
    halves = np.zeros(labels.shape, np.float16)
    assert list(segment_into(segmenter, image, halves, config(min_size=0)))
    with pytest.raises(InputError, match="float16 can hold 2048"):
        list(segment_into(segmenter, image, halves, config(min_size=0), after=1700))


def test_rotated_copies_are_averaged() -> None:
    """Four quarter turns of a square are the mean of four plain predictions."""
    segmenter = make_segmenter(depth=2)
    image = picture((93, 93))
    turns = [
        np.rot90(probabilities(segmenter, np.rot90(image, k), config()), -k, axes=(1, 2))
        for k in range(4)
    ]
    averaged = probabilities(segmenter, image, config(rotations=4, tile_size=70))
    np.testing.assert_allclose(averaged, np.mean(turns, axis=0), atol=1e-4)
    assert np.abs(averaged - turns[0]).max() > 1e-2


@pytest.mark.parametrize("sides", [(60, 85), (1, 1), (3, 40)])
def test_the_papers_seven_rotations_are_probabilities(sides: tuple[int, int]) -> None:
    """They sum to 1, and a network that copies its input gives nearly the plain result."""
    segmenter = make_segmenter()
    result = probabilities(segmenter, picture(sides), config(rotations=7))
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-5)
    assert result.min() >= 0


def test_rotation_does_not_move_the_cells() -> None:
    """Turned seven times and back, a bright square stays where it is."""
    image = np.zeros((70, 80), dtype=np.float32)
    image[20:45, 30:60] = 1
    labels = segment(threshold_at(0.5), image, config(rotations=7, min_size=0))
    truth = image > 0
    assert ((labels > 0) & truth).sum() / ((labels > 0) | truth).sum() > 0.95
    assert labels.max() == 1


def test_averaged_in_parts_is_averaged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And every tile of every part is counted."""
    segmenter, image = make_segmenter(downsample=2, scales=2), picture((90, 110))
    once = probabilities(segmenter, image, config(rotations=3))
    monkeypatch.setattr("napari_unet.engine.plane.AVERAGED", 40)
    parts = np.zeros_like(once)
    events = list(predict(segmenter, image, parts, config(rotations=3)))
    np.testing.assert_allclose(parts, once, atol=1e-6)
    assert [event.index for event in events] == list(range(1, events[0].total + 1))
    assert sum(np.zeros(image.shape)[event.region].size > 0 for event in events) == 9


def test_rotated_copies_become_final_at_the_end() -> None:
    """Each tile is an event, and only the last one of a part names pixels: all of them."""
    segmenter = make_segmenter()
    out = np.zeros((2, 60, 70), dtype=np.float32)
    events = list(predict(segmenter, picture((60, 70)), out, config(rotations=3, tile_size=50)))
    assert [e.index for e in events] == list(range(1, events[0].total + 1))
    sizes = [np.zeros((60, 70))[e.region].size for e in events]
    assert sizes[-1] == 60 * 70
    assert not any(sizes[:-1])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda a: a.astype(np.float64), id="float64"),
        pytest.param(lambda a: a.astype(np.int32), id="int32"),
        pytest.param(lambda a: a.astype(">u2"), id="big-endian"),
        pytest.param(lambda a: np.asfortranarray(a), id="columns first"),
        pytest.param(lambda a: a[::-1, ::-1].copy()[::-1, ::-1], id="negative strides"),
        pytest.param(lambda a: np.repeat(a, 2, axis=1)[:, ::2], id="strides"),
        pytest.param(lambda a: a.tolist(), id="list"),
        pytest.param(lambda a: torch.from_numpy(a.astype(np.int32)), id="tensor"),
    ],
)
@pytest.mark.parametrize("knobs", [{}, {"rotations": 3}])
def test_type_and_layout_of_the_image_do_not_matter(change: Any, knobs: dict[str, int]) -> None:
    """Read-only memory neither."""
    segmenter = make_segmenter(downsample=2)
    image = (picture((50, 61)) * 900 + 5000).astype(np.uint16)
    strange = change(image)
    if isinstance(strange, np.ndarray):
        strange.flags.writeable = False
    np.testing.assert_array_equal(
        probabilities(segmenter, strange, config(**knobs)),
        probabilities(segmenter, image, config(**knobs)),
    )


@pytest.mark.parametrize(("downsample", "scales"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("knobs", [{}, {"rotations": 3}, {"magnification": 1.41}], ids=str)
@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((40, 50)), id="zeros"),
        pytest.param(np.full((40, 50), 65535, np.uint16), id="saturated"),
        pytest.param(picture((40, 50)) > 0, id="bool"),
        pytest.param(np.full((40, 50), np.nan), id="all NaN"),
        pytest.param(np.where(picture((40, 50)) > 0.2, np.nan, 5.0), id="NaN"),
        pytest.param(np.where(picture((40, 50)) > 0.2, np.inf, picture((40, 50))), id="inf"),
        pytest.param(
            np.where(picture((40, 50)) > 0, np.inf, -np.inf).astype(np.float16), id="both inf"
        ),
        pytest.param(np.where(picture((40, 50)) > 0.2, -1.7e308, 5.0), id="more than float32"),
        pytest.param(np.where(picture((40, 50)) > 0.2, -3.4e38, 3.4e38), id="as much as float32"),
    ],
)
def test_strange_images_have_finite_probabilities(
    image: NDArray[Any], downsample: int, scales: int, knobs: dict[str, Any]
) -> None:
    """Nothing is NaN, nothing warns, and a segmentation exists."""
    segmenter = make_segmenter(downsample=downsample, scales=scales)
    before = image.copy()
    result = probabilities(segmenter, image, config(**knobs))
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result.sum(axis=0), 1, atol=1e-5)
    assert segment(segmenter, image, config(**knobs)).shape == image.shape
    np.testing.assert_array_equal(image, before)


def test_a_hole_in_the_image_stays_local() -> None:
    """Pixels that are not numbers change the result within the reach of the network only."""
    segmenter = make_segmenter()
    image = picture((90, 90))
    holed = image.copy()
    holed[45, 45] = np.nan
    change = np.abs(
        probabilities(segmenter, holed, config()) - probabilities(segmenter, image, config())
    ).max(axis=0)
    reach = 12
    far = np.ones(image.shape, dtype=bool)
    far[45 - reach : 46 + reach, 45 - reach : 46 + reach] = False
    assert change[45, 45] > 1e-4
    assert change[far].max() < 0.02  # through the percentiles


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 5)), r"\(1, 0, 5\).*at least one pixel"),
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((1, 1, 1, 5, 5)), r"shape \(1, 1, 1, 5, 5\)"),
        (np.zeros((9, 9), complex), "complex128; convert"),
        (np.zeros((9, 9), object), "object; convert"),
        (np.zeros((9, 9, 8)), r"channel\(s\), the image has 9.*\(9, 9, 8\).* a new one\.$"),
        (np.zeros((9, 9, 3)), r"the image has 9.*\(9, 9, 3\).*move them first with np\.moveaxis"),
    ],
)
def test_images_that_do_not_fit_are_refused(image: Any, message: str) -> None:
    """Before anything is computed, with the value seen."""
    segmenter = make_segmenter()
    for use in (probabilities, segment):
        with pytest.raises(InputError, match=message):
            use(segmenter, image, config())


def test_outputs_that_do_not_fit_are_refused() -> None:
    """With the shapes that would do; whole numbers would make zeros of all probabilities."""
    segmenter, image = make_segmenter(), picture((30, 40))
    with pytest.raises(InputError, match=r"\(3, 30, 40\); give \(30, 40\).*\(2, 30, 40\)"):
        next(predict(segmenter, image, np.zeros((3, 30, 40)), config()))
    with pytest.raises(InputError, match=r"out has dtype uint8, .* fractions; .* float32"):
        next(predict(segmenter, image, np.zeros((2, 30, 40), np.uint8), config()))
    for out, message in [
        ([[0] * 40] * 30, "out is of type list; give an array of NumPy or zarr"),
        (torch.zeros((30, 40)), "out is of type Tensor; give an array of NumPy or zarr"),
        (np.broadcast_to(np.uint8(0), (30, 40)), "out is read-only"),
        (image, "out is the memory of the image, which is still read; give a new array"),
    ]:
        with pytest.raises(InputError, match=message):
            next(predict(segmenter, image, out, config()))
    with pytest.raises(InputError, match=r"\(40, 30\); give \(30, 40\)"):
        next(segment_into(segmenter, image, np.zeros((40, 30), np.uint8), config()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_absent_is_an_error() -> None:
    """Not a silent fallback."""
    with pytest.raises(DeviceError, match="'cuda'"):
        segment(make_segmenter(), picture((30, 40)), config(device="cuda"))


@pytest.mark.parametrize("function", [predict, probabilities, segment, segment_into])
def test_arrays_on_disk_are_no_error_to_a_type_checker(function: Callable[..., object]) -> None:
    """The documentation gives zarr arrays to these, so they ask for no array of NumPy."""
    hints = get_type_hints(function)

    assert {hints[name] for name in ("image", "out", "labels") if name in hints} == {Any}
