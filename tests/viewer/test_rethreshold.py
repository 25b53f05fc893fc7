"""Cells found again in kept probabilities, by a real compute process."""

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import psutil
import pytest
from napari.layers import Image, Labels
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig
from napari_unet.core.linkstack import link_planes
from napari_unet.core.uncertainty import fill_uncertainty
from napari_unet.engine.cells import find_cells, necks_in_3d
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.sample_data import touching_cells
from napari_unet.viewer.notes import is_result
from napari_unet.viewer.segmenting.results import Result
from napari_unet.viewer.segmenting.rethreshold import Rethreshold
from napari_unet.viewer.session import Session

SEGMENTER = replace(make_segmenter(), diameter=20.0)
CONFIG = PredictConfig(device="cpu")


def foreground(planes: int = 1, side: int = 96) -> np.ndarray:
    """Make what a network might say of planes with a few touching cells each."""
    rng = np.random.default_rng(0)
    said = []
    for seed in range(planes):
        _, cells = touching_cells((side, side), seed)
        said.append(np.clip((cells > 0) * 0.6 + rng.random(cells.shape) * 0.4, 0, 1))
    return np.array(said, np.float32)


def expected(said: np.ndarray, config: PredictConfig) -> np.ndarray:
    """Find and number the cells of all planes, one after the other."""
    numbered, found = 0, []
    for plane in said:
        cells = find_cells(SEGMENTER, plane, config).astype(int)
        found.append(np.where(cells > 0, cells + numbered, 0))
        numbered += cells.max()
    return np.array(found)


@pytest.fixture
def again(session: Session) -> Rethreshold:
    """What is tested."""
    again = Rethreshold(session)
    again.follow()
    return again


@pytest.fixture
def settle(session: Session, qtbot: Any) -> Callable[[], None]:
    """Wait until nothing is asked any more."""

    def wait() -> None:
        qtbot.wait_until(lambda: not session.background.busy, timeout=100_000)
        qtbot.wait(20)
        qtbot.wait_until(lambda: not session.background.busy, timeout=100_000)

    return wait


@pytest.fixture
def stack(viewer: Any, session: Session) -> Image:
    """A stack of three planes that was segmented."""
    said = foreground(3)
    image = viewer.add_image(said, name="worm")
    for z in range(3):
        session.kept.put(image, (z,), said[z], SEGMENTER)
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[...] = expected(said, CONFIG)
    result.finish(complete=True)
    return image


@pytest.fixture
def volume(viewer: Any, session: Session, finish: Any) -> Image:
    """A stack of three planes with the same cells, whose planes were linked."""
    said = foreground(1).repeat(3, axis=0)
    image: Image = viewer.add_image(said, name="embryo")
    for z in range(3):
        session.kept.put(image, (z,), said[z], SEGMENTER)
    result = Result(viewer, image, "segmentation", np.uint16)
    result.array[...] = expected(said, CONFIG)
    result.finish(complete=True)
    session.link(image, "objects", CONFIG)
    finish()
    return image


def result_of(viewer: Any, image: Image) -> Labels:
    """Return the layer with the segmentation."""
    (layer,) = [layer for layer in viewer.layers if is_result(layer, "segmentation", image)]
    assert isinstance(layer, Labels)
    return layer


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.7},
        {"min_size": 120},
        {"min_size": 0, "max_hole": 0},
        {"border": 0.0},
        {"border": 5.0, "threshold": 0.3},
        {},
    ],
)
def test_a_stack_gets_the_cells_and_numbers_of_a_segmentation(
    viewer: Any, again: Rethreshold, settle: Any, stack: Image, change: dict[str, Any]
) -> None:
    """Of all planes with that configuration, also when the last plane, in view, comes first."""
    viewer.dims.set_point(0, 2)
    config = replace(CONFIG, **change)
    layer = result_of(viewer, stack)
    again.find(stack, config)
    settle()
    wanted = expected(stack.data, config)

    assert change == {} or not np.array_equal(wanted, expected(stack.data, CONFIG))
    np.testing.assert_array_equal(layer.data, wanted)
    assert result_of(viewer, stack) is layer
    assert layer.name == "worm segmentation"
    assert again.objects(stack) == (wanted.max(), 3)


