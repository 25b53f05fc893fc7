"""Segmenting, from the dock."""

from typing import Any

import numpy as np
import pytest
from skimage.transform import resize
from small_things import make_segmenter

from napari_unet import segment
from napari_unet.core.config import PredictConfig
from napari_unet.engine.starter import starter_model
from napari_unet.sample_data import touching_cells
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


def test_the_magnification_is_found_and_used(hand: Any, viewer: Any) -> None:
    """Find shows the number beside it; Segment takes it; another model puts it back."""
    model, image = starter_model(), touching_cells((128, 128))[0]
    hand.session.segmenter = model
    larger = resize(image.astype(np.float32), (256, 256), order=1)
    layer = viewer.add_image(larger, name="other objective")
    hand.dock.panels.data.choice.image_box.value = layer
    panels = hand.dock.panels
    hand.click("Find")
    assert not hand.button("Find").isEnabled()
    hand.wait_until_idle()

    found = panels.predict_config().magnification
    assert found > 1
    assert hand.reads(f"Magnification {found:g}: the objects here are larger than those the model")
    hand.click("Segment")
    hand.wait_until_idle()
    expected = segment(model, larger, PredictConfig(magnification=found))
    shown = viewer.layers["other objective segmentation"].data
    np.testing.assert_array_equal(shown, expected)
    kept = hand.session.kept.get(layer, ())
    assert kept.magnification == found
    hand.session.segmenter = make_segmenter()
    assert panels.predict_config().magnification == 1


def test_pixels_of_another_size_tell_the_magnification(hand: Any, viewer: Any) -> None:
    """A sentence says so where both layers have a unit of length, and Find takes it at once."""
    painted, pixels = viewer.layers["cells"], viewer.layers["cells"].data
    for layer in (painted, hand.dock.panels.data.labels):
        layer.scale, layer.units = (0.65, 0.65), ("um", "um")
    finer = viewer.add_image(pixels, name="finer", scale=(0.325, 0.325), units=("um", "um"))
    viewer.add_image(pixels, name="no unit", scale=(0.325, 0.325))
    panels = hand.dock.panels
    panels.training.set_budget(seconds=0, steps=3)
    hand.click("Train on current labels")
    hand.wait_until_idle()
    assert hand.session.segmenter.pixel_size == pytest.approx(0.65)
    fits = "Pixels are 0.325 µm wide, those of the painted images 0.65 µm: magnification 2 would"

    assert not hand.reads(fits)
    panels.data.choice.image_box.value = viewer.layers["no unit"]
    assert not hand.reads(fits)
    panels.data.choice.image_box.value = finer
    assert hand.reads(fits)
    hand.click("Find")
    assert hand.session.jobs.state == "idle"
    assert panels.predict_config().magnification == 2
    assert not hand.reads(fits)
    panels.data.choice.image_box.value = painted
    assert not hand.reads(fits)


def test_an_image_that_does_not_fit_has_no_magnification(hand: Any) -> None:
    """The sentence is that of segmenting; nothing runs."""
    hand.session.segmenter = make_segmenter(channels=2)
    hand.click("Find")
    assert hand.session.jobs.state == "idle"
    assert hand.reads("The model was trained on 2 channel(s)")
