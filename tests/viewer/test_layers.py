"""Choosing layers, what labels mean, and the copies that leave the main thread."""

import threading
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.errors import InputError
from napari_unet.viewer import layers
from napari_unet.viewer.layers import mark_result, painted
from napari_unet.viewer.learning import doubts
from napari_unet.viewer.stack import ImageStack, spatial_metadata


@pytest.fixture
def viewer() -> ViewerModel:
    """A viewer with one image."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((20, 30)), name="cells")
    return viewer


def test_the_only_labels_that_fit_are_the_likely_ones(viewer: ViewerModel) -> None:
    """Labels of another shape do not count; where two fit, the user has to say."""
    image = viewer.layers["cells"]
    assert layers.likely_labels(viewer, image) is None
    viewer.add_labels(np.zeros((5, 5), int))
    fitting = viewer.add_labels(np.zeros((20, 30), int))

    assert layers.likely_labels(viewer, image) is fitting
    viewer.add_labels(np.zeros((20, 30), int))
    assert layers.likely_labels(viewer, image) is None
    assert layers.likely_labels(viewer, None) is None


def test_scribbles_made_for_an_image_are_preferred(viewer: ViewerModel) -> None:
    """To other labels that would fit too."""
    viewer.add_labels(np.zeros((20, 30), int))
    ours = layers.new_scribbles(viewer, viewer.layers["cells"])

    assert layers.likely_labels(viewer, viewer.layers["cells"]) is ours


def test_labels_of_another_open_image_are_not_likely(viewer: ViewerModel) -> None:
    """Fields of one size lie one over the other, and each has labels of its own."""
    first = viewer.layers["cells"]
    second = viewer.add_image(np.zeros((20, 30)), name="next field")
    painted_on_first = layers.new_scribbles(viewer, first)
    masks = viewer.add_labels(np.zeros((20, 30), int), name="from a file")

    assert layers.likely_labels(viewer, first) is painted_on_first
    assert layers.likely_labels(viewer, second) is masks
    layers.link(masks, first)  # as a training does
    assert layers.likely_labels(viewer, second) is None
    viewer.layers.remove(masks)
    viewer.layers.remove(first)
    assert layers.likely_labels(viewer, second) is painted_on_first


def test_results_are_not_offered_but_their_duplicates_are(viewer: ViewerModel) -> None:
    """A segmentation is corrected by duplicating it, and trained from then."""
    image = viewer.layers["cells"]
    result = viewer.add_labels(np.ones((20, 30), int))
    mark_result(result, "segmentation", image)
    probability = viewer.add_image(np.zeros((20, 30)))
    mark_result(probability, "probability", image)
    assert layers.labels_layers(viewer) == []
    assert layers.image_layers(viewer) == [image]

    viewer.layers.selection = {result}
    from napari.layers._layer_actions import _duplicate_layer

    _duplicate_layer(viewer.layers)

    (copy,) = layers.labels_layers(viewer)
    assert copy is not result
    assert layers.likely_labels(viewer, image) is copy


def test_labels_are_instances_until_somebody_says_otherwise() -> None:
    """And what was said is kept in the layer, beside what others keep there."""
    layer = Labels(np.zeros((5, 5), int), metadata={"microscope": "confocal"})
    assert layers.meaning_of(layer) == "instances"
    layers.set_meaning(layer, "classes")

    assert layers.meaning_of(layer) == "classes"
    assert layer.metadata == {
        "microscope": "confocal",
        "napari_unet": {"meaning": "classes", "answered": ()},
    }


def test_new_scribbles_can_be_painted_on_at_once() -> None:
    """Label 2 is chosen, a brush is in hand, and there is room for more than 255 cells."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((6, 120, 90)), scale=(3, 0.5, 0.5), name="worm")
    viewer.add_labels(np.zeros((6, 120, 90), int))
    layer = layers.new_scribbles(viewer, image)

    assert (layer.name, layers.meaning_of(layer)) == ("worm scribbles", "scribbles")
    assert (layer.data.shape, layer.data.dtype) == ((6, 120, 90), np.uint16)
    assert (layer.selected_label, layer.mode, layer.brush_size) == (2, "paint", 3)
    assert viewer.layers.selection.active is layer
    np.testing.assert_array_equal(layer.scale, image.scale)


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


def test_an_answered_question_is_not_asked_again() -> None:
    """The answer is kept in the layer, until its meaning is changed by hand."""
    labels = np.zeros((100, 100), np.uint8)
    labels[10:20, 10:20] = 1
    layer = Labels(labels)
    question = doubts.doubt_about(layer)
    assert question is not None
    doubts.answer(layer, question, yes=True)

    assert layers.meaning_of(layer) == "instances"
    assert doubts.doubt_about(layer) is None
    layers.set_meaning(layer, "instances")
    assert doubts.doubt_about(layer) == question


def test_an_answer_can_change_the_meaning() -> None:
    """And what contradicts the new meaning is asked next."""
    labels = np.zeros((100, 100), np.uint8)
    labels[10:20, 10:20] = 1
    labels[40:50, 40:50] = 2
    layer = Labels(labels)
    layers.set_meaning(layer, "scribbles")
    first = doubts.doubt_about(layer)
    assert first is not None
    assert "Is it background?" in first.question
    doubts.answer(layer, first, yes=False)

    assert layers.meaning_of(layer) == "instances"
    second = doubts.doubt_about(layer)
    assert second is not None
    assert second.key == "few painted"


def test_an_answer_that_leaves_nothing_to_learn_names_the_remedy() -> None:
    """Nothing is remembered, so that the question comes again."""
    labels = np.zeros((100, 100), np.uint8)
    labels[10:20, 10:20] = 1
    layer = Labels(labels)
    question = doubts.doubt_about(layer)
    assert question is not None

    with pytest.raises(InputError, match="Draw a training region"):
        doubts.answer(layer, question, yes=False)
    assert doubts.doubt_about(layer) == question


def test_the_fullest_plane_is_judged() -> None:
    """Of a stack where only some planes are painted."""
    labels = np.zeros((3, 50, 50), np.uint8)
    labels[1] = 1
    labels[1, 10:20, 10:20] = 2
    layer = Labels(labels)
    layers.set_meaning(layer, "scribbles")
    question = doubts.doubt_about(layer)

    assert question is not None
    assert question.key == "all painted"
