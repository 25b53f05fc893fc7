"""Accepting, verifying and going to uncertain places, from the dock and by keys."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.correcting.verified import mark, verified_ids
from napari_unet.viewer.notes import is_result, meaning_of, set_meaning
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.session import Session
from napari_unet.widgets.correct_panel import CorrectPanel
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import stack

IMAGE, TRUTH = touching_cells((128, 128))
CELLS: Any = TRUTH
SCRIBBLES: Any = np.where(np.arange(128)[:, None] % 16 < 4, painted_scribbles(TRUTH), 0)


class Desk:
    """A viewer with the sample, a prediction, and the panel beside it."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.session = Session.of(viewer)
        self.image = viewer.add_image(IMAGE, name="cells")
        self.data = DataPanel(viewer)
        self.panel = CorrectPanel(self.session, self.data)
        viewer.window.add_dock_widget(stack(self.data.widget, self.panel.widget).native)
        self.data.follow()
        self.panel.follow()

    def predict(self, kind: str = "cells") -> Any:
        """Show a prediction, and keep the probabilities behind it."""
        result = Result(self.viewer, self.image, "segmentation", np.uint16)
        shown = CELLS if kind == "cells" else np.where(CELLS > 0, 2, 1)
        result.write((), (slice(None), slice(None)), shown, now=True)
        result.finish(complete=True)
        unsure = np.full(CELLS.shape, 0.001, np.float32)
        unsure[60:72, 80:92] = 0.5
        self.session.kept.put(self.image, (), unsure, make_segmenter(kind=kind))
        return result.layer

    def paint(self, labels: Any, meaning: Any = "scribbles") -> Any:
        """Add painted labels, and choose them."""
        layer = self.viewer.add_labels(labels.copy(), name="painted")
        set_meaning(layer, meaning)
        self.data.choice.labels = layer
        return layer

    def click(self, text: str) -> None:
        """Click on a button."""
        found = [b for b in self.panel.widget.native.findChildren(QPushButton) if b.text() == text]
        self.qtbot.mouseClick(found[0], Qt.MouseButton.LeftButton)

    def press_undo(self) -> None:
        """Press the key that napari undoes with."""
        window = self.viewer.window.main_menu.window()
        self.qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def point_at(self, cell: int) -> None:
        """Move the cursor onto a cell."""
        self.viewer.cursor.position = tuple(np.argwhere(cell == CELLS)[3])

    @property
    def said(self) -> str:
        """What the panel says."""
        text: str = self.panel._said.value
        assert self.panel._said.visible
        return text

    @property
    def ticked(self) -> bool:
        """Whether the uncertainty is ticked."""
        value: bool = self.panel._show.value
        return value


@pytest.fixture
def desk(viewer: Any, qtbot: Any) -> Iterator[Desk]:
    """The sample, with nothing painted and nothing predicted."""
    desk = Desk(viewer, qtbot)
    viewer.window.show()
    qtbot.wait(20)
    yield desk
    desk.panel.leave()
    desk.data.leave()
    vars(desk).clear()  # pytest keeps what fixtures return until after the check for leaks


def test_a_click_accepts_what_is_in_view_and_the_undo_key_takes_it_back(desk: Desk) -> None:
    """Right after the click, though another layer was selected."""
    result = desk.predict()
    labels = desk.paint(SCRIBBLES)
    desk.viewer.layers.selection.active = result
    desk.click("Accept all in view")

    assert "painted cells completed." in desk.said
    painted = SCRIBBLES > 0
    assert (labels.data[(CELLS > 0) & ~painted] > 1).mean() > 0.9
    np.testing.assert_array_equal(labels.data[painted], SCRIBBLES[painted])
    desk.press_undo()
    np.testing.assert_array_equal(labels.data, SCRIBBLES)


def test_hidden_labels_are_shown_when_something_is_accepted(desk: Desk) -> None:
    """Nobody would see what was copied into them."""
    desk.predict()
    labels = desk.paint(SCRIBBLES)
    labels.visible = False
    desk.click("Accept all in view")

    assert labels.visible


@pytest.mark.parametrize(("kind", "meaning"), [("cells", "scribbles"), ("classes", "classes")])
def test_accepting_makes_labels_where_there_are_none(desk: Desk, kind: str, meaning: str) -> None:
    """Of the meaning that the prediction has, and chooses them."""
    desk.predict(kind)
    desk.panel.accept_in_view()
    labels = desk.data.labels

    assert labels.name == "cells scribbles"
    assert meaning_of(labels) == meaning
    assert (labels.data[CELLS > 0] > 1).all()
    labels.undo()
    assert not labels.data.any()


