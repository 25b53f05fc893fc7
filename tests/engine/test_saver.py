"""Saving a session: what it had, whose it was, what becomes of its folder, and the thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.engine.modelfile import weight_shapes
from napari_unet.engine.saving import saver
from napari_unet.engine.saving.folders import (
    clean,
    default_root,
    is_running,
    mark,
    new_folder,
    saved_sessions,
)
from napari_unet.engine.saving.labels import Corner, read_labels
from napari_unet.engine.saving.saver import Present, Saver
from napari_unet.engine.saving.session import (
    SavedImage,
    SavedLabels,
    SavedModel,
    SavedRegions,
    SavedSession,
    read_json,
    read_session,
    write_json,
    write_session,
)
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

SHAPE = (2, 40, 50)
LABELS = SavedLabels(
    name="painted",
    folder="labels-0",
    shape=SHAPE,
    dtype="<u2",
    meaning="scribbles",
    entry={"answered": ["inside"]},
    spatial={"scale": [2.0, 0.5, 0.5]},
    image=SavedImage(name="cells", shape=SHAPE, path="/somewhere/cells.tif", reader="napari"),
    parts=2,
    cells=5,
)
REGIONS = SavedRegions(
    name="finished",
    ndim=3,
    shapes=(("polygon", [[1.0, 2.5, 3.0], [1.0, 20.0, 3.0], [1.0, 2.5, 30.0]]),),
    edge_width=2.0,
    spatial={"scale": [2.0, 0.5, 0.5]},
    image=LABELS.image,
    others=(SavedImage(name="other", shape=SHAPE),),
)
THIS = replace(
    SavedSession.of_this_process(),
    labels=(LABELS, replace(LABELS, image=None)),
    regions=(REGIONS, replace(REGIONS, image=None)),
    model="model.safetensors",
    history=(SavedModel(file="history-0.safetensors", time="2027-01-31T14:03:12", summary="ok"),),
)


def make_segmenter(value: float = 0.5, base_channels: int = 1, depth: int = 1) -> Segmenter:
    """The smallest model there can be, or a larger one."""
    shape = {"base_channels": base_channels, "depth": depth}
    empty = Segmenter(weights={}, in_channels=1, n_classes=2, **shape)
    weights = {k: np.full(s, value, np.float32) for k, s in weight_shapes(empty).items()}
    return replace(empty, weights=weights)


def pixels(value: int) -> np.ndarray:
    """One plane with a background stroke and a cell."""
    plane = np.zeros(SHAPE[1:], np.uint16)
    plane[:5], plane[10:20] = 1, value
    return plane


@pytest.fixture
def trouble() -> list[str]:
    """What the saver complains about."""
    return []


@pytest.fixture
def open_saver(tmp_path: Path, trouble: list[str]) -> Iterator[Callable[[], Saver]]:
    """Savers that are closed after the test."""
    savers: list[Saver] = []

    def open_it(root: Path = tmp_path / "autosave") -> Saver:
        savers.append(Saver(root, trouble.append))
        return savers[-1]

    yield open_it
    for opened in savers:
        opened.close()


def present(**changes: Any) -> Present:
    """Labels that are painted now, and what else there is."""
    session = replace(THIS, labels=(replace(LABELS, parts=0, cells=0),), model=None, history=())
    return Present(session=session, **changes)


def test_a_session_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """With tuples, numbers and what is missing."""
    write_session(tmp_path, THIS)

    assert read_session(tmp_path) == THIS


def test_a_damaged_session_gives_way_to_the_version_before(tmp_path: Path) -> None:
    """As with labels."""
    write_session(tmp_path, replace(THIS, saved=1.0))
    write_session(tmp_path, THIS)
    file = tmp_path / "session.json"
    file.write_bytes(file.read_bytes()[:100])

    assert read_session(tmp_path).saved == 1.0


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 10_000, b'{"format": 2}'])
def test_what_is_no_session_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    """Whatever lies there."""
    (tmp_path / "session.json").write_bytes(content)

    with pytest.raises(InputError, match=r"no readable session.json of format 1 in "):
        read_session(tmp_path)


ODD = st.sampled_from(
    [None, -1, 1.5, "x", "../x", [], {}, [-1, 2], [1], True, 10**30, float("nan")]
)
PLACES = [(name,) for name in THIS.__slots__] + [("labels", 0, name) for name in LABELS.__slots__]
PLACES += [("regions", 0, name) for name in REGIONS.__slots__]
PLACES += [("labels", 0, "image", "shape"), ("history", 0, "file"), ("labels", 0, "unknown")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=ODD)
def test_odd_values_are_refused_or_harmless(
    tmp_path: Path, place: tuple[Any, ...], value: object
) -> None:
    """Nothing else than our own error is raised, and no name leads out of the folder."""
    write_session(tmp_path, THIS)
    content = read_json(tmp_path / "session.json")
    part: Any = content
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    write_json(tmp_path / "session.json", content)
    try:
        session = read_session(tmp_path)
    except InputError:
        return

    assert isinstance(is_running(session), bool)
    assert session.model in (None, "model.safetensors", "x")
    for layer in session.labels:
        assert "/" not in layer.folder
        assert np.prod(layer.shape) >= 0
        assert layer.image is None or isinstance(layer.image.path, str | None)


def test_the_folder_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it is among the data of the user."""
    monkeypatch.setenv("NAPARI_UNET_AUTOSAVE", "/elsewhere")
    assert default_root() == Path("/elsewhere")

    monkeypatch.delenv("NAPARI_UNET_AUTOSAVE")
    assert default_root().parts[-2:] == ("napari-live-unet", "autosave")
    assert default_root().is_absolute()


