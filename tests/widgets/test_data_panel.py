"""Which layers are chosen, what is said about them, and what is asked."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox
from shared_fixtures import LOOKS_MS

from napari_unet.core.annotation import Annotation
from napari_unet.core.summary import summarise
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.layers import new_scribbles
from napari_unet.viewer.notes import link, meaning_of, set_meaning
from napari_unet.viewer.regions import new_regions, region_masks

IMAGE, TRUTH = touching_cells((128, 128))
SCRIBBLES = painted_scribbles(TRUTH)


def press(button: QMessageBox.StandardButton, asked: list[str]) -> Callable[[], None]:
    """Answer the question that is on the screen, or look again a little later."""

    def look() -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            asked.append(box.text())
            found = box.button(button)
            assert found is not None
            found.click()
        else:
            QTimer.singleShot(20, look)

    return look


@pytest.fixture
def answering(qtbot: Any) -> Callable[..., list[str]]:  # noqa: ARG001 (timers need Qt's loop)
    """Answer the next questions in turn; returns the list they are written down in."""

    def answer(*buttons: str) -> list[str]:
        asked: list[str] = []
        for button in buttons:
            QTimer.singleShot(0, press(QMessageBox.StandardButton[button], asked))
        return asked

    return answer


def chosen(hand: Any) -> tuple[Any, Any, Any]:
    """Return the layers that the dock has chosen."""
    choice = hand.dock.panels.data.choice
    return choice.image, choice.labels, choice.regions


def test_the_only_image_and_its_labels_are_chosen(hand: Any, sample: Any) -> None:
    """Nobody has to choose between one."""
    assert chosen(hand) == (*sample, None)


def test_layers_that_come_later_are_chosen_too(viewer: Any, open_dock: Any) -> None:
    """Whatever is opened first, the dock or the image."""
    hand = open_dock()
    hand.wait_to_read("Open an image: File > Open File(s)")
    image = viewer.add_image(IMAGE, name="cells")
    assert chosen(hand) == (image, None, None)
    hand.wait_to_read("128 x 128 px, 1 channel.\nPress New beside Labels")
    labels = viewer.add_labels(SCRIBBLES)
    assert chosen(hand) == (image, labels, None)


def test_between_two_images_the_user_chooses(viewer: Any, open_dock: Any, sample: Any) -> None:
    """The dock says so; the labels follow the image."""
    other = viewer.add_image(np.zeros((60, 60)), name="other")
    mine = viewer.add_labels(np.zeros((60, 60), int))
    hand = open_dock()
    assert chosen(hand) == (None, None, None)
    hand.wait_to_read("Choose an image.")
    hand.dock.panels.data.choice.image_box.value = other
    assert chosen(hand) == (other, mine, None)
    hand.dock.panels.data.choice.image_box.value = sample[0]
    assert chosen(hand) == (*sample, None)


def test_the_dock_says_that_another_image_is_seen_than_the_chosen_one(
    hand: Any, viewer: Any, sample: Any
) -> None:
    """Cells of that one would be painted; files that are opened together lie one over the other."""
    said = "You are looking at layer 'next field', not at 'cells': choose it as Image, or hide it."
    hand.wait_to_read("10 cells")
    assert not hand.reads("You are looking at")
    other = viewer.add_image(IMAGE.copy(), name="next field")
    hand.wait_to_read(said)
    uppermost = viewer.add_image(IMAGE.copy(), name="uppermost")
    hand.wait_to_read("You are looking at layer 'uppermost', not at 'cells'")
    viewer.layers.remove(uppermost)
    hand.wait_to_read(said)

    def wait_until_forgotten() -> None:
        hand._qtbot.wait_until(lambda: not hand.reads(said), timeout=100_000)

    other.visible = False
    wait_until_forgotten()
    other.visible = True
    hand.wait_to_read(said)
    other.blending = "additive"
    wait_until_forgotten()
    other.blending = "translucent"
    hand.wait_to_read(said)
    viewer.canvas.grid.enabled = True
    wait_until_forgotten()
    viewer.canvas.grid.enabled = False
    hand.wait_to_read(said)
    viewer.layers.move(viewer.layers.index(other), 0)
    wait_until_forgotten()
    viewer.layers.move(0, len(viewer.layers))
    hand.wait_to_read(said)
    hand.dock.panels.data.choice.image_box.value = other
    wait_until_forgotten()
    hand.dock.panels.data.choice.image_box.value = sample[0]
    hand.wait_to_read(said)
    viewer.layers.remove(sample[0])
    wait_until_forgotten()


def test_what_the_dock_asks_for_makes_channels_of_planes(viewer: Any, open_dock: Any) -> None:
    """As long as it is open."""
    viewer.add_image(np.zeros((2, 60, 60), np.uint8), name="two")
    labels = viewer.add_labels(np.zeros((60, 60), np.uint8))
    hand = open_dock()
    hand.wait_to_read("If the planes are channels, write c beside their slider")
    viewer.dims.set_axis_label(0, "c")
    hand.wait_to_read("60 x 60 px, 2 channels")
    assert hand.dock.panels.data.choice.labels is labels
    viewer.window.remove_dock_widget(hand.dock.native)
    viewer.dims.set_axis_label(0, "t")

    assert viewer.layers["two"].axis_labels[0] == "c"


def test_the_dock_says_that_a_stack_is_seen_from_the_side(viewer: Any, open_dock: Any) -> None:
    """What is painted there is a slice of a cell in every plane, and each would be a cell."""
    said = "The view shows other axes than Y and X of layer 'stack'"
    viewer.add_image(np.zeros((9, 60, 60), np.uint8), name="stack")
    hand = open_dock()
    hand.wait_to_read("Press New beside Labels")
    assert not hand.reads(said)
    viewer.dims.roll()
    hand.wait_to_read(said)
    viewer.dims.ndisplay = 3
    hand._qtbot.wait_until(lambda: not hand.reads(said), timeout=5_000)
    viewer.dims.ndisplay = 2
    hand.wait_to_read(said)
    viewer.dims.roll()
    viewer.dims.roll()
    hand._qtbot.wait_until(lambda: not hand.reads(said), timeout=5_000)


def test_the_dock_says_that_other_labels_are_painted_than_the_chosen_ones(
    hand: Any, viewer: Any, sample: Any
) -> None:
    """No training would look at such strokes; which labels are meant, only the painter knows."""
    other = viewer.add_labels(np.zeros_like(SCRIBBLES), name="more")
    said = (
        "You are painting in layer 'more', not in 'painted': choose it as Labels, or click on "
        "'painted' in the layer list."
    )

    def wait_until_forgotten() -> None:
        hand._qtbot.wait_until(lambda: not hand.reads("You are painting"), timeout=100_000)

    hand.wait_to_read("10 cells")
    assert not hand.reads("You are painting")
    other.mode = "paint"
    hand.wait_to_read(said)
    viewer.layers.selection.active = sample[1]
    wait_until_forgotten()
    viewer.layers.selection.active = other
    hand.wait_to_read(said)
    other.mode = "pan_zoom"
    wait_until_forgotten()
    other.mode = "erase"
    hand.wait_to_read(said)
    hand.dock.panels.data.choice.labels = other
    wait_until_forgotten()
    hand.dock.panels.data.choice.labels = None
    hand.wait_to_read("You are painting in layer 'more': choose it as Labels.")
    second = viewer.add_image(IMAGE.copy(), name="next field", blending="additive")
    link(other, second)  # what is painted on another image is learned from, too
    hand.dock.panels.data.choice.image_box.value = sample[0]
    wait_until_forgotten()


def test_a_chosen_layer_can_be_renamed_and_removed(hand: Any, viewer: Any, sample: Any) -> None:
    """The choice holds the layer, not its name; when it is gone nothing is chosen."""
    image, labels = sample
    image.name, labels.name = "new", "newer"
    assert chosen(hand) == (image, labels, None)
    viewer.layers.remove(labels)
    assert chosen(hand) == (image, None, None)
    viewer.layers.remove(image)
    assert chosen(hand) == (None, None, None)
    hand.wait_to_read("Open an image")


def test_renaming_layers_changes_no_choice(viewer: Any, open_dock: Any, sample: Any) -> None:
    """Though there are others, and one of them takes the name that was given up."""
    image, labels = sample
    other = viewer.add_image(IMAGE.copy(), name="other")
    more = viewer.add_labels(SCRIBBLES.copy(), name="more")
    regions = new_regions(viewer, image)
    viewer.add_shapes(name="shapes")
    hand = open_dock()
    choice = hand.dock.panels.data.choice
    choice.image_box.value, choice.labels, choice.regions_box.value = image, labels, regions
    image.name, labels.name, regions.name = "image 1", "labels 1", "regions 1"
    other.name, more.name, viewer.layers[-1].name = "cells", "painted", "regions"

    assert chosen(hand) == (image, labels, regions)


def test_a_live_training_goes_on_while_its_layers_are_renamed(
    viewer: Any, hand: Any, sample: Any, qtbot: Any
) -> None:
    """It would end, and another one begin, if other layers were chosen."""
    image, labels = sample
    viewer.add_image(IMAGE.copy(), name="other")
    viewer.add_labels(SCRIBBLES.copy(), name="more")
    assert chosen(hand) == (image, labels, None)
    hand.dock.panels.training.set_live(True)
    qtbot.wait_until(lambda: bool(hand.session.record.seconds), timeout=100_000)
    training = hand.session.training
    image.name, labels.name = "image 1", "labels 1"
    qtbot.wait(LOOKS_MS)

    assert hand.session.training is training
    assert training.live
    hand.click("Stop")
    hand.wait_until_idle()


def test_new_labels_are_scribbles_ready_to_paint(viewer: Any, open_dock: Any) -> None:
    """One click; the dock then says what to paint."""
    image = viewer.add_image(IMAGE, name="cells")
    hand = open_dock()
    hand.wait_to_read("Press New")
    hand.dock.panels.data.choice._new_labels.native.click()
    labels = viewer.layers["cells scribbles"]

    assert chosen(hand) == (image, labels, None)
    assert (labels.mode, meaning_of(labels)) == ("paint", "scribbles")
    hand.wait_to_read("Paint a few cells with label 2 and up and some background with label 1.")


def test_new_regions_are_chosen(hand: Any, viewer: Any) -> None:
    """Boxes in which everything is labelled."""
    hand.dock.panels.data.choice._new_regions.native.click()

    assert chosen(hand)[2] is viewer.layers["cells training regions"]
    nothing = np.zeros((128, 128), bool)
    hand.wait_to_read(str(summarise([Annotation(IMAGE, SCRIBBLES, "scribbles", nothing)])))
    layer = viewer.layers["cells training regions"]
    layer.add(np.array([[0, 0], [0, 64], [64, 64], [64, 0]]), shape_type="rectangle")
    inside = region_masks(layer, viewer.layers["cells"])[()]
    hand.wait_to_read(str(summarise([Annotation(IMAGE, SCRIBBLES, "scribbles", inside)])))


def test_training_regions_go_with_their_image(viewer: Any, hand: Any, sample: Any) -> None:
    """In those of another field, what is not painted on this one would be background."""
    image, _ = sample
    other = viewer.add_image(IMAGE.copy(), name="next field")
    choice = hand.dock.panels.data.choice
    choice._new_regions.native.click()
    regions = viewer.layers["cells training regions"]
    choice.image_box.value = other
    assert choice.regions is None
    spare = viewer.add_shapes(name="boxes")
    choice.regions_box.value = spare
    choice.image_box.value = image
    assert choice.regions is regions
    choice.image_box.value = other
    assert choice.regions is spare
    choice.regions_box.value = None
    choice.image_box.value = image
    choice.image_box.value = other
    assert choice.regions is None
    viewer.layers.remove(regions)
    choice.image_box.value = image
    assert choice.regions is None


def test_other_painted_images_are_trained_on_with_the_regions_chosen_for_them(
    viewer: Any, open_dock: Any
) -> None:
    """Drawn but not trained on yet, they count; trained on, but no longer chosen, they do not."""
    image = viewer.add_image(IMAGE, name="cells")
    new_scribbles(viewer, image).data[:] = SCRIBBLES
    other = viewer.add_image(IMAGE.copy(), name="next field")
    data = open_dock().dock.panels.data
    data.choice.image_box.value = image
    data.choice._new_regions.native.click()
    regions = viewer.layers["cells training regions"]
    data.choice.image_box.value = other
    assert [one.regions for one in data.others()] == [regions]

    link(regions, image)  # as a training does
    data.choice.image_box.value = image
    data.choice.regions_box.value = None
    data.choice.image_box.value = other
    assert [one.regions for one in data.others()] == [None]


def test_training_regions_that_two_images_share_are_those_of_both(
    viewer: Any, open_dock: Any
) -> None:
    """Whatever was trained on since, and in a dock that is opened again."""
    image, other = (viewer.add_image(IMAGE.copy(), name=name) for name in ("cells", "next field"))
    labels, more = (new_scribbles(viewer, one) for one in (image, other))
    regions = new_regions(viewer, image)
    for one, drawn in ((image, labels), (other, more)):
        drawn.data[:] = SCRIBBLES
        link(drawn, one)
    link(regions, image)  # it came back after a crash, say
    hand = open_dock()
    data = hand.dock.panels.data
    data.choice.image_box.value = image
    assert data.regions is regions
    data.choice.image_box.value = other
    data.choice.regions_box.value = regions
    data.choice.image_box.value = image
    hand.click("Train")
    hand.session.jobs.stop()
    hand.wait_until_idle()
    data.choice.image_box.value = other
    assert [one.regions for one in data.others()] == [regions]
    viewer.window.remove_dock_widget(hand.dock.native)

    data = open_dock().dock.panels.data
    assert data.chosen() == (other, more, regions)
    assert [one.regions for one in data.others()] == [regions]


def test_training_regions_that_come_back_are_chosen(viewer: Any, hand: Any, sample: Any) -> None:
    """After a crash, say, they are added when their image is chosen already; once is enough."""
    image, _ = sample
    regions = Shapes(ndim=2, name="restored")
    link(regions, image)
    viewer.add_layer(regions)
    choice = hand.dock.panels.data.choice
    assert (choice.image, choice.regions) == (image, regions)

    choice.regions_box.value = None
    viewer.add_shapes(name="boxes")
    assert choice.regions is None


def test_training_regions_that_were_trained_on_are_chosen_with_their_image(
    viewer: Any, open_dock: Any, sample: Any
) -> None:
    """Unless none are wanted; those that are chosen before any image are meant for the next one."""
    image, _ = sample
    other = viewer.add_image(IMAGE.copy(), name="next field")
    spare, regions = viewer.add_shapes(name="boxes"), new_regions(viewer, image)
    link(regions, image)  # as a training does
    hand = open_dock()
    choice = hand.dock.panels.data.choice
    choice.regions_box.value = spare
    choice.image_box.value = other
    assert choice.regions is spare
    choice.image_box.value = image
    assert choice.regions is regions
    choice.regions_box.value = None
    viewer.window.remove_dock_widget(hand.dock.native)

    choice = open_dock().dock.panels.data.choice
    assert (choice.image, choice.regions) == (image, None)


def test_the_sentence_follows_strokes_and_undo(hand: Any, sample: Any) -> None:
    """A moment after the brush is lifted."""
    _, labels = sample
    hand.wait_to_read("10 cells")
    labels.paint((64, 64), 200)
    hand.wait_to_read("11 cells")
    labels.undo()
    hand.wait_to_read("10 cells")
    labels.data = np.where(SCRIBBLES < 5, SCRIBBLES, 0)
    hand.wait_to_read("3 cells")


def test_stacks_and_channels_are_named_before_anything_runs(viewer: Any, open_dock: Any) -> None:
    """Also when an axis gets its name late."""
    image = viewer.add_image(np.zeros((3, 20, 30)))
    hand = open_dock()
    hand.wait_to_read("3 planes (z or time), 20 x 30 px, 1 channel. If the planes are channels")
    image.axis_labels = ("c", "y", "x")
    hand.wait_to_read("20 x 30 px, 3 channels")


def test_axes_that_make_no_sense_are_explained_in_the_dock_alone(
    viewer: Any, open_dock: Any, messages: Any
) -> None:
    """Not with a notification for every letter that is written beside a slider."""
    viewer.add_image(np.zeros((3, 2, 20, 30)))
    hand = open_dock()
    for written in ("c", "ch", "channel"):
        viewer.dims.set_axis_label(1, written)
    viewer.dims.set_axis_label(0, "z")
    hand.wait_to_read("has the axes z, channel, -2, -1; channels come first.")
    assert messages() == []


def test_labels_that_do_not_fit_are_explained(hand: Any, viewer: Any) -> None:
    """In the dock, not only on a click."""
    hand.dock.panels.data.choice.labels = viewer.add_labels(np.zeros((5, 5), int), name="old")

    hand.wait_to_read("Labels layer 'old' has shape (5, 5), image layer 'cells' has (128, 128)")


def test_the_meaning_is_read_from_and_kept_in_the_layer(hand: Any, sample: Any) -> None:
    """Per layer, whichever is chosen."""
    _, labels = sample
    box = hand.dock.panels.data._meaning
    assert box.value == "scribbles"
    box.value = "classes"
    assert meaning_of(labels) == "classes"
    hand.wait_to_read("px class 1")
    other = hand.session.viewer.add_labels(TRUTH, name="truth")
    hand.dock.panels.data.choice.labels = other
    assert box.value == "instances"
    assert meaning_of(labels) == "classes"


def test_a_doubt_is_shown_while_painting_and_asked_before_training(
    hand: Any, sample: Any, answering: Any
) -> None:
    """Yes makes scribbles of what were called instances; the answer is remembered."""
    _, labels = sample
    sparse = np.where(SCRIBBLES < 4, SCRIBBLES, 0)
    labels.data = sparse
    hand.dock.panels.data._meaning.value = "instances"
    hand.wait_to_read("Label 1 looks like strokes of background")
    asked = answering("Yes")
    hand.click("Train")
    hand.wait_until_idle()

    assert len(asked) == 1
    assert "Are these scribbles" in asked[0]
    assert meaning_of(labels) == "scribbles"
    assert hand.dock.panels.data._meaning.value == "scribbles"
    assert hand.session.segmenter is not None
    hand.click("Train")
    hand.wait_until_idle()
    assert len(asked) == 1
    assert not hand.dock.panels.data.text._doubt.native.isVisible()


def test_no_keeps_the_meaning_and_asks_on(hand: Any, sample: Any, answering: Any) -> None:
    """Until nothing is doubtful any more."""
    _, labels = sample
    labels.data = np.zeros((128, 128), np.uint8)
    labels.data[10:13, 10:60] = labels.data[30:33, 10:60] = 1
    labels.data[60:75, 60:75] = 2
    hand.dock.panels.data._meaning.value = "instances"
    asked = answering("No", "Yes")
    hand.click("Train")
    hand.wait_until_idle()

    assert [text.split(",")[0] for text in asked] == [
        "Label 1 looks like strokes of background",
        "Only 3 % is painted",
    ]
    assert meaning_of(labels) == "instances"
    assert hand.session.segmenter is not None


def test_cancel_trains_nothing_and_asks_again(hand: Any, sample: Any, answering: Any) -> None:
    """Closing the question is no answer."""
    _, labels = sample
    set_meaning(labels, "instances")
    labels.data = np.where(SCRIBBLES < 4, SCRIBBLES, 0)
    for _ in range(2):
        asked = answering("Cancel")
        hand.click("Train")
        assert len(asked) == 1
        assert hand.session.jobs.state == "idle"

    assert hand.session.segmenter is None
    assert meaning_of(labels) == "instances"


def second_image(viewer: Any, labels: Any, pixels: np.ndarray) -> Any:
    """Open another image whose labels were trained on, so that it is trained on too."""
    image = viewer.add_image(IMAGE.T.copy(), name="other")
    more = viewer.add_labels(pixels, name="mask")
    link(more, image)
    viewer.layers.selection.active = labels
    return more


def test_the_meaning_of_other_labels_is_asked_for_too(
    hand: Any, viewer: Any, sample: Any, answering: Any
) -> None:
    """The question says which layer it is about."""
    more = second_image(viewer, sample[1], np.where(SCRIBBLES < 4, SCRIBBLES, 0).T.copy())
    assert chosen(hand) == (*sample, None)
    asked = answering("Cancel")
    hand.click("Train")
    assert len(asked) == 1
    assert asked[0].startswith("Layer 'mask': Label 1 looks like strokes of background")
    assert hand.session.jobs.state == "idle"
    asked = answering("Yes")
    hand.click("Train")
    hand.wait_until_idle()

    assert len(asked) == 1
    assert meaning_of(more) == "scribbles"
    assert hand.session.segmenter is not None


def test_an_answer_about_other_labels_without_a_way_on_names_them(
    hand: Any, viewer: Any, sample: Any, answering: Any, messages: Any
) -> None:
    """The remedy is not about the layer that is chosen."""
    pixels = np.zeros((128, 128), np.uint8)
    pixels[60:75, 60:75] = 1
    second_image(viewer, sample[1], pixels)
    answering("No")
    hand.click("Train")

    ((_, message),) = messages()
    assert message.startswith("Layer 'mask': Draw a training region around the part")
    assert hand.session.jobs.state == "idle"


def test_an_answer_without_a_way_on_names_one(
    hand: Any, sample: Any, answering: Any, messages: Any
) -> None:
    """A few cells and nothing else cannot be learned from."""
    _, labels = sample
    labels.data = np.zeros((128, 128), np.uint8)
    labels.data[60:75, 60:75] = 1
    set_meaning(labels, "instances")
    answering("No")
    hand.click("Train")

    assert hand.session.jobs.state == "idle"
    ((severity, message),) = messages()
    assert severity == "error"
    assert message.startswith("Draw a training region around the part that is fully labelled")


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ("image", "No image is chosen; open one"),
        ("labels", "No labels are chosen; press New beside Labels"),
        ("paint", "Nothing is painted in layer 'painted' yet"),
    ],
)
def test_what_is_missing_is_told_with_a_remedy(
    hand: Any, viewer: Any, sample: Any, messages: Any, missing: str, remedy: str
) -> None:
    """As a notification, which napari cuts off, and in the dock, which stays ready."""
    image, labels = sample
    if missing == "paint":
        labels.data = np.zeros((128, 128), np.uint8)
    else:
        viewer.layers.remove(image if missing == "image" else labels)
    hand.click("Train")

    ((severity, message),) = messages()
    assert severity == "error"
    assert remedy in message
    assert hand.reads(message)
    assert hand.button("Train").isEnabled()


def test_the_meaning_is_locked_while_a_training_runs(hand: Any, sample: Any, qtbot: Any) -> None:
    """What is learned already was learned with the meaning at the start."""
    panels = hand.dock.panels
    meaning = panels.data._meaning
    panels.training.set_budget(seconds=100)
    hand.click("Train")
    qtbot.wait_until(lambda: not meaning.enabled, timeout=100_000)
    panels.data.choice.follow()
    assert not meaning.enabled
    hand.click("Stop")
    hand.wait_until_idle()

    assert meaning.enabled
    meaning.value = "instances"
    assert meaning_of(sample[1]) == "instances"


def test_the_tick_box_counts_what_is_trained_on_beside_the_chosen_image(
    hand: Any, viewer: Any, sample: Any
) -> None:
    """Other images, each once, and never a second labels layer of the chosen one."""
    image, labels = sample
    data = hand.dock.panels.data
    second = new_scribbles(viewer, image)
    second.data = SCRIBBLES.copy()
    other = viewer.add_image(IMAGE.T.copy(), name="other")
    for _ in range(2):
        more = new_scribbles(viewer, other)
        more.data = SCRIBBLES.T.copy()
    data.choice.image_box.value, data.choice.labels = image, labels

    assert [(one.image, one.labels) for one in data.others()] == [(other, more)]
    assert data.others_box.text == "Also 1 other painted image"
    viewer.layers.remove(more)
    viewer.layers[-1].data[:] = 0
    assert data.others() == []
    assert not data.others_box.visible


@pytest.mark.parametrize("what", ["cells and classes", "channels"])
def test_painted_images_of_two_kinds_are_told_with_the_way_out(
    hand: Any, viewer: Any, sample: Any, messages: Any, what: str
) -> None:
    """They are trained on together unless a box is unticked, of which nobody would think."""
    image, labels = sample
    link(labels, image)
    pixels = np.dstack([IMAGE, IMAGE / 2, IMAGE]) if what == "channels" else IMAGE
    other = viewer.add_image(pixels, name="axons", rgb=what == "channels", blending="additive")
    classes = new_scribbles(viewer, other, "scribbles" if what == "channels" else "classes")
    classes.data[...] = SCRIBBLES if what == "channels" else 1 + (SCRIBBLES > 1)
    hand.dock.panels.data.choice.image_box.value = image
    hand.dock.panels.data.choice.labels = labels
    hand.click("Train on current labels")

    ((severity, message),) = messages()
    told = {
        "channels": "Layer 'cells' has 1 channel, and layer 'axons' has 3 channels",
        "cells and classes": (
            "Layer 'painted' holds cells, and layer 'axons scribbles' holds classes"
        ),
    }
    assert severity == "error"
    assert message.startswith(f"{told[what]}: one model cannot learn from both. Untick 'Also ...")
    assert hand.reads(message)
