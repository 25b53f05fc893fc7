"""A training that was stopped goes on as if nothing had happened."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import zipfile
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painting import config, disks

from napari_unet.core.annotation import Annotation
from napari_unet.engine.events import Prepared, StepDone, Trained, TrainEvent, Validated
from napari_unet.engine.learning import run
from napari_unet.engine.learning.checkpoint import load, save
from napari_unet.engine.process.mailbox import Mailbox, Repainted
from napari_unet.engine.training import train
from napari_unet.errors import InputError, ModelFileError

torch.set_num_threads(1)
PAINTED = Annotation(*disks((200, 260)))


def told(events: list[TrainEvent]) -> list[tuple[Any, ...]]:
    """What a curve is drawn from, without the clock."""
    lines: list[tuple[Any, ...]] = []
    for event in events:
        if isinstance(event, StepDone):
            lines.append(("step", event.step, event.loss))
        elif isinstance(event, Validated):
            lines.append(("validated", event.step, event.loss, event.iou))
    return lines


def same_weights(one: TrainEvent, two: TrainEvent) -> bool:
    """To the last bit."""
    first, second = one.segmenter.weights, two.segmenter.weights
    return all(np.array_equal(first[name], second[name]) for name in first)


@cache
def uninterrupted(recipe: Any) -> list[TrainEvent]:
    """The events of a training that nobody stops."""
    return list(train([PAINTED], config(steps=6, recipe=recipe, depth=1, base_channels=2)))


@pytest.mark.parametrize("recipe", ["default", "paper"])
@pytest.mark.parametrize("stops", [[4], [9], [2, 3]])
def test_stopped_and_resumed_is_uninterrupted(
    tmp_path: Path, recipe: Any, stops: list[int]
) -> None:
    """The same steps, losses, validations and weights, to the last bit, after any event."""
    settings = config(steps=6, recipe=recipe, depth=1, base_channels=2)
    whole = uninterrupted(recipe)
    file = tmp_path / "state"
    for taken in stops:
        events = train([PAINTED], settings, checkpoint=file)
        list(itertools.islice(events, taken))
        events.close()
        assert file.exists()
    resumed = list(train([PAINTED], settings, checkpoint=file))
    assert isinstance(resumed[0], Prepared)
    assert "; resumed at step" in resumed[0].message
    assert "with other labels" not in resumed[0].message
    assert told([*resumed[0].earlier, *resumed[1:]]) == told(whole)
    assert same_weights(resumed[-1], whole[-1])
    last = resumed[-1]
    assert isinstance(last, Trained)
    assert isinstance(whole[-1], Trained)
    assert (last.steps, last.score) == (whole[-1].steps, whole[-1].score)
    assert not file.exists()


def test_fine_tuning_is_resumed_from_where_it_was(tmp_path: Path) -> None:
    """Also the score compares with the model that the first part started from."""
    first = list(train([PAINTED], config()))[-1].segmenter
    whole = list(train([PAINTED], config(steps=4), segmenter=first))
    events = train([PAINTED], config(steps=4), segmenter=first, checkpoint=tmp_path / "state")
    list(itertools.islice(events, 4))
    events.close()
    resumed = list(train([PAINTED], config(steps=4), checkpoint=tmp_path / "state"))
    assert same_weights(resumed[-1], whole[-1])
    assert isinstance(resumed[-1], Trained)
    assert isinstance(whole[-1], Trained)
    assert resumed[-1].score == whole[-1].score
    assert resumed[-1].segmenter.provenance["steps"] == whole[-1].segmenter.provenance["steps"]


def test_the_time_of_the_first_part_counts(tmp_path: Path) -> None:
    """A budget of seconds is not given twice."""
    settings = config(steps=0, seconds=2.0)
    events = train([PAINTED], settings, checkpoint=tmp_path / "state")
    for event in events:
        if isinstance(event, StepDone) and event.seconds > 1.0:
            break
    events.close()
    resumed = list(train([PAINTED], settings, checkpoint=tmp_path / "state"))
    first = next(e for e in resumed if isinstance(e, StepDone))
    assert first.seconds > 1.0
    assert first.progress > 0.5


def test_a_killed_training_resumes_from_its_last_save(tmp_path: Path) -> None:
    """What was taken since is taken again, and the end is the same."""
    file = tmp_path / "state"
    program = (
        "import sys; sys.path.append(sys.argv[1]); from painting import config, disks\n"
        "from napari_unet.core.annotation import Annotation\n"
        "from napari_unet.engine.training import train\n"
        "import torch; torch.set_num_threads(1)\n"
        "for event in train([Annotation(*disks((200, 260)))], config(steps=25), "
        "checkpoint=sys.argv[2]):\n"
        "    print(type(event).__name__, flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(12):
            process.stdout.readline()
        process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    assert file.exists()
    resumed = list(train([PAINTED], config(steps=25), checkpoint=file))
    assert same_weights(resumed[-1], list(train([PAINTED], config(steps=25)))[-1])


def test_more_steps_may_be_asked_for_when_it_is_resumed(tmp_path: Path) -> None:
    """The budget is not part of what must be the same."""
    events = train([PAINTED], config(steps=5), checkpoint=tmp_path / "state")
    list(itertools.islice(events, 4))
    events.close()
    last = list(train([PAINTED], config(steps=8), checkpoint=tmp_path / "state"))[-1]
    assert isinstance(last, Trained)
    assert last.steps == 8


def stopped(annotation: Annotation, file: Path, **settings: Any) -> None:
    """Leave the state of a training that took some steps."""
    events = train([annotation], config(**settings), checkpoint=file)
    list(itertools.islice(events, 8))
    events.close()


@pytest.mark.parametrize("first", [PAINTED.labels == 0, np.where(PAINTED.labels > 300, 0, 1)])
def test_what_was_painted_in_between_is_learned_from(tmp_path: Path, first: Any) -> None:
    """And kept, however well the network did on what was painted wrongly; it is said."""
    stopped(Annotation(PAINTED.image, first), tmp_path / "state", steps=6)
    resumed = list(train([PAINTED], config(steps=6), checkpoint=tmp_path / "state"))
    assert isinstance(resumed[0], Prepared)
    assert resumed[0].message.endswith("; resumed at step 4, with other labels than before")
    kept = [event.segmenter.provenance for event in resumed if isinstance(event, Validated)]
    assert [p["steps"] for p in kept] == [5, 6, 6]
    assert all(p["labelled"].startswith("33 581 px background, 63 cells") for p in kept)


def test_labels_that_only_look_different_are_the_same(tmp_path: Path) -> None:
    """Stored in another type, or as planes of a stack in which others are empty."""
    stopped(PAINTED, tmp_path / "state", steps=6)
    stack = np.stack([np.zeros_like(PAINTED.image), PAINTED.image], axis=1)
    labels = np.stack([np.zeros_like(PAINTED.labels), PAINTED.labels]).astype(np.uint16)
    events = train([Annotation(stack, labels)], config(steps=6), checkpoint=tmp_path / "state")
    prepared = next(events)
    events.close()
    assert isinstance(prepared, Prepared)
    assert prepared.message.endswith("; resumed at step 4")


def test_strokes_that_nothing_was_measured_on_are_other_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that is stopped right after a stroke goes on as if it came in between."""
    monkeypatch.setattr(run, "RENEWAL_GAP", 1e9)  # only the first stroke is looked at
    file, mailbox = tmp_path / "state", Mailbox()
    events = train([PAINTED], config(steps=0), checkpoint=file, mailbox=mailbox)
    for number in (701, 702):
        corner = (slice(0, 5), slice(0, 5))
        labels = np.full((5, 5), number)
        mailbox.put(Repainted(plane=0, box=corner, labels=labels))
        next(event for event in events if isinstance(event, StepDone))
    events.close()
    painted = PAINTED.labels.copy()
    painted[corner] = labels
    again = next(train([Annotation(PAINTED.image, painted)], config(steps=0), checkpoint=file))
    assert isinstance(again, Prepared)
    assert again.message.endswith(", with other labels than before")


