"""Training regions drawn as shapes."""

import threading
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes
from skimage.draw import polygon2mask

from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.painted import painted
from napari_unet.viewer.regions import RegionMasks, new_regions, region_masks

BOX = np.array([[10, 20], [10, 40], [30, 40], [30, 20]])


def on_plane(plane: float, box: np.ndarray = BOX) -> np.ndarray:
    """Put a box onto a plane of a stack."""
    return np.column_stack([np.full(len(box), plane), box])


def test_unpainted_pixels_in_a_region_are_background() -> None:
    """And outside they are not labelled, also for instances."""
    image = Image(np.zeros((50, 60)))
    labels = Labels(np.zeros((50, 60), np.uint8))
    labels.data[15:20, 25:30] = 1
    (annotation,) = painted(image, labels, Shapes([BOX], shape_type="rectangle")).annotations(
        threading.Event()
    )
    region = annotation.region
    assert region is not None

    assert region[11:29, 21:39].all()
    assert not region[:9].any()
    assert not region[:, 42:].any()
    assert 380 <= region.sum() <= 462


def test_an_ellipse_covers_an_ellipse() -> None:
    """Napari holds the corners of its box."""
    masks = region_masks(Shapes([BOX], shape_type="ellipse"), Image(np.zeros((50, 60))))

    assert masks[()].sum() == pytest.approx(np.pi * 100, rel=0.1)
    assert masks[()][20, 30]
    assert not masks[()][11, 21]


def test_lines_have_no_inside() -> None:
    """They are left out, and a region without area labels nothing."""
    shapes = Shapes([BOX], shape_type="path")
    shapes.add(BOX[:2], shape_type="line")

    assert region_masks(shapes, Image(np.zeros((50, 60)))) == {}


def test_a_shape_on_a_stack_belongs_to_its_plane() -> None:
    """Also where the layers are scaled and moved."""
    image = Image(np.zeros((4, 50, 60)), scale=(5, 0.5, 0.5), translate=(20, 1, 1))
    shapes = Shapes(
        [on_plane(2)], shape_type="rectangle", scale=(5, 0.5, 0.5), translate=(20, 1, 1)
    )
    masks = region_masks(shapes, image)

    assert list(masks) == [(2,)]
    assert masks[(2,)][20, 30]
    assert not masks[(2,)][5, 5]


def test_a_flat_shape_belongs_to_every_plane() -> None:
    """It was drawn in two dimensions."""
    masks = region_masks(Shapes([BOX], shape_type="rectangle"), Image(np.zeros((4, 50, 60))))

    assert list(masks) == [(0,), (1,), (2,), (3,)]


def test_a_channel_axis_counts_no_planes() -> None:
    """A shape drawn over one channel holds for all."""
    image = Image(np.zeros((2, 3, 50, 60)), axis_labels=("c", "t", "y", "x"))
    corners = np.column_stack([np.full(4, 0), np.full(4, 1), BOX])

    assert list(region_masks(Shapes([corners], shape_type="rectangle"), image)) == [(1,)]


def test_a_region_without_paint_is_all_background() -> None:
    """An empty box says: no cells here."""
    image, labels = Image(np.zeros((2, 50, 60))), Labels(np.zeros((2, 50, 60), np.uint8))
    set_meaning(labels, "scribbles")
    snapshot = painted(image, labels, Shapes([on_plane(1)], shape_type="rectangle"))

    assert [index for index, _, _ in snapshot.planes] == [(1,)]


def test_without_a_shape_nothing_is_finished() -> None:
    """A chosen but empty layer of regions leaves every unpainted pixel unlabelled."""
    image, labels = Image(np.zeros((50, 60))), Labels(np.zeros((50, 60), np.uint8))
    labels.data[15:20, 25:30] = 1
    (annotation,) = painted(image, labels, Shapes(ndim=2)).annotations(threading.Event())

    assert annotation.region is not None
    assert not annotation.region.any()


@pytest.mark.parametrize("corner", [(0, 0), (-30, 10), (25.5, 40.25), (45, 55), (200, 0)])
def test_a_shape_covers_what_it_would_in_the_whole_plane(corner: tuple[float, float]) -> None:
    """Though it is rasterised in the box around it, and wherever it sticks out."""
    star = np.array([[0, 8], [6, 20], [20, 18], [9, 12.5], [16, 1]]) + corner
    (mask,) = region_masks(Shapes([star], shape_type="polygon"), Image(np.zeros((50, 60)))).values()

    np.testing.assert_array_equal(mask, polygon2mask((50, 60), star))


def test_changed_shapes_are_told_with_their_planes_once_the_mouse_rests(qtbot: Any) -> None:
    """Not for a refresh, a colour or a line, which napari tells of just the same."""
    image = Image(np.zeros((4, 50, 60)))
    shapes = Shapes([on_plane(1), on_plane(2)], shape_type="rectangle")
    masks = RegionMasks(shapes, image)
    told: list[list[tuple[int, ...]]] = []
    masks.changed.connect(told.append)
    untouched = masks.mask((1,))
    shapes.refresh()
    shapes.edge_color = "red"
    shapes.add(on_plane(3)[:2], shape_type="line")
    qtbot.wait(300)
    assert told == []
    for i in range(5):
        shapes.data = [(on_plane(z, BOX + i * (z == 2)), "rectangle") for z in (1, 2, 3)]
        qtbot.wait(20)
    assert told == []
    qtbot.wait(300)

    assert told == [[(2,), (3,)]]
    assert masks.mask((1,)) is untouched  # not filled again, which would take long
    assert masks.mask((3,))[20, 30]
    assert not masks.mask((0,)).any()
    masks.close()


def test_what_was_drawn_just_now_is_told_at_a_flush(qtbot: Any) -> None:  # noqa: ARG001 (a timer)
    """A flat shape on every plane, of which all share one mask."""
    shapes = Shapes(ndim=2)
    masks = RegionMasks(shapes, Image(np.zeros((3, 50, 60))))
    told: list[list[tuple[int, ...]]] = []
    masks.changed.connect(told.append)
    shapes.add_rectangles([BOX])
    masks.flush()
    masks.flush()

    assert told == [[(0,), (1,), (2,)]]
    assert masks.mask((0,)) is masks.mask((2,))
    masks.close()


def test_new_regions_can_be_drawn_at_once() -> None:
    """Rectangles, over the image, that one can see through."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3, 50, 60)), scale=(1, 2, 2), name="worm")
    shapes = new_regions(viewer, image)

    assert (shapes.name, shapes.mode, shapes.ndim) == (
        "worm training regions",
        "add_rectangle",
        3,
    )
    assert viewer.layers.selection.active is shapes
    np.testing.assert_array_equal(shapes.scale, image.scale)
