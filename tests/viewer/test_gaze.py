"""What is looked at comes first, images on disk are read in parts, and probabilities are kept."""

import threading
import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image
from small_things import make_segmenter

import napari_unet
from napari_unet.core.config import PredictConfig
from napari_unet.engine.events import PlaneDone, TileDone
from napari_unet.engine.process.lazy import MOST_PIXELS
from napari_unet.viewer.segmenting.gaze import Gaze
from napari_unet.viewer.session import Session

HANG = 20.0
"""Seconds that a read hangs; half of it tells who waited, also on a busy machine."""
TILES = PredictConfig(device="cpu", min_size=0, tile_size=76)
ROW, COLUMN = -2, -1

TWO_PROCESSES = 1e-5
"""What one process computes is the same every time; two that have other threads sum otherwise."""


def picture(*shape: int, seed: int = 0) -> np.ndarray:
    """Make noise in which a random network finds a few things."""
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def show(image: Image, y: tuple[int, int], x: tuple[int, int]) -> None:
    """Let the camera see a part of an image: a canvas would write this down when it draws."""
    corners = np.array(image.corner_pixels)
    corners[:, ROW], corners[:, COLUMN] = (y[0], y[1] - 1), (x[0], x[1] - 1)
    image.corner_pixels = corners


@pytest.fixture
def watch(session: Session, finish: Any) -> Any:
    """Segment, hand out each event as it comes, and return all of them."""

    def run(
        image: Image,
        scope: Any = "whole layer",
        act: Any = None,
        config: PredictConfig = TILES,
    ) -> list[Any]:
        events: list[Any] = []

        def on_event(event: Any) -> None:
            events.append(event)
            if act is not None:
                act(event)

        session.segmenter = make_segmenter()
        session.jobs.event.connect(on_event)
        session.segment(image, scope, config)
        finish()
        session.jobs.event.disconnect(on_event)
        return events

    return run


def middles(events: list[Any]) -> list[tuple[float, ...]]:
    """Return the middle (Y, X) of every tile, in the order they came."""
    return [
        tuple((span.start + span.stop) / 2 for span in event.region)
        for event in events
        if isinstance(event.event, TileDone)
    ]


def planes(events: list[Any]) -> list[int]:
    """Return the planes in the order they were done."""
    return [event.plane[0] for event in events if isinstance(event.event, PlaneDone)]


def test_the_tiles_in_view_come_first(viewer: Any, watch: Any) -> None:
    """And the far corner last."""
    image = viewer.add_image(picture(200, 200))
    show(image, (140, 200), (140, 200))
    places = middles(watch(image))

    assert min(places[0]) > 140
    assert min(places[1]) > 100
    assert max(places[-1]) < 60


def test_after_a_pan_the_tiles_in_the_new_view_come_next(viewer: Any, watch: Any) -> None:
    """A moment after the camera has come to rest; the result is the same as ever."""
    pixels = picture(500, 500)
    image = viewer.add_image(pixels, name="cells")
    show(image, (0, 100), (0, 100))
    moved: list[int] = []
    events: list[Any] = []

    def pan(event: Any) -> None:
        events.append(event)
        if len(events) == 3:
            show(image, (450, 500), (450, 500))
            viewer.scene.camera.center = (0, 475, 475)
        if not moved and isinstance(event.event, TileDone) and min(middles([event])[0]) > 400:
            moved.append(len(events))

    places = middles(watch(image, act=pan))

    assert max(places[0]) < 100
    assert max(places[1]) < 200
    assert moved
    assert moved[0] < 0.8 * len(places)
    after = places[moved[0] - 1 :][:5]
    assert min(min(place) for place in after) > 380
    np.testing.assert_array_equal(
        viewer.layers["cells segmentation"].data,
        napari_unet.segment(Session.of(viewer).segmenter, pixels, TILES),
    )


def test_planes_are_done_from_the_shown_one_outward(viewer: Any, watch: Any) -> None:
    """Alternately below and above."""
    image = viewer.add_image(picture(7, 40, 50))
    viewer.dims.set_point(0, 2)

    assert planes(watch(image)) == [2, 1, 3, 0, 4, 5, 6]


