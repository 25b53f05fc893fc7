"""Training regions drawn as shapes."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from napari_unet.viewer.layers import painted, set_meaning
from napari_unet.viewer.regions import new_regions, region_masks

BOX = np.array([[10, 20], [10, 40], [30, 40], [30, 20]])


def on_plane(plane: float, box: np.ndarray = BOX) -> np.ndarray:
    """Put a box onto a plane of a stack."""
    return np.column_stack([np.full(len(box), plane), box])


def test_unpainted_pixels_in_a_region_are_background() -> None:
    """And outside they are not labelled, also for instances."""
    image = Image(np.zeros((50, 60)))
    labels = Labels(np.zeros((50, 60), np.uint8))
    labels.data[15:20, 25:30] = 1
    (annotation,) = painted(image, labels, Shapes([BOX], shape_type="rectangle")).annotations()
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
    image = Image(np.zeros((3, 2, 50, 60)), axis_labels=("t", "c", "y", "x"))
    corners = np.column_stack([np.full(4, 1), np.full(4, 0), BOX])

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
    (annotation,) = painted(image, labels, Shapes(ndim=2)).annotations()

    assert annotation.region is not None
    assert not annotation.region.any()


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