def test_a_real_segmentation_is_adjusted_to_what_a_fresh_one_gives(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, finish: Any
) -> None:
    """Through the network once, and then without it."""
    image = viewer.add_image(np.random.default_rng(0).random((2, 90, 120)).astype(np.float32))
    session.segmenter = make_segmenter()
    first, second = (PredictConfig(device="cpu", min_size=0, threshold=t) for t in (0.5, 0.6))
    session.segment(image, "whole layer", first)
    finish()
    before = result_of(viewer, image).data.copy()
    again.find(image, second)
    settle()
    adjusted = result_of(viewer, image).data.copy()
    session.segment(image, "whole layer", second)
    finish()

    assert adjusted.max() > 3
    assert not np.array_equal(adjusted, before)
    np.testing.assert_array_equal(adjusted, result_of(viewer, image).data)


def test_the_plane_in_view_is_shown_first(
    viewer: Any, again: Rethreshold, settle: Any, stack: Image
) -> None:
    """And keeps the numbers it had until those of the planes before are known."""
    layer = result_of(viewer, stack)
    before = layer.data.copy()
    viewer.dims.set_point(0, 1)
    changed = []

    def look() -> None:
        changed.append([bool((layer.data[z] != before[z]).any()) for z in range(3)])
        if len(changed) == 1:
            assert layer.data[1][layer.data[1] > 0].min() == before[1][before[1] > 0].min()

    again.told.connect(look)
    again.find(stack, replace(CONFIG, threshold=0.8))
    settle()

    assert changed == [[False, True, False], [True, True, False], [True, True, True]]


def test_the_newest_wish_wins(viewer: Any, again: Rethreshold, settle: Any, stack: Image) -> None:
    """A slider that is faster than cells are found is followed to its end, and skips on the way."""
    told: list[None] = []
    again.told.connect(lambda: told.append(None))
    for threshold in np.linspace(0.9, 0.3, 40):
        again.find(stack, replace(CONFIG, threshold=float(threshold)))
    settle()

    wanted = expected(stack.data, replace(CONFIG, threshold=0.3))
    np.testing.assert_array_equal(result_of(viewer, stack).data, wanted)
    assert 1 <= len(told) <= 6


def test_a_moving_slider_is_followed_on_its_way(
    again: Rethreshold, settle: Any, stack: Image, qtbot: Any
) -> None:
    """It does not have to stand still before anything is seen."""
    told: list[None] = []
    again.told.connect(lambda: told.append(None))
    thresholds = cycle(np.linspace(0.9, 0.3, 100))

    def moved_until_seen() -> bool:
        """Move the slider a little further; pytest-qt asks every 10 ms, so it never rests."""
        again.find(stack, replace(CONFIG, threshold=float(next(thresholds))))
        return len(told) >= 4

    qtbot.waitUntil(moved_until_seen, timeout=60_000)
    settle()


def test_a_plane_that_is_segmented_after_it_was_adjusted_stays_as_it_is(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, finish: Any, stack: Image
) -> None:
    """The wish was about the result before, and so was the count."""
    again.find(stack, CONFIG)
    settle()
    assert again.objects(stack) is not None
    layer = result_of(viewer, stack)
    layer.data[1] = 7
    session.kept.put(stack, (1,), stack.data[2], SEGMENTER)
    session.jobs.start("Segmenting", lambda stop: iter(()), on_event=id)  # noqa: ARG005
    finish()
    settle()

    assert again.objects(stack) is None
    assert (layer.data[1] == 7).all()


