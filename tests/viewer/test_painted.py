"""The copies of what is painted that leave the main thread."""

import threading
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_unet.errors import InputError
from napari_unet.viewer.learning import doubts
from napari_unet.viewer.painted import painted
from napari_unet.viewer.stack import ImageStack, spatial_metadata


def test_what_is_painted_is_copied() -> None:
    """The user paints on while it is learned from; planes without paint are left out."""
    data = np.random.default_rng(0).random((4, 20, 30))
    image = Image(data)
    labels = Labels(np.zeros((4, 20, 30), np.uint8))
    labels.data[2, 5:9, 5:9] = 3
    snapshot = painted(image, labels)
    labels.data[2] = 7
    (annotation,) = snapshot.annotations(threading.Event())

    assert [index for index, _, _ in snapshot.planes] == [(2,)]
    np.testing.assert_array_equal(np.unique(annotation.labels), [0, 3])
    np.testing.assert_array_equal(annotation.image, data[2:3])
    assert annotation.meaning == "instances"


def test_the_image_is_read_later_than_the_labels() -> None:
    """A lazy image is read in the worker thread, not while the user waits."""
    read: list[int] = []

    def load(block_id: tuple[int, ...] = ()) -> np.ndarray:
        read.append(block_id[0])
        return np.zeros((1, 20, 30), np.uint8)

    data = da.map_blocks(load, chunks=((1,) * 3, (20,), (30,)), dtype=np.uint8)
    labels = np.zeros((3, 20, 30), np.uint8)
    labels[1, 3:5] = 1
    image = Image(data, contrast_limits=(0, 1))
    read.clear()
    snapshot = painted(image, Labels(labels))
    assert read == []
    snapshot.annotations(threading.Event())

    assert read == [1]


@pytest.mark.parametrize("kind", ["dask", "multiscale"])
def test_labels_may_be_lazy_or_a_pyramid(kind: str) -> None:
    """They are read at full resolution."""
    data = np.zeros((32, 40), np.uint8)
    data[4:9, 4:9] = 2
    pyramid: Any = [data, data[::2, ::2]] if kind == "multiscale" else da.from_array(data)
    labels = Labels(pyramid, multiscale=kind == "multiscale")
    snapshot = painted(Image(np.zeros((32, 40))), labels)

    np.testing.assert_array_equal(snapshot.planes[0][1], data)
    assert doubts.doubt_about(labels) is not None


@pytest.mark.parametrize("shape", [(20, 31), (2, 20, 30)])
def test_labels_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """In words that name both layers and both shapes."""
    image, labels = Image(np.zeros((20, 30)), name="cells"), Labels(np.ones(shape, int), name="old")

    with pytest.raises(InputError, match=r"'old' has shape .* image layer 'cells' has \(20, 30\)"):
        painted(image, labels)


def placed_layers(kind: str, **place: Any) -> tuple[Image, Labels]:
    """Return an image that is placed somewhere, and labels that lie on it."""
    shapes = {"plane": (20, 30), "channels": (2, 4, 20, 30), "rgb": (20, 30, 3)}
    axes = ["c", "z", "y", "x"] if kind == "channels" else None
    image = Image(np.zeros(shapes[kind]), rgb=kind == "rgb", axis_labels=axes, name="cells")
    image.scale = (1, 3, 0.3, 0.3)[-image.ndim :]
    image.translate = (9, 7, 0.1, 1e6)[-image.ndim :]
    image.rotate = 20
    stack = ImageStack.of(image)
    labels = Labels(np.ones(stack.shape, np.uint8), **spatial_metadata(image, stack), name="mine")
    for name, value in place.items():
        setattr(labels, name, value)
    return image, labels


@pytest.mark.parametrize("kind", ["plane", "channels", "rgb"])
def test_labels_that_lie_on_the_image_are_taken(kind: str) -> None:
    """Wherever both are; a quarter of a pixel is no pixel."""
    image, labels = placed_layers(kind)
    assert painted(image, labels).planes
    labels.translate = np.asarray(labels.translate) + 0.07
    assert painted(image, labels).planes


def test_labels_with_another_unit_of_length_lie_where_they_are_shown() -> None:
    """A micrometre is a thousand nanometres; without a unit the numbers count."""
    image = Image(np.zeros((20, 30)), scale=(0.5, 0.5), units=("um", "um"), name="cells")
    labels = Labels(np.ones((20, 30), np.uint8), scale=(500, 500), units=("nm", "nm"), name="mine")
    assert painted(image, labels).planes
    labels.scale, labels.units = (0.5, 0.5), ("pixel", "pixel")
    assert painted(image, labels).planes


@pytest.mark.parametrize(
    ("kind", "place", "away"),
    [
        ("plane", {"translate": (0.1, 1e6 + 0.3)}, "0.94"),
        ("plane", {"scale": (1, 1)}, "67.7"),
        ("rgb", {"scale": (0.3, -0.3)}, "58"),
        ("rgb", {"rotate": 21}, ""),
        ("plane", {"shear": (0.1,)}, ""),
        ("channels", {"scale": (1, 0.3, 0.3)}, "2"),
        ("channels", {"translate": (10, 0.1, 1e6)}, "1"),
    ],
)
def test_labels_that_lie_elsewhere_are_refused(kind: str, place: dict[str, Any], away: str) -> None:
    """The user sees them on other pixels than those that would be learned from."""
    image, labels = placed_layers(kind, **place)
    with pytest.raises(InputError, match=f"not lie on image layer 'cells', but up to {away}"):
        painted(image, labels)


def test_nothing_painted_is_refused_with_a_remedy() -> None:
    """Before a process is bothered."""
    image, labels = Image(np.zeros((20, 30))), Labels(np.zeros((20, 30), int), name="empty")

    with pytest.raises(InputError, match=r"'empty' yet: paint a few cells, and some background"):
        painted(image, labels)
