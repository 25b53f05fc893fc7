"""How image layers are understood, and what lies on them."""

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.errors import InputError
from napari_unet.viewer.batches.openbatch import _Source
from napari_unet.viewer.stack import (
    ImageStack,
    knows_spacing,
    plane_spacing,
    shown_plane,
    spatial_metadata,
)

CTYX = ("c", "t", "y", "x")


@pytest.mark.parametrize(
    ("shape", "options", "words", "labels_shape"),
    [
        ((30, 40), {}, "30 x 40 px, 1 channel", (30, 40)),
        ((7, 30, 40), {}, "7 planes (z or time), 30 x 40 px, 1 channel", (7, 30, 40)),
        ((1, 30, 40), {}, "1 plane (z or time), 30 x 40 px, 1 channel", (1, 30, 40)),
        (
            (1, 1, 30, 40),
            {"axis_labels": ("time", "Z", "y", "x")},
            "1 time point, 1 z plane, 30 x 40 px, 1 channel",
            (1, 1, 30, 40),
        ),
        (
            (7, 30, 40),
            {"axis_labels": ("t", "y", "x")},
            "7 time points, 30 x 40 px, 1 channel",
            (7, 30, 40),
        ),
        (
            (5, 7, 30, 40),
            {"axis_labels": ("time", "Z", "y", "x")},
            "5 time points, 7 z planes, 30 x 40 px, 1 channel",
            (5, 7, 30, 40),
        ),
        (
            (2, 5, 30, 40),
            {"axis_labels": CTYX},
            "5 time points, 30 x 40 px, 2 channels",
            (5, 30, 40),
        ),
        ((30, 40, 3), {"rgb": True}, "30 x 40 px, RGB", (30, 40)),
        ((30, 40, 4), {"rgb": True}, "30 x 40 px, RGB", (30, 40)),
        (
            (6, 30, 40, 3),
            {"rgb": True, "axis_labels": ("z", "y", "x")},
            "6 z planes, 30 x 40 px, RGB",
            (6, 30, 40),
        ),
    ],
)
def test_a_layer_is_understood_and_named(
    shape: tuple[int, ...], options: dict[str, Any], words: str, labels_shape: tuple[int, ...]
) -> None:
    """Stacks, channels and RGB are told apart by the layer's own words."""
    stack = ImageStack.of(Image(np.zeros(shape, np.uint8), **options))

    assert stack.describe() == words
    assert stack.shape == labels_shape


def test_few_planes_without_a_name_may_be_channels() -> None:
    """The dock says how to tell the program."""
    words = ImageStack.of(Image(np.zeros((3, 30, 40)))).describe()

    assert words.endswith("If the planes are channels, write c beside their slider")


def test_planes_are_read_with_channels_first() -> None:
    """From wherever the channels are, without the alpha of an RGB image."""
    data = np.random.default_rng(0).integers(0, 255, (5, 2, 6, 7)).astype(np.uint8)
    channels = ImageStack.of(Image(data, axis_labels=CTYX))
    rgb = ImageStack.of(Image(data[..., None].repeat(4, -1)[0], rgb=True))

    np.testing.assert_array_equal(channels.plane((1,)), data[:, 1])
    np.testing.assert_array_equal(rgb.plane((1,)), np.stack([data[0, 1]] * 3))
    np.testing.assert_array_equal(ImageStack.of(Image(data[0, 0])).plane(()), data[:1, 0])


def test_a_lazy_image_is_read_plane_by_plane() -> None:
    """Understanding a layer reads nothing."""
    read: list[int] = []

    def load(block_id: tuple[int, ...] = ()) -> np.ndarray:
        read.append(block_id[0])
        return np.full((1, 6, 7), block_id[0], np.uint8)

    data = da.map_blocks(load, chunks=((1,) * 4, (6,), (7,)), dtype=np.uint8)
    layer = Image(data, contrast_limits=(0, 4))
    read.clear()
    stack = ImageStack.of(layer)
    stack.describe()

    assert read == []
    assert (stack.plane((2,)) == 2).all()
    assert read == [2]


