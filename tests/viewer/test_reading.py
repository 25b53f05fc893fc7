"""Images that are slow to read: nobody waits for them who does not have to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.core.config import TrainConfig
from napari_unet.engine.events import StepDone
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.notes import set_meaning
from napari_unet.viewer.session import Session

IMAGE, TRUTH = touching_cells((128, 128))
SCRIBBLES = painted_scribbles(TRUTH).astype(np.uint16)
ENDLESS = TrainConfig(seconds=100, base_channels=4, depth=2, device="cpu")
HANG = 20.0
"""Seconds that a read hangs; half of it tells who waited, also on a busy machine."""
PLANES = 12


class Slow:
    """A stack on a disk that is far away: some of its planes take long, or for ever.

    Only to threads of the program; napari itself shows them at once.
    """

    def __init__(self, seconds: float, planes: range) -> None:
        self.seconds, self.planes = seconds, planes
        self.shape, self.ndim, self.dtype = (PLANES, 128, 128), 3, IMAGE.dtype
        self.released = threading.Event()
        self.begun: list[int] = []

    def __getitem__(self, index: Any) -> Any:
        if threading.current_thread() is not threading.main_thread() and index[0] in self.planes:
            self.begun.append(index[0])
            self.released.wait(self.seconds)
        return np.broadcast_to(IMAGE, self.shape)[index]


@pytest.fixture
def slow(viewer: Any) -> Iterator[Callable[..., tuple[Any, Labels]]]:
    """Open such a stack, with labels on some of its planes."""
    made: list[Slow] = []

    def open_it(seconds: float, planes: range, painted: range) -> tuple[Any, Labels]:
        made.append(Slow(seconds, planes))
        image = viewer.add_image(made[-1], name="embryo", contrast_limits=(0, 1))
        data = np.zeros(made[-1].shape, np.uint16)
        data[painted] = SCRIBBLES
        labels = viewer.add_labels(data, name="painted")
        set_meaning(labels, "scribbles")
        viewer.dims.set_point(0, 0)
        return image, labels

    yield open_it
    for stack in made:
        stack.released.set()


@pytest.fixture
def steps(session: Session) -> list[StepDone]:
    """The steps of all trainings."""
    done: list[StepDone] = []
    session.jobs.event.connect(lambda event: done.append(event) if hasattr(event, "loss") else 0)
    return done


@pytest.mark.parametrize("seconds", [0.5, HANG])
def test_a_stop_does_not_wait_for_images_that_are_read(
    session: Session, slow: Any, finish: Any, qtbot: Any, seconds: float
) -> None:
    """Neither for the plane that is being read, nor for those that were to come."""
    image, labels = slow(seconds, range(PLANES), range(PLANES))
    session.train(image, labels, None, ENDLESS)
    qtbot.wait_until(lambda: bool(image.data.begun), timeout=100_000)
    qtbot.wait(100)
    session.jobs.stop()

    assert finish() < HANG / 2
    assert image.data.begun == [0]
    assert session.said.of_training == "Stopped; nothing was learned yet."


@pytest.mark.parametrize("what", ["preview", "stroke"])
def test_a_training_goes_on_while_another_plane_is_read(
    session: Session, slow: Any, steps: list[StepDone], finish: Any, qtbot: Any, what: str
) -> None:
    """For the preview, or because somebody painted on it; and a stop does not wait for it."""
    image, labels = slow(HANG, range(1, PLANES), range(1))
    session.train(image, labels, None, ENDLESS, live=what == "stroke")
    qtbot.wait_until(lambda: len(steps) > 4, timeout=100_000)
    if what == "preview":
        session.viewer.dims.set_point(0, 3)
    else:
        labels.data_setitem((np.full(9, 3), np.arange(9), np.arange(9)), 5)
    qtbot.wait_until(lambda: image.data.begun == [3], timeout=100_000)
    seen = len(steps)
    qtbot.wait_until(lambda: len(steps) > seen + 10, timeout=100_000)
    start = time.monotonic()
    session.jobs.stop()
    finish()

    assert time.monotonic() - start < HANG / 2
    assert image.data.begun == [3]


def test_a_preview_that_was_read_too_late_is_not_looked_at_by_the_next_training(
    session: Session, slow: Any, steps: list[StepDone], finish: Any, qtbot: Any
) -> None:
    """It would not find its memory any more, and fail."""
    image, labels = slow(HANG, range(1, PLANES), range(1))
    session.train(image, labels, None, ENDLESS)
    qtbot.wait_until(lambda: len(steps) > 4, timeout=100_000)
    session.viewer.dims.set_point(0, 3)
    qtbot.wait_until(lambda: image.data.begun == [3], timeout=100_000)
    session.jobs.stop()
    finish()
    session.viewer.dims.set_point(0, 0)
    session.train(image, labels, None, ENDLESS)
    image.data.released.set()
    seen = len(steps)
    qtbot.wait_until(lambda: len(steps) > seen + 10, timeout=100_000)
    assert session.jobs.state == "running"
    session.jobs.stop()
    finish()

    assert session.said.of_training.startswith("Stopped; the best model so far is kept.")


class Broken(Slow):
    """A stack of which one plane cannot be read."""

    def __getitem__(self, index: Any) -> Any:
        if threading.current_thread() is not threading.main_thread() and index[0] in self.planes:
            raise EOFError("the file ends here")
        return super().__getitem__(index)


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_a_plane_that_cannot_be_read_fails_the_training_in_one_sentence(
    session: Session, viewer: Any, steps: list[StepDone], finish: Any, qtbot: Any,
    messages: Any, when: str,
) -> None:  # fmt: skip
    """With the name of the layer and the plane, whether it was painted before or meanwhile."""
    image = viewer.add_image(Broken(0.0, range(3, 4)), name="embryo", contrast_limits=(0, 1))
    data = np.zeros(image.data.shape, np.uint16)
    data[0] = SCRIBBLES
    data[3] = SCRIBBLES * (when == "at the start")
    labels = viewer.add_labels(data, name="painted")
    set_meaning(labels, "scribbles")
    viewer.dims.set_point(0, 0)
    session.train(image, labels, None, ENDLESS, live=True)
    if when == "later":
        qtbot.wait_until(lambda: len(steps) > 4, timeout=100_000)
        labels.data_setitem((np.full(9, 3), np.arange(9), np.arange(9)), 5)
    finish()

    ((severity, message),) = messages()
    assert severity == "error"
    assert message.startswith("The pixels of layer 'embryo', plane 3 could not be read (EOFError")
    assert session.said.of_training == message