def test_what_a_result_shows_is_known_without_its_model(desk: Desk) -> None:
    """Of a large stack not all is kept, and the model may be another one by now."""
    layer = desk.predict("classes")
    set_meaning(layer, "classes")  # as a segmentation does
    desk.session.kept.forget(desk.image)
    desk.panel.accept_in_view()

    assert meaning_of(desk.data.labels) == "classes"
    assert (desk.data.labels.data[CELLS > 0] == 2).all()


def test_a_key_accepts_the_object_under_the_cursor(desk: Desk) -> None:
    """And says so where there is none."""
    desk.predict()
    labels = desk.paint(np.zeros(CELLS.shape, np.uint16))
    desk.point_at(4)
    desk.panel.accept_at_cursor()
    np.testing.assert_array_equal(labels.data > 0, CELLS == 4)
    assert desk.said == "Accepted 1 cell."

    desk.viewer.cursor.position = (-50, 0)
    desk.panel.accept_at_cursor()
    assert "lies under the mouse" in desk.said
    assert notification_manager.records[-1].message == desk.said


def test_nothing_is_made_before_there_is_a_prediction(desk: Desk) -> None:
    """What to do first is said."""
    desk.click("Accept all in view")

    assert desk.said.startswith("Nothing is predicted in this plane of layer 'cells'")
    assert len(desk.viewer.layers) == 1


def test_cells_are_verified_in_view_or_under_the_cursor(desk: Desk) -> None:
    """The same key takes the mark away."""
    labels = desk.paint(CELLS, "instances")
    desk.point_at(4)
    desk.panel.verify_at_cursor()
    assert verified_ids(labels, ()) == {4}
    desk.panel.verify_at_cursor()
    assert desk.said == "Cell 4 is no longer verified."
    desk.click("Verify all in view")
    assert verified_ids(labels, ()) == set(range(1, CELLS.max() + 1))
    desk.click("Verify all in view")
    assert not verified_ids(labels, ())


def test_what_is_verified_is_not_accepted_over(desk: Desk) -> None:
    """Neither in view nor under the cursor."""
    desk.predict()
    half = np.where((CELLS == 4) & (np.arange(128) < np.argwhere(CELLS == 4)[:, 1].mean()), 9, 0)
    labels = desk.paint(np.where(half, 9, 0).astype(np.uint16))
    labels.data[tuple(np.argwhere((CELLS == 4) & (half == 0))[:5].T)] = 9
    before = labels.data == 9
    mark(labels, (), [9])
    desk.panel.accept_in_view()
    desk.point_at(4)
    desk.panel.accept_at_cursor()

    np.testing.assert_array_equal(labels.data == 9, before)


def test_labels_of_another_image_are_refused(desk: Desk) -> None:
    """In words, for every action."""
    desk.predict()
    desk.paint(np.zeros((9, 9), np.uint16))
    panel = desk.panel
    for act in (panel.accept_in_view, panel.verify_in_view, panel.verify_at_cursor):
        act()
        assert "has shape (9, 9)" in desk.said


def test_in_3d_keys_that_act_at_the_cursor_say_why_they_do_not(desk: Desk) -> None:
    """The cursor is a line of sight there, and of a volume one plane would be changed unseen."""
    desk.predict()
    labels = desk.paint(np.zeros_like(CELLS), "instances")
    desk.viewer.dims.ndisplay = 3
    for act in actions(desk):
        act()
        assert desk.said.startswith("In 3D no single plane is in view")
    assert not labels.data.any()


def actions(desk: Desk) -> tuple[Any, ...]:
    """Return all that changes labels or marks them."""
    panel = desk.panel
    at_cursor = (panel.accept_at_cursor, panel.verify_at_cursor)
    return (panel.accept_in_view, panel.verify_in_view, *at_cursor)


@pytest.fixture
def volume(desk: Desk) -> Any:
    """Labels of a stack whose every plane is predicted, and which is chosen."""
    image = desk.viewer.add_image(np.stack([IMAGE] * 3), name="volume")
    result = Result(desk.viewer, image, "segmentation", np.uint16)
    for plane in range(3):
        result.write((plane,), (slice(None), slice(None)), CELLS, now=True)
    result.finish(complete=True)
    desk.data.choice.image_box.value = image
    return desk.paint(np.zeros((3, 128, 128), np.uint16))


def test_in_a_stack_seen_from_the_side_nothing_is_corrected(desk: Desk, volume: Any) -> None:
    """The keys would change a plane that is not in view."""
    desk.viewer.dims.order = (1, 0, 2)
    for act in actions(desk):
        act()
        assert desk.said.startswith("The view shows other axes than Y and X of layer 'volume'")
    assert not volume.data.any()


