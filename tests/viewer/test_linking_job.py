"""The planes of a segmentation are linked by the compute process, in a real viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Tracks
from numpy.typing import NDArray
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig
from napari_unet.core.linkstack import link_planes
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.segmenting.linking_job import CHANGED
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.session import Session

WINDOW = pytest.mark.parametrize("viewer", ["window"], indirect=True)

CELLS = np.zeros((4, 30, 60), np.uint16)
CELLS[:2, 5:25, 5:25] = [[[3]], [[8]]]
CELLS[2:, 5:25, 5:14] = [[[2]], [[5]]]  # it divides
CELLS[2:, 5:25, 16:25] = [[[4]], [[7]]]
CELLS[:, 10:20, 40:50] = np.arange(10, 14)[:, None, None]


@pytest.fixture
def segmented(viewer: Any) -> Callable[..., tuple[Image, Labels]]:
    """Open an image that was segmented."""

    def segment(cells: NDArray[Any] = CELLS, **how: Any) -> tuple[Image, Labels]:
        image: Image = viewer.add_image(np.zeros(cells.shape, np.float32), name="embryo", **how)
        result = Result(viewer, image, "segmentation", np.uint16)
        result.array[...] = cells
        result.finish(complete=True)
        assert isinstance(result.layer, Labels)
        return image, result.layer

    return segment


@WINDOW
def test_tracks_replace_the_numbers_and_are_shown(
    viewer: Any, session: Session, segmented: Any, finish: Any
) -> None:
    """The layer holds what `link_planes` finds; the tracks lie on the image, with their parents."""
    image, labels = segmented(scale=(1, 0.5, 0.5))
    selected = set(viewer.layers.selection)
    session.link(image, "tracks", PredictConfig())
    finish()
    expected = link_planes(CELLS, kind="tracks")
    tracks = viewer.layers["embryo tracks"]

    np.testing.assert_array_equal(labels.data, expected.labels)
    assert labels.data.dtype == np.uint16
    assert not labels.editable
    assert session.said.of_result == "Linked 4 planes into 4 tracks, with 1 division."
    assert isinstance(tracks, Tracks)
    np.testing.assert_array_equal(tracks.data, expected.points)
    assert tracks.graph == {3: [1], 4: [1]}
    np.testing.assert_array_equal(tracks.scale, image.scale)
    assert set(viewer.layers.selection) == selected


def test_linking_again_shows_one_layer_of_tracks(
    viewer: Any, session: Session, segmented: Any, finish: Any
) -> None:
    """And changes nothing."""
    image, labels = segmented()
    for _ in range(2):
        session.link(image, "tracks", PredictConfig())
        finish()

    assert sum(isinstance(layer, Tracks) for layer in viewer.layers) == 1
    np.testing.assert_array_equal(labels.data, link_planes(CELLS, kind="tracks").labels)


def test_objects_are_joined_through_all_planes(
    viewer: Any, session: Session, segmented: Any, finish: Any
) -> None:
    """A cell that branches stays one object, and no tracks are shown; of T and Z, every T."""
    image, labels = segmented(np.stack([CELLS, CELLS]))
    session.link(image, "objects", PredictConfig())
    finish()

    np.testing.assert_array_equal(labels.data, link_planes(np.stack([CELLS, CELLS])).labels)
    assert session.said.of_result == "Linked 8 planes into 4 objects."
    assert not any(is_result(layer, "tracks") for layer in viewer.layers)


def test_objects_are_cut_as_the_model_cuts_cells(
    session: Session, segmented: Any, finish: Any
) -> None:
    """By the distance of planes that the layer has; with a split of 0 what overlaps is one."""
    z, y, x = np.indices((16, 30, 30))
    disks = [np.hypot(2 * z - middle, np.hypot(y - 15, x - 15)) < 7 for middle in (10, 22)]
    image, labels = segmented(np.any(disks, axis=0).astype(np.uint16), scale=(1, 0.5, 0.5))
    model = make_segmenter(split=0.1)
    session.kept.put(image, (0,), np.zeros((30, 30), np.float32), model)
    said = []
    for split in (0.0, -1.0):
        session.link(image, "objects", PredictConfig(split=split))
        finish()
        said.append(session.said.of_result)

    assert said == [f"Linked 16 planes into {found}." for found in ("1 object", "2 objects")]
    assert set(labels.data[:7].ravel()) == {0, 1}
    assert set(labels.data[9:].ravel()) == {0, 2}


def test_linked_cells_keep_their_classes_and_lose_what_was_measured_of_others(
    session: Session, segmented: Any, finish: Any
) -> None:
    """An object is of the class that most of its pixels had; areas are those of other cells."""
    cells = CELLS.copy()
    cells[:, 5:25, 5:25] = np.arange(1, 5)[:, None, None]
    image, labels = segmented(cells)
    names = {1: "round", 2: "round", 3: "flat", 10: "flat", 12: "flat"}
    labels.features = {"index": list(names), "class": list(names.values()), "area": [9.0] * 5}
    session.link(image, "objects", PredictConfig())
    finish()

    assert classes_of(labels) == {1: "round", 2: "flat"}
    assert "area" not in labels.features


def test_a_segmentation_that_changes_meanwhile_stays(
    session: Session, segmented: Any, finish: Any
) -> None:
    """What came of the old one is not put over the new one."""
    image, labels = segmented()

    def change(_: object) -> None:
        labels.data[0, :3, :3] = 99

    session.jobs.event.connect(change)
    session.link(image, "objects", PredictConfig())
    finish()
    session.jobs.event.disconnect(change)

    assert session.said.of_result == CHANGED
    assert labels.data[0, 0, 0] == 99
    assert labels.data[1, 10, 10] == 8


def test_a_stop_leaves_the_numbers_as_they_are(
    session: Session, segmented: Any, finish: Any
) -> None:
    """Nothing is shown before all is linked."""
    image, labels = segmented()
    session.link(image, "objects", PredictConfig())
    session.jobs.stop()
    finish()

    assert session.said.of_result == "Stopped; the numbers are as they were."
    np.testing.assert_array_equal(labels.data, CELLS)


def test_a_segmentation_that_is_deleted_meanwhile_is_spoken_of(
    viewer: Any, session: Session, segmented: Any, finish: Any
) -> None:
    """There are no numbers that could be as they were."""
    image, labels = segmented()
    session.link(image, "objects", PredictConfig())
    viewer.layers.remove(labels)
    finish()

    said = "Stopped: the segmentation was deleted, or has other pixels now."
    assert session.said.of_result == said


def test_what_cannot_be_linked_is_refused_in_one_sentence(
    viewer: Any, session: Session, segmented: Any
) -> None:
    """One plane, no segmentation, an unfinished one, and one into classes."""
    photograph = viewer.add_image(np.zeros((9, 9)))
    with pytest.raises(InputError, match="0 axes of planes"):
        session.link(photograph, "objects", PredictConfig())
    with pytest.raises(InputError, match="no finished segmentation: segment the whole layer"):
        session.link(viewer.add_image(np.zeros((3, 9, 9))), "objects", PredictConfig())
    image, labels = segmented()
    session.kept.put(image, (0,), np.zeros((30, 60), np.float32), make_segmenter(kind="classes"))
    with pytest.raises(InputError, match="only cells can be linked"):
        session.link(image, "objects", PredictConfig())
    labels.name += " (unfinished)"
    with pytest.raises(InputError, match="no finished segmentation"):
        session.link(image, "objects", PredictConfig())
    assert session.jobs.state == "idle"


def test_the_tracks_of_before_do_not_lie_on_other_numbers(
    viewer: Any, session: Session, segmented: Any, finish: Any
) -> None:
    """They go when the planes are linked into objects."""
    image, _ = segmented()
    session.link(image, "tracks", PredictConfig())
    finish()
    assert "embryo tracks" in viewer.layers
    session.link(image, "objects", PredictConfig())
    finish()

    assert "embryo tracks" not in viewer.layers


def test_planes_without_cells_are_spoken_of(session: Session, segmented: Any, finish: Any) -> None:
    """Perhaps only the plane in view was segmented."""
    cells = CELLS.copy()
    cells[1:] = 0
    image, _ = segmented(cells)
    session.link(image, "objects", PredictConfig())
    finish()

    assert "into 2 objects. Cells are in 1 of 4 planes only: if the" in session.said.of_result