def test_two_sessions_never_share_a_folder(tmp_path: Path) -> None:
    """Two viewers of one process, opened in the same second."""
    folders = {new_folder(tmp_path / "deep" / "down") for _ in range(5)}

    assert len(folders) == 5
    assert all(str(os.getpid()) in folder.name for folder in folders)


def test_whether_the_process_of_a_session_runs() -> None:
    """Ours does; one that ended does not, nor one whose number another process has now."""
    assert is_running(THIS)
    assert not is_running(replace(THIS, created=THIS.created - 100))

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        other = psutil.Process(process.pid)
        its = replace(THIS, pid=process.pid, created=other.create_time())
        assert is_running(its)
        process.kill()
        deadline = time.monotonic() + 5  # nobody waits for it: a dead process, still listed
        while is_running(its) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_running(its)
    assert not is_running(its)


def test_a_session_of_another_machine_is_left_alone_for_half_a_day() -> None:
    """Homes are shared between machines; what runs there cannot be seen from here."""
    there = replace(THIS, node=THIS.node + "-other", pid=1)

    assert is_running(replace(there, saved=time.time() - 3600))
    assert not is_running(replace(there, saved=time.time() - 24 * 3600))


def test_only_the_oldest_sessions_that_are_done_are_deleted(tmp_path: Path) -> None:
    """One that crashed, or that cannot be read, stays for ever."""
    states = ["open", "closed", "restored", "dismissed", "closed", "closed", "open", "closed"]
    for day, state in enumerate([*states, "damaged"]):
        folder = tmp_path / f"2027010{day}-120000-1"
        (folder / "labels-0").mkdir(parents=True)
        write_session(folder, THIS)
        if state == "damaged":
            (folder / "session.json").write_text("{")
        elif state != "open":
            mark(folder, state)
    clean(tmp_path)

    assert sorted(int(path.name[7]) for path in tmp_path.iterdir()) == [0, 2, 3, 4, 5, 6, 7, 8]
    clean(tmp_path / "nowhere")


