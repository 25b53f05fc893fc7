"""What was said passes when what it speaks of is gone, and not before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_things import make_segmenter

from napari_unet.sample_data import painted_scribbles, touching_cells

IMAGE, TRUTH = touching_cells((128, 128))
SCRIBBLES = painted_scribbles(TRUTH)


def test_what_was_missing_is_missed_no_more_once_it_is_there(viewer: Any, open_dock: Any) -> None:
    """'No labels are chosen' is not to be read beside labels that are."""
    hand = open_dock()
    hand.click("Train on current labels")
    assert hand.reads("No image is chosen")
    viewer.add_image(IMAGE, name="cells")
    assert not hand.reads("No image is chosen")
    hand.click("Train on current labels")
    assert hand.reads("No labels are chosen")
    hand.dock.panels.data.choice.add_labels()
    assert not hand.reads("No labels are chosen")
    hand.click("Train on current labels")
    assert hand.reads("Nothing is painted in layer")
    labels = hand.dock.panels.data.labels
    labels.paint((20, 20), 2)
    assert not hand.reads("Nothing is painted in layer")
    labels.translate = (0, 9)
    hand.click("Train on current labels")
    said = hand.dock.panels.training._said
    assert "does not lie on image layer" in said.value
    labels.translate = (0, 0)
    assert "does not lie on image layer" not in said.value


@pytest.mark.parametrize(
    ("button", "panel", "said"),
    [
        ("Accept all in view", "correction", "Nothing is predicted in this plane of layer 'cells'"),
        ("Segment in 3D", "link", "Layer 'cells' (128 x 128 px, 1 channel) is not a volume"),
        ("Copy as Python", "code", "Copied as Python."),
    ],
)
def test_what_was_said_of_an_image_is_not_said_of_another(
    hand: Any, viewer: Any, sample: Any, button: str, panel: str, said: str
) -> None:
    """It stays while layers come, go and get other names."""
    choice, place = hand.dock.panels.data.choice, getattr(hand.dock.panels, panel)._said
    other = viewer.add_image(IMAGE.copy(), name="next field", blending="additive")
    choice.image_box.value = sample[0]
    hand.click(button)
    assert place.value.startswith(said)
    points = viewer.add_points()
    points.name = "notes"
    viewer.layers.remove(points)
    assert not place.native.isHidden()
    choice.image_box.value = other
    assert place.native.isHidden()


def test_a_result_is_spoken_of_beside_its_image_as_long_as_it_is_there(
    hand: Any, viewer: Any, sample: Any
) -> None:
    """'Paint where it is wrong' makes no sense where nothing was found yet."""
    other = viewer.add_image(IMAGE.copy(), name="next field")
    choice = hand.dock.panels.data.choice
    choice.image_box.value = sample[0]
    hand.session.segmenter = make_segmenter()
    panel = hand.dock.panels.segmentation

    def said() -> str:
        return "" if panel._said.native.isHidden() else str(panel._said.value)

    hand.click("Segment")
    hand.wait_until_idle()
    about = said()
    assert about.startswith("Segmented ")
    choice.image_box.value = other
    assert said() == ""
    choice.image_box.value = sample[0]
    assert said() == about
    viewer.layers.remove("cells segmentation")
    assert said() == ""
    hand.click("Segment")
    hand.wait_until_idle()
    viewer.layers.remove("cells")
    assert said() == ""


def test_the_end_of_a_job_is_told_although_its_image_is_gone(hand: Any, viewer: Any) -> None:
    """Else nobody would know why there is no result."""
    hand.session.segmenter = make_segmenter()
    viewer.layers.remove("painted")
    volume = viewer.add_image(np.stack([IMAGE] * 6), name="embryo")
    hand.dock.panels.data.choice.image_box.value = volume
    hand.click("Segment in 3D")
    viewer.layers.remove(volume)
    hand.wait_until_idle()

    assert hand.reads("Stopped: the image was deleted")


def test_what_was_said_of_a_model_is_not_said_of_the_next(hand: Any, tmp_path: Any) -> None:
    """'Saved as ...' beside a model that is not saved would be a false comfort."""
    hand.session.segmenter = make_segmenter()
    hand.dock.panels.model.save(str(tmp_path / "good"))
    assert hand.reads("Saved as good")
    hand.session.segmenter = make_segmenter(seed=2)
    assert hand.dock.panels.model._said.native.isHidden()
    hand.dock.panels.model.load(str(tmp_path / "good.safetensors"))
    assert not hand.dock.panels.model._said.native.isHidden()