def test_names_that_were_changed_in_between_are_kept(tmp_path: Path) -> None:
    """Of classes of pixels; other numbers are another model."""
    classes = np.where(PAINTED.labels > 0, 2, 1)
    old, new = (
        Annotation(PAINTED.image, classes, "classes", classes={1: "medium", 2: name})
        for name in ("disc", "disk")
    )
    stopped(old, tmp_path / "state", steps=6)
    *_, last = train([new], config(steps=6), checkpoint=tmp_path / "state")
    assert last.segmenter.class_names == ("medium", "disk")


def test_classes_of_cells_that_are_new_are_refused(tmp_path: Path) -> None:
    """The network in training has no output for them."""
    stopped(PAINTED, tmp_path / "state", steps=6)
    kinds = {number: "odd" if number % 2 else "even" for number in range(1, 700)}
    several = Annotation(PAINTED.image, PAINTED.labels, classes=kinds)
    with pytest.raises(InputError, match=r"knows no classes of cells, and even, odd are given now"):
        next(train([several], config(steps=6), checkpoint=tmp_path / "state"))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    """Rather than a mixture of two trainings."""
    events = train([PAINTED], config(), checkpoint=tmp_path / "state")
    list(itertools.islice(events, 3))
    events.close()
    with pytest.raises(InputError, match=r"started with seed=0, not 5\. Use the same settings"):
        next(iter(train([PAINTED], config(seed=5), checkpoint=tmp_path / "state")))