def test_planes_of_which_nothing_is_kept_stay_and_share_no_number(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, stack: Image
) -> None:
    """As when only the current plane is segmented."""
    layer = result_of(viewer, stack)
    before = layer.data.copy()
    session.kept.forget(stack)
    session.kept.put(stack, (1,), stack.data[1], SEGMENTER)
    again.find(stack, replace(CONFIG, threshold=0.7))
    settle()
    cells = find_cells(SEGMENTER, stack.data[1], replace(CONFIG, threshold=0.7)).astype(int)

    np.testing.assert_array_equal(layer.data[[0, 2]], before[[0, 2]])
    others = before[[0, 2]].max()
    np.testing.assert_array_equal(layer.data[1], np.where(cells > 0, cells + others, 0))
    assert again.objects(stack) == (cells.max(), 1)


def test_numbers_are_shared_with_other_planes_where_few_are_left(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, stack: Image
) -> None:
    """Rather than that the layer becomes one of twice the size."""
    layer = result_of(viewer, stack)
    layer.data[0] = 60_000
    session.kept.forget(stack)
    session.kept.put(stack, (1,), stack.data[1], SEGMENTER)
    again.find(stack, CONFIG)
    settle()

    np.testing.assert_array_equal(layer.data[1], find_cells(SEGMENTER, stack.data[1], CONFIG))
    assert layer.data.dtype == np.uint16


@pytest.mark.parametrize("kept", [3, 2])
def test_a_layer_that_was_deleted_is_made_again(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, stack: Image, kept: int
) -> None:
    """It is called unfinished if not all of its planes can be filled."""
    viewer.layers.remove(result_of(viewer, stack))
    if kept == 2:
        session.kept.forget(stack)
        for z in (1, 2):
            session.kept.put(stack, (z,), stack.data[z], SEGMENTER)
    again.find(stack, CONFIG)
    settle()
    layer = result_of(viewer, stack)

    assert ("unfinished" in layer.name) == (kept == 2)
    assert [bool(plane.any()) for plane in layer.data] == [kept == 3, True, True]
    assert not layer.editable


def test_a_layer_that_cannot_hold_the_numbers_is_widened(
    viewer: Any, session: Session, again: Rethreshold, settle: Any
) -> None:
    """More than 65 535 specks, where there were few cells."""
    said = np.zeros((530, 530), np.float32)
    said[::2, ::2] = 1
    image = viewer.add_image(said, name="dust")
    session.kept.put(image, (), said, SEGMENTER)
    Result(viewer, image, "segmentation", np.uint16).finish(complete=True)
    again.find(image, replace(CONFIG, min_size=0, border=0.0))
    settle()

    assert result_of(viewer, image).data.max() == np.count_nonzero(said) > 65_535


def test_while_the_image_is_being_segmented_nothing_is_done_until_the_end(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, finish: Any
) -> None:
    """Then the wish has its turn."""
    pixels = np.random.default_rng(0).random((200, 200)).astype(np.float32)
    image = viewer.add_image(pixels, name="cells")
    session.segmenter = make_segmenter()
    told: list[str] = []
    again.told.connect(lambda: told.append(session.jobs.state))

    def move(_: object) -> None:
        if not session.kept.planes(image):
            session.kept.put(image, (), pixels, SEGMENTER)
            again.find(image, replace(CONFIG, threshold=0.9))
            assert again.is_segmenting(image)

    session.jobs.event.connect(move)
    session.segment(image, "whole layer", PredictConfig(device="cpu", tile_size=76))
    finish()
    settle()

    assert told == ["idle"]
    assert not again.is_segmenting(image)
    known = session.kept.get(image, ())
    assert known is not None
    wanted = find_cells(known.segmenter, known.foreground, replace(CONFIG, threshold=0.9))
    np.testing.assert_array_equal(result_of(viewer, image).data, wanted)


