"""Training and all that can happen meanwhile, with a real compute process."""

import gc
import os
import signal
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.events import Previewed
from napari_unet.engine.host import Host
from napari_unet.engine.starter import starter_model
from napari_unet.errors import InputError, JobError
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.background import Background
from napari_unet.viewer.learning.sources import Source, check_alike
from napari_unet.viewer.learning.training import Training
from napari_unet.viewer.learning.training_job import TrainingJob
from napari_unet.viewer.notes import is_linked, set_meaning
from napari_unet.viewer.session import TRAINING, Session

IMAGE, TRUTH = touching_cells((128, 128))
SCRIBBLES = painted_scribbles(TRUTH)
PREDICT = PredictConfig(device="cpu")
IN_A_WINDOW = pytest.mark.parametrize("viewer", ["window"], indirect=True)


def small(**options: Any) -> TrainConfig:
    """Return the settings of a training that takes a moment."""
    settings = {"seconds": 0, "steps": 3, "base_channels": 4, "depth": 2, "device": "cpu"}
    return TrainConfig(**(settings | options))


ENDLESS = small(steps=0, seconds=100)


@pytest.fixture
def layers(viewer: Any) -> tuple[Any, Labels]:
    """The sample, with a few painted cells."""
    image = viewer.add_image(IMAGE, name="cells")
    labels = viewer.add_labels(SCRIBBLES.astype(np.uint16), name="painted")
    set_meaning(labels, "scribbles")
    return image, labels


@pytest.fixture
def steps(session: Session) -> list[Any]:
    """The events of all jobs."""
    events: list[Any] = []
    session.jobs.event.connect(events.append)
    return events


@pytest.fixture
def trained(session: Session) -> list[Any]:
    """The images of the trainings that came to their end."""
    images: list[Any] = []
    session.trained.connect(images.append)
    return images


def begin(session: Session, layers: Any, steps: list[Any], qtbot: Any) -> None:
    """Start a training that does not end by itself, and wait for its first steps."""
    session.train(*layers, None, ENDLESS)
    qtbot.wait_until(lambda: len(steps) > 4, timeout=100_000)


def test_training_makes_a_model_and_says_how_it_went(
    session: Session, layers: Any, finish: Any
) -> None:
    """The model is there as soon as it is of use, and the sentence names steps and quality."""
    models: list[Any] = []
    session.segmenter_changed.connect(lambda: models.append(session.segmenter))
    session.train(*layers, None, small())
    assert session.said.of_training == "Training ..."
    finish()

    assert session.segmenter is not None
    assert session.segmenter.provenance["steps"] == 3
    assert models[-1] is session.segmenter
    assert session.said.of_training.startswith("Trained 3 steps in ")
    assert session.said.of_training.endswith((" on held-out labels.", " to measure its quality."))
    assert len(session.record.seconds) == 3
    assert "cells" in session.record.prepared


def test_a_training_says_what_is_odd_about_the_images(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any
) -> None:
    """From its first event to its end, and where there are several, of which image."""
    image, labels = layers
    flat = session.viewer.add_image(np.full_like(IMAGE, 7), name="flat")
    begin(session, (flat, labels), steps, qtbot)
    same = "All pixels of the plane have the same grey value: look at the image."
    assert session.said.of_training.endswith(f". {same}")
    session.jobs.stop()
    finish()
    session.train(flat, labels, None, small())
    finish()
    assert session.said.of_training.startswith("Trained 3 steps in ")
    assert session.said.of_training.endswith(f". {same}")

    others = session.viewer.add_labels(SCRIBBLES.astype(np.uint16), name="others")
    set_meaning(others, "scribbles")
    session.train(image, others, None, small(), also=[Source(flat, labels)])
    finish()
    assert session.said.of_training.endswith(f". Layer 'flat': {same}")


