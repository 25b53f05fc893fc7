"""Choosing layers, what labels mean, and doubts about it."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_unet.errors import InputError
from napari_unet.viewer import layers, notes
from napari_unet.viewer.learning import doubts
from napari_unet.viewer.notes import mark_result


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


def test_a_copy_of_labels_does_not_come_between_them_and_their_image(viewer: ViewerModel) -> None:
    """Whoever keeps one, or corrects a segmentation, goes on with what was trained on last."""
    from napari.layers._layer_actions import _duplicate_layer

    image = viewer.layers["cells"]
    ours = layers.new_scribbles(viewer, image)
    viewer.layers.selection = {ours}
    _duplicate_layer(viewer.layers)
    (copy,) = (layer for layer in layers.labels_layers(viewer) if layer is not ours)
    assert layers.likely_labels(viewer, image) is ours

    notes.link(copy, image)  # as a training does
    assert layers.likely_labels(viewer, image) is copy


def test_labels_of_another_open_image_are_not_likely(viewer: ViewerModel) -> None:
    """Fields of one size lie one over the other, and each has labels of its own."""
    first = viewer.layers["cells"]
    second = viewer.add_image(np.zeros((20, 30)), name="next field")
    painted_on_first = layers.new_scribbles(viewer, first)
    masks = viewer.add_labels(np.zeros((20, 30), int), name="from a file")

    assert layers.likely_labels(viewer, first) is painted_on_first
    assert layers.likely_labels(viewer, second) is masks
    notes.link(masks, first)  # as a training does
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
    assert notes.meaning_of(layer) == "instances"
    notes.set_meaning(layer, "classes")

    assert notes.meaning_of(layer) == "classes"
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

    assert (layer.name, notes.meaning_of(layer)) == ("worm scribbles", "scribbles")
    assert (layer.data.shape, layer.data.dtype) == ((6, 120, 90), np.uint16)
    assert (layer.selected_label, layer.mode, layer.brush_size) == (2, "paint", 3)
    assert viewer.layers.selection.active is layer
    np.testing.assert_array_equal(layer.scale, image.scale)


def test_an_answered_question_is_not_asked_again() -> None:
    """The answer is kept in the layer, until its meaning is changed by hand."""
    labels = np.zeros((100, 100), np.uint8)
    labels[10:20, 10:20] = 1
    layer = Labels(labels)
    question = doubts.doubt_about(layer)
    assert question is not None
    doubts.answer(layer, question, yes=True)

    assert notes.meaning_of(layer) == "instances"
    assert doubts.doubt_about(layer) is None
    notes.set_meaning(layer, "instances")
    assert doubts.doubt_about(layer) == question


def test_an_answer_can_change_the_meaning() -> None:
    """And what contradicts the new meaning is asked next."""
    labels = np.zeros((100, 100), np.uint8)
    labels[10:20, 10:20] = 1
    labels[40:50, 40:50] = 2
    layer = Labels(labels)
    notes.set_meaning(layer, "scribbles")
    first = doubts.doubt_about(layer)
    assert first is not None
    assert "Is it background?" in first.question
    doubts.answer(layer, first, yes=False)

    assert notes.meaning_of(layer) == "instances"
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
    notes.set_meaning(layer, "scribbles")
    question = doubts.doubt_about(layer)

    assert question is not None
    assert question.key == "all painted"
