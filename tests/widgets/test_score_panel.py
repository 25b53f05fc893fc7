"""The panel that scores a segmentation against a labels layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox
from small_things import make_segmenter

from napari_unet.core.comparison import ObjectScore
from napari_unet.viewer.layers import new_scribbles
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.scores.scoring import BROKEN_OFF
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.score_panel import ScorePanel
from napari_unet.widgets.score_table import MOST_ROWS, ScoreTable

TRUTH = np.zeros((60, 90), np.uint16)
for number, (y, x) in enumerate(np.ndindex(2, 3), start=1):
    TRUTH[5 + 30 * y :, 5 + 30 * x :][:20, :20] = number
FOUND = TRUTH.copy()
FOUND[FOUND == 2] = 0
FOUND[35:55, 5:55] = 5  # 4 and 5, merged


@pytest.fixture
def panel(session: Session, data: DataPanel, qtbot: Any) -> Iterator[ScorePanel]:
    """What is tested."""
    panel = ScorePanel(session, data)
    qtbot.add_widget(panel.widget.native)
    panel.follow()
    panel.widget.native.resize(340, 500)
    panel.widget.native.show()
    yield panel
    panel.leave()


@pytest.fixture
def image(viewer: Any) -> Image:
    """An image that was segmented, with labels that were painted."""
    image: Image = viewer.add_image(np.zeros(TRUTH.shape), name="cells")
    new_scribbles(viewer, image)
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[...] = FOUND
    result.finish(complete=True)
    return image


@pytest.fixture
def click(panel: ScorePanel, qtbot: Any) -> Callable[[], None]:
    """Click on Score, and wait until the score is there."""

    def click_and_wait() -> None:
        qtbot.mouseClick(panel._score.native, Qt.MouseButton.LeftButton)
        qtbot.wait_until(lambda: not panel.scoring.running, timeout=100_000)
        qtbot.wait(20)

    return click_and_wait


def offered(panel: ScorePanel) -> list[str]:
    """Return the names in the box of the truth."""
    native: QComboBox = panel._choice.truth.native
    return [native.itemText(index) for index in range(native.count())]


def scopes(panel: ScorePanel) -> list[str]:
    """Return what of the image can be compared."""
    native: QComboBox = panel._choice.scope.native
    return [native.itemText(index) for index in range(native.count())]


def texts(table: ScoreTable) -> list[list[str]]:
    """Return what the table says."""
    model = table.model()
    rows, columns = range(model.rowCount()), range(model.columnCount())
    return [[model.index(row, column).data() for column in columns] for row in rows]


def test_every_image_has_its_own_truth(panel: ScorePanel, viewer: Any, image: Image) -> None:
    """Of several fields, all of one size, that of one would score the others, too."""
    box = panel._choice.truth
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    assert box.value is truth
    field = viewer.add_image(np.zeros(TRUTH.shape), name="next field")
    panel._data.choice.image_box.value = field
    assert box.value is None
    more = viewer.add_labels(TRUTH.copy(), name="truth of the next field")
    assert box.value is more
    panel._data.choice.image_box.value = image
    assert box.value is truth
    viewer.layers.remove(truth)
    assert box.value is None
    panel._data.choice.image_box.value = field
    assert box.value is more


@pytest.mark.usefixtures("image")
def test_one_click_says_how_good_it_is_and_what_is_wrong(
    panel: ScorePanel, viewer: Any, click: Any
) -> None:
    """In a sentence, in colours that are explained, and in a table."""
    viewer.add_labels(TRUTH.copy(), name="truth")
    assert not panel._legend.visible
    assert not panel._table.isVisible()
    click()

    assert panel._said.value == (
        "'cells' against 'truth': SEG 0.63, AP@0.5 0.43, IoU 0.77. 6 true cells: 3 found, "
        "1 missed, 2 merged, 0 split; 0 spurious."
    )
    assert "cells errors" in viewer.layers
    assert panel._legend.visible
    for word in ("missed orange", "spurious blue", "merged yellow", "split green"):
        assert word in panel._legend.value
    assert texts(panel._table) == [
        ["missed", "truth 2", "0.00", "400"],
        ["merged", "truth 4", "0.40", "400"],
        ["merged", "truth 5", "0.40", "400"],
        ["merged", "predicted 5", "0.40", "1000"],
        *(["found", f"truth {cell}", "1.00", "400"] for cell in (1, 3, 6)),
    ]
    assert panel._table.isVisible()


@pytest.mark.usefixtures("image")
def test_a_click_on_a_row_goes_to_the_object(
    panel: ScorePanel, viewer: Any, click: Any, qtbot: Any
) -> None:
    """Also by a hand that clicks on the last column."""
    viewer.add_labels(TRUTH.copy(), name="truth")
    click()
    table = panel._table
    place = table.visualRect(table.model().index(0, 3)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)

    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (14.5, 44.5))


def test_the_layer_that_is_not_painted_on_is_chosen(
    panel: ScorePanel, viewer: Any, image: Image
) -> None:
    """Labels of another size and results are not offered; a new name does not change the choice."""
    assert offered(panel)[1:] == ["cells scribbles"]
    assert panel._choice.truth.value is None
    viewer.add_labels(TRUTH[1:].copy(), name="smaller")
    truth = viewer.add_labels(TRUTH.copy(), name="truth")
    assert panel._choice.truth.value is truth
    truth.name = "drawn by an expert"
    assert offered(panel)[1:] == ["cells scribbles", "drawn by an expert"]
    assert panel._choice.truth.value is truth
    viewer.add_labels(TRUTH.copy(), name="another")
    assert panel._choice.truth.value is truth
    viewer.layers.remove(truth)
    assert panel._choice.truth.value is viewer.layers["another"]
    viewer.layers.remove(image)
    assert panel._choice.truth.value is None


@pytest.mark.usefixtures("image")
def test_without_a_truth_the_user_reads_what_to_do(
    panel: ScorePanel, click: Any, messages: Any
) -> None:
    """In the dock, and in a notification."""
    click()

    assert panel._said.value.startswith("No truth is chosen: open or paint labels")
    assert messages()[-1] == ("error", panel._said.value)


def test_all_planes_are_offered_for_a_stack(panel: ScorePanel, viewer: Any, click: Any) -> None:
    """A row then names its plane."""
    image = viewer.add_image(np.zeros((2, *TRUTH.shape)), name="worm")
    new_scribbles(viewer, image)
    truth = viewer.add_labels(np.stack([TRUTH, TRUTH]), name="truth")
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[...] = np.stack([TRUTH, FOUND])
    result.finish(complete=True)
    assert panel._choice.truth.value is truth
    assert scopes(panel) == ["current plane", "all planes", "3D objects"]
    panel._choice.scope.value = "planes"
    click()

    assert "(means of 2 planes)" in panel._said.value
    assert texts(panel._table)[0] == ["missed", "1: truth 2", "0.00", "400"]
    flat = viewer.add_image(np.zeros(TRUTH.shape), name="flat")
    panel._data.choice.image_box.value = flat
    assert scopes(panel) == ["current plane"]
    assert not panel._choice.scope.visible


@pytest.mark.usefixtures("image")
def test_the_table_is_saved(panel: ScorePanel, viewer: Any, click: Any, tmp_path: Path) -> None:
    """With the ending that a table has; a name that is impossible is told of."""
    viewer.add_labels(TRUTH.copy(), name="truth")
    click()
    panel.save(str(tmp_path / "cells"))
    lines = (tmp_path / "cells.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 6 + 4
    assert lines[2] == "cells,0,truth,2,missed,400,14.5000,44.5000,0,0.0000"

    panel.save(str(tmp_path / "cells.csv" / "inside"))
    assert panel._said.value.startswith("The table could not be saved to")


def test_objects_of_a_volume_are_listed_in_the_plane_of_their_middle(
    panel: ScorePanel, viewer: Any, click: Any
) -> None:
    """A click leads there."""
    image = viewer.add_image(np.zeros((5, *TRUTH.shape)), name="embryo")
    new_scribbles(viewer, image)
    viewer.add_labels(np.stack([TRUTH] * 5), name="truth")
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[...] = np.stack([FOUND] * 5)
    result.finish(complete=True)
    panel._choice.scope.value = "volumes"
    click()

    assert "of 3D objects. 6 true cells: 3 found, 1 missed, 2 merged" in panel._said.value
    assert texts(panel._table)[0] == ["missed", "2: truth 2", "0.00", "2000"]


def test_classes_have_no_table(
    panel: ScorePanel, session: Session, viewer: Any, click: Any
) -> None:
    """But a legend of their own."""
    image = viewer.add_image(np.zeros(TRUTH.shape), name="nerve")
    new_scribbles(viewer, image)
    result = Result(viewer, image, "segmentation", np.uint8)
    result.array[...] = np.where(FOUND > 0, 2, 1)
    result.finish(complete=True)
    session.segmenter = make_segmenter(kind="classes")
    truth = viewer.add_labels(np.where(TRUTH > 0, 2, 1), name="truth")
    set_meaning(truth, "classes")
    click()

    assert " Mean IoU 0.80: class 1 0.82, class 2 0.77. 11.1% of the " in panel._said.value
    assert panel._legend.visible
    assert panel._legend.value.startswith("Wrong pixels: orange")
    assert not panel._table.isVisible()
    assert not panel._save.visible


@pytest.mark.usefixtures("image")
def test_what_goes_on_can_be_broken_off(panel: ScorePanel, viewer: Any) -> None:
    """With the same button."""
    viewer.add_labels(TRUTH.copy(), name="truth")
    panel.score()
    assert panel._score.text == "Break off"
    assert panel._said.value == "Comparing plane 1 of 1 ..."
    panel.score()

    assert panel._score.text == "Score"
    assert panel._said.value == BROKEN_OFF


@pytest.mark.usefixtures("image")
def test_a_closed_dock_forgets_and_an_opened_one_scores_again(
    panel: ScorePanel, viewer: Any, click: Any
) -> None:
    """The layer of errors stays."""
    viewer.add_labels(TRUTH.copy(), name="truth")
    click()
    panel.leave()
    assert not panel._table.isVisible()
    assert not panel._said.visible
    panel.follow()
    assert "cells errors" in viewer.layers
    click()
    assert " SEG 0.63" in panel._said.value


def test_many_objects_are_shown_in_a_table_of_few_rows(qtbot: Any) -> None:
    """And only those in view are written."""
    rows = [((), ObjectScore("truth", n, "missed", 9, 1.0, 2.0, 0, 0.0)) for n in range(100_000)]
    clicked: list[Any] = []
    table = ScoreTable(clicked.append)
    qtbot.add_widget(table)
    table.show_rows(rows)

    assert table.isVisible()
    assert table.model().rowCount() == len(rows)
    assert table.height() < (MOST_ROWS + 3) * table.verticalHeader().defaultSectionSize()
    table.clicked.emit(table.model().index(99_999, 0))
    assert clicked == [rows[-1]]
    tip = table.model().index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert tip == "missed; overlaps no predicted cell. Click to go there."


def test_the_dock_has_it_behind_a_fold(hand: Any) -> None:
    """Narrow, and every control explained."""
    panel = hand.dock.panels.score

    assert not panel.widget.native.isVisibleTo(hand.dock.native)
    hand.click("Score against a labels layer")
    assert panel.widget.native.isVisibleTo(hand.dock.native)
    assert panel.widget.native.minimumSizeHint().width() <= 340
    for control in (panel._choice.truth, panel._choice.scope, panel._score, panel._save):
        assert len(control.tooltip) > 40
