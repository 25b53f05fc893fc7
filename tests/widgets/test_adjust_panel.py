"""The knobs that act on the last result at once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel
from scipy import ndimage
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig
from napari_unet.engine.cells import find_cells
from napari_unet.sample_data import touching_cells
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.session import Session
from napari_unet.widgets.adjust_panel import AdjustPanel
from napari_unet.widgets.data_panel import DataPanel

REST = PredictConfig(device="cpu", split=0.0, rotations=2)
SEGMENTER = replace(make_segmenter(), diameter=20.0)
PIXELS, CELLS = touching_cells((96, 96))
SAID = np.clip((CELLS > 0) * 0.6 + PIXELS / PIXELS.max() * 0.4, 0, 1).astype(np.float32)
SAID[tuple(np.argwhere(ndimage.binary_erosion(CELLS > 0, iterations=6))[0])] = 0  # a hole


@pytest.fixture
def panel(session: Session, data: DataPanel, qtbot: Any) -> Iterator[AdjustPanel]:
    """What is tested."""
    panel = AdjustPanel(session, data, lambda: REST)
    qtbot.add_widget(panel.widget.native)
    panel.follow()
    yield panel
    panel.leave()


@pytest.fixture
def image(viewer: Any, session: Session) -> Image:
    """An image that was segmented."""
    image = viewer.add_image(PIXELS, name="cells")
    session.kept.put(image, (), SAID, SEGMENTER)
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[...] = find_cells(SEGMENTER, SAID, REST)
    result.finish(complete=True)
    return image


@pytest.fixture
def settle(session: Session, qtbot: Any) -> Callable[[], None]:
    """Wait until nothing is asked any more."""

    def wait() -> None:
        qtbot.wait_until(lambda: not session.background.busy, timeout=100_000)
        qtbot.wait(20)

    return wait


def reads(panel: AdjustPanel) -> str:
    """Return the texts of the panel."""
    said = " / ".join(label.text() for label in panel.widget.native.findChildren(QLabel))
    return said.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("threshold", 0.75), ("min_size", 150.0), ("max_hole", 0.0), ("border", 0.0)],
)
@pytest.mark.usefixtures("image")
def test_each_knob_acts_on_the_last_result_at_once(
    viewer: Any, panel: AdjustPanel, settle: Any, name: str, value: float
) -> None:
    """As a segmentation with all settings would; the panel counts the cells."""
    before = viewer.layers["cells segmentation"].data.copy()
    assert "Changes here act on the last result at once." in reads(panel)
    panel._editors[name].value = value
    settle()

    config = replace(REST, **{name: type(getattr(REST, name))(value)})
    assert panel.over(REST) == config
    wanted = find_cells(SEGMENTER, SAID, config)
    np.testing.assert_array_equal(viewer.layers["cells segmentation"].data, wanted)
    assert not np.array_equal(wanted, before)
    assert f"last result at once: {wanted.max()} cells." in reads(panel)


@pytest.mark.usefixtures("image")
def test_automatic_puts_all_back(viewer: Any, panel: AdjustPanel, settle: Any, qtbot: Any) -> None:
    """And acts at once too."""
    before = viewer.layers["cells segmentation"].data.copy()
    panel.set_config(PredictConfig(threshold=0.8, min_size=150, max_hole=0, border=0.0))
    panel._editors["threshold"].value = 0.7
    settle()
    assert not np.array_equal(viewer.layers["cells segmentation"].data, before)
    qtbot.mouseClick(panel._automatic.native, Qt.MouseButton.LeftButton)
    settle()

    np.testing.assert_array_equal(viewer.layers["cells segmentation"].data, before)
    assert panel.over(REST) == REST
    assert panel._editors["min_size"].native.text() == "automatic"


def test_a_configuration_is_shown_and_put_over_another(panel: AdjustPanel) -> None:
    """With all of its digits, and without anything being done."""
    exact = PredictConfig(threshold=0.123456, min_size=7, max_hole=8, border=1.2345)
    panel.set_config(exact)

    wanted = replace(REST, threshold=0.123456, min_size=7, max_hole=8, border=1.2345)
    assert panel.over(REST) == wanted
    panel._editors["min_size"].value = 30
    assert panel.over(REST) == replace(wanted, min_size=30)
    panel._editors["min_size"].native.stepBy(-31)
    assert panel._editors["min_size"].native.text() == "automatic"
    assert panel.over(REST) == replace(wanted, min_size=-1)


def test_before_a_segmentation_there_is_nothing_to_act_on(
    viewer: Any, session: Session, panel: AdjustPanel
) -> None:
    """The panel says what to do; the values count for the first segmentation."""
    assert "Segment first; then changes here take effect at once." in reads(panel)
    image = viewer.add_image(PIXELS, name="cells")
    panel._editors["threshold"].value = 0.75
    assert "Segment first" in reads(panel)
    assert not session.background.busy
    assert panel.over(REST).threshold == 0.75

    session.kept.put(image, (), SAID, SEGMENTER)
    assert "Changes here act on the last result at once." in reads(panel)
    session.kept.forget(image)
    assert "Segment first" in reads(panel)


def test_classes_have_nothing_to_adjust(session: Session, panel: AdjustPanel, image: Image) -> None:
    """The knobs are disabled and say why, until a model of cells comes."""
    classes = make_segmenter(kind="classes")
    session.kept.put(image, (), SAID, classes)
    for editor in panel._editors.values():
        assert not editor.enabled
        assert "classes" in editor.tooltip
    assert not panel._automatic.enabled
    assert "there is nothing to adjust" in reads(panel)

    session.kept.put(image, (), SAID, SEGMENTER)
    assert all(editor.enabled for editor in panel._editors.values())
    assert "Lower values find more" in str(panel._editors["threshold"].tooltip)


def test_an_image_that_became_another_has_no_result_to_adjust(
    panel: AdjustPanel, image: Image
) -> None:
    """Cut in place: what was found of it is not of classes because of that."""
    image.data = PIXELS[:64]
    panel.renew()
    assert "Segment first" in reads(panel)
    assert panel._editors["threshold"].enabled


def test_an_axis_that_is_named_as_it_cannot_be_hinders_nothing_else(
    viewer: Any, session: Session, data: DataPanel, panel: AdjustPanel
) -> None:
    """C beside the slider of the second axis: the dock says that channels come first."""
    image = viewer.add_image(np.stack([[PIXELS, PIXELS]] * 3), name="worm")
    session.kept.put(image, (0, 0), SAID, SEGMENTER)
    assert "Changes here act on the last result at once." in reads(panel)
    told: list[bool] = []
    data.choice.changed.connect(lambda: told.append(True))
    image.axis_labels = ("z", "c", "y", "x")

    assert "Segment first" in reads(panel)
    assert told


@pytest.mark.usefixtures("image")
def test_a_panel_that_was_left_does_not_act(
    viewer: Any, session: Session, panel: AdjustPanel, settle: Any
) -> None:
    """Neither on an answer that comes late, nor when a job ends; followed again, it does."""
    before = viewer.layers["cells segmentation"].data.copy()
    panel._editors["threshold"].value = 0.8
    panel.leave()
    session.jobs.done.emit()
    settle()
    np.testing.assert_array_equal(viewer.layers["cells segmentation"].data, before)

    panel.follow()
    panel._editors["threshold"].value = 0.75
    settle()
    assert not np.array_equal(viewer.layers["cells segmentation"].data, before)


def test_a_model_of_classes_has_nothing_to_adjust_before_it_segments(
    session: Session, panel: AdjustPanel
) -> None:
    """As soon as the panel is renewed."""
    session.segmenter = make_segmenter(kind="classes")
    panel.renew()
    assert not panel._editors["threshold"].enabled


def test_the_panel_is_narrow(panel: AdjustPanel) -> None:
    """It fits a dock of 360 pixels."""
    assert panel.widget.native.minimumSizeHint().width() <= 340