def test_a_model_of_one_channel_goes_on_with_grey_in_colours(
    session: Session, layers: Any, steps: list[Any], finish: Any
) -> None:
    """As it segments it; with a preview."""
    _, labels = layers
    grey = (200 * IMAGE).astype(np.uint8)
    colours = session.viewer.add_image(np.dstack([grey] * 3), rgb=True, name="colours")
    session.segmenter = starter_model()
    session.train(colours, labels, None, small(steps=10))
    finish()
    assert session.segmenter is not None
    assert session.segmenter.in_channels == 1
    assert session.segmenter.provenance["steps"] > 9
    assert any(isinstance(step, Previewed) for step in steps)
    check_alike([Source(colours, labels), Source(layers[0], labels)])
    pink = session.viewer.add_image(np.dstack([grey, grey // 2, grey]), rgb=True)
    with pytest.raises(InputError, match="one model cannot learn from both"):
        check_alike([Source(layers[0], labels), Source(pink, labels)])


def test_the_bar_is_not_at_its_end_while_the_model_is_fitted(
    session: Session, layers: Any, finish: Any
) -> None:
    """How long that takes is not known, so no share is shown."""
    image, labels = layers
    shares: list[float] = []
    session.told.connect(
        lambda: "fitting" in session.said.of_training and shares.append(session.progress)
    )
    session.train(image, labels, None, small())
    finish()
    assert shares[0] == 0


def test_training_again_goes_on_from_the_last_model(
    session: Session, layers: Any, finish: Any
) -> None:
    """Steps add up; a model that was dropped starts from nothing."""
    for expected in (3, 6):
        session.train(*layers, None, small())
        finish()
        assert session.segmenter is not None
        assert session.segmenter.provenance["steps"] == expected
    session.segmenter = None
    session.train(*layers, None, small())
    finish()

    assert session.segmenter is not None
    assert session.segmenter.provenance["steps"] == 3


def test_a_stopped_training_keeps_its_model(
    session: Session, layers: Any, steps: list[Any], trained: list[Any], finish: Any, qtbot: Any
) -> None:
    """It is not followed by anything, and can be trained on."""
    begin(session, layers, steps, qtbot)
    session.jobs.stop()

    finish()
    assert session.segmenter is not None
    assert session.said.of_training == "Stopped; the best model so far is kept."
    assert session.resuming.possible
    assert trained == []


def test_the_image_of_a_training_that_came_to_its_end_is_told(
    session: Session, layers: Any, finish: Any, trained: list[Any]
) -> None:
    """To be segmented right away, if it is still open."""
    image, labels = layers
    session.train(image, labels, None, small())
    finish()
    assert trained == [image]

    session.train(image, labels, None, small())
    session.viewer.layers.remove(image)
    finish()
    assert trained == [image]


def test_painting_goes_on_while_it_trains(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any
) -> None:
    """The training learns from what was painted at the click; undo takes back strokes only."""
    image, labels = layers
    labels.paint((5, 5), 201)
    before = labels.data.copy()
    begin(session, layers, steps, qtbot)
    labels.paint((100, 100), 202)
    session.jobs.stop()
    finish()
    session.segment(image, "current plane", PREDICT)
    finish()
    labels.paint((60, 60), 203)

    assert labels.editable
    labels.undo()
    assert not (labels.data == 203).any()
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)
    labels.undo()
    np.testing.assert_array_equal(labels.data, SCRIBBLES)
    labels.redo()
    np.testing.assert_array_equal(labels.data, before)


def test_nothing_but_the_user_writes_into_the_painted_layer(
    session: Session, layers: Any, finish: Any
) -> None:
    """Not the training, and not the segmentation."""
    image, labels = layers
    data = labels.data
    session.train(image, labels, None, small())
    finish()
    session.segment(image, "all open images", PREDICT, probability=True)
    finish()

    assert labels.data is data
    np.testing.assert_array_equal(data, SCRIBBLES)
    assert labels.name == "painted"


def stop(session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any) -> None:
    """Stop a training that was begun, so that it can be resumed."""
    begin(session, layers, steps, qtbot)
    session.jobs.stop()
    finish()
    assert session.resuming.possible


def test_a_training_that_cannot_begin_leaves_the_stopped_one_resumable(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any
) -> None:
    """Whoever tries to train on empty labels can still go back to what was stopped."""
    stop(session, layers, steps, finish, qtbot)
    empty = session.viewer.add_labels(np.zeros(IMAGE.shape, np.uint8))
    with pytest.raises(InputError, match="Nothing is painted"):
        session.train(layers[0], empty, None, small())
    assert session.resuming.possible
    learned = len(session.record.seconds)
    seen = len(steps)
    session.resume()
    qtbot.wait_until(lambda: len(steps) > seen + 4, timeout=100_000)

    assert len(session.record.seconds) > learned


def test_a_model_that_cannot_go_on_is_told_before_anything_begins(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any
) -> None:
    """Whoever chose an image of another kind still has the stopped training, and its curve."""
    stop(session, layers, steps, finish, qtbot)
    learned = session.record
    image, labels = layers
    blue = np.zeros((*IMAGE.shape, 3), np.uint8) + np.array([0, 0, 200], np.uint8)
    colours = session.viewer.add_image(blue, rgb=True)
    with pytest.raises(InputError, match=r"was trained on 1 channel\(s\), these images have 3"):
        session.train(colours, labels, None, small())
    kinds = session.viewer.add_labels(SCRIBBLES.clip(0, 2).astype(np.uint8))
    set_meaning(kinds, "classes")
    with pytest.raises(InputError, match="knows cells, but 2 classes are painted"):
        session.train(image, kinds, None, small())

    assert session.jobs.state == "idle"
    assert session.resuming.possible
    assert session.record is learned
    assert not is_linked(labels, colours)


@pytest.mark.parametrize("why", ["no such device", "stopped at once", "stopped unheard"])
def test_a_training_that_learns_nothing_leaves_the_stopped_one_resumable(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any, why: str
) -> None:
    """Also where that is known only once it runs: to the process that computes, or the user.

    One that took a step of which nobody heard, because it was stopped, has no curve and no model.
    """
    stop(session, layers, steps, finish, qtbot)
    learned, seen = list(session.record.seconds), len(steps)
    session.train(*layers, None, small(device="cuda:99" if "device" in why else "cpu"))
    states = Path(session.resuming._folder.name)
    while why == "stopped unheard" and len(list(states.glob("*.state"))) < 2:
        time.sleep(0.01)  # without events of Qt
    if "stopped" in why:
        session.jobs.stop()
    finish()
    assert len(steps) == seen
    assert session.resuming.possible
    session.resume()
    qtbot.wait_until(lambda: len(session.record.seconds) > len(learned), timeout=100_000)

    assert session.record.seconds[: len(learned)] == learned


def test_without_its_file_a_stopped_training_is_not_offered(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any
) -> None:
    """It would begin anew, and say that it goes on."""
    stop(session, layers, steps, finish, qtbot)
    assert session.resuming._stopped is not None
    session.resuming._stopped.checkpoint.unlink()

    assert not session.resuming.possible
    with pytest.raises(InputError, match="No training was stopped"):
        session.resume()


@pytest.mark.parametrize("what", ["image removed", "labels removed", "no model", "another model"])
def test_a_stopped_training_is_dropped_with_what_it_was_about(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any, what: str
) -> None:
    """Resume never trains on layers that are gone, or from another model than is shown."""
    stop(session, layers, steps, finish, qtbot)
    told: list[bool] = []
    session.told.connect(lambda: told.append(True))
    if "removed" in what:
        session.viewer.layers.remove(layers[what.startswith("labels")])
        assert told
    else:
        session.segmenter = None if what == "no model" else make_segmenter()

    assert not session.resuming.possible


def test_a_training_whose_labels_are_gone_cannot_be_resumed(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any
) -> None:
    """Nobody could see what it learns from."""
    begin(session, layers, steps, qtbot)
    session.viewer.layers.remove(layers[1])
    session.jobs.stop()
    finish()

    assert not session.resuming.possible


def test_layers_may_be_deleted_and_renamed_while_it_trains(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any, messages: Any
) -> None:
    """The training has a copy of what it needs."""
    image, labels = layers
    session.train(image, labels, None, small(steps=30))
    qtbot.wait_until(lambda: len(steps) > 4, timeout=100_000)
    image.name = "other"
    session.viewer.layers.remove(labels)
    session.viewer.layers.remove(image)
    finish()

    assert session.said.of_training.startswith("Trained 30 steps")
    assert messages() == []


def test_one_job_at_a_time(session: Session, layers: Any, steps: list[Any], qtbot: Any) -> None:
    """A second one is refused by name, and leaves no layer behind."""
    begin(session, layers, steps, qtbot)
    image, labels = layers
    count = len(session.viewer.layers)
    for refused in (
        lambda: session.train(image, labels, None, small()),
        lambda: session.segment(image, "current plane", PREDICT),
    ):
        with pytest.raises(JobError, match="Training is still running; stop it"):
            refused()

    assert len(session.viewer.layers) == count
    assert session.title == TRAINING


def test_a_job_that_is_refused_leaves_the_one_that_runs_in_its_place(
    session: Session, layers: Any, steps: list[Any], finish: Any, qtbot: Any
) -> None:
    """Another one may have begun while it was made: napari handles clicks meanwhile."""
    late = Training(
        session.viewer, [Source(*layers)], small(), None, live=True, checkpoint=None,
        preview_every=3.0,
    )  # fmt: skip
    begin(session, layers, steps, qtbot)
    running, learned = session.training, session.record
    with pytest.raises(JobError, match="Training is still running"):
        session.start(TrainingJob(session, late))

    assert not late.live
    assert session.training is running
    assert session.record is learned
    assert session.said.of_training != "Training ..."
    session.jobs.stop()
    finish()
    assert session.said.of_training.startswith("Stopped; the best model so far is kept.")
    assert session.resuming.possible


def test_a_job_that_was_made_for_a_viewer_that_closed_is_put_away(
    session: Session, layers: Any
) -> None:
    """Napari handles events while layers are made for it."""
    before = list(session.viewer.layers)
    sources = [Source(*layers, None)]
    training = Training(
        session.viewer, sources, small(), None, live=False, checkpoint=None, preview_every=3.0
    )
    session.jobs.close()
    with pytest.raises(JobError, match="viewer is closed"):
        session.start(TrainingJob(session, training))

    assert session.training is None
    assert list(session.viewer.layers) == before


def test_nothing_is_kept_of_an_image_that_was_removed(session: Session, layers: Any) -> None:
    """Probabilities of a stack take gigabytes."""
    image, _ = layers
    session.kept.put(image, (), np.zeros(IMAGE.shape[-2:], np.float32), make_segmenter())
    session.viewer.layers.remove(image)

    assert session.kept.planes(image) == []


def test_what_cannot_be_learned_is_said_in_one_sentence(
    session: Session, layers: Any, finish: Any, trained: list[Any], messages: Any
) -> None:
    """As a notification, and where the dock shows how the training went."""
    image, labels = layers
    labels.data = (SCRIBBLES == 1).astype(np.uint8)
    session.train(image, labels, None, small())
    finish()

    ((severity, message),) = messages()
    assert severity == "error"
    assert message == session.said.of_training
    assert session.segmenter is None
    assert trained == []


def test_training_regions_reach_the_training(session: Session, layers: Any, finish: Any) -> None:
    """What is unpainted inside counts as background."""
    image, labels = layers
    box = np.array([[0, 0], [0, 64], [64, 64], [64, 0]])
    regions = session.viewer.add_shapes([box], shape_type="rectangle")
    session.train(image, labels, None, small())
    finish()
    without = session.record.prepared
    session.segmenter = None
    session.train(image, labels, regions, small())
    finish()

    def background(text: str) -> int:
        return int(text.split(" px background")[0].replace(" ", ""))

    assert background(session.record.prepared) > background(without) + 200


@pytest.mark.skipif(os.name != "posix", reason="kills with POSIX signals")
@pytest.mark.parametrize("viewer", ["model"], indirect=True)
def test_a_killed_process_fails_the_training_and_keeps_what_was_painted(
    viewer: Any, layers: Any, qtbot: Any
) -> None:
    """The user reads one sentence, the model so far stays, and the next training just works."""
    session = Session.of(viewer)
    session.host = Host(warm_up=())
    events: list[Any] = []
    session.jobs.event.connect(events.append)
    begin(session, layers, events, qtbot)
    assert session.host._child is not None
    os.kill(session.host._child._process.pid, signal.SIGKILL)
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)

    assert "painted labels are untouched" in session.said.of_training
    assert session.segmenter is not None
    session.train(*layers, None, small())
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)
    assert session.said.of_training.startswith("Trained 3 steps")
    session.close()