def test_a_plane_that_was_segmented_again_is_not_overwritten_by_an_old_answer(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, stack: Image
) -> None:
    """The cells come from the probabilities that are kept now."""
    config = replace(CONFIG, threshold=0.7)
    again.find(stack, config)
    new = np.ascontiguousarray(stack.data[0][::-1])
    session.kept.put(stack, (0,), new, SEGMENTER)
    settle()

    wanted = expected(np.array([new, *stack.data[1:]]), config)
    np.testing.assert_array_equal(result_of(viewer, stack).data, wanted)


def test_an_image_that_left_the_viewer_or_was_not_segmented_is_let_be(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, stack: Image
) -> None:
    """No layer is made for it, and nothing fails."""
    other = viewer.add_image(np.zeros((20, 30)), name="photograph")
    again.find(other, CONFIG)
    again.find(stack, replace(CONFIG, threshold=0.7))
    before = result_of(viewer, stack).data.copy()
    viewer.layers.remove(stack)
    session.kept.forget(stack)
    settle()

    assert again.objects(other) is None
    assert again.kind(other) is None
    assert [layer.name for layer in viewer.layers] == ["worm segmentation", "photograph"]
    np.testing.assert_array_equal(viewer.layers[0].data, before)


def test_there_is_nothing_to_adjust_in_classes(
    viewer: Any, session: Session, again: Rethreshold, settle: Any
) -> None:
    """They have no cells."""
    image = viewer.add_image(np.zeros((20, 30)), name="tissue")
    classes = make_segmenter(kind="classes")
    session.kept.put(image, (), np.zeros((20, 30), np.float32), classes)
    again.find(image, CONFIG)
    settle()

    assert again.kind(image) == "classes"
    assert len(viewer.layers) == 1


def test_after_the_process_died_the_next_wish_is_answered(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, stack: Image
) -> None:
    """By a new process; the one that died is told of."""
    again.find(stack, replace(CONFIG, threshold=0.7))
    session.background._host.leave()
    settle()
    again.find(stack, replace(CONFIG, threshold=0.8))
    settle()

    wanted = expected(stack.data, replace(CONFIG, threshold=0.8))
    np.testing.assert_array_equal(result_of(viewer, stack).data, wanted)


def test_a_wish_is_answered_though_the_process_dies_over_the_one_before(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, stack: Image, qtbot: Any
) -> None:
    """Nobody has to wish again, also while the new process is busy with something else."""
    background, large = session.background, np.zeros((4000, 4000), np.float32)
    child = background._host._child
    assert child is not None
    process = psutil.Process(child._process.pid)
    process.suspend()
    again.find(stack, replace(CONFIG, threshold=0.7))
    qtbot.wait_until(lambda: background._running is not None, timeout=100_000)
    qtbot.wait(50)
    out = SharedArray.create(large.shape, np.float32)
    background.ask("other", fill_uncertainty, large, "cells", 2, out, on_event=lambda _: None)
    again.find(stack, replace(CONFIG, threshold=0.8))
    process.kill()
    settle()

    wanted = expected(stack.data, replace(CONFIG, threshold=0.8))
    np.testing.assert_array_equal(result_of(viewer, stack).data, wanted)


def test_whoever_left_changes_nothing_any_more(
    viewer: Any, session: Session, again: Rethreshold, settle: Any, stack: Image, qtbot: Any
) -> None:
    """Neither when an answer comes, nor when a job ends; another one goes on with its own."""
    layer = result_of(viewer, stack)
    before = layer.data.copy()
    again.find(stack, replace(CONFIG, threshold=0.7))
    again.leave()
    session.jobs.done.emit()
    settle()
    np.testing.assert_array_equal(layer.data, before)

    again.follow()
    other = Rethreshold(session)
    other.find(stack, replace(CONFIG, threshold=0.8))
    again.find(stack, replace(CONFIG, threshold=0.8))
    again.leave()
    qtbot.wait_until(lambda: other.objects(stack) is not None, timeout=100_000)
    wanted = expected(stack.data, replace(CONFIG, threshold=0.8))
    np.testing.assert_array_equal(layer.data, wanted)