def test_an_array_of_a_file_is_not_in_memory(tmp_path: Path) -> None:
    """Numpy's memory-mapped files look like arrays, and lie on the disk."""
    pixels = np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)
    np.save(tmp_path / "image.npy", pixels)
    mapped = ImageStack.of(Image(np.load(tmp_path / "image.npy", mmap_mode="r")))

    assert ImageStack.of(Image(pixels)).in_memory
    assert not mapped.in_memory
    assert not ImageStack.of(Image(da.from_array(pixels))).in_memory
    part = mapped.lazy_plane((3,))[:, 1:4, 2:]
    np.testing.assert_array_equal(part, pixels[3:4, 1:4, 2:])


def test_a_part_of_a_lazy_plane_reads_that_part() -> None:
    """Of every layout, with the channels first."""
    read: list[tuple[int, ...]] = []

    def load(block_id: tuple[int, ...] = ()) -> np.ndarray:
        read.append(block_id)
        return np.full((2, 1, 5, 5), 10 * block_id[2] + block_id[3], np.uint8)

    data = da.map_blocks(load, chunks=((2,), (1,) * 4, (5,) * 3, (5,) * 3), dtype=np.uint8)
    layer = Image(data, axis_labels=CTYX, contrast_limits=(0, 4))
    read.clear()
    plane = ImageStack.of(layer).lazy_plane((2,))
    part = plane[:, 6:9, 11:14]

    assert plane.shape == (2, 15, 15)
    assert part.shape == (2, 3, 3)
    assert (part == 12).all()
    assert read == [(0, 2, 1, 2)]


def test_a_multiscale_image_is_used_at_its_finest_level() -> None:
    """The pyramid is for looking at."""
    levels = [np.ones((64, 80), np.uint8), np.zeros((32, 40), np.uint8)]
    stack = ImageStack.of(Image(levels, multiscale=True))

    assert stack.shape == (64, 80)
    assert stack.plane(()).all()


def test_what_is_no_image_is_refused_with_a_remedy() -> None:
    """By the name of the layer."""
    layer = Image(np.zeros((20, 20)), name="Waves")
    layer._data = np.zeros((20, 20), complex)  # as by a plugin that looks at Fourier transforms

    with pytest.raises(InputError, match=r"'Waves' has dtype complex128; convert it"):
        ImageStack.of(layer)


def test_an_image_that_is_understood_otherwise_is_another_one() -> None:
    """Or has other data; what its planes count makes no difference."""
    image = Image(np.zeros((4, 2, 30, 50)), axis_labels=("t", "z", "y", "x"))
    stack = ImageStack.of(image)
    image.axis_labels = ("z", "t", "y", "x")
    assert stack.is_of(image)
    for names in [("c", "z", "y", "x"), ("z", "c", "y", "x")]:
        image.axis_labels = names
        assert not stack.is_of(image)
    image.axis_labels, image.data = ("t", "z", "y", "x"), np.zeros((4, 2, 30, 50))
    assert not stack.is_of(image)


def test_channels_between_planes_are_refused_with_a_remedy() -> None:
    """Napari aligns layers by their last axes: labels would be painted on other planes."""
    viewer = ViewerModel()
    layer = viewer.add_image(
        np.arange(8 * 3 * 4 * 5).reshape(8, 3, 4, 5), axis_labels=("z", "c", "y", "x"), name="worm"
    )
    with pytest.raises(InputError, match=r"'worm' has the axes z, c, y, x; channels come") as told:
        ImageStack.of(layer)
    plane = layer.data[5]
    assert str(told.value).endswith(
        "(layer = viewer.layers['worm']): layer.data = np.moveaxis(layer.data, 1, 0); "
        "layer.axis_labels = ('c', 'z', 'y', 'x')"
    )
    layer.data = np.moveaxis(layer.data, 1, 0)
    layer.axis_labels = ("c", "z", "y", "x")

    assert ImageStack.of(layer).describe() == "8 z planes, 4 x 5 px, 3 channels"
    np.testing.assert_array_equal(ImageStack.of(layer).plane((5,)), plane)