@IN_A_WINDOW
@pytest.mark.parametrize("work", ["training", "segmenting"])
def test_closing_the_viewer_ends_what_runs_and_leaves_no_process(
    viewer: Any, work: str, qtbot: Any
) -> None:
    """Whatever runs; the processes of the viewer go with it."""
    before = set(psutil.Process().children())
    session = Session.of(viewer)
    session.host, session.background = Host(warm_up=()), Background(Host(warm_up=()))
    session.background.start()
    image = viewer.add_image(np.stack([IMAGE] * 50), name="cells")
    labels = viewer.add_labels(np.stack([SCRIBBLES] * 50))
    set_meaning(labels, "scribbles")
    events: list[Any] = []
    session.jobs.event.connect(events.append)
    if work == "training":
        session.train(image, labels, None, ENDLESS)
    else:
        session.segmenter = make_segmenter()
        session.segment(image, "whole layer", PREDICT)
    qtbot.wait_until(lambda: bool(events), timeout=100_000)
    viewer.close()
    qtbot.wait_until(lambda: set(psutil.Process().children()) <= before, timeout=100_000)

    assert session.jobs.state == "idle"


def test_panels_share_the_session_of_a_viewer(make_napari_viewer_proxy: Any) -> None:
    """Plugins are handed a proxy of the viewer; it stands for the same session."""
    proxy = make_napari_viewer_proxy()

    assert Session.of(proxy) is Session.of(proxy.__wrapped__)