def test_another_model_than_the_one_it_began_with_is_refused(tmp_path: Path) -> None:
    """Rather than left out without a word; the same one goes on."""
    first, other = (list(train([PAINTED], config(seed=seed)))[-1].segmenter for seed in (1, 2))
    for began_with, said in ((first, "another model"), (None, "a new model")):
        file = tmp_path / said
        events = train([PAINTED], config(), segmenter=began_with, checkpoint=file)
        list(itertools.islice(events, 3))
        events.close()
        with pytest.raises(InputError, match=rf"began with {said}, not with the one"):
            next(iter(train([PAINTED], config(), segmenter=other, checkpoint=file)))
        going_on = train([PAINTED], config(), segmenter=began_with, checkpoint=file)
        list(itertools.islice(going_on, 2))
        going_on.close()
        with pytest.raises(InputError, match=rf"began with {said}, not with the one"):
            next(iter(train([PAINTED], config(), segmenter=other, checkpoint=file)))


def test_a_damaged_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """Cut off anywhere, or something else altogether."""
    file = tmp_path / "state"
    events = train([PAINTED], config(), checkpoint=file)
    list(itertools.islice(events, 3))
    events.close()
    content = file.read_bytes()
    for damaged in (b"", b"something else", content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"is damaged or not the state.*Choose"):
            next(iter(train([PAINTED], config(), checkpoint=file)))


def test_a_file_with_other_bytes_anywhere_is_refused(tmp_path: Path) -> None:
    """Also where torch would read it: weights that nobody trained, or half of a description."""
    file, settings = tmp_path / "state", config(depth=1, base_channels=2)
    events = train([PAINTED], settings, checkpoint=file)
    list(itertools.islice(events, 3))
    events.close()
    content = file.read_bytes()
    with zipfile.ZipFile(file) as saved:
        parts = [part for part in saved.infolist() if part.file_size]
    for part in parts:
        extra = int.from_bytes(content[part.header_offset + 28 :][:2], "little")
        start = part.header_offset + 30 + len(part.filename) + extra
        for place in np.linspace(start, start + part.file_size - 1, 5, dtype=int).tolist():
            damaged = bytearray(content)
            damaged[place] ^= 255
            file.write_bytes(damaged)
            with pytest.raises(ModelFileError, match=r"is damaged or not the state.*Choose"):
                load(file, settings)


