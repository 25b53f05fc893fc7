"""Cells that the user has verified."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of, set_class
from napari_unet.viewer.correcting.picking import numbers_in
from napari_unet.viewer.correcting.verified import (
    cell_meant,
    mark,
    toggle,
    verified_ids,
)
from napari_unet.viewer.notes import METADATA, meaning_of, set_meaning


@pytest.fixture
def labels() -> Labels:
    """Three planes of scribbles: a background stroke, and two cells."""
    data = np.zeros((3, 20, 30), np.uint16)
    data[:, :3], data[:, 5:9, 5:9], data[:, 12:18, 20:28] = 1, 2, 5
    layer = Labels(data, name="painted", scale=(2, 0.5, 0.5))
    set_meaning(layer, "scribbles")
    return layer


def status(labels: Labels, z: int, y: int, x: int) -> str:
    """Return what napari's status bar says of a pixel."""
    value: str = labels.get_status((z, y, x), view_direction=None, dims_displayed=[1, 2])["value"]
    return value


def test_a_mark_is_of_one_cell_in_one_plane(labels: Labels) -> None:
    """And can be taken away."""
    mark(labels, (1,), [2])
    mark(labels, (1,), [5])
    mark(labels, (2,), [5])
    assert verified_ids(labels, (1,)) == {2, 5}
    mark(labels, (1,), [2], verified=False)

    assert verified_ids(labels, (1,)) == verified_ids(labels, (2,)) == {5}
    assert verified_ids(labels, (0,)) == frozenset()
    assert 5 in verified_ids(labels, (1,))
    assert 2 not in verified_ids(labels, (1,))
    assert meaning_of(labels) == "scribbles"


def test_background_strokes_are_no_cells(labels: Labels) -> None:
    """Nor is what is not painted."""
    mark(labels, (0,), [0, 1, 2])

    assert verified_ids(labels, (0,)) == {2}


def test_a_duplicate_of_the_layer_keeps_the_marks_to_itself(labels: Labels) -> None:
    """Napari copies the metadata deeply."""
    viewer = ViewerModel()
    viewer.add_layer(labels)
    mark(labels, (0,), [2])
    copied = Labels(**labels.as_layer_data_tuple()[1] | {"data": labels.data.copy()})
    mark(copied, (0,), [2], verified=False)

    assert 2 in verified_ids(labels, (0,))
    assert labels.metadata[METADATA]["verified"] == {"0": [2]}


def test_the_status_bar_says_so(labels: Labels) -> None:
    """And nothing about other pixels."""
    quiet = status(labels, 1, 6, 6)
    mark(labels, (1,), [2])
    assert status(labels, 1, 6, 6) == f"{quiet}; verified: in plane 1"
    assert "verified" not in status(labels, 1, 14, 22) + status(labels, 1, 19, 0)
    assert "Properties" not in status(labels, 1, 14, 22) + status(labels, 1, 19, 0)
    mark(labels, (0,), [2])
    assert status(labels, 1, 6, 6) == f"{quiet}; verified: in 2 planes"

    single = Labels(labels.data[0])
    mark(single, (), [2])
    assert single.features["verified"].dropna().to_dict() == {2: "yes"}
    mark(single, (), [2], verified=False)
    assert single.features.empty


def test_a_table_of_the_user_stays(labels: Labels) -> None:
    """Marks are kept nevertheless."""
    labels.features = {"index": [2, 5], "area": [16, 48]}
    mark(labels, (0,), [2])

    assert 2 in verified_ids(labels, (0,))
    assert list(labels.features) == ["index", "area"]


def test_the_status_bar_stays_true_once_a_cell_has_a_class(labels: Labels) -> None:
    """The table is then no longer ours alone, but the column of marks is."""
    mark(labels, (0,), [2, 5])
    set_class(labels, 5, "round")
    mark(labels, (0,), [2], verified=False)
    assert "verified" not in status(labels, 0, 6, 6)
    assert "verified: in plane 0" in status(labels, 0, 14, 22)
    mark(labels, (1,), [2])
    assert "verified: in plane 1" in status(labels, 1, 6, 6)
    mark(labels, (1,), [2], verified=False)
    mark(labels, (0,), [5], verified=False)

    assert "verified" not in labels.features
    assert classes_of(labels) == {5: "round"}


def test_classes_cannot_be_verified(labels: Labels) -> None:
    """A class is no cell."""
    set_meaning(labels, "classes")

    with pytest.raises(InputError, match="holds classes, and only cells can be verified"):
        mark(labels, (0,), [2])


def test_the_same_key_marks_and_unmarks(labels: Labels) -> None:
    """Several are unmarked once all of them are marked."""
    assert toggle(labels, (0,), [2]) == "Cell 2 is verified: accepting leaves it as it is."
    assert toggle(labels, (0,), [2, 5]).startswith("2 cells are verified: accepting leaves them")
    assert verified_ids(labels, (0,)) == {2, 5}
    assert toggle(labels, (0,), [2, 5]) == "2 cells are no longer verified."
    assert not verified_ids(labels, (0,))
    with pytest.raises(InputError, match="No painted cell of layer 'painted' is in view"):
        toggle(labels, (0,), [])


def test_the_cell_under_the_cursor_is_meant_or_the_selected_one(labels: Labels) -> None:
    """A background stroke is neither."""
    labels.selected_label = 2
    assert cell_meant(labels, (0,), (0, 7, 12)) == 5
    assert cell_meant(labels, (0,), (0, 5.8, 9.8)) == cell_meant(labels, (0,), (0, 8.7, 13.7)) == 5
    assert cell_meant(labels, (0,), (0, 5.7, 9.8)) == cell_meant(labels, (0,), (0, 8.8, 13.7)) == 2
    for elsewhere in ((0, 9, 1), (0, 0.5, 5), (0, 99, 99)):
        assert cell_meant(labels, (0,), elsewhere) == 2
    for selected in (1, 9):
        labels.selected_label = selected
        with pytest.raises(InputError, match=f"under the mouse, and label {selected} is no cell"):
            cell_meant(labels, (0,), (0, 9, 1))


def test_in_view_is_what_lies_in_the_box_by_more_than_half() -> None:
    """Exactly half is not."""
    plane: Any = np.zeros((10, 10), np.uint32)
    plane[2:4, 2:8], plane[6:8, 2:8], plane[9, 9] = 3, 4_000_000_000, 7

    assert numbers_in(plane, (slice(0, 10), slice(0, 6))).tolist() == [3, 4_000_000_000]
    assert numbers_in(plane, (slice(0, 10), slice(0, 5))).tolist() == []
    assert numbers_in(plane, (slice(0, 10), slice(0, 10)), first=4).tolist() == [7, 4_000_000_000]
