"""3D objects are found along all axes by the compute process, in a real viewer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from balls import SPACING, two_balls
from napari.layers import Labels
from small_things import make_segmenter

from napari_unet import segment_volume
from napari_unet.core.config import PredictConfig
from napari_unet.engine.starter import starter_model, with_classes
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.colours import are_given
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.segmenting.rethreshold import Rethreshold
from napari_unet.viewer.session import Session

WINDOW = pytest.mark.parametrize("viewer", ["window"], indirect=True)
CPU = PredictConfig(device="cpu")
VOLUME = two_balls()[0][4:28, 20:76, 20:76]
SCALE = (SPACING * 0.5, 0.5, 0.5)
GONE = "Stopped: the image was deleted, or has other pixels or axes now."


def result(viewer: Any, kind: str = "segmentation") -> Any:
    """Return the layer that shows what was found."""
    (found,) = [layer for layer in viewer.layers if is_result(layer, kind)]
    return found


@WINDOW
def test_what_segment_volume_finds_is_shown(viewer: Any, session: Session, finish: Any) -> None:
    """By the scale of the layer; and what the cells are found in is kept, to adjust them."""
    image = viewer.add_image(VOLUME, name="ovule", scale=SCALE)
    session.segment_volume(image, CPU)
    finish()
    expected = segment_volume(starter_model(), VOLUME, replace(CPU, spacing=SPACING))
    labels = result(viewer)

    assert isinstance(labels, Labels)
    np.testing.assert_array_equal(labels.data, expected.labels)
    assert labels.data.dtype == np.uint16
    assert labels.name == "ovule segmentation"
    assert not labels.editable
    np.testing.assert_array_equal(labels.scale, image.scale)
    assert session.said.of_result.startswith("Found 2 3D objects in ")
    assert session.said.of_result.endswith(" s.")
    known = session.kept.get(image, (6,))
    assert known is not None
    assert known.foreground[labels.data[6] > 0].mean() > 0.7
    assert session.kept.planes(image) == [(z,) for z in range(24)]


def test_the_job_says_what_it_does_when_all_planes_are_done(
    viewer: Any, session: Session, finish: Any
) -> None:
    """Of a large volume that takes long, and the share stands still."""
    said: list[str] = []
    image = viewer.add_image(VOLUME, name="ovule", scale=SCALE)
    session.jobs.event.connect(lambda: said.append(session.said.of_result))
    session.segment_volume(image, CPU)
    finish()

    assert any(text.startswith("Segmenting in 3D, ") for text in said)
    assert any(text.startswith("Segmenting in 3D: telling objects apart, ") for text in said)


def test_adjusted_objects_go_through_the_planes_as_before(
    viewer: Any, session: Session, finish: Any, qtbot: Any
) -> None:
    """With the values they were found with, they are what was found."""
    image = viewer.add_image(VOLUME, name="ovule", scale=SCALE)
    session.segment_volume(image, CPU)
    finish()
    labels = result(viewer)
    expected = labels.data.copy()
    again = Rethreshold(session)
    again.follow()
    again.find(image, replace(CPU, threshold=0.9))
    qtbot.wait_until(lambda: session.said.of_result.startswith("Linked"), timeout=100_000)
    finish()
    assert labels.data.any()
    assert np.count_nonzero(labels.data) < np.count_nonzero(expected)
    assert set(np.unique(labels.data)) == set(np.unique(expected))
    again.find(image, CPU)
    qtbot.wait_until(lambda: np.array_equal(labels.data, expected), timeout=100_000)
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)


def test_the_probability_that_is_shown_is_that_of_the_result(
    viewer: Any, session: Session, finish: Any
) -> None:
    """Where the layer is there, it does not go on showing what the planes alone said."""
    image = viewer.add_image(VOLUME, name="ovule", scale=SCALE)
    session.segment(image, "whole layer", CPU, probability=True)
    finish()
    alone = np.asarray(result(viewer, "probability").data).copy()
    session.segment_volume(image, CPU)
    finish()
    shown = result(viewer, "probability").data

    assert not np.array_equal(shown, alone)
    np.testing.assert_array_equal(shown[6], session.kept.get(image, (6,)).foreground)


def test_a_volume_whose_pixels_are_replaced_meanwhile_is_not_finished(
    viewer: Any, session: Session, finish: Any, messages: Any
) -> None:
    """What would be found is of pixels that are gone."""
    image = viewer.add_image(VOLUME, name="ovule", scale=SCALE)
    session.segment_volume(image, CPU)
    image.data = VOLUME[:4].copy()
    finish()

    assert session.said.of_result == GONE
    assert [layer.name for layer in viewer.layers] == ["ovule"]
    assert session.kept.planes(image) == []
    assert messages() == []


def test_a_volume_whose_planes_are_called_channels_meanwhile_is_not_finished(
    viewer: Any, session: Session, finish: Any, messages: Any
) -> None:
    """A layer of the image as it is now has no planes for what would be found."""
    image = viewer.add_image(VOLUME[:4].copy(), name="ovule", scale=SCALE)
    session.segment_volume(image, CPU)
    image.axis_labels = ("c", "y", "x")
    finish()

    assert session.said.of_result == GONE
    assert [layer.name for layer in viewer.layers] == ["ovule"]
    assert messages() == []


def test_objects_have_classes_where_cells_do(viewer: Any, session: Session, finish: Any) -> None:
    """Of an earlier result none stays: its cells were others."""
    image = viewer.add_image(VOLUME, name="ovule", scale=SCALE)
    session.segmenter = with_classes(starter_model(), ("round", "other"))
    session.segment(image, "whole layer", CPU)
    finish()
    assert len(classes_of(result(viewer))) > 2
    session.segment_volume(image, CPU)
    finish()

    classes = classes_of(result(viewer))
    assert set(classes) == {1, 2}
    assert set(classes.values()) <= {"round", "other"}
    assert "Found 2 3D objects (" in session.said.of_result
    assert are_given(result(viewer))
    assert session.kept.get(image, (6,)).evidence.shape == (2, 56, 56)
    session.segmenter = starter_model()
    session.segment_volume(image, CPU)
    finish()
    assert not classes_of(result(viewer))
    assert not are_given(result(viewer))


def test_time_points_are_volumes_of_their_own(viewer: Any, session: Session, finish: Any) -> None:
    """No two share an object; a scale that nobody gave is spoken of."""
    movie = np.stack([VOLUME, VOLUME[:, ::-1]])
    image = viewer.add_image(movie, name="embryo", axis_labels=("t", "z", "y", "x"))
    session.segment_volume(image, CPU)
    finish()
    labels = result(viewer).data

    assert not np.intersect1d(labels[0][labels[0] > 0], labels[1]).any()
    assert "Planes count as one pixel apart" in session.said.of_result


def test_planes_that_are_one_pixel_apart_are_not_spoken_of(
    viewer: Any, session: Session, finish: Any
) -> None:
    """If the layer says so, by a unit of length."""
    micrometres = {"scale": (0.5, 0.5, 0.5), "units": ("um", "um", "um")}
    image = viewer.add_image(VOLUME, name="ovule", **micrometres)
    session.segment_volume(image, CPU)
    finish()

    assert session.said.of_result.startswith("Found ")
    assert session.said.of_result.endswith(" s.")


def test_planes_too_far_apart_to_look_across_are_spoken_of(
    viewer: Any, session: Session, finish: Any
) -> None:
    """The result is that of the planes alone."""
    image = viewer.add_image(VOLUME[::6], name="ovule", scale=(20, 0.5, 0.5))
    session.segment_volume(image, CPU)
    finish()

    assert "Planes are too far apart for sections across them" in session.said.of_result


def test_the_dock_says_which_planes_have_odd_grey_values(
    viewer: Any, session: Session, finish: Any
) -> None:
    """While it goes on and afterwards: what is found there is none."""
    pixels = VOLUME.astype(np.float32)
    pixels[3], pixels[9, :5] = 7.0, np.nan
    axes: Any = {"scale": SCALE, "axis_labels": ("z", "y", "x")}
    said, told = [], session.told.connect(lambda: said.append(session.said.of_result))
    session.segment_volume(viewer.add_image(pixels, name="ovule", **axes), CPU)
    finish()
    session.told.disconnect(told)

    odd = (
        " Z plane 3: All pixels of the plane have the same grey value: look at the image. "
        "Grey values are unusual in 1 more plane."
    )
    assert session.said.of_result.startswith("Found ")
    assert session.said.of_result.endswith(odd)
    assert any(text.endswith(odd) for text in said if " % ..." in text)


def test_a_stop_leaves_the_segmentation_as_it_was(
    viewer: Any, session: Session, finish: Any
) -> None:
    """Nothing is shown before all is found."""
    image = viewer.add_image(VOLUME, name="ovule", scale=SCALE)
    session.segment(image, "whole layer", CPU)
    finish()
    before = np.asarray(result(viewer).data).copy()
    session.segment_volume(image, CPU)
    session.jobs.stop()
    finish()

    assert session.said.of_result == "Stopped; the segmentation is as it was."
    np.testing.assert_array_equal(result(viewer).data, before)
    assert "unfinished" not in result(viewer).name


def test_what_is_no_volume_is_refused_in_one_sentence(viewer: Any, session: Session) -> None:
    """A plane, a movie, and a model of classes."""
    with pytest.raises(InputError, match="is not a volume"):
        session.segment_volume(viewer.add_image(VOLUME[0]), CPU)
    movie = viewer.add_image(VOLUME, axis_labels=("t", "y", "x"))
    with pytest.raises(InputError, match="is not a volume: 3D objects are found in planes along Z"):
        session.segment_volume(movie, CPU)
    session.segmenter = make_segmenter(kind="classes")
    with pytest.raises(InputError, match="3D objects are cells"):
        session.segment_volume(viewer.add_image(VOLUME), CPU)
    assert session.jobs.state == "idle"
