"""A batch makes every result once, tells what happens, and stops at no image."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_unet import InputError, PredictConfig, Segmenter, UNetError, segment
from napari_unet.engine import blocks
from napari_unet.engine.atomic import unfinished
from napari_unet.engine.batch import run_batch, segment_files
from napari_unet.engine.files import read_image, read_labels, write_labels
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.engine.formats.omezarr import begin_zarr, finish_zarr
from napari_unet.engine.formats.source import UNKNOWN, PixelSize
from napari_unet.engine.items import scratch, tasks
from napari_unet.engine.items.events import (
    BatchDone,
    BatchEvent,
    ItemDone,
    ItemFailed,
    ItemProgress,
    ItemSkipped,
    ItemStarted,
)
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.items.manifest import identify
from napari_unet.engine.items.opened import OpenItem
from napari_unet.engine.items.order import place_order
from napari_unet.engine.items.plan import plan, take_shard
from napari_unet.engine.starter import starter_model
from napari_unet.errors import LostDeviceError
from napari_unet.sample_data import touching_cells

CPU = PredictConfig(device="cpu")


@pytest.fixture(scope="module")
def model() -> Segmenter:
    """Take the model that every installation has."""
    return starter_model()


def cells(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Make a small image of cells."""
    return (touching_cells(shape or (80, 96), seed=seed)[0] * 1000).astype(np.uint16)


def save(path: Path, *planes: np.ndarray[Any, Any], axes: str = "TYX") -> Path:
    """Write an image, or a stack."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(planes) == 1:
        tifffile.imwrite(path, planes[0])
    else:
        kind = {"metadata": {"axes": axes}, "photometric": "minisblack"}
        tifffile.imwrite(path, np.stack(planes), ome=True, **kind)
    return path


def names(events: Sequence[BatchEvent]) -> list[str]:
    """List what happened, without the progress in between."""
    return [type(event).__name__ for event in events if not isinstance(event, ItemProgress)]


def test_every_item_ends_once_and_the_progress_counts_pixels(
    model: Segmenter, tmp_path: Path
) -> None:
    """Images weigh what they have; the events say which, what, and how far all is."""
    save(tmp_path / "in" / "a1.tif", cells())
    save(tmp_path / "in" / "a2.tif", cells(seed=1), cells(seed=2))
    events = list(segment_files(model, tmp_path / "in", tmp_path / "out", CPU))

    assert names(events) == ["ItemStarted", "ItemDone"] * 2 + ["BatchDone"]
    pixels = [event.progress.pixels for event in events]
    assert pixels == sorted(pixels)
    assert {event.progress.all_pixels for event in events} == {3 * 80 * 96}
    first, second = (event for event in events if isinstance(event, ItemDone))
    assert (first.index, second.index) == (1, 2)
    assert (first.progress.items, first.progress.pixels) == (1, 80 * 96)
    assert first.outputs == (tmp_path / "out" / "a1_labels.tif",)
    assert first.objects == read_labels(first.outputs[0]).max() > 3
    last = events[-1]
    assert isinstance(last, BatchDone)
    assert (last.done, last.skipped, last.failed) == (2, 0, 0)
    assert last.progress.pixels == last.progress.all_pixels
    assert last.progress.pixels_per_second > 0
    assert last.progress.seconds_left == 0


def test_results_are_those_of_segment(model: Segmenter, tmp_path: Path) -> None:
    """A batch is many calls of it; cells are numbered through the planes."""
    stack = np.stack([cells(seed=1), cells(seed=2), cells(seed=3)])
    save(tmp_path / "a.tif", *stack)
    list(segment_files(model, tmp_path / "a.tif", tmp_path / "out", CPU))

    written = tifffile.TiffFile(tmp_path / "out" / "a_labels.tif")
    with written:
        assert written.series[0].axes == "TYX"
        np.testing.assert_array_equal(written.asarray(), segment(model, stack[None], CPU))


def test_what_is_skipped_counts_in_no_speed(model: Segmenter, tmp_path: Path) -> None:
    """What was done before is told at once, and what is left is what the progress is of."""
    for seed in range(2):
        save(tmp_path / f"{seed}.tif", cells(seed=seed))
    list(segment_files(model, tmp_path / "0.tif", tmp_path / "out", CPU))
    skipped, started, *_, done = segment_files(
        model, [tmp_path / "0.tif", tmp_path / "1.tif"], tmp_path / "out", CPU
    )

    assert isinstance(skipped, ItemSkipped)
    assert skipped.complete
    assert skipped.outputs == (tmp_path / "out" / "0_labels.tif",)
    assert started.progress.all_pixels == 80 * 96
    assert isinstance(done, BatchDone)
    assert (done.done, done.skipped) == (1, 1)


@pytest.mark.parametrize("change", ["pixels", "result", "gone", "record"])
def test_only_what_the_batch_made_itself_is_made_anew(
    model: Segmenter, tmp_path: Path, change: str
) -> None:
    """Another image or a lost result is done again; a result that was edited is kept."""
    image = save(tmp_path / "a.tif", cells())
    (result,) = _done(segment_files(model, image, tmp_path / "out", CPU))[0].outputs
    before = result.read_bytes()
    if change == "pixels":
        save(image, cells(seed=1))
    elif change == "result":
        result.write_bytes(b"corrected by hand")
    elif change == "gone":
        result.unlink()
    else:
        (tmp_path / "out" / ".live-unet" / "a.json").write_text("{")
    events = list(segment_files(model, image, tmp_path / "out", CPU))

    if change in ("pixels", "gone"):
        assert names(events) == ["ItemStarted", "ItemDone", "BatchDone"]
        assert (result.read_bytes() == before) == (change == "gone")
        return
    assert names(events) == ["ItemSkipped", "BatchDone"]
    assert isinstance(events[0], ItemSkipped)
    assert not events[0].complete
    assert str(result) in events[0].reason
    assert result.read_bytes() == (before if change == "record" else b"corrected by hand")
    again = segment_files(model, image, tmp_path / "out", CPU, BatchOptions(overwrite=True))
    assert len(_done(again)) == 1
    assert result.read_bytes() == before


def test_a_batch_that_is_stopped_goes_on_at_the_plane_where_it_was(
    model: Segmenter, tmp_path: Path
) -> None:
    """Planes that are segmented are not segmented again; the result is that of one run."""
    stack = [cells(seed=seed) for seed in range(4)]
    image = save(tmp_path / "movie.tif", *stack)
    events = segment_files(model, image, tmp_path / "out", CPU)
    for event in events:
        if event.progress.pixels >= 3 * 80 * 96:
            break
    events.close()  # type: ignore[attr-defined]
    (scratch,) = (tmp_path / "out" / ".live-unet" / "movie.scratch").iterdir()
    kept = {path: path.stat().st_mtime_ns for path in scratch.glob("*.npy")}
    assert len(kept) >= 2
    assert not (tmp_path / "out" / "movie_labels.tif").exists()

    again = segment_files(model, image, tmp_path / "out", CPU)
    reached = [event.fraction for event in again if isinstance(event, ItemProgress)]
    assert len(reached) == 2 * (4 - len(kept)) + 1  # each plane: a tile, and its cells; the files
    assert reached == sorted(reached)
    assert reached[-1] == 1
    whole = segment(model, np.stack(stack)[None], CPU)
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "movie_labels.tif"), whole)
    assert not scratch.parent.exists()


class Threads:
    """An executor of two threads, which pickles nothing but keeps no order either."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def map(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Run calls as `Executor` says."""
        self.calls.append(len(arguments))
        with ThreadPoolExecutor(2) as pool:
            futures = {pool.submit(function, *given): n for n, given in enumerate(arguments)}
            for future in as_completed(futures):
                error = future.exception()
                assert error is None or isinstance(error, UNetError)
                yield futures[future], error or future.result()


