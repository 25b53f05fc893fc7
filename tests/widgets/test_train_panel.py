"""Live mode where a question comes first."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox
from shared_fixtures import LOOKS_MS

from napari_unet.viewer.notes import link, set_meaning


def questions() -> list[QMessageBox]:
    """Return the questions on the screen."""
    boxes = [box for box in QApplication.topLevelWidgets() if isinstance(box, QMessageBox)]
    return [box for box in boxes if box.isVisible()]


@pytest.fixture
def ask_and(hand: Any, sample: Any, qtbot: Any) -> Callable[[str], int]:
    """Switch live mode on over doubtful labels, wait, and answer; return how many were asked."""

    def answer(button: str) -> int:
        seen: list[int] = []

        def look() -> None:
            boxes = questions()
            seen.append(len(boxes))
            for box in reversed(boxes):
                found = box.button(QMessageBox.StandardButton[button])
                assert found is not None
                found.click()

        set_meaning(sample[1], "instances")  # which a few scribbles are not
        sample[1].data = np.where(sample[1].data < 4, sample[1].data, 0)
        QTimer.singleShot(LOOKS_MS, look)
        hand.dock.panels.training.set_live(True)
        qtbot.wait_until(lambda: bool(seen), timeout=100_000)
        return seen[0]

    return answer


def test_live_mode_asks_once_however_long_the_answer_takes(
    hand: Any, ask_and: Callable[[str], int]
) -> None:
    """And begins when it is given."""
    assert ask_and("Yes") == 1
    hand.wait_to_read("Step ")
    assert hand.dock.panels.training.live.on
    hand.click("Stop")
    hand.wait_until_idle()


def test_live_mode_is_off_where_the_question_is_cancelled(
    hand: Any, ask_and: Callable[[str], int], qtbot: Any
) -> None:
    """The dock shows it so, and nothing is asked again."""
    panel = hand.dock.panels.training
    assert ask_and("Cancel") == 1
    qtbot.wait(LOOKS_MS)

    assert not questions()
    assert not panel.live.on
    assert not panel._live.value
    assert hand.session.jobs.state == "idle"


def test_live_mode_that_cannot_begin_is_off_and_the_dock_says_why(
    hand: Any, sample: Any, viewer: Any, qtbot: Any
) -> None:
    """Beside the tick as beside the button: napari cuts the notification off, and it goes."""
    blue = np.full((*sample[0].data.shape, 3), [0, 0, 99], np.uint8)
    colours = viewer.add_image(blue, rgb=True, name="RGB")
    painted = viewer.add_labels(sample[1].data.copy(), name="painted RGB")
    set_meaning(painted, "scribbles")
    link(painted, colours)
    link(sample[1], sample[0])
    panel = hand.dock.panels.training
    panel._live.native.click()
    qtbot.wait(LOOKS_MS)

    assert "one model cannot learn from both" in panel._said.value
    assert not panel._live.value