def test_whoever_moves_to_another_plane_gets_it_next(viewer: Any, watch: Any) -> None:
    """The one that is being done is finished first."""
    image = viewer.add_image(picture(24, 100, 100))
    viewer.dims.set_point(0, 0)

    def move(event: Any) -> None:
        if isinstance(event.event, PlaneDone) and event.plane == (2,):
            viewer.dims.set_point(0, 20)

    order = planes(watch(image, act=move))
    jump = order.index(20)

    assert order[:3] == [0, 1, 2]
    assert jump < 18
    assert order[jump : jump + 3] == [20, 19, 21]
    assert sorted(order) == list(range(24))


def test_the_chosen_image_is_segmented_first(viewer: Any, watch: Any) -> None:
    """Of all that are open."""
    shapes = [(40, 50), (44, 50), (48, 50)]
    images = [viewer.add_image(picture(*shape)) for shape in shapes]
    events = watch(images[1], "all open images")

    assert [e.labels.shape for e in events if isinstance(e.event, PlaneDone)] == [
        (44, 50),
        (40, 50),
        (48, 50),
    ]


def test_looking_elsewhere_is_not_an_error(viewer: Any, qtbot: Any) -> None:
    """The image may get other data, or go, while it is segmented."""
    image = viewer.add_image(picture(5, 40, 50))
    gaze = Gaze(viewer, image)
    viewer.dims.set_point(0, 4)
    qtbot.wait_until(lambda: gaze.field.plane == (4,), timeout=100_000)
    image.data = np.zeros((7, 7))
    gaze.look()
    viewer.layers.remove(image)
    gaze.look()
    assert gaze.field.plane == (4,)

    gaze.close()
    gaze.close()
    assert list(gaze.nearest_first([(0,), (3,), (4,)])) == [(4,), (3,), (0,)]


def test_a_closed_gaze_follows_no_longer(viewer: Any, qtbot: Any) -> None:
    """Also if the slider was moved just before."""
    gaze = Gaze(viewer, viewer.add_image(picture(5, 40, 50)))
    before = gaze.field
    viewer.dims.set_point(0, 4)
    gaze.close()
    viewer.dims.set_point(0, 0)
    qtbot.wait(200)

    assert gaze.field == before


@pytest.mark.parametrize("scope", ["whole layer", "current plane"])
def test_probabilities_of_every_plane_are_kept(viewer: Any, watch: Any, scope: str) -> None:
    """With the model that said so, from the moment the plane is done, and nobody writes to them."""
    pixels = picture(3, 90, 100)
    image = viewer.add_image(pixels)
    session = Session.of(viewer)
    seen: list[bool] = []

    def look(event: Any) -> None:
        if isinstance(event.event, PlaneDone):
            seen.append(session.kept.get(image, event.plane) is not None)

    watch(image, scope, act=look)
    kept = [session.kept.get(image, (z,)) for z in range(3)]

    assert seen == [True] * (1 if scope == "current plane" else 3)
    assert [z for z, plane in enumerate(kept) if plane] == ([1] if len(seen) == 1 else [0, 1, 2])
    expected = napari_unet.probabilities(session.segmenter, pixels[1], TILES)[1]
    np.testing.assert_allclose(kept[1].foreground, expected, rtol=0, atol=TWO_PROCESSES)
    assert kept[1].segmenter is session.segmenter
    assert kept[1].foreground.base is None


def test_of_classes_the_probability_of_the_winner_is_kept(
    viewer: Any, session: Session, finish: Any
) -> None:
    """How sure the network is of what it shows."""
    pixels = picture(40, 50)
    image = viewer.add_image(pixels)
    session.segmenter = make_segmenter(kind="classes")
    session.segment(image, "whole layer", TILES)
    finish()

    expected = napari_unet.probabilities(session.segmenter, pixels, TILES).max(axis=0)
    kept = session.kept.get(image, ()).foreground
    np.testing.assert_allclose(kept, expected, rtol=0, atol=TWO_PROCESSES)