def test_an_executor_gives_the_same_files(
    model: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small images are one call each, all side by side; a larger stack is a call for each plane."""
    monkeypatch.setattr(tasks, "ALONE", 2 * 80 * 96)
    for seed in range(3):
        save(tmp_path / "in" / f"{seed}.tif", cells(seed=seed))
    save(tmp_path / "in" / "4 movie.tif", *(cells(seed=seed) for seed in range(4)))
    (tmp_path / "in" / "3 bad.tif").write_bytes(b"II*\0")
    shutil.copytree(tmp_path / "in", tmp_path / "in2")
    save(tmp_path / "in2" / "9 colour.tif", np.arange(243, dtype=np.uint8).reshape(9, 9, 3))
    options = BatchOptions(probabilities=True, measure="csv")
    threads = Threads()

    here = list(segment_files(model, tmp_path / "in", tmp_path / "1", CPU, options))
    events = list(
        segment_files(model, tmp_path / "in2", tmp_path / "2", CPU, options, executor=threads)
    )

    assert threads.calls == [4, 4, 1]
    assert sorted(names(events)) == ["BatchDone", *["ItemDone"] * 4, *["ItemFailed"] * 2]
    assert events[-1].progress.items == 6
    assert events[-1].progress.pixels == events[-1].progress.all_pixels == 7 * 80 * 96
    ours, theirs = ({e.item.name: e.objects for e in _done(run)} for run in (here, events))
    assert ours == theirs
    files = [path for path in (tmp_path / "1").glob("*") if path.is_file()]
    assert len(files) == 3 * 4
    for path in files:
        assert (tmp_path / "2" / path.name).read_bytes() == path.read_bytes()
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.parametrize("form", ["tiff", "ome-zarr"])
def test_large_planes_are_done_in_blocks(
    model: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    """Here and by an executor the results are those of whole planes; a stop costs a block."""
    first, second = cells(150, 170), cells(150, 170, seed=1)
    save(tmp_path / "in" / "movie.tif", first, second)
    options = BatchOptions(format=form, probabilities=True, measure="csv", outlines="geojson")
    arguments: Any = (model, tmp_path / "in", tmp_path / "whole", CPU, options)
    (whole,) = _done(segment_files(*arguments))
    monkeypatch.setattr(blocks, "LARGE", 128 * 128)
    monkeypatch.setattr(scratch, "BLOCK", 128)
    threads = Threads()

    arguments = (model, tmp_path / "in", tmp_path / "here", CPU, options)
    events = segment_files(*arguments)
    for event in events:
        if isinstance(event, ItemProgress) and event.fraction > 0.5:
            break
    events.close()  # type: ignore[attr-defined]
    (here,) = _done(segment_files(*arguments))
    arguments = (model, tmp_path / "in", tmp_path / "there", CPU, options)
    (there,) = _done(segment_files(*arguments, executor=threads))

    assert threads.calls == [4, 1, 4, 1, 1]  # blocks are predicted one by one and found in groups
    assert here.objects == there.objects == whole.objects
    for one, other, third in zip(whole.outputs, here.outputs, there.outputs, strict=True):
        if one.suffix == ".csv":
            assert one.read_bytes() == other.read_bytes() == third.read_bytes()
            continue
        if one.suffix == ".geojson":  # what lies in several blocks comes later
            assert other.read_bytes() == third.read_bytes()
            lines = [
                sorted(path.read_text().replace(",\n", "\n").split("\n")) for path in (one, other)
            ]
            assert lines[0] == lines[1]
            continue
        pixels = read_image(one)
        np.testing.assert_allclose(read_image(other), pixels, atol=1e-5)
        np.testing.assert_array_equal(read_image(third), read_image(other))
    assert not list(tmp_path.rglob("*.scratch"))


@pytest.mark.parametrize("large", [1000, 10**9])
def test_an_image_with_other_channels_is_refused_however_large(
    model: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    """Such as a slide in colour, of a model that learned from grey images."""
    monkeypatch.setattr(blocks, "LARGE", large)
    colour = np.stack([cells(seed=seed) for seed in range(3)])
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="minisblack", metadata={"axes": "CYX"})
    *_, failed, _ = segment_files(model, tmp_path / "a.tif", tmp_path / "out", CPU)

    assert isinstance(failed, ItemFailed)
    assert failed.reason.startswith("The model was trained on 1 channel(s), the image has 3 (shape")


@pytest.mark.parametrize("form", ["tiff", "ome-zarr"])
def test_probabilities_of_classes_are_written_in_blocks(
    model: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    """Every class of every plane, with the axes that those of whole planes have."""
    save(tmp_path / "a.tif", cells(150, 170), cells(150, 170, seed=1))
    of_pixels = replace(model, kind="classes")
    options = BatchOptions(format=form, probabilities=True)
    list(segment_files(of_pixels, tmp_path / "a.tif", tmp_path / "whole", CPU, options))
    monkeypatch.setattr(blocks, "LARGE", 128 * 128)
    monkeypatch.setattr(scratch, "BLOCK", 128)
    (done,) = _done(segment_files(of_pixels, tmp_path / "a.tif", tmp_path / "out", CPU, options))

    assert len(done.outputs) == 2
    for path in done.outputs:
        whole, parts = (open_image(tmp_path / folder / path.name) for folder in ("whole", "out"))
        assert parts.data.shape == whole.data.shape
        assert parts.plane_axes == whole.plane_axes
        np.testing.assert_allclose(parts.data[...], whole.data[...], atol=1e-5)


def test_a_table_of_labels_that_are_replaced_goes_with_them(
    model: Segmenter, tmp_path: Path
) -> None:
    """It would describe cells that are gone. Of labels that stay it stays, or if it was changed."""
    image = save(tmp_path / "a.tif", cells())
    out, measured = tmp_path / "out", BatchOptions(measure="csv")
    table = out / "a_objects.csv"
    list(segment_files(model, image, out, CPU, measured))
    assert _done(segment_files(model, image, out, CPU)) == []
    list(segment_files(model, image, out, CPU, BatchOptions(format="ome-zarr")))
    assert table.exists()

    stricter = replace(CPU, threshold=0.9)
    list(segment_files(model, image, out, CPU, replace(measured, overwrite=True)))
    list(segment_files(model, image, out, stricter))
    assert not table.exists()
    list(segment_files(model, image, out, CPU, measured))
    table.write_text("mine")
    list(segment_files(model, image, out, stricter))
    assert table.read_text() == "mine"


def test_a_table_is_remembered_when_more_is_made_by_the_same_model(
    model: Segmenter, tmp_path: Path
) -> None:
    """So it still counts as complete, and goes once another model replaces the labels."""
    image = save(tmp_path / "a.tif", cells())
    out, measured = tmp_path / "out", BatchOptions(measure="csv")
    table = out / "a_objects.csv"
    list(segment_files(model, image, out, CPU, measured))
    list(segment_files(model, image, out, CPU, BatchOptions(probabilities=True)))
    assert table.exists()
    assert _done(segment_files(model, image, out, CPU, measured)) == []

    list(segment_files(model, image, out, CPU, BatchOptions(outlines="geojson")))
    list(segment_files(model, image, out, CPU, BatchOptions(outlines="imagej")))
    assert len(list(out.glob("a_outlines.*"))) == 2
    list(segment_files(model, image, out, replace(CPU, threshold=0.9)))
    assert sorted(path.name for path in out.iterdir()) == [".live-unet", "a_labels.tif"]


def test_labels_of_another_format_go_when_those_of_another_model_come(
    model: Segmenter, tmp_path: Path
) -> None:
    """Two label images of an image would not agree. Equal ones stay, and so do changed ones."""
    image = save(tmp_path / "a.tif", cells())
    out, stricter = tmp_path / "out", replace(CPU, threshold=0.9)
    as_zarr, more = BatchOptions(format="ome-zarr"), BatchOptions(probabilities=True)
    list(segment_files(model, image, out, CPU, as_zarr))
    list(segment_files(model, image, out, stricter))
    assert sorted(path.name for path in out.iterdir()) == [".live-unet", "a_labels.tif"]

    list(segment_files(model, image, out, stricter, as_zarr))
    list(segment_files(model, image, out, stricter, more))
    kept = [".live-unet", "a_labels.ome.zarr", "a_labels.tif", "a_probabilities.tif"]
    assert sorted(path.name for path in out.iterdir()) == kept
    assert _done(segment_files(model, image, out, stricter, more)) == []
    list(segment_files(model, image, out, CPU))
    assert sorted(path.name for path in out.iterdir()) == [".live-unet", "a_labels.tif"]

    list(segment_files(model, image, out, stricter, as_zarr))
    assert sorted(path.name for path in out.iterdir()) == [".live-unet", "a_labels.ome.zarr"]
    list(segment_files(model, image, out, stricter))
    write_labels(out / "a_labels.tif", np.ones((64, 64), int))
    list(segment_files(model, image, out, CPU, as_zarr))
    assert sorted(path.name for path in out.iterdir()) == kept[:3]


def test_an_image_that_changes_while_it_is_read_fails(model: Segmenter, tmp_path: Path) -> None:
    """Half of one and half of another image is no result."""
    image = save(tmp_path / "a.tif", cells())
    events = []
    for event in segment_files(model, image, tmp_path / "out", CPU):
        events.append(event)
        if isinstance(event, ItemStarted):
            save(image, cells(seed=1))

    assert names(events) == ["ItemStarted", "ItemFailed", "BatchDone"]
    failed = events[-2]
    assert isinstance(failed, ItemFailed)
    assert "was changed while it was read" in failed.reason
    assert not list((tmp_path / "out").glob("*.tif"))
    assert names(list(segment_files(model, image, tmp_path / "out", CPU)))[1] == "ItemDone"


def test_an_image_that_goes_while_others_are_segmented_fails_alone(
    model: Segmenter, tmp_path: Path
) -> None:
    """Somebody tidied up; those behind it are segmented."""
    images = [save(tmp_path / "in" / f"{seed}.tif", cells(seed=seed)) for seed in range(3)]
    events = []
    for event in segment_files(model, images, tmp_path / "out", CPU):
        events.append(event)
        if isinstance(event, ItemStarted) and event.item.image == images[0]:
            images[1].unlink()

    (failed,) = (event for event in events if isinstance(event, ItemFailed))
    assert failed.reason == f"There is no file {images[1]}."
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tif")) == [
        "0_labels.tif",
        "2_labels.tif",
    ]


def test_a_result_that_comes_while_it_is_made_is_kept(model: Segmenter, tmp_path: Path) -> None:
    """Somebody else put it there after the batch had looked."""
    image, result = save(tmp_path / "a.tif", cells()), tmp_path / "out" / "a_labels.tif"
    events = []
    for event in segment_files(model, image, tmp_path / "out", CPU):
        events.append(event)
        if isinstance(event, ItemStarted):
            result.write_bytes(b"painted by hand")

    failed = events[-2]
    assert isinstance(failed, ItemFailed)
    assert f"{result} was made or changed meanwhile" in failed.reason
    assert result.read_bytes() == b"painted by hand"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    model: Segmenter, tmp_path: Path
) -> None:
    """The item fails with what to do; with room again the same call makes it."""
    image, options = save(tmp_path / "a.tif", cells()), BatchOptions()
    (item,) = plan(image, tmp_path / "out")
    order = place_order(item, CPU, options, *identify(model, CPU, options))
    order.scratch.mkdir(parents=True)
    unfinished(order.scratch / "0.labels.npy").symlink_to("/dev/full")

    _, *_, failed, _ = run_batch([item], model, CPU, options)

    assert isinstance(failed, ItemFailed)
    assert failed.reason.startswith("The disk is full")
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / ".live-unet"]
    assert len(_done(run_batch([item], model, CPU, options))) == 1


def test_two_batches_on_one_folder_share_the_work(model: Segmenter, tmp_path: Path) -> None:
    """What one works on, or has done meanwhile, the other leaves alone."""
    for seed in range(3):
        save(tmp_path / "in" / f"{seed}.tif", cells(seed=seed))
    first, second = (segment_files(model, tmp_path / "in", tmp_path / "out", CPU) for _ in "12")
    events: list[BatchEvent] = [next(first), next(second)]  # both on the first image

    assert isinstance(events[0], ItemStarted)
    assert isinstance(events[1], ItemSkipped)
    assert f"process {os.getpid()} is working on it" in events[1].reason
    while not isinstance(next(first), ItemDone):
        pass
    assert isinstance(next(first), ItemStarted)
    assert names([next(second)]) == ["ItemSkipped"]
    assert names(list(first)) == ["ItemDone", "ItemStarted", "ItemDone", "BatchDone"]
    (skipped, ended) = second
    assert isinstance(skipped, ItemSkipped)
    assert skipped.complete
    assert isinstance(ended, BatchDone)
    assert not list(tmp_path.rglob("*.lock"))


def test_zarr_in_is_zarr_out_with_axes_and_sizes(model: Segmenter, tmp_path: Path) -> None:
    """Labels, probabilities and sizes in micrometres are those of the image."""
    stack = np.stack([cells(seed=seed) for seed in range(4)]).reshape(2, 2, 80, 96)
    size = PixelSize((500.0, 250.0), "nanometer", frame=90.0)
    out = begin_zarr(tmp_path / "a.ome.zarr", stack.shape, axes="TZYX", dtype="u2", pixel_size=size)
    for plane in range(4):
        out[plane] = stack.reshape(4, 80, 96)[plane]
    finish_zarr(tmp_path / "a.ome.zarr")
    options = BatchOptions(probabilities=True, measure="csv")
    (done,) = _done(segment_files(model, tmp_path / "a.ome.zarr", tmp_path / "out", CPU, options))

    labels, probabilities, table = done.outputs
    assert [path.name for path in done.outputs] == [
        "a_labels.ome.zarr",
        "a_probabilities.ome.zarr",
        "a_objects.csv",
    ]
    written = open_image(labels)
    assert (written.plane_axes, written.plane_shape) == ("TZ", (2, 2))
    assert written.pixel_size == size
    omero = json.loads((probabilities / "zarr.json").read_text())["attributes"]["ome"]["omero"]
    assert [channel["label"] for channel in omero["channels"]] == ["cell"]
    whole = segment(model, stack.reshape(1, 4, 80, 96), CPU)
    np.testing.assert_array_equal(np.asarray(written.data)[0], whole)
    (sure,) = np.asarray(open_image(probabilities).data)
    assert sure[whole > 0].mean() > 0.5 > sure[whole == 0].mean()
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == list(range(1, whole.max() + 1))
    assert [(row["plane"], row["t"], row["z"]) for row in rows][-1] == ("3", "1", "1")
    area = (whole == 5).sum()
    assert (int(rows[4]["area"]), float(rows[4]["area_um2"])) == (area, area / 8)
    again = segment_files(model, tmp_path / "a.ome.zarr", tmp_path / "out", CPU, options)
    assert names(list(again)) == ["ItemSkipped", "BatchDone"]
    zarr.open_array(labels / "0", mode="r+")[0, 0, :9] = 1  # an edit of a single chunk is noticed
    again = segment_files(model, tmp_path / "a.ome.zarr", tmp_path / "out", CPU, options)
    assert "changed since" in next(iter(again)).reason  # type: ignore[union-attr]


def test_a_format_can_be_asked_for(model: Segmenter, tmp_path: Path) -> None:
    """TIFF in, OME-Zarr out; the other one, asked for later, does not get in its way."""
    image = save(tmp_path / "a.tif", cells())
    for form, name in (("ome-zarr", "a_labels.ome.zarr"), ("tiff", "a_labels.tif")):
        options = BatchOptions(format=form)  # type: ignore[arg-type]
        for _ in range(2):
            *_, event, _ = segment_files(model, image, tmp_path / "out", CPU, options)
            assert isinstance(event, ItemDone | ItemSkipped)
            assert [path.name for path in event.outputs] == [name]
    np.testing.assert_array_equal(
        read_image(tmp_path / "out" / "a_labels.ome.zarr"),
        read_image(tmp_path / "out" / "a_labels.tif"),
    )
    *_, event, _ = segment_files(
        model, image, tmp_path / "out", CPU, BatchOptions(format="ome-zarr", overwrite=True)
    )
    assert isinstance(event, ItemDone)


@pytest.mark.parametrize(
    "misspelled",
    [
        {"measure": "CSV"},
        {"measure": True},
        {"link": "track"},
        {"outlines": "ImageJ"},
        {"format": "tif"},
        {"probabilities": "no"},
    ],
)
def test_a_misspelled_option_is_refused(misspelled: dict[str, Any]) -> None:
    """It is neither ignored nor written into the names of results."""
    (name,) = misspelled
    with pytest.raises(InputError, match=f"BatchOptions.{name} is .*; (choose|give)"):
        BatchOptions(**misspelled)


def test_a_list_without_images_is_refused(tmp_path: Path) -> None:
    """It does not say that there were some."""
    with pytest.raises(InputError, match="no image in an empty list"):
        plan(tmp_path.glob("*.tif"), tmp_path / "out")


def test_pictures_are_not_decoded_before_it_is_their_turn(model: Segmenter, tmp_path: Path) -> None:
    """Of ten thousand, that would take minutes in which nothing happens; a damaged one fails."""
    (tmp_path / "in").mkdir()
    Image.fromarray(cells().astype(np.uint8)).save(tmp_path / "in" / "a.png")
    whole = (tmp_path / "in" / "a.png").read_bytes()
    (tmp_path / "in" / "b.png").write_bytes(whole[: len(whole) // 2])
    events = list(segment_files(model, tmp_path / "in", tmp_path / "out", CPU))

    assert names(events) == ["ItemStarted", "ItemDone", "ItemStarted", "ItemFailed", "BatchDone"]
    assert "b.png could not be read" in str(events[-2])
    assert events[0].progress.all_pixels == 2 * 80 * 96


def test_shards_are_parts_of_the_whole(tmp_path: Path) -> None:
    """Together they are all items, in the order of their names, and no item is in two."""
    for number in range(11):
        save(tmp_path / "in" / f"a{number}.tif", np.zeros((4, 4), np.uint8))
    whole = plan(tmp_path / "in", tmp_path / "out")
    shards = [plan(tmp_path / "in", tmp_path / "out", shard=f"{i}/3") for i in (1, 2, 3)]

    assert [item.name.name for item in whole] == [f"a{number}" for number in range(11)]
    assert [len(shard) for shard in shards] == [4, 4, 3]
    assert {item for shard in shards for item in shard} == set(whole)
    assert take_shard(whole, "1/1") == whole
    with pytest.raises(InputError, match="'4/3'"):
        take_shard(whole, "4/3")


def test_every_machine_puts_the_images_in_the_same_order(tmp_path: Path) -> None:
    """Also a1 and a01, which count as the same: or shards would leave one out."""
    for name in ("a1", "a01", "a001", "A1", "a2"):
        save(tmp_path / f"{name}.tif", np.zeros((4, 4), np.uint8))
    module = "napari_unet.engine.formats.findfiles"
    code = f"import sys; from {module} import find_images; print(find_images('.'))"
    orders = {
        subprocess.check_output(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        for seed in "1234"
    }

    assert len(orders) == 1


def spread(folder: Path, planes: int) -> list[Path]:
    """Write a stack as OME-TIFF files of one plane each, as Bio-Formats does."""
    folder.mkdir()
    ids = [f"urn:uuid:{uuid.uuid4()}" for _ in range(planes)]
    names = [f"s_{z}.ome.tif" for z in range(planes)]
    parts = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{names[z]}">{ids[z]}</UUID>'
        f"</TiffData>"
        for z in range(planes)
    )
    for z in range(planes):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[z]}">'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            f'SizeX="96" SizeY="80" SizeZ="{planes}" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
        )
        tifffile.imwrite(folder / names[z], cells(seed=z), description=xml, metadata=None)
    return [folder / name for name in names]


def test_an_image_in_several_files_is_segmented_once(model: Segmenter, tmp_path: Path) -> None:
    """And anew when any of them is another; a file of it that is given alone stands for all."""
    files, out = spread(tmp_path / "in", 3), tmp_path / "out"
    events = list(segment_files(model, tmp_path / "in", out, CPU))

    assert read_labels(out / "s_0_labels.tif").shape == (3, 80, 96)
    assert [path.name for path in out.glob("*.tif")] == ["s_0_labels.tif"]
    skipped = [event for event in events if isinstance(event, ItemSkipped)]
    assert [event.item.image for event in skipped] == files[1:]
    shards = [plan(tmp_path / "in", out, shard=f"{i}/2") for i in (1, 2)]
    assert [[item.image for item in shard] for shard in shards] == [[files[0], files[2]], []]
    assert f"belongs to the image in {files[0]}" in skipped[0].reason
    assert not skipped[0].complete
    assert _done(segment_files(model, tmp_path / "in", out, CPU)) == []

    description = tifffile.tiffcomment(files[2])
    tifffile.imwrite(files[2], cells(seed=7), description=description, metadata=None)
    (done,) = _done(segment_files(model, tmp_path / "in", out, CPU))
    assert done.item.image == files[0]
    assert len(_done(segment_files(model, files[1], out, CPU))) == 1


def test_results_of_images_that_are_gone_are_no_images(model: Segmenter, tmp_path: Path) -> None:
    """Nor those of a batch that was given a part of the folder only."""
    save(tmp_path / "day1" / "a.tif", cells())
    b = save(tmp_path / "day1" / "b.tif", cells(seed=1))
    out = tmp_path / "out"
    list(segment_files(model, tmp_path / "day1", out, CPU, BatchOptions(probabilities=True)))
    b.unlink()

    assert [item.image.name for item in plan(tmp_path, out)] == ["a.tif"]
    with pytest.raises(InputError, match="give the images themselves"):
        plan(out, out)
    named = out / "a_probabilities.tif"
    assert [item.image for item in plan(named, tmp_path / "other")] == [named], "it is meant"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_links_that_lead_nowhere_are_missed(model: Segmenter, tmp_path: Path) -> None:
    """A disk that is not there must not look like a folder that is done."""
    save(tmp_path / "in" / "a.tif", cells())
    (tmp_path / "in" / "b.tif").symlink_to(tmp_path / "gone.tif")
    (tmp_path / "in" / "c.tif").symlink_to(tmp_path / "in" / "c.tif")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    found = names(list(segment_files(model, tmp_path / "in", tmp_path / "out", CPU)))

    assert [name for name in found if name != "ItemStarted"] == [
        "ItemFailed",
        "ItemFailed",
        "ItemDone",
        "BatchDone",
    ]


@pytest.mark.parametrize("large", [128 * 128, 1 << 26])
def test_an_image_without_contrast_is_told_of_by_its_name(
    model: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    """Also where it is done block by block."""
    monkeypatch.setattr(blocks, "LARGE", large)
    path = save(tmp_path / "dark.tif", np.full((150, 170), 7, np.uint16))

    events = list(segment_files(model, path, tmp_path / "out", CPU))

    notes = {event.note for event in events if isinstance(event, ItemProgress)}
    assert f"{path}: All pixels of the plane have the same grey value: look at the image." in notes


UNREADABLE = """
import ctypes, struct, sys
from napari_unet import PredictConfig
from napari_unet.engine.batch import segment_files
from napari_unet.engine.items.events import ItemDone, ItemFailed
from napari_unet.engine.starter import starter_model
if sys.platform == "linux":  # the superuser may read anything, unless he gives up that right
    assert ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24)) == 0