@pytest.mark.parametrize(
    "state", [[1, 2], torch.ones(3), {}, {"format": 3}, {"format": 3, "config": [1]}]
)
def test_another_file_of_torch_is_refused_with_a_remedy(tmp_path: Path, state: Any) -> None:
    """A list, a tensor, or a dictionary of something else."""
    torch.save(state, tmp_path / "state")
    with pytest.raises(ModelFileError, match=r"is damaged or not the state.*Choose"):
        load(tmp_path / "state", config())


class Dangerous:
    """Unpickling this makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_opening_a_state_never_runs_code_from_it(tmp_path: Path) -> None:
    """It may have come with a project of somebody else."""
    mark, state = tmp_path / "executed", dict.fromkeys(("format", "config", "start", "best"))
    torch.save({**state, "learner": Dangerous(mark)}, tmp_path / "state")
    with pytest.raises(ModelFileError, match=r"is damaged or not the state.*Choose"):
        load(tmp_path / "state", config())
    assert not mark.exists()


def test_a_state_of_another_version_may_be_deleted(tmp_path: Path) -> None:
    """It is one of ours for certain; what only looks like it may be somebody's work."""
    events = train([PAINTED], config(), checkpoint=tmp_path / "state")
    list(itertools.islice(events, 3))
    events.close()
    state = torch.load(tmp_path / "state", weights_only=True) | {"format": 2}
    torch.save(state, tmp_path / "state")
    with pytest.raises(ModelFileError, match="from another version of the program; delete it"):
        load(tmp_path / "state", config())
    torch.save({"format": 2, "config": state["config"]}, tmp_path / "state")
    with pytest.raises(ModelFileError, match="Choose another file"):
        load(tmp_path / "state", config())
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelFileError, match=r"folder cannot be read: .*Choose another file"):
        load(tmp_path / "folder", config())


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before much time is spent."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelFileError, match="state of the training could not be saved"):
        list(train([PAINTED], config(), checkpoint=tmp_path / "file" / "state"))


def test_whoever_could_not_keep_the_model_has_its_state(tmp_path: Path) -> None:
    """It is removed when the last event was taken, not before."""
    settings = config(steps=6, depth=1, base_channels=2)
    events = train([PAINTED], settings, checkpoint=tmp_path / "state")
    assert any(isinstance(event, Trained) for event in events)
    events.close()
    again = list(train([PAINTED], settings, checkpoint=tmp_path / "state"))

    assert "resumed" in str(again[0])
    assert same_weights(again[-1], uninterrupted("default")[-1])
    assert not list(tmp_path.iterdir())


def test_a_state_that_cannot_be_written_any_more_ends_no_training(tmp_path: Path) -> None:
    """It is said, also where the training is stopped; and what is learned is the same."""
    stopped, whole = (_without_its_disk(tmp_path / name) for name in ("stopped", "whole"))
    with pytest.warns(UserWarning, match=r"could not be saved .* What is learned is kept"):
        stopped.close()
    with pytest.warns(UserWarning, match=r"could not be saved .* What is learned is kept"):
        *_, last = whole

    assert isinstance(last, Trained)
    assert same_weights(last, uninterrupted("default")[-1])


def _without_its_disk(folder: Path) -> Generator[TrainEvent, None, None]:
    """Begin a training; then something else is in the place of the folder of its state."""
    settings = config(steps=6, depth=1, base_channels=2)
    events = train([PAINTED], settings, checkpoint=folder / "state")
    list(itertools.islice(events, 2))
    folder.rmdir()
    folder.touch()
    return events


@pytest.mark.skipif(sys.platform == "win32", reason="a limit that stands for a full disk")
@pytest.mark.parametrize("room", [0, 8192, 40_000])
def test_a_full_disk_is_told_and_keeps_the_state_before(tmp_path: Path, room: int) -> None:
    """Wherever in the file it ends."""
    import resource

    path = tmp_path / "state"
    stopped = train([PAINTED], config(), checkpoint=path)
    list(itertools.islice(stopped, 2))
    stopped.close()
    before, state = path.read_bytes(), load(path, config())
    assert state is not None
    assert len(before) > room
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(ModelFileError, match=r"could not be saved to .*state: .*too large"):
            save(path, config(), state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
