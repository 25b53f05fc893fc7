"""A batch finds 3D objects along all three axes."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from balls import SPACING, two_balls, write_volume

from napari_unet import PredictConfig, Segmenter, segment_volume
from napari_unet.core.metrics import seg_score
from napari_unet.engine import blocks
from napari_unet.engine.batch import segment_files
from napari_unet.engine.files import read_image, read_labels
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.engine.items import tasks
from napari_unet.engine.items.events import BatchEvent, ItemDone, ItemFailed, ItemSkipped
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.items.reserved import reserved_array
from napari_unet.engine.starter import starter_model, with_classes

CPU = PredictConfig(device="cpu")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Write two balls, of which the size of a voxel is known."""
    return write_volume(tmp_path / "a.tif", two_balls()[0][4:28, 20:76, 20:76])


def run(image: Path, out: Path, model: Segmenter | None = None, **more: Any) -> BatchEvent:
    """Find the 3D objects of one image, and return how it ended."""
    how = {key: more.pop(key) for key in ("executor",) if key in more}
    options = BatchOptions(link="volume", **more)
    *_, ended, _ = segment_files(model or starter_model(), image, out, CPU, options, **how)
    return ended


class InTurn:
    """Runs units of work one after the other, as another machine would."""

    def map(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Run calls as `napari_unet.engine.items.tasks.Executor` says."""
        for index, given in enumerate(arguments):
            yield index, function(*given)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "by an executor"])
def test_the_labels_are_those_of_segment_volume(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    """By the spacing in the file, in one unit of work or in several."""
    monkeypatch.setattr(tasks, "ALONE", 1 if elsewhere else tasks.ALONE)
    done = run(
        volume, tmp_path / "out", measure="csv", **({"executor": InTurn()} if elsewhere else {})
    )
    expected = segment_volume(starter_model(), read_image(volume), replace(CPU, spacing=SPACING))

    assert isinstance(done, ItemDone)
    assert done.objects == len(expected.tracks) == 2
    assert np.array_equal(read_labels(tmp_path / "out" / "a_labels.tif"), expected.labels)
    table = (tmp_path / "out" / "a_volumes.csv").read_text().splitlines()
    assert [row["label"] for row in csv.DictReader(table)] == ["1", "2"]
    assert isinstance(run(volume, tmp_path / "out", measure="csv"), ItemSkipped)


def test_probabilities_are_the_mean_of_all_directions(volume: Path, tmp_path: Path) -> None:
    """Those that the cells were found in."""
    run(volume, tmp_path / "out", probabilities=True)
    mean = open_image(tmp_path / "out" / "a_probabilities.tif").data[0]
    labels = read_labels(tmp_path / "out" / "a_labels.tif")

    assert mean[labels > 0].mean() > 0.7
    assert mean[labels == 0].mean() < 0.2


def test_every_time_point_is_a_volume(tmp_path: Path) -> None:
    """Of (T, Z, Y, X) no two share an object."""
    image, truth = (part[4:28, 20:76, 20:76] for part in two_balls())
    path = write_volume(tmp_path / "a.tif", np.stack([image, image[:, ::-1]]), "TZYX")
    done = run(path, tmp_path / "out")
    labels = read_labels(tmp_path / "out" / "a_labels.tif").reshape(2, *image.shape)

    assert isinstance(done, ItemDone)
    assert done.objects == 4
    assert seg_score(truth, labels[0]) > 0.6
    assert seg_score(truth[:, ::-1], labels[1]) > 0.6
    assert not np.intersect1d(labels[0], labels[1]).any()


def test_cells_of_several_classes_keep_them(volume: Path, tmp_path: Path) -> None:
    """They are told by the planes, where the model learned them."""
    model = with_classes(starter_model(), ("round", "other"))
    run(volume, tmp_path / "out", model, measure="csv")
    table = (tmp_path / "out" / "a_volumes.csv").read_text().splitlines()

    assert {row["class"] for row in csv.DictReader(table)} <= {"round", "other"}


def test_what_was_predicted_before_a_break_is_not_predicted_again(
    volume: Path, tmp_path: Path
) -> None:
    """After a stop amid the sections the planes are there, and the result is the same."""
    out, options = tmp_path / "out", BatchOptions(link="volume")
    events = segment_files(starter_model(), volume, out, CPU, options)
    for event in events:
        if event.progress.pixels > 0.5 * event.progress.all_pixels:
            break
    events.close()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.section.npy")}
    assert len(kept) == 24
    (scratch,) = {path.parent for path in kept}
    again = segment_files(starter_model(), volume, out, CPU, options)
    seen = [
        {path: path.stat().st_mtime_ns for path in scratch.glob("*.section.npy")} for _ in again
    ]
    run(volume, tmp_path / "fresh")

    assert [there for there in seen if there][-1] == kept, "until all is done"
    found, fresh = (read_labels(folder / "a_labels.tif") for folder in (out, tmp_path / "fresh"))
    assert np.array_equal(found, fresh)


def test_a_single_plane_has_the_cells_of_a_plane(volume: Path, tmp_path: Path) -> None:
    """A folder of volumes and pictures goes through with one command."""
    tifffile.imwrite(tmp_path / "b.tif", tifffile.imread(volume)[6])

    assert isinstance(run(tmp_path / "b.tif", tmp_path / "out"), ItemDone)


def test_what_has_no_depth_is_refused_before_anything_is_predicted(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A movie, and planes that do not fit into memory; the sentence says what to do."""
    movie = tmp_path / "movie.tif"
    form: Any = {"photometric": "minisblack", "metadata": {"axes": "TYX"}}
    tifffile.imwrite(movie, np.zeros((3, 32, 32), np.uint16), ome=True, **form)
    failed = run(movie, tmp_path / "out")
    assert isinstance(failed, ItemFailed)
    assert "no depth; link them into tracks" in failed.reason
    monkeypatch.setattr(blocks, "LARGE", 100)
    failed = run(volume, tmp_path / "out")
    assert isinstance(failed, ItemFailed)
    assert "planes of 56 x 56 pixels" in failed.reason
    assert "--link objects" in failed.reason


@pytest.mark.parametrize("spacing", [0.0, SPACING])
def test_a_file_that_does_not_say_how_far_apart_planes_are_is_spoken_of(
    tmp_path: Path, spacing: float
) -> None:
    """Unless somebody gave the distance."""
    tifffile.imwrite(tmp_path / "a.tif", two_balls()[0][8:14, 20:60, 20:60])
    config, options = replace(CPU, spacing=spacing), BatchOptions(link="volume")
    events = segment_files(starter_model(), tmp_path / "a.tif", tmp_path / "out", config, options)
    notes = {getattr(event, "note", "") for event in events}

    assert any("does not say how far apart its planes are" in note for note in notes) is not bool(
        spacing
    )


def test_a_split_of_0_joins_what_overlaps(volume: Path, tmp_path: Path) -> None:
    """As it does for `--link objects`."""
    *_, done, _ = segment_files(
        starter_model(), volume, tmp_path / "out", replace(CPU, split=0.0),
        BatchOptions(link="volume"),
    )  # fmt: skip

    assert isinstance(done, ItemDone)
    assert done.objects == 1


FEW_FILES = """
import resource, sys
import psutil
from napari_unet import PredictConfig
from napari_unet.engine.batch import segment_files
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.starter import starter_model, with_classes
most = psutil.Process().num_fds() + 40
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
options, cpu = BatchOptions(link="volume"), PredictConfig(device="cpu")
model = with_classes(starter_model(), ("round", "other"))
*_, ended, _ = segment_files(model, sys.argv[1], sys.argv[2], cpu, options)
print(getattr(ended, "reason", type(ended).__name__))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of open files there")
def test_a_volume_may_have_more_planes_than_files_may_be_open(tmp_path: Path) -> None:
    """Systems let a program open as few as 256 at a time."""
    image = np.repeat(two_balls()[0][10:14, 32:64, 32:64], 15, axis=0)
    path = write_volume(tmp_path / "a.tif", image)
    command = [sys.executable, "-c", FEW_FILES, path, tmp_path / "out"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)

    assert ended.stdout.splitlines()[-1] == "ItemDone"


BATCH = """
import sys
from napari_unet import PredictConfig
from napari_unet.engine.batch import segment_files
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.starter import starter_model
options, cpu = BatchOptions(link="volume"), PredictConfig(device="cpu")
*_, ended, _ = segment_files(starter_model(), sys.argv[1], sys.argv[2], cpu, options)
print(getattr(ended, "reason", type(ended).__name__))
"""


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Make a disk of so many bytes, as only the superuser can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only the superuser of Linux can make a small disk")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk cannot be made here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_is_said_and_kills_nothing(volume: Path, tmp_path: Path) -> None:
    """There is room for what is said of the planes, and none for the mean of all directions."""
    with small_disk(tmp_path / "disk", 900 << 10) as disk:
        command = [sys.executable, "-c", BATCH, volume, disk / "out"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        left = [path.name for path in disk.rglob("foreground.dat")]

    assert ended.returncode == 0, f"{ended.returncode} {ended.stderr}"
    assert ended.stdout.splitlines()[-1].startswith("The disk is full")
    assert left == []


@pytest.mark.parametrize("can_reserve", [True, False])
def test_room_is_reserved_to_the_last_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_reserve: bool
) -> None:
    """Also by systems that have no call for it, as macOS and Windows."""
    if not can_reserve:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    array = reserved_array(tmp_path / "a.dat", np.float32, (3, 700, 401))
    array[...] = 1

    assert (tmp_path / "a.dat").stat().st_size == array.nbytes == 3 * 700 * 401 * 4
    with pytest.raises(FileNotFoundError):
        reserved_array(tmp_path / "gone" / "a.dat", np.float32, (3,))
