"""What of an image is in view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unet.viewer.field import Field, View, shown_field


def test_before_anything_is_drawn_the_whole_plane_is_in_view() -> None:
    """A viewer without a window never draws."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 30, 50)))
    viewer.dims.set_current_step(0, 2)
    assert shown_field(viewer, image) == Field(plane=(2,), box=(slice(0, 30), slice(0, 50)))


@pytest.mark.parametrize("kind", ["grey", "rgb", "scaled"])
def test_the_camera_decides_what_is_in_view(make_napari_viewer: Any, qtbot: Any, kind: str) -> None:
    """In pixels, whatever the layer's scale and colours."""
    viewer = make_napari_viewer(show=True)
    plane = np.zeros((400, 600), np.uint8)
    if kind == "rgb":
        image = viewer.add_image(np.stack([plane] * 3, axis=-1), rgb=True)
    else:
        image = viewer.add_image(plane, scale=(0.5, 0.5) if kind == "scaled" else (1, 1))
    scale = image.scale[0]
    qtbot.wait_until(lambda: bool(image.corner_pixels.any()), timeout=100_000)
    qtbot.wait(300)  # napari fits the view once the window has its size
    assert shown_field(viewer, image).box[0] == slice(0, 400)
    viewer.scene.camera.zoom = 40 / scale
    viewer.scene.camera.center = (100 * scale, 500 * scale)
    qtbot.wait_until(lambda: shown_field(viewer, image).box[0].start > 50, timeout=100_000)
    y, x = shown_field(viewer, image).box
    assert y.start < 100 < y.stop
    assert x.start < 500 < x.stop
    assert y.stop - y.start < 60


def test_of_a_multiscale_image_what_napari_loads_counts_as_seen(
    make_napari_viewer: Any, qtbot: Any
) -> None:
    """In pixels of the full resolution, also while a coarser level is drawn."""
    viewer = make_napari_viewer(show=True)
    plane = np.zeros((4000, 6000), np.uint8)
    image = viewer.add_image([plane, plane[::4, ::4]], multiscale=True)
    qtbot.wait_until(lambda: image.data_level == 1, timeout=100_000)
    qtbot.wait(300)
    assert shown_field(viewer, image).box == (slice(0, 4000), slice(0, 6000))
    viewer.scene.camera.zoom = 4
    viewer.scene.camera.center = (1000, 5000)
    qtbot.wait_until(lambda: image.data_level == 0, timeout=100_000)
    qtbot.wait(300)
    y, x = shown_field(viewer, image).box
    assert y.start < 1000 < y.stop < 3000
    assert 3000 < x.start < 5000 < x.stop


def test_looking_past_the_image_or_in_3d_takes_the_whole_plane(
    make_napari_viewer: Any, qtbot: Any
) -> None:
    """There is always something to show first."""
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(np.zeros((3, 40, 60), np.uint8))
    viewer.scene.camera.center = (5000.0, 5000.0)
    qtbot.wait(100)
    whole = (slice(0, 40), slice(0, 60))
    assert shown_field(viewer, image).box == whole
    viewer.dims.ndisplay = 3
    assert shown_field(viewer, image).box == whole


def test_an_image_whose_axes_make_no_sense_is_looked_at_where_it_was(qtbot: Any) -> None:
    """A name beside a slider is written letter by letter, and sometimes beside the wrong one."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 2, 30, 50)))
    view = View(viewer, image)
    for names in [("z", "c", "y", "x"), ("c", "z", "y", "x")]:
        image.axis_labels = names
        viewer.dims.set_current_step(0, viewer.dims.current_step[0] - 1)
        qtbot.wait(200)
        assert not view.intact
        assert len(view.field.plane) == 2

    image.axis_labels = ("t", "z", "y", "x")
    viewer.dims.set_current_step(0, 3)
    qtbot.wait_until(lambda: view.field.plane[0] == 3, timeout=100_000)
    view.close()
