"""Layers that show results."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.segmenting.results import Result, label_dtype

WHOLE = (slice(None), slice(None))


@pytest.fixture
def viewer() -> ViewerModel:
    """A stack, a photograph, and labels that are being painted, on top."""
    viewer = ViewerModel()
    viewer.add_image(
        np.zeros((3, 20, 30)),
        name="worm",
        scale=(4, 0.5, 0.5),
        translate=(1, 2, 3),
        units=("second", "micrometer", "micrometer"),
    )
    viewer.add_image(np.zeros((20, 30)), name="photograph")
    viewer.add_labels(np.zeros((3, 20, 30), int), name="painted")
    return viewer


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    """The stack."""
    layer = viewer.layers["worm"]
    assert isinstance(layer, Image)
    return layer


def names(viewer: ViewerModel) -> list[str]:
    """List the layers from below."""
    return [layer.name for layer in viewer.layers]


def test_a_result_lies_on_its_image_and_below_what_is_painted(
    viewer: ViewerModel, image: Image
) -> None:
    """With its scale, translation and units; nobody can paint on it by accident."""
    result = Result(viewer, image, "segmentation", np.uint16)
    result.finish(complete=True)

    assert names(viewer) == ["worm", "worm segmentation", "photograph", "painted"]
    layer = viewer.layers[1]
    assert isinstance(layer, Labels)
    assert is_result(layer, "segmentation", image)
    assert not layer.editable
    np.testing.assert_array_equal(layer.scale, image.scale)
    np.testing.assert_array_equal(layer.translate, image.translate)
    assert layer.units == image.units


def test_the_next_kind_of_result_lies_above_the_first(viewer: ViewerModel, image: Image) -> None:
    """A weight map is not hidden by the segmentation."""
    for kind in ("segmentation", "probability", "weights"):
        result = Result(viewer, image, kind, np.float32 if kind != "segmentation" else np.uint8)  # type: ignore[arg-type]
        result.finish(complete=True)

    assert names(viewer) == [
        "worm",
        "worm segmentation",
        "worm probability",
        "worm weight map",
        "photograph",
        "painted",
    ]


@pytest.mark.parametrize("selected", [[], ["painted"], ["worm", "painted"]])
def test_the_selection_stays(viewer: ViewerModel, image: Image, selected: list[str]) -> None:
    """Whoever paints while a result comes in goes on painting."""
    painted = viewer.layers["painted"]
    assert isinstance(painted, Labels)
    painted.mode = "paint"
    viewer.layers.selection = {viewer.layers[name] for name in selected}
    active = viewer.layers.selection.active
    Result(viewer, image, "segmentation", np.uint16)

    assert {layer.name for layer in viewer.layers.selection} == set(selected)
    assert viewer.layers.selection.active is active
    assert painted.mode == "paint"


def test_a_result_is_unfinished_until_it_is_finished(viewer: ViewerModel, image: Image) -> None:
    """By its name, which is what a user sees."""
    result = Result(viewer, image, "segmentation", np.uint16)
    assert result.layer.name == "worm segmentation (unfinished)"
    result.finish(complete=False)
    assert result.layer.name == "worm segmentation (unfinished)"

    result = Result(viewer, image, "segmentation", np.uint16)
    assert result.layer.name == "worm segmentation (unfinished)"
    result.finish(complete=True)
    assert result.layer.name == "worm segmentation"


def test_one_plane_does_not_finish_an_unfinished_stack(viewer: ViewerModel, image: Image) -> None:
    """The planes that were never reached are still missing."""
    Result(viewer, image, "segmentation", np.uint16).finish(complete=False)
    Result(viewer, image, "segmentation", np.uint16, plane=(1,)).finish(complete=True)
    assert names(viewer)[1] == "worm segmentation (unfinished)"

    Result(viewer, image, "segmentation", np.uint16).finish(complete=True)
    assert names(viewer)[1] == "worm segmentation"


def test_a_name_given_by_the_user_stays(viewer: ViewerModel, image: Image) -> None:
    """During a run and for the next one."""
    result = Result(viewer, image, "segmentation", np.uint16)
    result.layer.name = "my cells"
    result.finish(complete=True)
    assert result.layer.name == "my cells"

    again = Result(viewer, image, "segmentation", np.uint16)
    again.finish(complete=False)
    assert again.layer is result.layer
    assert again.layer.name == "my cells (unfinished)"


def test_the_layer_is_used_again_and_follows_its_image(viewer: ViewerModel, image: Image) -> None:
    """What the last run showed is gone, unless one plane is asked for."""
    first = Result(viewer, image, "segmentation", np.uint16)
    first.write((0,), WHOLE, np.full((20, 30), 7), now=True)
    first.finish(complete=True)
    image.scale = (1, 1, 1)
    first.layer.visible = False

    one = Result(viewer, image, "segmentation", np.uint16, plane=(1,))
    assert one.layer is first.layer
    assert one.layer.visible
    np.testing.assert_array_equal(one.layer.scale, (1, 1, 1))
    assert (one.layer.data[0] == 7).all()
    one.write((1,), WHOLE, np.full((20, 30), 8), now=True)
    assert not Result(viewer, image, "segmentation", np.uint16, plane=(1,)).array[1].any()
    assert not Result(viewer, image, "segmentation", np.uint16).array.any()


def test_more_cells_get_a_wider_type_and_keep_their_numbers(
    viewer: ViewerModel, image: Image
) -> None:
    """Numbers are never cut off."""
    Result(viewer, image, "segmentation", np.uint8).write((0,), WHOLE, np.uint8(200), now=True)
    wide = Result(viewer, image, "segmentation", np.uint32, plane=(1,))

    assert wide.array.dtype == np.uint32
    assert (wide.array[0] == 200).all()
    narrow = Result(viewer, image, "segmentation", np.uint8, plane=(1,))
    assert narrow.array.dtype == np.uint32


def test_what_was_measured_of_other_cells_is_forgotten(viewer: ViewerModel, image: Image) -> None:
    """Cell 1 is another one now."""
    layer = Result(viewer, image, "segmentation", np.uint16).layer
    layer.features = {"index": [1, 2], "area": [5.0, 6.0]}
    Result(viewer, image, "segmentation", np.uint16)
    assert "area" not in layer.features


def test_an_image_that_changed_its_shape_gets_a_new_layer(
    viewer: ViewerModel, image: Image
) -> None:
    """The old result is kept beside it."""
    Result(viewer, image, "segmentation", np.uint16).finish(complete=True)
    image.data = np.zeros((3, 10, 10))
    Result(viewer, image, "segmentation", np.uint16).finish(complete=True)

    assert names(viewer)[:3] == ["worm", "worm segmentation", "worm segmentation [1]"]


@pytest.mark.parametrize("kind", ["segmentation", "probability", "weights"])
def test_what_is_written_is_seen(viewer: ViewerModel, image: Image, kind: Any) -> None:
    """Regions come in one after the other."""
    result = Result(viewer, image, kind, np.float32 if kind != "segmentation" else np.uint16)
    result.write((1,), (slice(2, 5), slice(3, 9)), np.full((3, 6), 1), now=True)
    layer: Any = viewer.layers[1]

    assert result.shown
    assert layer.data[1, 2:5, 3:9].all()
    assert np.count_nonzero(layer.data) == 18


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_layer_that_was_taken_away_is_left_alone(
    viewer: ViewerModel, image: Image, how: str
) -> None:
    """Deleted by the user, or given other data."""
    result = Result(viewer, image, "segmentation", np.uint16)
    mine = np.zeros((5, 5), np.uint16)
    if how == "deleted":
        viewer.layers.remove(result.layer)
    else:
        result.layer.data = mine
    result.write((0,), WHOLE, np.full((20, 30), 1), now=True)
    result.finish(complete=True)

    assert not result.shown
    assert not mine.any()


def test_a_result_without_its_image_still_finds_a_place(viewer: ViewerModel, image: Image) -> None:
    """The image was deleted between the click and the layer."""
    viewer.layers.remove(image)
    Result(viewer, image, "segmentation", np.uint16)

    assert "worm segmentation (unfinished)" in names(viewer)


def test_numbers_take_no_more_room_than_they_need() -> None:
    """Wide labels are slow to show."""
    cells, classes = make_segmenter(), make_segmenter(kind="classes")
    automatic, all_kept = PredictConfig(), PredictConfig(min_size=0)

    assert label_dtype(cells, (512, 512), automatic) == np.uint16
    assert label_dtype(cells, (512, 512), all_kept) == np.uint32
    assert label_dtype(classes, (10_000, 10_000), all_kept) == np.uint8
    small_cells = make_segmenter(diameter=29.6)
    assert label_dtype(small_cells, (2048, 2048), automatic) == np.uint16
    assert label_dtype(small_cells, (2080, 2080), automatic) == np.uint32
    assert label_dtype(small_cells, (2080, 2080), PredictConfig(magnification=2)) == np.uint16
    assert label_dtype(small_cells, (2048, 2048), PredictConfig(magnification=0.5)) == np.uint32