def test_a_layer_of_labels_lies_exactly_on_its_image() -> None:
    """Scale, translation, rotation, shear, affine, units and axis names, without the channels."""
    image = Image(
        np.zeros((2, 4, 30, 40)),
        axis_labels=CTYX,
        scale=(1, 2, 0.5, 0.25),
        translate=(0, 10, 3, 4),
        units=("pixel", "second", "micrometer", "micrometer"),
        affine=np.diag([1, 1, 3, 3, 1]),
        shear=[0, 0, 0, 0, 0, 0.1],
    )
    labels = Labels(np.zeros((4, 30, 40), int), **spatial_metadata(image, ImageStack.of(image)))
    point = np.array([1, 20, 30])

    np.testing.assert_allclose(
        labels.data_to_world(point), np.delete(image.data_to_world([0, 1, 20, 30]), 0)
    )
    assert [str(unit) for unit in labels.units] == ["second", "micrometer", "micrometer"]
    assert labels.axis_labels == ("t", "y", "x")
    np.testing.assert_allclose(labels.scale, (2, 0.5, 0.25))
    np.testing.assert_allclose(labels.translate, (10, 3, 4))


def test_a_rotated_image_keeps_its_angle() -> None:
    """A rotation of Y and X survives where channels are left out."""
    image = Image(np.zeros((2, 30, 40)), axis_labels=("c", "y", "x"), rotate=(0, 0, 30))
    labels = Labels(np.zeros((30, 40), int), **spatial_metadata(image, ImageStack.of(image)))

    np.testing.assert_allclose(labels.rotate, image.rotate[1:, 1:])


@pytest.mark.parametrize(
    ("scale", "units", "spacing"),
    [
        ((1, 1, 1), ("pixel",) * 3, None),
        ((3, 1, 1), ("pixel",) * 3, 3.0),
        ((6, 4, 1), ("pixel",) * 3, 3.0),
        ((2, 0.5, 0.5), ("um",) * 3, 4.0),
        ((0.5, 0.5, 0.5), ("um",) * 3, 1.0),
        ((0.001, 0.5, 0.5), ("mm", "um", "um"), 2.0),
        ((1, 0.5, 0.5), ("pixel", "um", "um"), None),
        ((1, 0.5, 0.5), ("um", "pixel", "pixel"), None),
    ],
)
def test_the_distance_of_planes_is_the_same_in_a_layer_and_in_a_batch(
    scale: Any, units: Any, spacing: float | None
) -> None:
    """Where somebody says it; pixels and micrometres cannot be compared."""
    layer = Image(np.zeros((2, 5, 6)), scale=scale, units=units)
    size = _Source.of(layer, "a").size

    assert size.z_in_pixels == (None if spacing is None else pytest.approx(spacing))
    assert plane_spacing(layer) == (size.z_in_pixels or 1.0)
    assert knows_spacing(layer) == (spacing is not None)
    time = Image(layer.data, scale=scale, units=units, axis_labels=("t", "y", "x"))
    assert _Source.of(time, "a").size.z is None


def test_the_shown_plane_follows_the_sliders() -> None:
    """In the coordinates of the data, whatever scale, translation and channel are shown."""
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((2, 4, 8, 9)), axis_labels=CTYX, scale=(1, 10, 1, 1), translate=(0, 100, 0, 0)
    )
    viewer.add_image(np.zeros((8, 9)), name="flat")
    viewer.dims.set_point((0, 1), (1, 130))

    assert shown_plane(viewer, image) == (3,)
    viewer.dims.ndisplay = 3
    assert shown_plane(viewer, image) == (3,)
    assert shown_plane(viewer, viewer.layers["flat"]) == ()
