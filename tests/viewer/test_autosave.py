"""What is saved of a session while it runs, and what is not."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QTimer
from small_things import make_segmenter

from napari_unet.core.config import TrainConfig
from napari_unet.engine.saving.labels import SIDE, read_labels
from napari_unet.engine.saving.session import (
    SavedLabels,
    SavedRegions,
    read_json,
    read_session,
)
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.imageregions import ImageRegions
from napari_unet.viewer.layers import new_scribbles
from napari_unet.viewer.notes import mark_result, set_meaning
from napari_unet.viewer.saving import autosave
from napari_unet.viewer.saving.autosave import Autosave
from napari_unet.viewer.saving.changes import Changes
from napari_unet.viewer.session import Session

STACK = (4, 60, 80)


@pytest.fixture
def saving(session: Session, tmp_path: Path) -> Iterator[Autosave]:
    """The session is autosaved to a folder of the test."""
    saving = Autosave(session, tmp_path / "autosave")
    yield saving
    saving.close()


@pytest.fixture
def scribbles(viewer: Any, saving: Autosave) -> Labels:  # noqa: ARG001 (it is running)
    """An empty layer on a stack of planes."""
    image = viewer.add_image(np.zeros(STACK, np.float32), name="cells", scale=(4, 0.5, 0.5))
    return new_scribbles(viewer, image)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses in painting are short in this test."""
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(autosave, "LONGEST_SECONDS", 1.0)


def layers_in(saving: Autosave) -> list[SavedLabels]:
    """What is said of the saved layers."""
    assert saving.folder is not None
    return list(read_session(saving.folder).labels)


def drawn_in(saving: Autosave) -> list[SavedRegions]:
    """What is said of the saved training regions."""
    assert saving.folder is not None
    return list(read_session(saving.folder).regions)


def parts_in(saving: Autosave) -> int:
    """How many pieces of the first layer are saved by now."""
    try:
        return layers_in(saving)[0].parts
    except (AssertionError, InputError, IndexError):
        return 0  # nothing is written yet


def pixels_in(saving: Autosave, number: int = 0) -> Any:
    """The pixels of a saved layer."""
    saved = layers_in(saving)[number]
    assert saving.folder is not None
    read = read_labels(saving.folder / saved.folder, saved.shape, saved.dtype, saved.parts)
    assert (read.older, read.lost) == (0, 0)
    return read.pixels


def assert_saved(saving: Autosave, layer: Labels, number: int = 0) -> None:
    """Everything in the layer is saved, as it is."""
    np.testing.assert_array_equal(pixels_in(saving, number), layer.data, strict=True)


@pytest.mark.usefixtures("hurried")
def test_a_stroke_is_saved_after_a_pause(saving: Autosave, scribbles: Labels, qtbot: Any) -> None:
    """By itself; only the plane somebody painted on has a file."""
    scribbles.paint((2, 30, 40), 2)
    qtbot.wait_until(lambda: parts_in(saving) == 1, timeout=100_000)

    assert_saved(saving, scribbles)
    assert layers_in(saving)[0].cells == 1
    assert saving.folder is not None
    assert [path.name for path in (saving.folder / "labels-0").iterdir()] == ["2-0-0.npz"]


@pytest.mark.usefixtures("hurried")
def test_whoever_never_pauses_is_saved_too(saving: Autosave, scribbles: Labels, qtbot: Any) -> None:
    """Strokes that follow each other quicker than a pause is long."""
    begin = time.monotonic()
    strokes = 0
    while not parts_in(saving):
        strokes += 1
        scribbles.paint((1, 10, strokes % STACK[2]), 2 + strokes)
        qtbot.wait(20)
        assert time.monotonic() - begin < 10

    assert time.monotonic() - begin > 0.9, "not at every stroke"


@pytest.mark.usefixtures("hurried")
def test_a_stroke_that_is_still_being_drawn_is_saved(
    viewer: Any, saving: Autosave, scribbles: Labels, qtbot: Any
) -> None:
    """The button of the mouse is not released yet."""
    viewer.dims.set_point(0, 0)
    assert saving.save_now()
    with scribbles.block_history():
        scribbles.paint((0, 30, 40), 2)
        qtbot.wait_until(lambda: parts_in(saving) == 1, timeout=100_000)
        assert_saved(saving, scribbles)