def test_viewers_have_sessions_of_their_own(host: Host, qtbot: Any) -> None:
    """A model trained in one is not known in the other, and results stay where they belong."""
    viewers = [ViewerModel(), ViewerModel()]
    first, second = (Session.of(viewer) for viewer in viewers)
    first.host = host
    image = viewers[0].add_image(IMAGE, name="cells")
    viewers[1].add_image(IMAGE, name="cells")
    first.segmenter = make_segmenter()
    first.segment(image, "all open images", PREDICT)
    qtbot.wait_until(lambda: first.jobs.state == "idle", timeout=100_000)

    assert second.segmenter is None
    assert second.jobs is not first.jobs
    assert second.host is not first.host
    assert len(viewers[0].layers) == 2
    assert len(viewers[1].layers) == 1
    assert Session.of(viewers[0]) is first
    first.close()
    second.close()


def test_a_session_does_not_keep_its_viewer_alive(qtbot: Any) -> None:  # noqa: ARG001
    """Layers are freed when the viewer is."""
    viewer = ViewerModel()
    session = Session.of(viewer)
    session.close()
    gone = weakref.ref(viewer)
    del viewer
    gc.collect()

    assert gone() is None


def stopped_in_a_viewer(host: Host, qtbot: Any) -> list[weakref.ref[Any]]:
    """Stop a training that could be resumed; return what nobody else holds."""
    viewer = ViewerModel()
    session = Session.of(viewer)
    session.host = host
    image = viewer.add_image(IMAGE)
    labels = viewer.add_labels(SCRIBBLES.astype(np.uint16))
    set_meaning(labels, "scribbles")
    session.train(image, labels, None, ENDLESS)
    qtbot.wait_until(lambda: len(session.record.seconds) > 4, timeout=100_000)
    session.jobs.stop()
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)
    qtbot.wait(50)
    assert session.resuming.possible
    session.close()
    return [weakref.ref(thing) for thing in (viewer, image, labels, session)]


def test_a_stopped_training_keeps_neither_its_viewer_nor_its_images_alive(
    host: Host, qtbot: Any
) -> None:
    """It could go on as long as they are open, and not longer."""
    held = stopped_in_a_viewer(host, qtbot)
    gc.collect()

    assert [thing() for thing in held] == [None] * 4