def test_damaged_sessions_are_logged_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are found, newest first."""
    for day in range(3):
        folder = tmp_path / f"2027010{day}-120000-1"
        folder.mkdir()
        write_session(folder, replace(THIS, saved=float(day)))
    (tmp_path / "20270101-120000-1" / "session.json").write_text("nonsense")
    (tmp_path / "a file").touch()

    assert [session.saved for _, session in saved_sessions(tmp_path)] == [2.0, 0.0]
    assert "no readable session.json" in caplog.text


def test_labels_models_and_curves_are_written(open_saver: Callable[[], Saver]) -> None:
    """And how much there is of them: cells of different planes are different cells."""
    saving, model, older = open_saver(), make_segmenter(0.5), make_segmenter(0.25)
    saving.put("labels-0", Corner((0,), 0, 0), pixels(2))
    saving.put("labels-0", Corner((1,), 0, 0), pixels(2))
    saving.note(present(model=model, history=((older, "then", "ok"),), record={"loss": [1.0]}))

    assert saving.wait(10)
    assert saving.folder is not None
    session = read_session(saving.folder)
    (layer,) = session.labels
    assert (layer.parts, layer.cells) == (2, 2)
    read = read_labels(saving.folder / layer.folder, layer.shape, layer.dtype)
    np.testing.assert_array_equal(read.pixels, np.stack([pixels(2), pixels(2)]))
    assert session.model is not None
    for name, segmenter in [(session.model, model), (session.history[0].file, older)]:
        loaded = Segmenter.load(saving.folder / name)
        assert all(np.array_equal(loaded.weights[k], w) for k, w in segmenter.weights.items())
    assert read_json(saving.folder / "record.json") == {"loss": [1.0]}


def test_nothing_is_written_twice_and_nothing_empty(open_saver: Callable[[], Saver]) -> None:
    """A piece nobody painted in has no file; one that did not change keeps its versions."""
    saving = open_saver()
    for _ in range(3):
        saving.put("labels-0", Corner((0,), 0, 0), np.zeros((40, 50), np.uint16))
        saving.put("labels-0", Corner((1,), 0, 0), pixels(2))
        saving.note(present())
        assert saving.wait(10)

    assert saving.folder is not None
    names = sorted(path.name for path in saving.folder.rglob("*.*") if path.is_file())
    assert names == ["1-0-0.npz", "session.json"]

    saving.put("labels-0", Corner((1,), 0, 0), np.zeros((40, 50), np.uint16))
    assert saving.wait(10)
    assert not read_labels(saving.folder / "labels-0", SHAPE, np.uint16).pixels.any(), "erased"


def test_what_comes_while_the_same_is_written_is_written_next(
    open_saver: Callable[[], Saver],
) -> None:
    """The stroke of this moment is the newest, although another one is on its way to the disk."""
    saving, corner = open_saver(), Corner((), 0, 0)
    before, now = np.random.default_rng(0).integers(1, 2**31, (2, 1024, 1024))
    saving.put("labels-0", corner, before)
    while saving.folder is None:  # that is made when the writing begins
        time.sleep(0.001)
    saving.put("labels-0", corner, now)
    assert saving.wait(60)

    read = read_labels(saving.folder / "labels-0", now.shape, now.dtype)
    np.testing.assert_array_equal(read.pixels, now)


def test_what_is_noted_while_the_rest_is_written_is_written_next(
    open_saver: Callable[[], Saver],
) -> None:
    """A large model takes a while, and meanwhile a layer is renamed."""
    saving, first = open_saver(), present(model=make_segmenter(base_channels=48, depth=3))
    renamed = replace(first.session.labels[0], name="renamed")
    saving.note(first)
    while saving.folder is None:
        time.sleep(0.001)
    saving.note(replace(first, session=replace(first.session, labels=(renamed,))))
    assert saving.wait(60)

    assert read_session(saving.folder).labels[0].name == "renamed"


def test_models_that_are_forgotten_are_deleted(open_saver: Callable[[], Saver]) -> None:
    """The history does not fill the disk; of the present model two older ones are kept."""
    saving, models = open_saver(), [make_segmenter(n / 10) for n in range(6)]
    for n in range(1, 6):
        history = tuple((model, "then", "") for model in models[max(0, n - 2) : n])
        saving.note(present(model=models[n], history=history))
        assert saving.wait(10)

    assert saving.folder is not None
    kept = read_session(saving.folder).history
    files = {path.name for path in saving.folder.glob("*.safetensors")}
    model_files = {"model.safetensors", "model.1.safetensors", "model.2.safetensors"}
    assert files == {*model_files, *(model.file for model in kept)}
    assert [
        float(Segmenter.load(saving.folder / m.file).weights["head.bias"][0]) for m in kept
    ] == (pytest.approx([0.3, 0.4]))


def test_trouble_is_told_once_and_saving_goes_on(
    tmp_path: Path,
    open_saver: Callable[..., Saver],
    trouble: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that takes nothing, then does; the newest pixels are saved, though not given again.

    Trouble that comes after is told, too.
    """
    monkeypatch.setattr(saver, "RETRY_SECONDS", 0.05)
    (tmp_path / "autosave").write_text("a file is in the way")
    saving = open_saver()
    for value in (2, 3, 4):
        saving.put("labels-0", Corner((0,), 0, 0), pixels(value))
        saving.note(present())
        assert not saving.wait(5)

    assert len(trouble) == 1
    assert "cannot be autosaved at the moment" in trouble[0]
    assert "set NAPARI_UNET_AUTOSAVE" in trouble[0]

    (tmp_path / "autosave").unlink()
    deadline = time.monotonic() + 10
    while not saving.wait(1) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert saving.folder is not None
    read = read_labels(saving.folder / "labels-0", SHAPE, np.uint16)
    np.testing.assert_array_equal(read.pixels[0], pixels(4))

    saving.folder.rename(tmp_path / "away")
    saving.folder.write_text("a file is in the way again")
    saving.put("labels-0", Corner((0,), 0, 0), pixels(5))
    assert not saving.wait(5)
    assert len(trouble) == 2


def test_a_model_that_cannot_be_saved_keeps_nothing_else_from_it(
    open_saver: Callable[[], Saver], trouble: list[str]
) -> None:
    """A training that diverged must not cost the labels."""
    saving = open_saver()
    saving.put("labels-0", Corner((0,), 0, 0), pixels(2))
    saving.note(present(model=make_segmenter(float("nan"))))
    assert not saving.wait(5), "it is tried again"

    assert saving.folder is not None
    session = read_session(saving.folder)
    assert (session.model, session.labels[0].cells) == (None, 1)
    assert len(trouble) == 1
    assert "not finite" in trouble[0]


def test_closing_writes_what_waits(open_saver: Callable[[], Saver]) -> None:
    """And deletes sessions of long ago."""
    saving = open_saver()
    saving.put("labels-0", Corner((0,), 0, 0), pixels(2))
    saving.note(present())
    saving.close()

    assert saving.folder is not None
    assert read_session(saving.folder).labels[0].cells == 1
    assert not any(path.name.endswith("partial") for path in saving.folder.rglob("*"))


def test_a_session_with_nothing_in_it_makes_no_folder(
    tmp_path: Path, open_saver: Callable[[], Saver]
) -> None:
    """Whoever only looks at images finds nothing of ours on the disk."""
    open_saver().close()

    assert not (tmp_path / "autosave").exists()
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == "[]"
