"""What is asked for a preview, and its memory, between the two threads that share it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from napari.utils.colormaps.standardize_color import transform_color
from small_things import make_segmenter

from napari_unet.engine.events import Previewed
from napari_unet.engine.process.mailbox import Look, Mailbox
from napari_unet.engine.starter import starter_model, with_classes
from napari_unet.viewer.cellclasses import class_colours
from napari_unet.viewer.learning.preview import Preview
from napari_unet.viewer.segmenting.results import Result

MODEL = make_segmenter()


class Waiting:
    """An image on a disk that answers when it is told to; napari itself sees it at once."""

    def __init__(self) -> None:
        self.shape, self.ndim, self.dtype = (40, 50), 2, np.dtype(np.float32)
        self.asked, self.released = threading.Event(), threading.Event()

    def __getitem__(self, index: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            self.asked.set()
            self.released.wait(10)
        return np.zeros(self.shape, self.dtype)[index]


@pytest.fixture
def mailbox() -> Mailbox:
    """The mailbox of a training."""
    return Mailbox()


@pytest.fixture
def preview(viewer: Any, mailbox: Mailbox, qtbot: Any) -> Iterator[Callable[[Any], Preview]]:  # noqa: ARG001 (Qt's loop)
    """Begin a preview of an image, of what a network in training makes of it."""
    made: list[Preview] = []

    def begin(data: Any) -> Preview:
        image: Image = viewer.add_image(data, contrast_limits=(0, 1))
        made.append(Preview(viewer, image, mailbox, every=1.0))
        made[-1].begin(MODEL)
        return made[-1]

    yield begin
    for one in made:
        one.close()


@pytest.mark.parametrize("names", [(), ("round", "long")])
def test_cells_are_light_blue_or_of_the_colours_of_their_classes(
    viewer: Any,
    mailbox: Mailbox,
    names: tuple[str, ...],
    qtbot: Any,  # noqa: ARG001 (Qt's loop)
) -> None:
    """And the lines between them black."""
    model = starter_model()
    if names:
        model = with_classes(model, names)
    image: Image = viewer.add_image(np.zeros((40, 50), np.float32), name="cells")
    preview = Preview(viewer, image, mailbox, every=1.0)
    preview.begin(model)
    layer = viewer.layers["cells preview"]
    shown = [layer.get_color(number) for number in range(1, model.n_classes + 1)]
    preview.close()

    blue = transform_color("#23b5f5")
    np.testing.assert_allclose(shown[:-1], class_colours(model) if names else blue, atol=1e-6)
    assert tuple(shown[-1]) == (0, 0, 0, 1)
    assert layer.get_color(0) is None


def test_an_image_that_was_given_other_data_is_not_looked_at(
    viewer: Any,
    mailbox: Mailbox,
    qtbot: Any,  # noqa: ARG001 (Qt's loop)
) -> None:
    """Before the training has begun, too: it learns from the pixels of the moment of the click."""
    image: Image = viewer.add_image(np.zeros((40, 50), np.float32), contrast_limits=(0, 1))
    preview = Preview(viewer, image, mailbox, every=1.0)
    image.data = np.zeros((80, 90), np.float32)
    preview.begin(MODEL)

    assert mailbox.take() == []
    preview.close()


def test_no_memory_is_taken_for_a_preview_that_is_closed(preview: Any, mailbox: Mailbox) -> None:
    """It was asked for just before the end of the training, and is taken by its thread after."""
    closed = preview(np.zeros((40, 50), np.float32))
    closed.close()

    assert mailbox.take() == [None]
    assert not closed._outs


def test_no_memory_is_kept_for_a_preview_that_is_closed_while_it_is_read(
    preview: Any, mailbox: Mailbox
) -> None:
    """However long the disk takes."""
    image = Waiting()
    closed = preview(image)
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.extend(mailbox.take()))
    thread.start()
    assert image.asked.wait(5)
    closed.close()
    image.released.set()
    thread.join()

    assert taken == [None]
    assert not closed._outs


def test_a_deleted_preview_stays_away_and_takes_no_result_with_it(
    viewer: Any, preview: Any, mailbox: Mailbox
) -> None:
    """Whoever deletes it does not want it; the first may still be on its way."""
    begun = preview(np.zeros((40, 50), np.float32))
    image, shown = viewer.layers
    result = Result(viewer, image, "segmentation", np.uint8)
    viewer.layers.remove(shown)
    (look,) = mailbox.take()
    begun.show(Previewed(key=look.key, step=1, segmenter=MODEL))

    assert list(viewer.layers) == [image, result.layer]
    assert result.layer.visible


def test_what_is_read_and_what_is_shown_do_not_meet(preview: Any, mailbox: Mailbox) -> None:
    """While many fields are read, previews come in: one thread must not see half a change."""
    busy = preview(np.zeros((40, 50), np.float32))
    over = threading.Event()
    looks: list[Look] = []

    def take() -> None:
        while not over.is_set():
            looks.extend(mailbox.take())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=take)
    thread.start()
    end = time.monotonic() + 1.5
    try:
        while time.monotonic() < end:
            if busy._asked[0] < 300:  # each takes a file descriptor
                busy._ask(busy._view.field)
            busy.show(Previewed(key=1, step=1, segmenter=MODEL))
    finally:
        sys.setswitchinterval(interval)
        over.set()
        thread.join()

    assert [look.key for look in looks] == list(range(1, len(looks) + 1))
    busy.show(Previewed(key=len(looks), step=1, segmenter=MODEL))
    assert list(busy._outs) == [len(looks)]
