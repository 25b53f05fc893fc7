"""Watching a network learn, painting into a running training, going back, going on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels
from shared_fixtures import LOOKS_MS

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.events import Previewed, StepDone
from napari_unet.errors import InputError
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.field import Field
from napari_unet.viewer.learning.live import Live, missing
from napari_unet.viewer.learning.sources import Source
from napari_unet.viewer.notes import is_result, set_meaning
from napari_unet.viewer.session import Session

IMAGE, TRUTH = touching_cells((128, 128))
SCRIBBLES = painted_scribbles(TRUTH).astype(np.uint16)
PREDICT = PredictConfig(device="cpu")
IN_A_WINDOW = pytest.mark.parametrize("viewer", ["window"], indirect=True)


def small(**options: Any) -> TrainConfig:
    """Return the settings of a small network without a budget."""
    settings = {"seconds": 0, "steps": 0, "base_channels": 4, "depth": 2, "device": "cpu"}
    return TrainConfig(**(settings | options))


@pytest.fixture
def layers(viewer: Any) -> tuple[Image, Labels]:
    """Two planes of the sample, the first with a few painted cells."""
    image = viewer.add_image(np.stack([IMAGE, IMAGE[::-1]]), name="cells")
    labels = viewer.add_labels(np.stack([SCRIBBLES, SCRIBBLES * 0]), name="painted")
    set_meaning(labels, "scribbles")
    viewer.dims.set_current_step(0, 0)
    return image, labels


@pytest.fixture
def told(session: Session) -> list[Any]:
    """The events of all jobs."""
    events: list[Any] = []
    session.jobs.event.connect(events.append)
    return events


def preview_of(session: Session) -> Labels | None:
    """The preview layer, if there is one."""
    found = [layer for layer in session.viewer.layers if is_result(layer, "preview")]
    return found[0] if found else None


@IN_A_WINDOW
def test_the_plane_in_view_is_previewed_while_it_trains(
    session: Session, layers: Any, told: list[Any], finish: Any, qtbot: Any
) -> None:
    """In a layer of its own; another plane is previewed as soon as it is shown."""
    image, labels = layers
    session.train(image, labels, None, small(), preview_every=0.2)
    preview = preview_of(session)
    assert preview is not None
    qtbot.wait_until(lambda: bool(preview.data.any()), timeout=100_000)
    assert not preview.editable
    assert preview.data.shape == labels.data.shape
    qtbot.wait_until(
        lambda: len([e for e in told if isinstance(e, Previewed)]) > 3, timeout=100_000
    )
    assert not preview.data[1].any()
    session.viewer.dims.set_current_step(0, 1)
    qtbot.wait_until(lambda: bool(preview.data[1].any()), timeout=100_000)
    session.jobs.stop()
    finish()
    assert preview in session.viewer.layers


@IN_A_WINDOW
def test_what_is_panned_to_is_previewed_next(
    session: Session, layers: Any, told: list[Any], finish: Any, qtbot: Any
) -> None:
    """With a pause of a minute between two previews of one field, a new field comes at once."""
    image, labels = layers
    session.viewer.window.show() if hasattr(session.viewer, "window") else None
    session.train(image, labels, None, small(), preview_every=60.0)
    qtbot.wait_until(lambda: any(isinstance(e, Previewed) for e in told), timeout=100_000)
    session.viewer.scene.camera.zoom *= 3
    session.viewer.scene.camera.center = (30.0, 30.0)
    qtbot.wait_until(
        lambda: len([e for e in told if isinstance(e, Previewed)]) > 1, timeout=100_000
    )
    session.jobs.stop()
    finish()


def test_a_preview_gives_way_to_the_result(
    session: Session, layers: Any, told: list[Any], finish: Any, qtbot: Any
) -> None:
    """Which is hidden as soon as there is something to preview."""
    image, labels = layers
    session.train(image, labels, None, small(steps=2))
    finish()
    session.segment(image, "current plane", PREDICT)
    finish()
    result = session.viewer.layers["cells segmentation"]
    session.train(image, labels, None, small())
    qtbot.wait_until(lambda: not result.visible, timeout=100_000)
    session.jobs.stop()
    finish()
    session.segment(image, "current plane", PREDICT)
    finish()
    preview = preview_of(session)
    assert preview is not None
    assert not preview.visible
    assert result.visible
    assert any(isinstance(event, Previewed) for event in told)


def test_new_strokes_enter_a_live_training(
    session: Session, layers: Any, told: list[Any], finish: Any, qtbot: Any
) -> None:
    """Without a new start: the steps go on, and the model says what it learned from."""
    image, labels = layers
    session.train(image, labels, None, small(), live=True)
    qtbot.wait_until(lambda: len(told) > 4, timeout=100_000)
    cells = int(session.record.prepared.split(" cells")[0].split()[-1])
    training = session.training
    assert training is not None
    labels.data_setitem(np.nonzero(TRUTH[100, 100] == TRUTH), 77) if TRUTH[100, 100] else None
    labels.data_setitem(
        tuple(np.array(axis) for axis in zip(*[(0, y, x) for y in range(4) for x in range(4)],
                                             strict=True)), 88,
    )  # fmt: skip
    session.viewer.dims.set_current_step(0, 1)
    labels.data_setitem((np.full(9, 1), np.arange(9) + 40, np.arange(9) + 40), 5)
    numbers = training._painting._numbers
    qtbot.wait_until(lambda: len(numbers) == 2, timeout=100_000)  # a new plane was sent
    qtbot.wait(300)
    steps = [event.step for event in told if isinstance(event, StepDone)]
    training.finish()
    finish()
    assert session.segmenter is not None
    learned = session.segmenter.provenance["labelled"]
    assert int(learned.split(" cells")[0].split()[-1]) >= cells + 2
    assert steps == list(range(1, len(steps) + 1))
    assert session.said.of_training.startswith("Trained ")


def test_an_undone_stroke_is_unlearned(
    session: Session, layers: Any, told: list[Any], finish: Any, qtbot: Any
) -> None:
    """Undo reaches the running training like a stroke does."""
    image, labels = layers
    session.train(image, labels, None, small(), live=True)
    qtbot.wait_until(lambda: len(told) > 4, timeout=100_000)
    before = session.record.prepared.split(";")[0]
    labels.data_setitem((np.zeros(5, int), np.arange(5) + 100, np.arange(5) + 100), 99)
    qtbot.wait(300)
    labels.undo()
    qtbot.wait(300)
    assert session.training is not None
    session.training.finish()
    finish()
    assert session.segmenter is not None
    assert session.segmenter.provenance["labelled"] == before


def test_without_live_a_training_learns_what_was_painted_at_the_click(
    session: Session, layers: Any, told: list[Any], finish: Any, qtbot: Any
) -> None:
    """Until live mode is switched on, which takes in what was painted since."""
    image, labels = layers
    session.train(image, labels, None, small())
    qtbot.wait_until(lambda: len(told) > 4, timeout=100_000)
    labels.data_setitem((np.zeros(5, int), np.arange(5) + 100, np.arange(5) + 100), 99)
    qtbot.wait(300)
    assert session.training is not None
    assert not session.training.live
    live = Live(session, pytest.fail, lambda: (image, labels, None))
    live.set(True)
    assert session.training.live
    qtbot.wait(300)
    live.set(False)
    finish()
    assert session.segmenter is not None
    assert session.segmenter.provenance["labelled"] != session.record.prepared.split(";")[0]


def test_live_mode_waits_until_enough_is_painted(
    session: Session, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """It says what is missing, begins by itself, and ends with a trained model."""
    image = viewer.add_image(IMAGE)
    labels = viewer.add_labels(np.zeros(IMAGE.shape, np.uint16))
    set_meaning(labels, "scribbles")
    live = Live(
        session,
        lambda: session.train(image, labels, None, small(), live=True),
        lambda: (image, labels, None),
    )
    live.set(True)
    assert live.waits_for == "a few cells with label 2 and up and some background with label 1"
    assert session.jobs.state == "idle"
    labels.data_setitem(np.nonzero(SCRIBBLES == 1), 1)
    qtbot.wait_until(lambda: live.waits_for == "a few cells with label 2 and up", timeout=100_000)
    labels.data_setitem(np.nonzero(SCRIBBLES > 1), 3)
    qtbot.wait_until(lambda: session.training is not None, timeout=100_000)
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    live.set(False)
    finish()
    assert session.said.of_training.startswith("Trained ")
    assert len(session.history) == 1


@pytest.mark.parametrize(
    ("meaning", "values", "expected"),
    [
        ("scribbles", [0], "a few cells with label 2 and up and some background with label 1"),
        ("scribbles", [0, 1], "a few cells with label 2 and up"),
        ("scribbles", [7], "some background with label 1"),
        ("scribbles", [1, 900], ""),
        ("instances", [0], "a few cells"),
        ("instances", [0, 1], ""),
        ("classes", [0, 1], "two classes"),
        ("classes", [1, 2], ""),
        ("classes", [3, 4], ""),
        ("classes", [4], "two classes"),
    ],
)
def test_what_is_missing_is_said(meaning: Any, values: list[int], expected: str) -> None:
    """For every meaning of the labels."""
    data = np.zeros((2, 20, 20), np.uint16)
    data[1].flat[: len(values)] = values
    labels = Labels(data)
    set_meaning(labels, meaning)
    assert missing(labels) == expected


def test_a_training_region_is_background_enough() -> None:
    """Then nobody has to paint label 1."""
    data = np.zeros((20, 20), np.uint16)
    data[3, 3] = 7
    labels = Labels(data)
    set_meaning(labels, "scribbles")
    assert missing(labels, has_regions=True) == ""
    labels.data = np.zeros_like(data)
    assert missing(labels, has_regions=True) == "a few cells with label 2 and up"


class Stack(np.ndarray):
    """Planes that count how often one of them is read."""

    reads = 0

    def __getitem__(self, key: Any) -> Any:
        type(self).reads += 1
        return super().__getitem__(key)


def test_no_more_planes_are_looked_at_than_suffice() -> None:
    """A stack of a gigabyte must not be walked through at every look."""
    data = np.zeros((50, 20, 20), np.uint16)
    data[1, 0, :2] = (1, 2)
    labels = Labels(data.view(Stack))
    set_meaning(labels, "scribbles")
    Stack.reads = 0
    assert missing(labels) == ""
    assert Stack.reads < 10


def test_labels_are_looked_through_again_only_after_an_edit(
    session: Session, viewer: Any, qtbot: Any
) -> None:
    """While live mode waits, it asks every 0.7 s and finds nothing new."""
    image = viewer.add_image(np.zeros((50, 20, 20), np.float32))
    labels = viewer.add_labels(np.zeros((50, 20, 20), np.uint16).view(Stack))
    set_meaning(labels, "scribbles")
    live = Live(session, pytest.fail, lambda: (image, labels, None))
    live.set(True)
    Stack.reads = 0
    qtbot.wait(LOOKS_MS)
    assert Stack.reads < 10
    labels.data_setitem((np.array([7]), np.array([3]), np.array([3])), 2)
    qtbot.wait_until(lambda: live.waits_for == "some background with label 1", timeout=100_000)
    live.set(False)


def live_on(
    session: Session,
    layers: Any,
    regions: Any = None,
    telling: Callable[[], AbstractContextManager[None]] = nullcontext,
    **options: Any,
) -> tuple[Live, list[Any]]:
    """Switch live mode on; return it, and what is chosen, to be changed."""
    chosen = [*layers, regions]

    def begin() -> None:
        session.train(*chosen, small(**options), live=True)

    live = Live(session, begin, lambda: tuple(chosen), telling)  # type: ignore[arg-type,return-value]
    live.set(True)
    return live, chosen


@pytest.mark.parametrize("end", ["fails", "is stopped"])
def test_a_training_that_breaks_off_switches_live_mode_off(
    session: Session, layers: Any, messages: Any, qtbot: Any, end: str
) -> None:
    """Else it would begin anew and fail every 0.7 s, with a message each time."""
    _, labels = layers
    set_meaning(labels, "classes")
    labels.data = np.minimum(labels.data, 2)
    live, _ = live_on(session, layers)
    qtbot.wait_until(lambda: len(session.record.seconds) > 1, timeout=100_000)
    if end == "fails":  # a class that the network has no output for
        labels.data_setitem((np.zeros(3, int), np.arange(3), np.arange(3)), 3)
    else:
        session.jobs.stop()
    qtbot.wait_until(lambda: not live.on, timeout=100_000)
    qtbot.wait(LOOKS_MS)
    assert session.jobs.state == "idle"
    assert len(messages()) == (end == "fails")


@IN_A_WINDOW
def test_live_mode_ends_with_the_window(session: Session, layers: Any, qtbot: Any) -> None:
    """Nothing asks a closed viewer for labels."""
    _, labels = layers
    labels.data = np.zeros_like(labels.data)
    live, _ = live_on(session, layers)
    session.viewer.close()
    qtbot.wait_until(lambda: session.closed, timeout=100_000)
    qtbot.wait(LOOKS_MS)
    assert not live.on
    assert not live._timer.isActive()


def test_live_mode_goes_on_with_what_is_chosen_now(
    session: Session, layers: Any, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """The training of what was chosen before comes to its end, and its model is kept."""
    other = viewer.add_image(IMAGE.T.copy(), name="other")
    more = viewer.add_labels(SCRIBBLES.T.copy())
    set_meaning(more, "scribbles")
    live, chosen = live_on(session, layers)
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    chosen[:2] = other, more
    qtbot.wait_until(
        lambda: session.training is not None and session.training.image is other, timeout=100_000
    )
    assert live.on
    assert len(session.history) == 1
    live.set(False)
    finish()


def test_live_mode_waits_when_its_labels_are_removed(
    session: Session, layers: Any, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """And says what is missing; new labels begin a new training."""
    _, labels = layers
    live, chosen = live_on(session, layers)
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    viewer.layers.remove(labels)
    chosen[1] = None
    qtbot.wait_until(lambda: bool(live.waits_for), timeout=100_000)
    assert live.waits_for == "in labels of the chosen image (New makes some)"
    assert session.jobs.state == "idle"
    chosen[1] = viewer.add_labels(np.stack([SCRIBBLES, SCRIBBLES * 0]))
    set_meaning(chosen[1], "scribbles")
    qtbot.wait_until(lambda: session.training is not None, timeout=100_000)
    assert session.training.chosen[1] is chosen[1]
    live.set(False)
    finish()


@pytest.mark.parametrize("which", ["image", "labels"])
def test_data_of_another_shape_ends_a_live_training(
    session: Session, layers: Any, messages: Any, qtbot: Any, which: str
) -> None:
    """Its strokes and its previews would not fit; live mode waits for labels that do."""
    live, _ = live_on(session, layers)
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    layer = layers[which == "labels"]
    layer.data = np.tile(np.asarray(layer.data), (1, 2, 2))
    session.viewer.scene.camera.zoom *= 1.5
    qtbot.wait_until(lambda: bool(live.waits_for), timeout=100_000)
    assert session.said.of_training.startswith("Trained ")
    assert live.waits_for == "in labels of the chosen image (New makes some)"
    assert messages() == []
    live.set(False)


def test_planes_that_are_taken_for_channels_end_a_live_training(
    session: Session, layers: Any, messages: Any, qtbot: Any
) -> None:
    """It begins anew, with previews, once the name of the axis is put right."""
    image, _ = layers
    live, _ = live_on(session, layers)
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    image.axis_labels = ("c", "y", "x")
    session.viewer.dims.set_current_step(0, 1)
    qtbot.wait_until(lambda: bool(live.waits_for), timeout=100_000)
    image.axis_labels = ("z", "y", "x")
    qtbot.wait_until(lambda: session.training is not None, timeout=100_000)
    preview = preview_of(session)
    assert preview is not None
    qtbot.wait_until(lambda: bool(preview.data[1].any()), timeout=100_000)
    assert messages() == []
    live.set(False)


def test_an_image_that_is_moved_off_its_labels_ends_a_live_training(
    session: Session, layers: Any, qtbot: Any
) -> None:
    """What is painted is then seen on other pixels than those that it would be learned on."""
    told: list[str] = []

    @contextmanager
    def telling() -> Iterator[None]:
        try:
            yield
        except InputError as error:
            told.append(str(error))

    live, _ = live_on(session, layers, telling=telling)
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    layers[0].translate = (0, 30, 0)
    qtbot.wait_until(lambda: not live.on, timeout=100_000)
    assert session.said.of_training.startswith("Trained ")
    assert len(told) == 1
    assert told[0].startswith("Labels layer 'painted' does not lie on image layer 'cells'")


def test_an_image_that_cannot_be_read_ends_previews_and_not_the_training(
    session: Session, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """What is trained on was read at the beginning."""
    broken: list[bool] = []

    def load(block: np.ndarray) -> np.ndarray:
        if broken:
            raise OSError("the share is gone")
        return block

    data = da.from_array(IMAGE, chunks=-1).map_blocks(load, dtype=IMAGE.dtype)
    image = viewer.add_image(data, contrast_limits=(0, 255), cache=False)
    labels = viewer.add_labels(SCRIBBLES.copy())
    set_meaning(labels, "scribbles")
    session.train(image, labels, None, small(), preview_every=0.1)
    qtbot.wait_until(lambda: len(session.record.seconds) > 3, timeout=100_000)
    broken.append(True)
    elsewhere = Field(plane=(), box=(slice(0, 40), slice(0, 40)))
    session.training._preview._ask(elsewhere)
    seen = len(session.record.seconds)
    qtbot.wait_until(lambda: len(session.record.seconds) > seen + 5, timeout=100_000)
    session.training.finish()
    finish()
    assert session.said.of_training.startswith("Trained ")


def test_the_last_stroke_before_live_mode_is_switched_off_is_learned(
    session: Session, layers: Any, finish: Any, qtbot: Any
) -> None:
    """However quickly one follows the other."""
    _, labels = layers
    live, _ = live_on(session, layers)
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    before = session.segmenter.provenance["labelled"]
    labels.data_setitem((np.zeros(25, int), np.arange(25) + 90, np.arange(25) + 90), 999)
    live.set(False)
    finish()
    assert session.segmenter.provenance["labelled"] != before


def test_live_mode_switched_on_by_accident_leaves_no_version(
    session: Session, layers: Any, finish: Any
) -> None:
    """A first model of a step or two is nothing to go back to; a few steps asked for are."""
    live, _ = live_on(session, layers)
    live.set(False)
    finish()
    assert len(session.record.seconds) < 5
    assert len(session.history) == 0
    session.segmenter = None
    session.train(*layers, None, small(steps=2))
    finish()
    assert len(session.history) == 1


def test_regions_drawn_while_live_reach_the_planes_they_change(
    session: Session, layers: Any, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """Also planes without labels; not the others, and nothing for a slider or a mere refresh."""
    box = np.array([[0, 0], [0, 60], [60, 60], [60, 0]])
    regions = viewer.add_shapes([np.insert(box, 0, 0, axis=1)], shape_type="rectangle")
    live, _ = live_on(session, layers, regions)
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    training = session.training
    sent: list[Any] = []
    put = training._mailbox.put
    training._mailbox.put = lambda message: (sent.append(message), put(message))  # listens in
    viewer.dims.set_current_step(0, 1)
    regions.refresh()
    qtbot.wait(500)
    assert [m for m in sent if "stroke" in repr(m)] == []
    regions.add_rectangles([np.insert(box, 0, 1, axis=1)])
    qtbot.wait_until(lambda: (0, (1,)) in training._painting._numbers, timeout=100_000)
    (stroke,) = [m() for m in sent if "stroke" in repr(m)]
    assert stroke.plane == 1
    assert stroke.image is not None
    assert 3500 < stroke.region.sum() < 3800
    live.set(False)
    finish()


def test_a_stopped_training_goes_on(
    session: Session, layers: Any, told: list[Any], finish: Any, qtbot: Any
) -> None:
    """The curve has no gap, the steps count on, and it ends as if it had not been stopped."""
    image, labels = layers
    assert not session.resuming.possible
    with pytest.raises(InputError, match=r"No training was stopped.*press Train"):
        session.resume()
    session.train(image, labels, None, small(steps=30))
    qtbot.wait_until(
        lambda: any(isinstance(e, StepDone) and e.step > 5 for e in told), timeout=100_000
    )
    session.jobs.stop()
    finish()
    assert session.resuming.possible
    stopped_at = len(session.record.seconds)
    assert stopped_at < 30
    session.resume()
    finish()
    assert len(session.record.seconds) == 30
    assert session.said.of_training.startswith("Trained 30 steps")
    assert not session.resuming.possible
    resumed = session.segmenter
    session.segmenter = None
    session.train(image, labels, None, small(steps=30))
    finish()
    assert resumed is not None
    assert session.segmenter is not None
    for name, weights in resumed.weights.items():
        np.testing.assert_array_equal(weights, session.segmenter.weights[name])


def test_every_training_leaves_a_version_to_go_back_to(
    session: Session, layers: Any, finish: Any
) -> None:
    """With its quality and what it was trained on, in words."""
    for _ in range(2):
        session.train(*layers, None, small(steps=2))
        finish()
    first, second = session.history
    assert session.segmenter is second.segmenter
    assert "cells" in first.trained_on
    assert first.summary in session.said.of_training
    session.segmenter = first.segmenter
    session.train(*layers, None, small(steps=2))
    finish()
    assert session.segmenter.provenance["steps"] == 4
    assert len(session.history) == 3


def test_several_images_train_one_model(
    session: Session, layers: Any, viewer: Any, finish: Any
) -> None:
    """What is painted on any of them counts."""
    image, labels = layers
    other = viewer.add_image(IMAGE.T.copy(), name="other")
    more = viewer.add_labels(SCRIBBLES.T.copy())
    set_meaning(more, "scribbles")
    session.train(image, labels, None, small(steps=2))
    finish()
    alone = session.record.prepared
    session.segmenter = None
    session.train(image, labels, None, small(steps=2), also=[Source(other, more)])
    finish()

    def cells(text: str) -> int:
        return int(text.split(" cells")[0].split()[-1])

    assert cells(session.record.prepared) == 2 * cells(alone)