@pytest.mark.usefixtures("hurried")
def test_what_a_break_keeps_waiting_is_saved_when_all_is_to_be_saved_now(
    saving: Autosave, scribbles: Labels, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces are copied a few at a time, and the viewer may close in between."""
    monkeypatch.setattr(autosave, "COPY_SECONDS", 0.0)  # one at a time,
    monkeypatch.setattr(autosave, "BREATH_SECONDS", 1000.0)  # and the next one much later
    for plane in range(STACK[0]):
        scribbles.paint((plane, 10, 10), 2)
    qtbot.wait_until(lambda: parts_in(saving) == 1, timeout=100_000)
    assert saving.save_now()

    assert_saved(saving, scribbles)
    assert layers_in(saving)[0].cells == STACK[0]


@pytest.mark.usefixtures("hurried")
def test_what_is_painted_while_the_rest_is_copied_is_saved(
    saving: Autosave, scribbles: Labels, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, on the plane that was copied already, too."""
    monkeypatch.setattr(autosave, "COPY_SECONDS", 0.0)  # one piece at a time
    monkeypatch.setattr(autosave, "BREATH_SECONDS", 0.3)
    assert saving.save_now()
    for column in (10, 30):
        for plane in range(STACK[0]):
            scribbles.paint((plane, 10, column), 2)
        qtbot.wait_until(lambda: saving._round is not None)

    def all_is_saved() -> bool:
        return np.array_equal(pixels_in(saving), scribbles.data)

    qtbot.wait_until(all_is_saved, timeout=20_000)


@pytest.mark.usefixtures("hurried")
def test_training_regions_are_saved_while_they_are_drawn(
    viewer: Any, saving: Autosave, qtbot: Any
) -> None:
    """Once they are chosen for an image, by themselves; other shapes are none of ours."""
    image = viewer.add_image(np.zeros(STACK, np.float32), name="cells")
    regions = viewer.add_shapes(ndim=3, name="finished")
    viewer.add_shapes([[[0, 0], [9, 9]]], shape_type="line", name="a scale bar")
    ImageRegions(viewer).put(image, regions)

    def corners() -> list[Any]:
        try:
            assert saving.folder is not None
            return [np.array(one) for layer in drawn_in(saving) for _, one in layer.shapes]
        except (AssertionError, InputError):
            return []  # nothing is written yet

    box = np.array([[1, 5, 5], [1, 5, 30], [1, 40, 30], [1, 40, 5]])
    regions.add(box, shape_type="rectangle")
    qtbot.wait_until(lambda: len(corners()) == 1, timeout=100_000)
    regions.data = [box + 3]
    qtbot.wait_until(lambda: np.array_equal(corners()[0], box + 3), timeout=100_000)

    (saved,) = drawn_in(saving)
    assert (saved.name, saved.image is not None and saved.image.name) == ("finished", "cells")
    other = viewer.add_image(np.zeros(STACK, np.float32), name="other")
    Session.of(viewer).regions.put(other, regions)
    qtbot.wait_until(
        lambda: [one.name for one in drawn_in(saving)[0].others] == ["other"], timeout=100_000
    )
    viewer.layers.remove(regions)
    qtbot.wait_until(lambda: not corners(), timeout=100_000)


def test_undone_erased_replaced_and_set_pixels_are_saved(
    saving: Autosave, scribbles: Labels
) -> None:
    """Whatever changes them."""
    scribbles.paint((0, 10, 10), 2)
    scribbles.paint((3, 50, 70), 3)
    assert saving.save_now()
    assert_saved(saving, scribbles)

    scribbles.undo()
    scribbles.paint((0, 10, 10), 0)
    assert saving.save_now()
    assert not pixels_in(saving).any()

    scribbles.data_setitem((np.array([1]), np.array([2]), np.array([3])), 9)
    assert saving.save_now()
    assert_saved(saving, scribbles)

    scribbles.data = np.random.default_rng(0).integers(0, 5, STACK).astype(np.uint16)
    assert saving.save_now()
    assert_saved(saving, scribbles)


def test_data_that_takes_paint_away_is_saved(viewer: Any, saving: Autosave) -> None:
    """From a plane, too, that was never looked at."""
    labels = np.zeros((3, 40, 50), np.int32)
    labels[0, 5:9] = 12
    layer = viewer.add_labels(labels)
    set_meaning(layer, "instances")
    assert saving.save_now()
    assert_saved(saving, layer)

    layer.data = np.roll(labels, 1, axis=0)
    assert saving.save_now()
    assert_saved(saving, layer)


def test_data_of_another_size_starts_anew(saving: Autosave, scribbles: Labels) -> None:
    """Pieces of the old size are not mixed in."""
    scribbles.paint((0, 10, 10), 2)
    assert saving.save_now()
    scribbles.data = np.full((2, 20, 30), 7, np.int64)
    assert saving.save_now()

    assert_saved(saving, scribbles)


def test_labels_that_nobody_touched_are_not_copied(
    viewer: Any, session: Session, saving: Autosave, qtbot: Any
) -> None:
    """Neither loaded ones that are only looked at, nor our own results."""
    image = viewer.add_image(np.zeros(STACK, np.float32))
    loaded = viewer.add_labels(np.ones(STACK, np.uint16))
    result = Labels(np.ones(STACK, np.uint16))
    mark_result(result, "segmentation", image)
    viewer.add_layer(result)
    viewer.dims.set_point(0, 2)
    loaded.refresh()
    result.refresh()
    qtbot.wait(100)
    session.segmenter = make_segmenter()
    assert saving.save_now()

    assert layers_in(saving) == []


@pytest.mark.parametrize("how", ["painted", "meaning"])
def test_loaded_labels_are_saved_whole_once_there_is_work_in_them(
    viewer: Any, saving: Autosave, how: str
) -> None:
    """Also the planes that were never shown, for nobody knows who painted there before."""
    labels = np.zeros((3, 40, 50), np.int32)
    labels[2, 5:9] = 12
    layer = viewer.add_labels(labels)
    if how == "painted":
        with layer.block_history():  # as the mouse does
            layer.paint((0, 30, 30), 4)
    else:
        set_meaning(layer, "classes")
    assert saving.save_now()

    assert_saved(saving, layer)
    assert layers_in(saving)[0].meaning == ("instances" if how == "painted" else "classes")


def test_of_lazy_labels_the_painted_planes_are_saved(viewer: Any, saving: Autosave) -> None:
    """Dask keeps strokes in memory only; reading all of it to find more could take for ever."""
    layer = viewer.add_labels(dask.array.ones((3, 40, 50), dtype=np.uint8, chunks=(1, 40, 50)))
    with layer.block_history():  # as the mouse does
        layer.paint((1, 30, 30), 4)
    viewer.dims.set_point(0, 0)
    layer.paint((0, 20, 20), 5)
    assert saving.save_now()

    saved = pixels_in(saving)
    np.testing.assert_array_equal(saved[:2], np.asarray(layer.data)[:2])
    assert not saved[2].any()
    assert layers_in(saving)[0].partial


def test_a_large_layer_is_saved_without_holding_up_the_viewer(
    viewer: Any, saving: Autosave, qtbot: Any
) -> None:
    """Between pieces the user goes on; pieces at the border are smaller."""
    layer = viewer.add_labels(np.zeros((5, SIDE + 200, 2 * SIDE + 1), np.uint16))
    layer.data[:] = np.arange(2 * SIDE + 1) % 50
    turns = []
    timer = QTimer()
    timer.timeout.connect(lambda: turns.append(time.monotonic()))
    timer.start(5)
    layer.paint((0, 1100, 2000), 60)
    saving._save_soon()
    qtbot.wait_until(lambda: parts_in(saving) == 30, timeout=100_000)
    timer.stop()

    assert_saved(saving, layer)
    assert len(turns) > 10


def test_a_layer_that_was_taken_away_is_saved_no_more(
    viewer: Any, saving: Autosave, scribbles: Labels, qtbot: Any
) -> None:
    """Not at once, though: napari may be closing down, and crash at that."""
    scribbles.paint((2, 30, 40), 2)
    assert saving.save_now()
    scribbles.paint((2, 50, 60), 2)
    viewer.layers.remove(scribbles)
    assert saving._saver.wait(10)
    assert_saved(saving, scribbles)

    assert saving.save_now()
    assert layers_in(saving) == []
    assert saving.folder is not None
    assert list((saving.folder / "labels-0").iterdir()), "its pixels stay on the disk"
    qtbot.wait(10)


def test_a_layer_that_was_taken_away_is_not_kept_alive(viewer: Any, saving: Autosave) -> None:
    """Labels of a large stack are gigabytes."""
    image = viewer.add_image(np.zeros(STACK))
    layer = new_scribbles(viewer, image)
    layer.paint((2, 30, 40), 2)
    assert saving.save_now()
    alive = weakref.ref(layer)
    viewer.layers.selection.active = image  # napari keeps what was active last
    viewer.layers.remove(layer)
    del layer
    assert saving.save_now()
    gc.collect()

    assert alive() is None


@pytest.mark.parametrize("viewer", ["window"], indirect=True)  # only that knows how to open files
def test_what_is_noted_with_a_layer_is_saved(viewer: Any, saving: Autosave, tmp_path: Path) -> None:
    """Where it lies, what it means, and which image it belongs to."""
    path = tmp_path / "cells.npy"
    np.save(path, np.zeros(STACK, np.float32))
    (image,) = viewer.open(path)
    image.scale, image.units = (4, 0.5, 0.5), ("second", "micrometer", "micrometer")
    layer = new_scribbles(viewer, image)
    layer.metadata["napari_unet"]["odd"] = {1, 2}
    layer.paint((0, 10, 10), 2)
    assert saving.save_now()

    (saved,) = layers_in(saving)
    assert saved.name == "cells scribbles"
    assert (saved.meaning, saved.entry["meaning"]) == ("scribbles", "scribbles")
    assert "odd" not in saved.entry, "what JSON cannot say must not keep the rest from being saved"
    assert saved.spatial["scale"] == [4, 0.5, 0.5]
    assert saved.spatial["units"] == ["second", "micrometer", "micrometer"]
    assert saved.image is not None
    assert (saved.image.name, saved.image.shape) == ("cells", STACK)
    assert (saved.image.path, saved.image.reader) == (str(path), "napari")


def test_a_new_model_is_saved_at_once(session: Session, saving: Autosave, qtbot: Any) -> None:
    """With nothing painted, too: somebody loaded it."""
    session.segmenter = make_segmenter()
    qtbot.wait_until(lambda: saving.folder is not None, timeout=100_000)
    assert saving._saver.wait(10)

    assert saving.folder is not None
    loaded = Segmenter.load(saving.folder / "model.safetensors")
    assert loaded.weights.keys() == session.segmenter.weights.keys()
    assert layers_in(saving) == []


def test_the_end_of_a_training_is_saved(
    viewer: Any, session: Session, saving: Autosave, finish: Callable[..., float]
) -> None:
    """Labels, model, its entry in the history, and the curves."""
    picture, truth = touching_cells((128, 128))
    image = viewer.add_image(picture, name="cells")
    labels = viewer.add_labels(painted_scribbles(truth), name="painted")
    set_meaning(labels, "scribbles")
    small = TrainConfig(seconds=0, steps=3, base_channels=4, depth=2, device="cpu")
    session.train(image, labels, None, small)
    finish()
    assert saving._saver.wait(10)

    assert_saved(saving, labels)
    assert saving.folder is not None
    saved = read_session(saving.folder)
    assert Segmenter.load(saving.folder / "model.safetensors").provenance["steps"] == 3
    assert [model.summary for model in saved.history] == [v.summary for v in session.history]
    assert read_json(saving.folder / "record.json")["loss"] == session.record.loss


def test_trouble_with_the_disk_is_one_warning(
    viewer: Any,
    session: Session,
    tmp_path: Path,
    qtbot: Any,
    messages: Callable[[], list[tuple[str, str]]],
) -> None:
    """Painting goes on; once the disk is well, all is saved."""
    (tmp_path / "autosave").write_text("in the way")
    saving = Autosave(session, tmp_path / "autosave")
    layer = new_scribbles(viewer, viewer.add_image(np.zeros(STACK)))
    for column in (10, 40, 70):
        layer.paint((0, 10, column), 2)
        assert not saving.save_now(5)
        qtbot.wait(20)

    ((severity, message),) = messages()
    assert severity == "warning"
    assert "cannot be autosaved" in message

    (tmp_path / "autosave").unlink()
    assert saving.save_now()
    assert_saved(saving, layer)
    saving.close()
    assert messages() == [(severity, message)]


def test_no_more_is_copied_than_may_wait_for_a_slow_disk(
    viewer: Any, session: Session, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large stack would be in memory twice."""
    monkeypatch.setattr(autosave, "COPY_SECONDS", 0.0)  # one piece at a time
    monkeypatch.setattr(autosave, "BREATH_SECONDS", 0.01)
    monkeypatch.setattr(autosave, "MOST_WAITING", 1)
    (tmp_path / "autosave").write_text("in the way")
    saving = Autosave(session, tmp_path / "autosave")
    layer = new_scribbles(viewer, viewer.add_image(np.zeros(STACK)))
    for plane in range(STACK[0]):
        layer.paint((plane, 10, 10), 2)
    saving._save_soon()
    qtbot.wait_until(lambda: saving._saver.waiting_bytes > 0)
    qtbot.wait(200)
    assert saving._saver.waiting_bytes == layer.data[0].nbytes

    (tmp_path / "autosave").unlink()
    assert saving.save_now()
    assert_saved(saving, layer)
    saving.close()


def test_closing_saves_and_notes_that_all_is_well(saving: Autosave, scribbles: Labels) -> None:
    """The stroke of the last second too; nothing is followed after."""
    scribbles.paint((2, 30, 40), 2)
    saving.close()
    saving.close()

    assert saving.folder is not None
    assert read_session(saving.folder).state == "closed"
    assert_saved(saving, scribbles)
    before = pixels_in(saving)
    scribbles.paint((2, 50, 60), 3)
    np.testing.assert_array_equal(pixels_in(saving), before)


@pytest.mark.parametrize("saved_before", [True, False])
def test_napari_takes_the_layers_away_before_it_closes(
    viewer: Any, saving: Autosave, scribbles: Labels, saved_before: bool
) -> None:
    """They are in the folder all the same, should the user miss them later."""
    other = viewer.add_labels(np.ones((20, 30), np.uint8))
    other.paint((10, 10), 5)
    scribbles.paint((2, 30, 40), 2)
    if saved_before:
        assert saving.save_now()
    viewer.layers.clear()
    saving.close()

    numbers = {saved.name: n for n, saved in enumerate(layers_in(saving))}
    assert_saved(saving, scribbles, numbers["cells scribbles"])
    assert_saved(saving, other, numbers["Labels"])


def test_where_nothing_is_done_nothing_is_written(
    viewer: Any, session: Session, tmp_path: Path
) -> None:
    """Looking at an image leaves no trace."""
    saving = Autosave(session, tmp_path / "autosave")
    viewer.add_image(np.zeros(STACK))
    saving.save_now()
    saving.close()

    assert not (tmp_path / "autosave").exists()


def test_no_piece_is_saved_of_data_that_has_gone(viewer: Any) -> None:
    """Pieces are copied one by one, and meanwhile the layer may be given data of another size."""
    layer = viewer.add_labels(np.ones((2, 40, 50), np.uint16))
    set_meaning(layer, "scribbles")
    changes = Changes(layer, viewer)
    pieces = changes.begin(everything=True, flush=False)
    corner, pixels = next(pieces)
    assert (corner.plane, pixels.shape) == ((0,), (40, 50))

    layer.data = np.ones((1, 30, 30), np.uint16)
    assert not list(pieces)
    assert [c.plane for c, _ in changes.begin(everything=True, flush=False)] == [(0,)]
    changes.leave()


def test_what_was_never_looked_at_stays_due_until_there_is_time_for_it(viewer: Any) -> None:
    """At the end only what was painted is saved."""
    layer = viewer.add_labels(np.ones((2, 40, 50), np.uint16))
    set_meaning(layer, "scribbles")
    changes = Changes(layer, viewer)
    assert not list(changes.begin(everything=False, flush=False))
    assert len(list(changes.begin(everything=True, flush=False))) == 2
    assert not list(changes.begin(everything=True, flush=False))
    changes.leave()