images, out = sys.argv[1:]
for event in segment_files(starter_model(), images, out, PredictConfig(device="cpu")):
    if isinstance(event, ItemDone | ItemFailed):
        print(event.item.name.as_posix(), getattr(event, "reason", "is done"))
"""


@pytest.mark.skipif(
    os.name != "posix" or (sys.platform != "linux" and os.geteuid() == 0),
    reason="nothing is closed to the superuser, and folders not by numbers on Windows",
)
@pytest.mark.parametrize("rights", [0o000, 0o444], ids=["closed", "only listed"])
def test_a_folder_that_cannot_be_read_is_missed_and_stops_no_other(
    tmp_path: Path, rights: int
) -> None:
    """It fails as if it were an image, and the others are segmented."""
    save(tmp_path / "in" / "a.tif", cells())
    closed = save(tmp_path / "in" / "closed" / "b.tif", cells()).parent
    closed.chmod(rights)
    command = [sys.executable, "-c", UNREADABLE, tmp_path / "in", tmp_path / "out"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    closed.chmod(0o755)

    assert ended.returncode == 0, ended.stderr
    failed, done = sorted(ended.stdout.splitlines(), key=lambda line: line.startswith("a "))
    assert done == "a is done"
    assert failed.startswith("closed")
    assert "Permission denied" in failed


@pytest.mark.skipif(sys.platform == "win32", reason="paths are short there anyway")
def test_a_name_that_is_too_long_fails_alone(model: Segmenter, tmp_path: Path) -> None:
    """Also where the output folder is there already."""
    save(tmp_path / "in" / "a.tif", cells())
    save(tmp_path / "in" / f"{'b' * 250}.tif", cells())
    (tmp_path / "out").mkdir()
    events = list(segment_files(model, tmp_path / "in", tmp_path / "out", CPU))

    (failed,) = (event for event in events if isinstance(event, ItemFailed))
    assert "Give the image a shorter name" in failed.reason
    assert names(events)[-2:] == ["ItemDone", "BatchDone"]


def test_the_output_folder_must_not_be_a_file(tmp_path: Path) -> None:
    """Nor lie in one; it is said once, not for every image."""
    image = save(tmp_path / "a.tif", cells())
    for folder in (image, image / "sub"):
        with pytest.raises(InputError, match="is a file; give a folder"):
            plan(image, folder)


def test_names_that_differ_in_their_folder_only_are_different(
    model: Segmenter, tmp_path: Path
) -> None:
    """Subfolders are kept for results and records alike."""
    for folder in ("1", "2"):
        save(tmp_path / "in" / folder / "a.tif", cells(seed=int(folder)))
    done = _done(segment_files(model, tmp_path / "in", tmp_path / "out", CPU))

    assert [event.item.name for event in done] == [Path("1/a"), Path("2/a")]
    for folder in ("1", "2"):
        assert (tmp_path / "out" / ".live-unet" / folder / "a.json").is_file()
        expected = segment(model, cells(seed=int(folder)), CPU)
        written = read_labels(tmp_path / "out" / folder / "a_labels.tif")
        np.testing.assert_array_equal(written, expected)


@pytest.mark.parametrize("way", ["kept", "overwrite", "gone", "moved away", "a copy"])
def test_results_of_another_image_of_that_name_are_kept(
    model: Segmenter, tmp_path: Path, way: str
) -> None:
    """Of an earlier batch into the same folder, unless its image is gone, or they are."""
    first = save(tmp_path / "day1" / "a.tif", cells())
    second = save(tmp_path / "day2" / "a.tif", cells(seed=1))
    out, stricter = tmp_path / "out", replace(CPU, threshold=0.7)
    (result,) = _done(segment_files(model, first.parent, out, CPU))[0].outputs
    before = result.read_bytes()
    if way == "gone":
        first.unlink()
    elif way == "moved away":
        result.rename(tmp_path / "a_labels.tif")
    elif way == "a copy":
        shutil.copyfile(first, second)
    options = BatchOptions(overwrite=way == "overwrite")
    events = list(segment_files(model, second.parent, out, stricter, options))

    if way != "kept":
        assert names(events) == ["ItemStarted", "ItemDone", "BatchDone"]
        expected = segment(model, read_image(second), stricter)
        np.testing.assert_array_equal(read_labels(result), expected)
        return
    failed, _ = events
    assert isinstance(failed, ItemFailed)
    assert f"{second} has the name of {first}, of which {result} was made" in failed.reason
    assert result.read_bytes() == before


def test_a_batch_that_meanwhile_made_results_of_that_name_keeps_them(
    model: Segmenter, tmp_path: Path
) -> None:
    """Also where there was nothing yet when the other one looked."""
    images = [save(tmp_path / day / "a.tif", cells(seed=n)) for n, day in enumerate(("1", "2"))]
    other = save(tmp_path / "2" / "0.tif", cells(seed=2))
    out = tmp_path / "out"
    events = []
    for event in segment_files(model, other.parent, out, CPU):
        events.append(event)
        if isinstance(event, ItemDone):
            list(segment_files(model, images[0], out, CPU))

    assert names(events) == ["ItemStarted", "ItemDone", "ItemFailed", "BatchDone"]
    expected = segment(model, read_image(images[0]), CPU)
    np.testing.assert_array_equal(read_labels(out / "a_labels.tif"), expected)


def test_a_device_that_is_not_there_stops_the_batch(model: Segmenter, tmp_path: Path) -> None:
    """Not every single image."""
    image = save(tmp_path / "a.tif", cells())
    with pytest.raises(UNetError, match="cuda:63"):
        segment_files(model, image, tmp_path / "out", PredictConfig(device="cuda:63"))


def _done(events: Iterator[BatchEvent]) -> list[ItemDone]:
    """Run a batch and keep what was done."""
    return [event for event in events if isinstance(event, ItemDone)]


class OnLostGPU:
    """Pixels that a library keeps on a GPU, which is lost when they are asked for."""

    shape, ndim, dtype = (1, 80, 96), 3, np.dtype(np.uint8)

    def __array__(self, *_: object, **__: object) -> Any:
        raise RuntimeError("CUDA error: unspecified launch failure\nFor debugging")


def test_a_gpu_that_is_lost_ends_the_batch(model: Segmenter, tmp_path: Path) -> None:
    """All other images would fail as well; what is done stays, and the locks are given back."""
    sizes = {"plane_axes": "", "plane_shape": (), "pixel_size": UNKNOWN, "file": ""}
    images = {"a": cells()[np.newaxis], "b": OnLostGPU(), "c": cells()[np.newaxis]}
    items = [
        OpenItem(image=Path(n), name=Path(n), folder=tmp_path, seen=n, planes=(pixels,), **sizes)
        for n, pixels in images.items()
    ]
    with pytest.raises(LostDeviceError, match="The GPU failed"):
        list(run_batch(items, model, CPU))

    assert [path.name for path in tmp_path.glob("*.tif")] == ["a_labels.tif"]
    assert not [*tmp_path.rglob("*.lock")]