def linked(said: np.ndarray, config: PredictConfig) -> np.ndarray:
    """Find the cells of all planes, and link them."""
    necks = necks_in_3d(SEGMENTER, config, 1.0)
    return link_planes(expected(said, config), split=necks.depth, spacing=1.0).labels


def test_objects_that_were_linked_are_linked_again(
    viewer: Any, session: Session, again: Rethreshold, volume: Image, qtbot: Any
) -> None:
    """Once all planes have their cells, and the slider rests."""
    layer = result_of(viewer, volume)
    for threshold in (0.6, 0.65, 0.7):
        again.find(volume, replace(CONFIG, threshold=threshold))
        qtbot.wait(5)
    wanted = linked(volume.data, replace(CONFIG, threshold=0.7))
    qtbot.wait_until(lambda: np.array_equal(layer.data, wanted), timeout=100_000)
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)

    assert not np.array_equal(wanted, expected(volume.data, replace(CONFIG, threshold=0.7)))
    assert session.said.of_result.startswith("Linked 3 planes into ")
    again.find(volume, CONFIG)
    wanted = linked(volume.data, CONFIG)
    qtbot.wait_until(lambda: np.array_equal(layer.data, wanted), timeout=100_000)
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)


def test_objects_are_linked_again_after_a_job_that_runs(
    viewer: Any, session: Session, again: Rethreshold, volume: Image, qtbot: Any
) -> None:
    """Cells are adjusted while it trains or segments something else, and linked in its turn."""
    other = viewer.add_image(touching_cells((256, 256))[0], name="other")
    layer = result_of(viewer, volume)
    session.segmenter = make_segmenter()
    session.segment(other, "whole layer", replace(CONFIG, tile_size=76))
    again.find(volume, replace(CONFIG, threshold=0.7))
    wanted = linked(volume.data, replace(CONFIG, threshold=0.7))
    qtbot.wait_until(lambda: np.array_equal(layer.data, wanted), timeout=100_000)

    assert not any("unfinished" in one.name for one in viewer.layers)


def test_a_segmentation_that_was_not_linked_is_not(
    viewer: Any, session: Session, again: Rethreshold, volume: Image, settle: Any, qtbot: Any
) -> None:
    """One that is made anew is not linked any more; nor is it if somebody links it afterwards."""
    layer = result_of(viewer, volume)
    result = Result(viewer, volume, "segmentation", np.uint16)
    result.finish(complete=True)
    again.find(volume, replace(CONFIG, threshold=0.7))
    settle()
    qtbot.wait(50)

    wanted = expected(volume.data, replace(CONFIG, threshold=0.7))
    np.testing.assert_array_equal(layer.data, wanted)
    session.link(volume, "objects", CONFIG)
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)
    first = session.said.of_result
    session.said.of_result = ""
    qtbot.wait(200)
    assert first.startswith("Linked 3 planes")
    assert (session.jobs.state, session.said.of_result) == ("idle", "")


def test_a_linked_layer_that_is_deleted_meanwhile_is_not_linked(
    viewer: Any, session: Session, again: Rethreshold, volume: Image, settle: Any
) -> None:
    """What comes in its place is another result, and may lack planes."""
    session.kept.forget(volume)
    for z in range(2):
        session.kept.put(volume, (z,), volume.data[z], SEGMENTER)
    again.find(volume, replace(CONFIG, threshold=0.7))
    viewer.layers.remove(result_of(viewer, volume))
    settle()

    assert session.jobs.state == "idle"
    assert result_of(viewer, volume).name == "embryo segmentation (unfinished)"
    assert result_of(viewer, volume).data[:2].any(axis=(1, 2)).all()
