"""Predicted cells become painted ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.errors import InputError
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.correcting.accept import (
    Accepted,
    accept,
    object_at,
    objects_in,
    shown_result,
)
from napari_unet.viewer.correcting.verified import mark
from napari_unet.viewer.field import Box
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.session import Session

IMAGE, TRUTH = touching_cells((96, 128))
CELLS: Any = TRUTH
WHOLE = (slice(0, 96), slice(0, 128))


def predict(viewer: Any, image: Image, cells: Any, plane: tuple[int, ...] = ()) -> Labels:
    """Show cells as if they had been predicted."""
    result = Result(viewer, image, "segmentation", np.uint16, plane=plane)
    result.write(plane, (slice(None), slice(None)), cells, now=True)
    result.finish(complete=True)
    layer: Labels = result.layer
    return layer


def paint(viewer: Any, labels: Any, meaning: Any = "scribbles") -> Labels:
    """Add painted labels."""
    layer: Labels = viewer.add_labels(labels, name="painted")
    set_meaning(layer, meaning)
    return layer


def accept_all(result: Labels, labels: Labels, box: Box = WHOLE) -> Accepted:
    """Accept what is in a box of a single plane."""
    return accept(result, labels, (), objects_in(result, (), box, "cells"), "cells")


@pytest.fixture
def image(viewer: Any) -> Image:
    """The sample."""
    layer: Image = viewer.add_image(IMAGE, name="cells")
    return layer


@pytest.fixture
def result(viewer: Any, image: Image) -> Labels:
    """Its cells, predicted without a mistake."""
    return predict(viewer, image, CELLS)


def test_every_predicted_cell_becomes_a_painted_one(viewer: ViewerModel, result: Labels) -> None:
    """With its own outline, and a number from 2 on: in scribbles 1 is background."""
    labels = paint(viewer, np.zeros(CELLS.shape, np.uint16))
    told = accept_all(result, labels)

    assert told.new == CELLS.max()
    assert told.sentence == f"Accepted {CELLS.max()} cells."
    np.testing.assert_array_equal(labels.data, np.where(CELLS > 0, CELLS + 1, 0))
    assert accept_all(result, labels).sentence.startswith("Nothing to accept")


@pytest.mark.parametrize("seed", range(3))
def test_what_is_painted_stays(viewer: ViewerModel, result: Labels, seed: int) -> None:
    """Every pixel of it, wherever it is and whatever it says."""
    rng = np.random.default_rng(seed)
    before = np.where(rng.random(CELLS.shape) < 0.1, rng.integers(1, 9, CELLS.shape), 0)
    labels = paint(viewer, before.astype(np.uint16))
    mark(labels, (), [4, 5])
    accept_all(result, labels)

    np.testing.assert_array_equal(labels.data[before > 0], before[before > 0])
    assert not labels.data[(before == 0) & (CELLS == 0)].any()


def test_a_painted_stroke_becomes_the_whole_cell(viewer: ViewerModel, result: Labels) -> None:
    """With the number of the stroke; new cells get numbers after it."""
    labels = paint(viewer, np.where(CELLS == 3, CELLS + 37, 0).astype(np.uint16))
    labels.data[np.nonzero(CELLS == 3)[0].mean().astype(int) :] = 0
    told = accept_all(result, labels)

    assert (told.new, told.extended) == (CELLS.max() - 1, 1)
    assert "1 painted cell completed." in told.sentence
    assert set(np.unique(labels.data[CELLS == 3])) == {40}
    assert sorted(np.unique(labels.data)) == [0, *range(40, 40 + CELLS.max())]


def test_a_neighbour_that_spills_over_does_not_swallow_the_object(
    viewer: ViewerModel, image: Image
) -> None:
    """Most of it lies outside of the object, where nothing is predicted."""
    square = np.zeros(CELLS.shape, np.uint16)
    square[40:60, 40:60] = 1
    labels = paint(viewer, np.zeros(CELLS.shape, np.uint16))
    labels.data[40:60, 58:90] = 5
    told = accept_all(predict(viewer, image, square), labels)

    assert (told.new, told.extended, told.pixels) == (1, 0, 20 * 18)
    assert (labels.data[40:60, 40:58] == 6).all()


def test_what_is_painted_apart_is_not_joined(viewer: ViewerModel, image: Image) -> None:
    """Nor is a cell made where background was painted; both are said."""
    wrong = np.where(CELLS > 0, CELLS, 0)
    wrong[CELLS == 2] = 1
    strokes = np.zeros(CELLS.shape, np.uint16)
    for cell, number in ((1, 5), (2, 6)):
        ys, xs = np.nonzero(cell == CELLS)
        strokes[ys[len(ys) // 2], xs[len(xs) // 2]] = number
    strokes[CELLS == 4] = 1
    strokes[tuple(np.argwhere(CELLS == 4)[0])] = 0
    labels = paint(viewer, strokes)
    told = accept_all(predict(viewer, image, wrong), labels)

    assert (told.joining, told.on_background) == (1, 1)
    assert "1 object left out: it joins painted cells." in told.sentence
    assert "1 object left out: it lies on painted background." in told.sentence
    np.testing.assert_array_equal(
        labels.data[np.isin(CELLS, (1, 2, 4))], strokes[np.isin(CELLS, (1, 2, 4))]
    )


def test_a_verified_cell_is_left_alone(viewer: ViewerModel, result: Labels) -> None:
    """It does not grow, and its number is never given again."""
    smaller = np.where(CELLS == 3, 7, 0).astype(np.uint16)
    smaller[: np.argwhere(CELLS == 3)[:, 0].min() + 2] = 0
    labels = paint(viewer, smaller.copy())
    mark(labels, (), [7, 50])
    told = accept_all(result, labels)

    assert told.new == CELLS.max() - 1
    assert (labels.data == 7).sum() == (smaller == 7).sum()
    assert not labels.data[(CELLS == 3) & (smaller == 0)].any()
    assert labels.data.max() == 50 + told.new


def test_no_ring_is_accepted_around_a_verified_stroke(viewer: ViewerModel, result: Labels) -> None:
    """It would be a cell with a hole, which nobody sees and every training learns from."""
    stroke = np.zeros(CELLS.shape, np.uint16)
    ys, xs = np.nonzero(CELLS == 3)
    stroke[ys[len(ys) // 2], xs[len(xs) // 2]] = 7
    labels = paint(viewer, stroke.copy())
    mark(labels, (), [7])
    told = accept_all(result, labels)

    assert (told.new, told.on_verified) == (CELLS.max() - 1, 1)
    assert "1 object left out: it goes far beyond verified cells." in told.sentence
    np.testing.assert_array_equal(labels.data[CELLS == 3], stroke[CELLS == 3])


def test_only_what_is_in_view_is_accepted_and_never_half(
    viewer: ViewerModel, result: Labels
) -> None:
    """A cell on the edge of the view comes as a whole or not at all."""
    labels = paint(viewer, np.zeros(CELLS.shape, np.uint16))
    box = (slice(20, 70), slice(30, 90))
    accept_all(result, labels, box)
    for number in range(1, CELLS.max() + 1):
        cell = number == CELLS
        in_view = 2 * cell[box].sum() > cell.sum()
        assert labels.data[cell].all() if in_view else not labels.data[cell].any()

    assert 0 < len(np.unique(labels.data)) - 1 < CELLS.max()


def test_one_object_is_accepted_where_one_points(viewer: ViewerModel, image: Image) -> None:
    """In world coordinates, as the cursor has them."""
    image.scale, image.translate = (0.5, 0.25), (10, -3)
    result = predict(viewer, image, CELLS)
    labels = paint(viewer, np.zeros(CELLS.shape, np.uint16))
    y, x = np.argwhere(CELLS == 5)[7]
    where = (10 + 0.5 * y, -3 + 0.25 * x)
    accept(result, labels, (), object_at(result, (), where, "cells"), "cells")

    np.testing.assert_array_equal(labels.data > 0, CELLS == 5)
    for outside in (np.argwhere(CELLS == 0)[0] * (0.5, 0.25) + (10, -3), (-100, 0)):
        with pytest.raises(InputError, match="No object of layer 'cells segmentation' lies under"):
            object_at(result, (), outside, "cells")


def test_the_tool_in_the_hand_stays(viewer: ViewerModel, result: Labels) -> None:
    """Whoever paints and accepts in turns goes on with the brush, or with the eraser."""
    labels = paint(viewer, np.zeros(CELLS.shape, np.uint16))
    half = (slice(0, 96), slice(0, 64))
    labels.mode = "paint"
    assert accept_all(result, labels, half).new
    assert labels.mode == "paint"
    labels.visible = False
    labels.visible = True
    labels.mode = "erase"
    assert accept_all(result, labels).new
    assert labels.mode == "erase"

    labels.undo()
    labels.visible = False
    assert accept_all(result, labels).new
    assert labels.visible
    assert labels.mode == "erase"


def test_a_plane_of_a_stack_is_accepted_alone(viewer: ViewerModel) -> None:
    """With numbers that no other plane has; also while another plane is in view."""
    stack = viewer.add_image(np.stack([IMAGE] * 3), name="worm")
    result = predict(viewer, stack, CELLS, (1,))
    labels = paint(viewer, np.zeros((3, *CELLS.shape), np.uint16), "instances")
    labels.data[2, :5, :5] = 60
    viewer.dims.set_point(0, 0)
    accept(result, labels, (1,), objects_in(result, (1,), WHOLE, "cells"), "cells")

    np.testing.assert_array_equal(labels.data[1], np.where(CELLS > 0, CELLS + 60, 0))
    assert not labels.data[0].any()
    labels.undo()
    assert not labels.data[1].any()
    assert labels.data[2].any()


def test_classes_fill_what_is_unlabelled(viewer: ViewerModel, image: Image) -> None:
    """In view, or one region under the cursor."""
    classes = np.where(CELLS > 0, 2, 1)
    result = predict(viewer, image, classes)
    labels = paint(viewer, np.zeros(CELLS.shape, np.uint8), "classes")
    labels.data[:3] = 3
    box = (slice(0, 50), slice(0, 128))
    told = accept(result, labels, (), objects_in(result, (), box, "classes"), "classes")

    assert told.sentence == "Accepted 6 016 pixels."
    np.testing.assert_array_equal(labels.data[3:50], classes[3:50])
    assert (labels.data[:3] == 3).all()
    assert not labels.data[50:].any()
    place = np.argwhere(CELLS.max() == CELLS)[0]
    accept(result, labels, (), object_at(result, (), place, "classes"), "classes")
    assert (labels.data[50:][CELLS[50:] == CELLS.max()] == 2).all()
    assert not labels.data[50:][CELLS[50:] == 0].any()


def test_free_numbers_are_found_in_a_full_type(viewer: ViewerModel, result: Labels) -> None:
    """But for those of verified cells; where there are too few, that is said before any change."""
    labels = paint(viewer, np.zeros(CELLS.shape, np.uint8))
    labels.data[tuple(np.argwhere(CELLS == 0)[0])] = 255
    mark(labels, (), [3])
    accept_all(result, labels)
    assert sorted(np.unique(labels.data)) == [0, 2, *range(4, 3 + CELLS.max()), 255]

    full = np.zeros(CELLS.shape, np.uint8)
    full[CELLS == 0] = np.resize(np.arange(2, 256), (CELLS == 0).sum())
    other = paint(viewer, full.copy())
    with pytest.raises(InputError, match=r"of dtype uint8 numbers cells up to 255, and .* do not"):
        accept_all(result, other)
    np.testing.assert_array_equal(other.data, full)


@pytest.mark.parametrize("highest", [255 - CELLS.max(), 256 - CELLS.max()])
def test_numbers_end_where_the_type_ends(viewer: ViewerModel, result: Labels, highest: int) -> None:
    """The last one is given, and none beyond, which would be another number."""
    labels = paint(viewer, np.zeros(CELLS.shape, np.uint8))
    labels.data[tuple(np.argwhere(CELLS == 0)[0])] = highest
    accept_all(result, labels)
    assert len(np.unique(labels.data[CELLS > 0])) == CELLS.max()
    assert labels.data[CELLS > 0].all()


def test_labels_that_cannot_take_it_are_refused(viewer: ViewerModel, result: Labels) -> None:
    """With what to do instead; nothing changes."""
    elsewhere = paint(viewer, np.zeros((5, 5), np.uint16))
    with pytest.raises(InputError, match=r"has shape \(5, 5\), layer 'cells segmentation' has"):
        accept_all(result, elsewhere)
    classes = paint(viewer, np.zeros(CELLS.shape, np.uint16), "classes")
    with pytest.raises(InputError, match=r"shows cells, but the meaning of .* is classes"):
        accept_all(result, classes)
    lazy = paint(viewer, zarr.zeros(CELLS.shape, dtype=np.uint16))
    with pytest.raises(InputError, match=r"is not held in memory \(zarr"):
        accept_all(result, lazy)
    locked = paint(viewer, np.zeros(CELLS.shape, np.uint16))
    locked.editable = False
    with pytest.raises(InputError, match="cannot be edited"):
        accept_all(result, locked)
    fixed = np.zeros(CELLS.shape, np.uint16)
    fixed.flags.writeable = False
    with pytest.raises(InputError, match="is not held in memory"):
        accept_all(result, paint(viewer, fixed))


def test_what_is_accepted_is_what_is_seen(viewer: ViewerModel, image: Image) -> None:
    """Not a hidden result, nor cells that are not told apart yet."""
    with pytest.raises(InputError, match="Nothing is predicted in this plane of layer 'cells'"):
        shown_result(viewer, image, ())
    result = predict(viewer, image, CELLS)
    assert shown_result(viewer, image, ()) is result
    result.visible = False
    with pytest.raises(InputError, match="or its layer is hidden"):
        shown_result(viewer, image, ())

    streaming = Result(viewer, image, "segmentation", np.uint16)
    streaming.write((), (slice(0, 9), slice(None)), CELLS[:9] > 0, now=True)
    with pytest.raises(InputError, match="are not told apart yet"):
        shown_result(viewer, image, ())


def test_a_result_of_pixels_that_were_replaced_is_not_accepted(
    viewer: ViewerModel, image: Image, result: Labels
) -> None:
    """It has another shape than the image has now."""
    assert result in viewer.layers
    image.data = np.zeros((3, 40, 40), np.float32)
    with pytest.raises(InputError, match="Nothing is predicted in this plane of layer 'cells'"):
        shown_result(viewer, image, (2,))


@pytest.mark.parametrize("viewer", ["window"], indirect=True)
class TestUndo:
    """In a real viewer, step by step as the user took them."""

    def test_accepting_is_one_step(self, viewer: Any, result: Labels) -> None:
        """Undo takes back all of it and nothing else; redo brings it back."""
        labels = paint(viewer, np.zeros(CELLS.shape, np.uint16))
        labels.paint((10, 10), 9)
        painted = labels.data.copy()
        accept_all(result, labels)
        accepted = labels.data.copy()
        labels.paint((50, 50), 8)

        labels.undo()
        np.testing.assert_array_equal(labels.data, accepted)
        labels.undo()
        np.testing.assert_array_equal(labels.data, painted)
        labels.redo()
        np.testing.assert_array_equal(labels.data, accepted)
        labels.undo()
        labels.undo()
        assert not labels.data.any()

    def test_segmenting_and_training_are_no_steps(
        self, viewer: Any, session: Session, image: Image, finish: Callable[..., float]
    ) -> None:
        """Undo after them takes back the last stroke; the result stays what it is."""
        labels = paint(viewer, painted_scribbles(CELLS))
        labels.brush_size = 3
        before = labels.data.copy()
        session.segmenter = make_segmenter()
        labels.paint((48, 60), 30)
        session.segment(image, "current plane", PredictConfig(device="cpu"))
        finish()
        found = viewer.layers["cells segmentation"].data.copy()
        labels.undo()
        np.testing.assert_array_equal(labels.data, before)
        viewer.layers["cells segmentation"].undo()
        np.testing.assert_array_equal(viewer.layers["cells segmentation"].data, found)

        labels.paint((48, 60), 30)
        session.segmenter = None
        small = TrainConfig(seconds=0, steps=2, base_channels=4, depth=2, device="cpu")
        session.train(image, labels, None, small)
        finish()
        labels.undo()
        np.testing.assert_array_equal(labels.data, before)
        labels.redo()
        assert labels.data[48, 60] == 30

    def test_accepted_cells_are_deleted_merged_and_split_by_hand(
        self, viewer: Any, result: Labels
    ) -> None:
        """With napari's own tools; each is a step of its own."""
        labels = paint(viewer, np.zeros(CELLS.shape, np.uint16))
        accept_all(result, labels)
        accepted = labels.data.copy()
        assert labels.editable
        middle = {n: np.argwhere(accepted == n).mean(axis=0).astype(int) for n in (4, 5, 6)}

        labels.fill(middle[4], 0)
        assert not (labels.data == 4).any()
        labels.fill(middle[5], 6)
        assert (labels.data[accepted == 5] == 6).all()
        labels.undo()
        labels.undo()
        np.testing.assert_array_equal(labels.data, accepted)

        labels.brush_size = 2
        y, (left, right) = middle[6][0], np.flatnonzero((accepted == 6).any(axis=0))[[0, -1]]
        with labels.block_history():
            for x in range(left - 1, right + 2):
                labels.paint((y, x), 0)
        labels.contiguous = True
        labels.fill(np.argwhere(accepted == 6)[-1], 70)
        assert (labels.data == 6).any()
        assert (labels.data == 70).any()
        labels.undo()
        labels.undo()
        np.testing.assert_array_equal(labels.data, accepted)
