"""Segmenting, from the dock."""

from typing import Any

import numpy as np
import pytest
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig
from napari_unet.widgets.segment_panel import SegmentPanel


@pytest.mark.parametrize(
    ("scope", "planes"),
    [("current plane", [1]), ("whole layer", [0, 1]), ("all open images", [0, 1])],
)
def test_the_plane_the_layer_or_all_images_are_segmented(
    viewer: Any, open_dock: Any, scope: str, planes: list[int]
) -> None:
    """As chosen beside the button."""
    rng = np.random.default_rng(0)
    image = viewer.add_image(rng.random((2, 40, 50)), name="worm")
    viewer.add_image(rng.random((40, 50)), name="photograph")
    hand = open_dock()
    hand.session.segmenter = make_segmenter()
    hand.dock.panels.data.choice.image_box.value = image
    viewer.dims.set_point(0, 1)
    hand.dock.panels.segmentation._scope.value = scope
    hand.click("Segment")
    hand.wait_until_idle()

    layer = viewer.layers["worm segmentation"]
    assert [z for z in range(2) if layer.data[z].any()] == planes
    assert ("photograph segmentation" in viewer.layers) == (scope == "all open images")
    assert hand.reads("Segmented ")


def test_probabilities_come_along_when_ticked(hand: Any, viewer: Any) -> None:
    """In a layer of their own."""
    hand.session.segmenter = make_segmenter()
    hand.dock.panels.segmentation._probability.value = True
    hand.click("Segment")
    hand.wait_until_idle()

    assert 0 < viewer.layers["cells probability"].data.mean() < 1


def test_settings_of_prediction_are_used(hand: Any, viewer: Any, qtbot: Any) -> None:
    """A threshold nothing reaches finds nothing."""
    hand.session.segmenter = make_segmenter()
    settings = PredictConfig(threshold=1.0, device="cpu")
    panel = SegmentPanel(hand.session, hand.dock.panels.data, lambda: settings)
    qtbot.add_widget(panel.widget.native)
    panel.segment(viewer.layers["cells"], "current plane")
    hand.wait_until_idle()

    assert not viewer.layers["cells segmentation"].data.any()
    assert hand.reads("Segmented 0 cells in ")


def test_while_one_job_runs_no_other_can_be_started(hand: Any) -> None:
    """Neither by a click nor by loading a model."""
    hand.dock.panels.training.set_budget(seconds=100)
    hand.click("Train")
    hand.wait_to_read("Step ")

    assert not hand.button("Segment").isEnabled()
    assert not hand.button("Load").isEnabled()
    assert not hand.button("New model").isEnabled()
    hand.click("Stop")
    hand.wait_until_idle()
    assert hand.button("Segment").isEnabled()
    assert hand.button("Load").isEnabled()