def test_a_stack_turned_on_the_spot_is_corrected(desk: Desk, volume: Any) -> None:
    """Y and X are in view, only exchanged."""
    desk.viewer.dims.order = (0, 2, 1)
    desk.panel.accept_in_view()
    assert volume.data.any(axis=(1, 2)).sum() == 1


def test_beyond_the_last_plane_of_a_stack_nothing_is_corrected(desk: Desk, volume: Any) -> None:
    """Another one may have more planes."""
    desk.viewer.add_image(np.zeros((9, 8, 8)), name="longer")
    desk.viewer.dims.set_point(0, 7)
    for act in actions(desk):
        act()
        assert desk.said.startswith("The sliders are beyond the planes of layer 'volume' (3 planes")
    assert not volume.data.any()
    desk.viewer.dims.set_point(0, 2)
    desk.panel.accept_in_view()
    assert volume.data[2].any()


def test_what_is_predicted_for_a_hidden_image_is_not_accepted(desk: Desk) -> None:
    """The user may look at another one, and forget which one is chosen."""
    desk.predict()
    labels = desk.paint(np.zeros_like(CELLS))
    desk.image.visible = False
    for act in (desk.panel.accept_in_view, desk.panel.accept_at_cursor):
        act()
        assert desk.said.startswith("Layer 'cells' is hidden")
    assert not labels.data.any()


def test_what_is_predicted_under_another_image_is_not_accepted(desk: Desk) -> None:
    """Unless something of it is seen through, beside or above that one."""
    result = desk.predict()
    labels = desk.paint(np.zeros_like(CELLS))
    desk.point_at(4)
    other = desk.viewer.add_image(np.zeros((128, 128)), name="nuclei_4")
    for act in (desk.panel.accept_in_view, desk.panel.accept_at_cursor):
        act()
        assert desk.said.startswith("You are looking at layer 'nuclei_4', not at 'cells'")
    assert not labels.data.any()

    def is_seen() -> bool:
        desk.panel.accept_in_view()
        seen = bool(labels.data.any())
        labels.data = np.zeros_like(CELLS)
        return seen

    assert not is_seen()
    other.blending = "additive"
    assert is_seen()
    other.blending, other.opacity = "translucent", 0.5
    assert is_seen()
    other.opacity, other.translate = 1, (0, 60)
    assert is_seen()
    other.translate = (0, 0)
    assert not is_seen()
    desk.viewer.layers.move(desk.viewer.layers.index(result), len(desk.viewer.layers))
    assert is_seen()


def test_a_preview_is_not_accepted(desk: Desk) -> None:
    """What to do comes first: the message may be cut off."""
    preview = Result(desk.viewer, desk.image, "preview", np.uint8)
    preview.write((), (slice(None), slice(None)), CELLS > 0, now=True)
    desk.click("Accept all in view")
    assert desk.said == "A preview cannot be accepted: press Finish, or Segment."


def test_what_was_said_is_forgotten_when_a_job_starts(desk: Desk) -> None:
    """It is about the labels and the prediction that were there before."""
    desk.click("Accept all in view")
    assert desk.said
    desk.session.segmenter = make_segmenter()
    desk.session.segment(desk.image, "whole layer", PredictConfig(device="cpu"))
    assert not desk.panel._said.visible
    desk.qtbot.wait_until(lambda: desk.session.jobs.state == "idle", timeout=100_000)


def test_the_view_goes_where_the_network_is_unsure(desk: Desk) -> None:
    """Once there is a segmentation."""
    desk.click("Next uncertain place")
    assert desk.said.startswith("Segment first")
    desk.predict()
    desk.click("Next uncertain place")

    assert desk.said.startswith("Uncertain place 1: ")
    np.testing.assert_allclose(desk.viewer.scene.camera.center[-2:], (66, 86), atol=6)


def test_the_tick_shows_the_uncertainty_and_follows_the_layer(desk: Desk) -> None:
    """Deleting the layer takes the tick away; a new panel finds it ticked."""
    desk.panel._show.value = True
    assert not desk.ticked
    assert desk.said.startswith("Segment first")
    desk.predict()
    desk.panel._show.value = True
    assert is_result(desk.viewer.layers["cells uncertainty"], "uncertainty")
    another = CorrectPanel(desk.session, desk.data)
    another.renew()
    assert another._show.value
    another.widget.close()

    desk.viewer.layers.remove("cells uncertainty")
    assert not desk.ticked
    desk.panel._show.value = True
    desk.panel._show.value = False
    assert "cells uncertainty" not in desk.viewer.layers
