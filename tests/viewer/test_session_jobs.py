"""What a job leaves behind in its session, with a real compute process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.events import TileDone
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.segmenting.segmentation import StreamEvent
from napari_unet.viewer.segmenting.segmenting_job import SegmentingJob
from napari_unet.viewer.session import Session

IMAGE, TRUTH = touching_cells((128, 128))
PREDICT = PredictConfig(device="cpu")
ENDLESS = TrainConfig(seconds=100, base_channels=4, depth=2, device="cpu")


@pytest.fixture
def layers(viewer: Any) -> tuple[Any, Labels]:
    """The sample, with a few painted cells."""
    image = viewer.add_image(IMAGE, name="cells")
    labels = viewer.add_labels(painted_scribbles(TRUTH).astype(np.uint16), name="painted")
    set_meaning(labels, "scribbles")
    return image, labels


def test_a_training_that_is_stopped_leaves_a_version_that_says_so(
    session: Session, layers: Any, finish: Any, qtbot: Any
) -> None:
    """It follows nobody any more, and its model is the one in the history."""
    session.train(*layers, None, ENDLESS, live=True)
    training = session.training
    assert training is not None
    assert training.live
    qtbot.wait_until(lambda: len(session.record.seconds) > 5, timeout=100_000)
    session.jobs.stop()
    finish()

    (version,) = session.history
    assert version.segmenter is session.segmenter
    assert version.summary.endswith("(stopped)")
    assert not training.live
    assert session.training is None


def test_a_segmentation_that_is_stopped_follows_the_sliders_no_more(
    session: Session, viewer: Any, finish: Any, qtbot: Any
) -> None:
    """As if it had come to its end."""
    image = viewer.add_image(np.stack([IMAGE] * 50), name="worm")
    moves = viewer.dims.events.current_step
    before = len(moves.callbacks)
    session.segmenter = make_segmenter()
    session.segment(image, "whole layer", PREDICT)
    assert len(moves.callbacks) > before
    qtbot.wait_until(lambda: session.progress > 0, timeout=100_000)
    session.jobs.stop()
    finish()

    assert session.said.of_result == "Stopped; the result is unfinished."
    assert len(moves.callbacks) == before


def test_the_dock_says_that_an_image_has_no_contrast(
    session: Session, viewer: Any, finish: Any
) -> None:
    """Whatever is found in it is none."""
    image = viewer.add_image(np.full(IMAGE.shape, 7), name="dark")
    session.segmenter = make_segmenter()
    session.segment(image, "current plane", PREDICT)
    finish()

    assert "All pixels of the plane have the same grey value" in session.said.of_result


def test_the_dock_says_which_planes_have_odd_grey_values(
    session: Session, viewer: Any, finish: Any
) -> None:
    """Of many planes, and of many images, nobody could find them."""
    stack = np.stack([IMAGE] * 4)
    stack[2] = 7
    image = viewer.add_image(stack, name="worm")
    session.segmenter = make_segmenter()
    session.segment(image, "whole layer", PREDICT)
    finish()
    odd = "All pixels of the plane have the same grey value: look at the image."
    assert f" Plane 2: {odd}" in session.said.of_result
    viewer.add_image(np.full(IMAGE.shape, 7), name="dark")
    session.segment(image, "all open images", PREDICT)
    finish()

    said = session.said.of_result
    assert f" Layer 'worm', plane 2: {odd} Grey values are unusual in 1 more plane." in said


def test_the_dock_says_that_memory_is_too_small_for_the_tiles(
    session: Session, viewer: Any
) -> None:
    """While it segments and afterwards; the engine says it with the first tile that was cut."""
    image = viewer.add_image(IMAGE, name="cells")
    session.segmenter = make_segmenter()
    job = SegmentingJob(session, image, "current plane", PREDICT, probability=False)
    note = "Memory is too small for tiles of 128 pixels; smaller ones are used."
    event = StreamEvent(
        image=0,
        plane=(),
        progress=0.5,
        event=TileDone(index=0, total=2, region=np.s_[:64, :128], note=note),
        labels=np.zeros(IMAGE.shape, np.uint8),
        foreground=np.zeros(IMAGE.shape, np.float32),
    )
    job.on_event(event)

    assert job.describe(event) == f"Segmenting, 50 % ... {note}"
    job.close()