class Watched:
    """A real array on disk, with a note of the size of every region that our reader read."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.chunks = array.chunks
        self.read: list[tuple[int, ...]] = []

    def __getitem__(self, index: Any) -> Any:
        if threading.current_thread().name == "reader":
            spans = tuple(i.stop - i.start for i in index if isinstance(i, slice))
            self.read.append(spans[-2:])
        return np.asarray(self.array[index])


def on_disk(folder: Path, pixels: np.ndarray, chunk: int = 64) -> Any:
    """Write a zarr array."""
    chunks = (*[1] * (pixels.ndim - 2), chunk, chunk)
    return zarr.create_array(store=folder / "image.zarr", data=pixels, chunks=chunks)


def test_an_image_on_disk_is_read_a_few_tiles_at_a_time(
    viewer: Any, watch: Any, tmp_path: Path
) -> None:
    """A larger plane is never in memory as a whole; the cells are those of one in memory."""
    pixels = picture(1, 1100, 2000)
    array = Watched(on_disk(tmp_path, pixels, 128))
    image = viewer.add_image(array, name="embryo", contrast_limits=(0, 1))
    config = PredictConfig(device="cpu", min_size=0, tile_size=400)
    events = watch(image, config=config)

    assert isinstance(events[-1].event, PlaneDone)
    assert max(np.prod(spans) for spans in array.read) <= MOST_PIXELS
    tiles = [spans for spans in array.read if max(spans) <= 400]
    assert len(tiles) == events[0].event.total
    assert len(array.read) - len(tiles) == 2  # the statistics, in two blocks
    np.testing.assert_array_equal(
        viewer.layers["embryo segmentation"].data[0],
        napari_unet.segment(Session.of(viewer).segmenter, pixels[0], config),
    )


@pytest.mark.parametrize("kind", ["zarr", "dask"])
def test_a_stack_on_disk_is_segmented_like_one_in_memory(
    viewer: Any, watch: Any, tmp_path: Path, kind: str
) -> None:
    """One plane after the other."""
    pixels = picture(3, 90, 100)
    array = on_disk(tmp_path, pixels, 32)
    data = array if kind == "zarr" else da.from_zarr(array)
    viewer.add_image(data, name="embryo", contrast_limits=(0, 1))
    viewer.dims.set_point(0, 0)
    watch(viewer.layers["embryo"])

    np.testing.assert_array_equal(
        viewer.layers["embryo segmentation"].data,
        napari_unet.segment(Session.of(viewer).segmenter, pixels[None], TILES),
    )


def test_a_damaged_file_fails_the_segmentation_in_one_sentence(
    viewer: Any, session: Session, finish: Any, tmp_path: Path, messages: Any
) -> None:
    """It names the layer, the plane and the place; what was done before stays."""
    array = on_disk(tmp_path, picture(2, 90, 100), 50)
    image = viewer.add_image(array, name="embryo", contrast_limits=(0, 1))
    viewer.dims.set_point(0, 0)
    for chunk in (tmp_path / "image.zarr" / "c" / "1").rglob("1"):
        if chunk.is_file():
            chunk.write_bytes(b"not an image")
    session.segmenter = make_segmenter()
    session.segment(image, "whole layer", TILES)
    finish()

    ((severity, message),) = messages()
    assert severity == "error"
    assert message.startswith("The pixels of layer 'embryo', plane 1 in rows ")
    assert "could not be read (" in message
    assert session.said.of_result == message
    layer = viewer.layers["embryo segmentation (unfinished)"]
    assert layer.data[0].any()
    assert not layer.data[1].any()


def test_a_stop_does_not_wait_for_a_file_that_hangs(
    viewer: Any, session: Session, finish: Any, qtbot: Any, tmp_path: Path
) -> None:
    """Nor are the planes read that nobody wants any more."""
    released = threading.Event()

    class Hanging(Watched):
        def __getitem__(self, index: Any) -> Any:
            pixels = super().__getitem__(index)
            if len(self.read) > 4:
                released.wait(HANG)
            return pixels

    hanging = Hanging(on_disk(tmp_path, picture(30, 90, 100)))
    image = viewer.add_image(hanging, name="embryo", contrast_limits=(0, 1))
    session.segmenter = make_segmenter()
    session.segment(image, "whole layer", TILES)
    qtbot.wait_until(lambda: len(hanging.read) > 4, timeout=100_000)
    start = time.monotonic()
    session.jobs.stop()
    finish()

    assert time.monotonic() - start < HANG / 2
    assert len(hanging.read) == 5
    assert session.said.of_result == "Stopped; the result is unfinished."
    released.set()
