"""The switch of the weight map, and its sliders."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox
from small_things import make_segmenter

from napari_unet.core.boundary import boundary_weight_map
from napari_unet.core.config import TrainConfig
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.weights_panel import WeightsPanel

CELLS = np.zeros((90, 100), np.uint16)
for number, corner in enumerate(range(5, 80, 25), start=1):
    CELLS[corner : corner + 20, 10:40] = number
    CELLS[corner : corner + 20, 44:60] = number + 10


@pytest.fixture
def painted(viewer: Any) -> Any:
    """Cells painted on an image."""
    viewer.add_image(np.zeros(CELLS.shape, np.uint8), name="image")
    return viewer.add_labels(CELLS.copy(), name="painted")


@pytest.fixture
def panel(viewer: Any, qtbot: Any) -> Iterator[WeightsPanel]:
    """The panel, with a choice of layers of its own."""
    session = Session.of(viewer)
    data = DataPanel(session.viewer)
    panel = WeightsPanel(session, data, lambda: TrainConfig(downsample=1))
    for part in (data, panel):
        qtbot.addWidget(part.widget.native)
        part.follow()
    yield panel
    for part in (panel, data):
        part.leave()
    vars(panel.switch).clear()  # pytest keeps what fixtures return until after the check for leaks


def settle(panel: WeightsPanel, qtbot: Any) -> None:
    """Wait until the map is computed."""
    qtbot.wait_until(
        lambda: panel.switch._map is not None and not panel.switch._later.isActive(),
        timeout=100_000,
    )
    live = panel.switch._map
    assert live is not None
    qtbot.wait(1)
    qtbot.wait_until(
        lambda: live._asked is None and not live._edits._timer.isActive(), timeout=100_000
    )


def shown(viewer: Any) -> Any:
    """Return the map that is shown."""
    return viewer.layers["image weight map"].data


def test_the_map_follows_the_switch_the_sliders_and_the_brush(
    panel: WeightsPanel, painted: Any, viewer: Any, qtbot: Any
) -> None:
    """Switched off, its layer goes."""
    panel.switch._box.value = True
    settle(panel, qtbot)
    expected = boundary_weight_map(CELLS, class_weights=False)
    np.testing.assert_array_equal(shown(viewer), expected)

    panel._sliders["w0"].value = 25
    panel._sliders["sigma"].value = 2
    painted.paint((50, 80), 44)
    settle(panel, qtbot)
    expected = boundary_weight_map(painted.data, w0=25, sigma=2, class_weights=False)
    np.testing.assert_array_equal(shown(viewer), expected)
    assert viewer.layers["image weight map"].contrast_limits == [0, 26]

    panel.switch._box.value = False
    assert "image weight map" not in viewer.layers
    panel._sliders["w0"].value = 5
    assert "image weight map" not in viewer.layers


def test_training_gets_what_the_sliders_show(panel: WeightsPanel) -> None:
    """Over the other settings; what was not moved stays exactly as it was given."""
    config = TrainConfig(w0=123.456, sigma=0.25, seed=7)
    panel.set_config(config)
    assert panel.over(TrainConfig(seed=8)) == TrainConfig(w0=123.456, sigma=0.25, seed=8)

    panel._sliders["sigma"].value = 7.5
    assert panel.over(config) == TrainConfig(w0=123.456, sigma=7.5, seed=7)
    assert (panel.w0, panel.sigma) == (123.456, 7.5)


@pytest.mark.usefixtures("painted")
def test_why_there_is_no_map_is_said(panel: WeightsPanel, viewer: Any, messages: Any) -> None:
    """In the dock and as a notification; the switch is off again."""
    set_meaning(viewer.layers["painted"], "classes")
    panel.switch._box.value = True

    assert panel.switch._said.value.startswith(
        "Layer 'painted' holds classes; boundary weights separate"
    )
    assert messages()[-1] == ("error", panel.switch._said.value)
    assert not panel.switch._box.value

    viewer.layers.clear()
    panel.switch._box.value = True
    assert "image" in panel.switch._said.value
    assert not panel.switch._box.value


@pytest.mark.parametrize("button", ["Yes", "Cancel"])
def test_the_question_is_asked_once_though_layers_change_meanwhile(
    panel: WeightsPanel, painted: Any, viewer: Any, qtbot: Any, button: str
) -> None:
    """Qt goes on while it is on the screen."""
    pixels = np.zeros_like(CELLS)
    pixels[10:13, 10:60] = pixels[30:33, 10:60] = 1
    pixels[60:75, 60:75] = 2
    painted.data = pixels
    seen: list[int] = []

    def look() -> None:
        boxes = [box for box in QApplication.topLevelWidgets() if isinstance(box, QMessageBox)]
        shown = [box for box in boxes if box.isVisible()]
        seen.append(len(shown))
        for box in reversed(shown):
            box.button(QMessageBox.StandardButton[button]).click()

    QTimer.singleShot(20, lambda: viewer.add_points([[3, 3]]))
    QTimer.singleShot(300, look)
    panel.switch._box.value = True
    qtbot.wait_until(lambda: bool(seen), timeout=100_000)
    assert seen == [1]
    qtbot.wait(50)

    assert panel.switch._box.value == (panel.switch._map is not None) == (button == "Yes")


@pytest.mark.usefixtures("painted")
def test_other_labels_have_another_map(panel: WeightsPanel, viewer: Any, qtbot: Any) -> None:
    """A layer that is just renamed has not."""
    panel.switch._box.value = True
    settle(panel, qtbot)
    first = panel.switch._map
    viewer.layers["painted"].name = "mine"
    viewer.add_points([[3, 3]])
    settle(panel, qtbot)
    assert panel.switch._map is first

    other = viewer.add_labels(CELLS[::-1].copy(), name="other")
    panel.switch._data.choice.labels = other
    settle(panel, qtbot)
    assert panel.switch._map is not first
    expected = boundary_weight_map(other.data, class_weights=False)
    np.testing.assert_array_equal(shown(viewer), expected)
    assert [layer.name for layer in viewer.layers].count("image weight map") == 1


@pytest.mark.usefixtures("painted")
def test_other_training_regions_do_not_make_another_map(
    panel: WeightsPanel, viewer: Any, qtbot: Any
) -> None:
    """It follows what is chosen, and what is removed."""
    regions = viewer.add_shapes([[[0, 0], [0, 80], [90, 80], [90, 0]]])
    panel.switch._box.value = True
    settle(panel, qtbot)
    first, whole = panel.switch._map, shown(viewer).copy()
    panel.switch._data.choice.regions_box.value = regions
    settle(panel, qtbot)
    assert (shown(viewer) != whole).any()
    viewer.layers.remove(regions)
    settle(panel, qtbot)

    np.testing.assert_array_equal(shown(viewer), whole)
    assert panel.switch._map is first


@pytest.mark.parametrize("name", ["image weight map", "painted"])
@pytest.mark.usefixtures("painted")
def test_the_switch_goes_off_with_the_layer(
    panel: WeightsPanel, viewer: Any, qtbot: Any, name: str
) -> None:
    """The map, or the labels it is of."""
    panel.switch._box.value = True
    settle(panel, qtbot)
    viewer.layers.remove(viewer.layers[name])

    assert not panel.switch._box.value
    assert panel.switch._map is None


@pytest.mark.usefixtures("painted")
def test_a_closed_dock_does_nothing_and_an_opened_one_goes_on(
    panel: WeightsPanel, viewer: Any, qtbot: Any
) -> None:
    """The map waits, and then shows what was painted meanwhile."""
    panel.switch._box.value = True
    settle(panel, qtbot)
    before = shown(viewer).copy()
    panel.leave()
    labels = viewer.layers["painted"]
    labels.paint((50, 80), 44)
    qtbot.wait(60)
    np.testing.assert_array_equal(shown(viewer), before)

    panel.follow()
    settle(panel, qtbot)
    expected = boundary_weight_map(labels.data, class_weights=False)
    np.testing.assert_array_equal(shown(viewer), expected)


@pytest.mark.usefixtures("painted")
def test_the_map_has_the_resolution_of_the_model(
    panel: WeightsPanel, viewer: Any, qtbot: Any
) -> None:
    """Of one that is loaded, too."""
    panel.switch._box.value = True
    settle(panel, qtbot)
    model = make_segmenter()
    object.__setattr__(model, "downsample", 3)
    Session.of(viewer).segmenter = model
    settle(panel, qtbot)

    blocks = shown(viewer).reshape(30, 3, -1)[..., :99].reshape(30, 3, 33, 3)
    np.testing.assert_array_equal(blocks, np.broadcast_to(blocks[:, :1, :, :1], blocks.shape))


def test_the_panel_is_as_narrow_as_the_dock(panel: WeightsPanel) -> None:
    """And every control is explained."""
    assert panel.widget.native.minimumSizeHint().width() <= 340
    for control in (panel.switch._box, *panel._sliders.values()):
        assert len(control.tooltip) > 50
