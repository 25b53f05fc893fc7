"""What is noticed of the changes in a labels layer."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import zarr

from napari_unet.viewer.edits import Edit, Edits

SHAPE = (3, 60, 80)


class Listener:
    """Hears edits, and keeps a copy of the labels by them alone."""

    def __init__(self, layer: Any, viewer: Any) -> None:
        self.layer, self.viewer = layer, viewer
        self.copy = np.array(layer.data)
        self.heard: list[Edit] = []
        self.edits = Edits(layer, viewer)
        self.edits.changed.connect(self._hear)

    def _hear(self, edit: Edit) -> None:
        self.heard.append(edit)
        where = (*edit.plane, *edit.box)
        self.copy[where] = self.layer.data[where]


@pytest.fixture
def listen(viewer: Any, qtbot: Any) -> Iterator[Callable[..., Listener]]:  # noqa: ARG001 (Qt's loop)
    """Follow a new labels layer."""
    listeners = []

    def listen_to(data: Any) -> Listener:
        listeners.append(Listener(viewer.add_labels(data), viewer))
        return listeners[-1]

    yield listen_to
    for listener in listeners:
        listener.edits.close()
        vars(listener).clear()  # pytest keeps what fixtures return until after the check for leaks


def painted_stack() -> Any:
    """Three planes with a cell each."""
    data = np.zeros(SHAPE, np.uint16)
    data[:, 10:20, 10:30] = 3
    return data


def in_place(layer: Any) -> None:
    """Write past napari, and show it."""
    layer.data[0, 30:35, 40:50] = 9
    layer.refresh()


def replace(layer: Any) -> None:
    """Give the layer other data."""
    data = np.array(layer.data)
    data[0, 5:50, 7] = 8
    layer.data = data


def paint(layer: Any) -> None:
    """Paint with the brush."""
    layer.brush_size = 9
    layer.paint((0, 40, 50), 5)


def drag(layer: Any) -> None:
    """Draw as the mouse does: napari writes one entry of its history at the end."""
    layer.brush_size = 5
    with layer.block_history():
        for x in range(20, 60, 3):
            layer.paint((0, 50, x), 4)


MEANS: dict[str, Callable[[Any], Any]] = {
    "paint": paint,
    "drag": drag,
    "erase": lambda layer: layer.paint((0, 12, 12), 0),
    "fill": lambda layer: layer.fill((0, 12, 12), 7),
    "polygon": lambda layer: layer.paint_polygon([[0, 30, 5], [0, 50, 5], [0, 40, 30]], 6),
    "data_setitem": lambda layer: layer.data_setitem(
        (np.array([0, 0]), np.array([2, 40]), np.array([70, 3])), 2
    ),
    "in place": in_place,
    "replace": replace,
}


@pytest.mark.parametrize("viewer", ["model", "real"], indirect=True)
def test_every_change_is_told_with_the_box_around_it(listen: Any, viewer: Any, qtbot: Any) -> None:
    """By whatever means, undone and redone; within a moment, and once."""
    listener = listen(painted_stack())
    layer = listener.layer
    for z in (1, 2, 0):
        viewer.dims.set_point(0, z)
        listener.edits.flush()

    def told(change: Callable[[], Any]) -> None:
        before = np.array(layer.data)
        listener.edits.flush()
        listener.heard.clear()
        change()
        qtbot.wait_until(lambda: bool(listener.heard), timeout=100_000)
        qtbot.wait(30)
        _, y, x = np.nonzero(layer.data != before)
        assert len(listener.heard) == 1, listener.heard
        edit = listener.heard[0]
        assert edit.plane == (0,)
        assert edit.box == (slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1))

    for name, change in MEANS.items():
        told(lambda change=change: change(layer))  # type: ignore[misc]
        if name not in ("in place", "replace"):
            told(layer.undo)
            told(layer.redo)


@pytest.mark.parametrize("viewer", ["model", "real"], indirect=True)
def test_whoever_hears_the_edits_has_the_labels(listen: Any, viewer: Any) -> None:
    """Random edits of a stack, in any view and on any plane, seen or not, put together a copy."""
    listener = listen(painted_stack())
    layer, rng = listener.layer, np.random.default_rng(0)
    means = list(MEANS.values())[:-2]
    for _ in range(60):
        kind = rng.integers(8)
        z, y, x = (int(i) for i in rng.integers((0, 5, 5), (3, 55, 75)))
        layer.brush_size = int(rng.integers(1, 15))
        if kind == 0:
            viewer.dims.set_point(0, z)
        elif kind == 1:
            viewer.dims.order = (1, 0, 2) if viewer.dims.order == (0, 1, 2) else (0, 1, 2)
        elif kind == 2:
            viewer.dims.ndisplay = 5 - viewer.dims.ndisplay
        elif kind == 3:
            layer.n_edit_dimensions = 5 - layer.n_edit_dimensions
        elif kind == 4:
            layer.undo()
        elif kind == 5:
            layer.data_setitem((np.array([z]), np.array([y]), np.array([x])), int(rng.integers(9)))
        elif kind == 6 and layer.n_edit_dimensions == 2 and viewer.dims.order == (0, 1, 2):
            means[int(rng.integers(3))](layer)
        else:
            layer.paint((z, y, x), int(rng.integers(9)))
        if rng.random() < 0.5:
            listener.edits.flush()
    listener.edits.flush()

    np.testing.assert_array_equal(listener.copy, layer.data)


def test_what_changes_no_pixel_is_not_told(listen: Any, viewer: Any, qtbot: Any) -> None:
    """Other planes, colours, contours, a stroke that is undone at once; planes seen before."""
    listener = listen(painted_stack())
    layer = listener.layer
    for z in (0, 1, 2):
        viewer.dims.set_point(0, z)
        listener.edits.flush()
    listener.heard.clear()
    for z in (0, 1, 2, 0):
        viewer.dims.set_point(0, z)
    layer.contour = 2
    layer.opacity = 0.2
    layer.new_colormap()
    layer.visible = False
    layer.visible = True
    layer.paint((0, 40, 50), 5)
    layer.undo()
    qtbot.wait(100)
    listener.edits.flush()

    assert listener.heard == []


def test_of_a_plane_nobody_looked_at_what_is_painted_counts(listen: Any, viewer: Any) -> None:
    """When it is shown; of the plane that was shown from the beginning nothing does."""
    viewer.add_image(np.zeros(SHAPE))
    viewer.dims.set_point(0, 1)
    listener = listen(painted_stack())
    listener.layer.data[2, 40, 40] = 9
    listener.layer.refresh()
    listener.edits.flush()
    assert listener.heard == []

    viewer.dims.set_point(0, 2)
    listener.edits.flush()
    assert listener.heard == [Edit(plane=(2,), box=(slice(10, 41), slice(10, 41)))]


def test_a_brush_of_three_dimensions_is_told_on_every_plane(listen: Any, viewer: Any) -> None:
    """Also on those that are not shown, each with its own box; and its undoing."""
    viewer.add_image(np.zeros(SHAPE))
    viewer.dims.set_point(0, 1)
    listener = listen(np.zeros(SHAPE, np.uint8))
    listener.layer.n_edit_dimensions = 3
    listener.layer.brush_size = 3
    listener.layer.paint((1, 30, 30), 2)
    listener.edits.flush()

    assert {edit.plane for edit in listener.heard} == {(0,), (1,), (2,)}
    np.testing.assert_array_equal(listener.copy, listener.layer.data)
    listener.heard.clear()
    listener.layer.undo()
    listener.edits.flush()
    assert {edit.plane for edit in listener.heard} == {(0,), (1,), (2,)}
    assert not listener.copy.any()


def test_an_undo_is_told_from_another_plane(listen: Any, viewer: Any, qtbot: Any) -> None:
    """Painted on one plane, undone while the next is shown."""
    listener = listen(np.zeros(SHAPE, np.uint8))
    viewer.dims.set_point(0, 0)
    listener.layer.paint((0, 30, 30), 2)
    listener.edits.flush()
    viewer.dims.set_point(0, 1)
    listener.edits.flush()
    listener.layer.undo()
    qtbot.wait_until(lambda: len(listener.heard) == 2, timeout=100_000)

    assert [edit.plane for edit in listener.heard] == [(0,), (0,)]
    assert not listener.copy.any()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_a_stroke_is_told_while_it_is_drawn(
    listen: Any, viewer: Any, qtbot: Any, order: tuple[int, ...]
) -> None:
    """In any view; napari writes it into its history when the button is let go."""
    viewer.add_image(np.zeros(SHAPE))
    viewer.dims.order = order
    viewer.dims.set_point(order[0], 2)
    listener = listen(np.zeros(SHAPE, np.uint8))
    listener.layer.brush_size = 4
    with listener.layer.block_history():
        point = [1, 40, 50]
        point[order[0]] = 2
        listener.layer.paint(point, 3)
        qtbot.wait_until(lambda: bool(listener.heard), timeout=100_000)
        qtbot.wait(40)
        assert listener.layer.data.any()
        np.testing.assert_array_equal(listener.copy, listener.layer.data)


@pytest.mark.parametrize(
    "data",
    [
        np.ones((3, 20, 90), np.uint16),
        np.ones(SHAPE, np.int32),
        np.zeros((3, 20, 90), np.uint16),  # empty, too
    ],
)
def test_data_of_another_kind_is_told_plane_by_plane(listen: Any, data: Any) -> None:
    """Another shape or type: known planes as a whole, the others where they are painted."""
    listener = listen(painted_stack())
    listener.copy = np.zeros(data.shape, data.dtype)
    listener.layer.data = data
    listener.edits.flush()

    whole = (slice(0, data.shape[1]), slice(0, data.shape[2]))
    assert whole in [edit.box for edit in listener.heard]
    np.testing.assert_array_equal(listener.copy, data)
    listener.layer.paint((0, 10, 10), 7)
    listener.layer.data[1, 3, 3] = 8
    listener.edits.flush()
    np.testing.assert_array_equal(listener.copy, listener.layer.data)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint64])
def test_labels_of_any_type_are_followed(listen: Any, dtype: Any) -> None:
    """In two dimensions, where there is one plane."""
    listener = listen(np.zeros((40, 50), dtype))
    listener.layer.paint((20, 20), 1)
    listener.edits.flush()

    assert [edit.plane for edit in listener.heard] == [()]
    np.testing.assert_array_equal(listener.copy, listener.layer.data)


def test_labels_on_disk_are_followed(listen: Any, tmp_path: Any) -> None:
    """Arrays that give copies of their pixels."""
    stored = zarr.create_array(tmp_path / "labels.zarr", shape=SHAPE, dtype="uint16")
    listener = listen(stored)
    listener.layer.paint((0, 20, 20), 4)
    listener.edits.flush()
    listener.layer.undo()
    listener.layer.fill((0, 3, 3), 2)
    listener.edits.flush()

    assert len(listener.heard) == 2
    np.testing.assert_array_equal(listener.copy, stored[:])


def test_a_layer_that_was_taken_away_is_still_followed(listen: Any, viewer: Any) -> None:
    """What is painted on it, and undone, by a program that holds it."""
    listener = listen(painted_stack())
    viewer.layers.clear()
    viewer.add_image(np.zeros((5, 5)))
    listener.layer.paint((2, 40, 50), 5)
    listener.edits.flush()
    np.testing.assert_array_equal(listener.copy, listener.layer.data)
    listener.layer.undo()
    listener.edits.flush()
    np.testing.assert_array_equal(listener.copy, listener.layer.data)


def test_nothing_is_told_after_close(listen: Any, qtbot: Any) -> None:
    """Not even what was painted before."""
    listener = listen(painted_stack())
    listener.layer.paint((0, 40, 50), 5)
    listener.edits.close()
    listener.layer.paint((0, 50, 50), 5)
    qtbot.wait(100)

    assert listener.heard == []


def test_a_listener_may_close_or_flush(listen: Any, qtbot: Any) -> None:
    """While it is told."""
    listener = listen(np.zeros(SHAPE, np.uint8))
    listener.edits.changed.connect(lambda _: listener.edits.flush())
    listener.edits.changed.connect(lambda _: listener.edits.close())
    listener.layer.n_edit_dimensions = 3
    listener.layer.brush_size = 3
    listener.layer.paint((1, 40, 50), 5)
    qtbot.wait(100)

    assert 1 <= len(listener.heard) <= 3


def test_a_large_stack_is_not_copied(viewer: Any, qtbot: Any) -> None:  # noqa: ARG001 (Qt's loop)
    """Of eight gigabytes the plane that is shown and the one that is painted on are known."""
    layer = viewer.add_labels(np.zeros((1000, 2048, 2048), np.uint16))
    edits = Edits(layer, viewer)
    layer.paint((0, 40, 50), 5)
    edits.flush()

    assert list(edits._told) == [(499,), (0,)]
    edits.close()


def test_a_refresh_is_looked_at_in_turns(listen: Any) -> None:
    """The program answers in between."""
    listener = listen(np.zeros((6000, 6000), np.uint16))
    listener.layer.data[5000, 5000] = 1
    listener.layer.refresh()
    turns = 0
    while listener.edits._timer.isActive():
        listener.edits._timer.stop()
        listener.edits._take_turn()
        turns += 1

    assert turns > 1
    assert listener.heard == [Edit(plane=(), box=(slice(5000, 5001), slice(5000, 5001)))]
