"""A plane in blocks, on disk: the cells of the whole plane, whatever was stopped and when."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.cellclasses import class_sums, likeliest_classes
from napari_unet.core.config import PredictConfig
from napari_unet.core.normalise import grey_statistics
from napari_unet.core.unet import UNet
from napari_unet.engine import blocks
from napari_unet.engine.blocks import (
    find_blocks,
    is_large,
    open_store,
    predict_block,
    segment_large,
    write_block,
)
from napari_unet.engine.cells import find_cells
from napari_unet.engine.events import PlaneDone, TileDone
from napari_unet.engine.inference import probabilities, segment, segment_into
from napari_unet.engine.plane import PlanePredictor
from napari_unet.engine.planestore import PlaneStore
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError, JobError

torch.set_num_threads(1)
SHAPE = (203, 151)


def model(seed: int = 3, **settings_: Any) -> Segmenter:
    """A tiny network with random weights, sharp enough that its classes differ."""
    known = {"in_channels": 1, "n_classes": 2, "base_channels": 4, "depth": 2, "diameter": 9.0}
    chosen = known | settings_
    torch.manual_seed(seed)
    network = UNet(*(chosen[n] for n in ("in_channels", "n_classes", "base_channels", "depth")))
    with torch.no_grad():
        network.head.weight.mul_(4)
    return Segmenter(weights={}, **chosen).with_weights(network)


def config(**knobs: Any) -> PredictConfig:
    """On the CPU, in tiles as small as can be."""
    return PredictConfig(**({"device": "cpu", "tile_size": 60} | knobs))


def picture(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> NDArray[np.float32]:
    """Smooth noise."""
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 2).astype(np.float32)


def on_disk(folder: Path, array: NDArray[Any], chunk: int = 32) -> Any:
    """The array as a zarr array in a folder."""
    return zarr.create_array(store=folder, data=array, chunks=(chunk,) * array.ndim)


def steps(store: PlaneStore, segmenter: Segmenter, image: Any, chosen: PredictConfig) -> Any:
    """All four steps, one after the other."""
    out = np.zeros(store.shape, np.uint32)
    for box in store.boxes():
        predict_block(store, segmenter, image, box, chosen)
    assert list(find_blocks(store, segmenter, store.boxes(), chosen)) == store.boxes()
    objects = store.number_cells()
    for box in store.boxes():
        write_block(store, out, box)
    assert objects == out.max() == len(np.unique(out[out > 0]))
    return out


@settings(deadline=None, max_examples=20)
@example(
    sides=(1, 45), box=(0.0, 0.0, 0.0, 0.5), depth=1, downsample=3, scales=1
)  # ends on a coarse pixel
@given(
    sides=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    box=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    depth=st.integers(1, 3),
    downsample=st.integers(1, 3),
    scales=st.integers(1, 3),
)
def test_a_part_of_a_plane_is_predicted_as_in_the_whole(
    sides: tuple[int, int], box: tuple[float, ...], depth: int, downsample: int, scales: int
) -> None:
    """Any box, any resolution: each pixel once, and its probabilities."""
    segmenter = model(depth=depth, downsample=downsample, scales=scales)
    image = picture(sides)
    whole = probabilities(segmenter, image, config(tile_size=400))
    first = [int(a * (n - 1)) for a, n in zip(box[:2], sides, strict=True)]
    last = [f + 1 + int(a * (n - 1 - f)) for a, f, n in zip(box[2:], first, sides, strict=True)]
    part = (slice(first[0], last[0]), slice(first[1], last[1]))
    out = np.full(whole.shape, np.nan, np.float32)
    predictor = PlanePredictor(segmenter, config())
    for piece in predictor.pieces_of(image[None], part, grey_statistics(image[None])):
        assert np.isnan(out[(slice(None), *piece.region)]).all()
        out[(slice(None), *piece.region)] = piece.values
    np.testing.assert_allclose(out[(slice(None), *part)], whole[(slice(None), *part)], atol=1e-5)
    assert np.isfinite(out).sum() == out[(slice(None), *part)].size


@pytest.fixture
def three_threads() -> Iterator[None]:
    """Torch computes with three threads, as do those who ask it how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("downsample", "scales"), [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_blocks_are_segmented_as_the_whole_plane(
    tmp_path: Path, downsample: int, scales: int
) -> None:
    """From zarr to zarr, of odd sides: the probabilities but for rounding, the cells exactly."""
    segmenter = model(downsample=downsample, scales=scales)
    image = on_disk(tmp_path / "in.zarr", picture()[None])
    out = on_disk(tmp_path / "out.zarr", np.zeros(SHAPE, np.uint32), chunk=16)
    store = open_store(tmp_path / "scratch", segmenter, image, config(), side=64)
    assert (steps(store, segmenter, image, config()) > 0).any()
    said = store.probabilities[...]
    assert np.abs(said - probabilities(segmenter, picture(), config())[1]).max() < 1e-5
    cells = find_cells(segmenter, said, config())
    assert cells.max() > 20

    events = list(segment_large(segmenter, image, out, config(), tmp_path / "scratch", side=64))

    np.testing.assert_array_equal(out[...], cells)
    np.testing.assert_array_equal(cells, segment(segmenter, picture(), config()))
    assert events[-1] == PlaneDone(plane=1, planes=1, objects=int(cells.max()))
    assert not any((tmp_path / "scratch").iterdir())


def test_a_stack_is_no_plane(tmp_path: Path) -> None:
    """And is refused before there are any files."""
    stack = np.stack([picture()] * 2)[None]
    with pytest.raises(InputError, match=r"\(1, 2, .*; give one plane, \(Y, X\) or \(C, Y, X\)"):
        next(segment_large(model(), stack, np.zeros((2, *SHAPE), int), config(), str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_classes_are_written_block_by_block(tmp_path: Path) -> None:
    """There is nothing to find or to number in them."""
    segmenter = model(kind="classes", n_classes=3)
    out = np.zeros(SHAPE, np.uint8)
    events = list(segment_large(segmenter, picture(), out, config(), str(tmp_path), side=64))
    expected = segment(segmenter, picture(), config())
    assert (out == expected).mean() > 0.999  # where two are as probable, rounding decides
    assert events[-1] == PlaneDone(plane=1, planes=1, objects=0)


def test_a_cell_that_blocks_cut_has_the_class_of_the_whole_cell(tmp_path: Path) -> None:
    """The evidence of its parts adds up, also when found in another order, and again."""
    segmenter, image = model(9, n_classes=4), picture()[None]
    whole = np.zeros(SHAPE, np.uint32)
    *_, expected = segment_into(segmenter, image, whole, config())
    store = open_store(tmp_path, segmenter, image, config(), side=32)
    boxes = store.boxes()
    for _ in range(2):
        np.testing.assert_array_equal(steps(store, segmenter, image, config()), whole)
        sums = class_sums(store.evidence[...], whole)
        np.testing.assert_array_equal(store.cell_classes(), likeliest_classes(sums)[1:])
        for box in boxes[::2]:
            y, x = (span.start // 32 for span in box)
            (store.folder / f"cells-{y}-{x}.npy").unlink()

    *_, done = segment_large(segmenter, image, np.zeros_like(whole), config(), tmp_path, side=32)

    assert done == expected
    assert isinstance(done, PlaneDone)
    assert len(set(done.classes)) > 1


def test_without_a_cell_there_is_no_class(tmp_path: Path) -> None:
    """Of a plane, and of blocks."""
    segmenter, out = model(n_classes=4), np.zeros(SHAPE, np.uint32)
    chosen = config(min_size=SHAPE[0] * SHAPE[1])
    *_, done = segment_large(segmenter, picture(), out, chosen, tmp_path, side=64)
    assert done == PlaneDone(plane=1, planes=1, objects=0)


def test_evidence_that_is_asked_for_is_written_for_a_large_plane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever gives memory for all of it gets all of it."""
    monkeypatch.setattr(blocks, "LARGE", 1000)
    labels, evidence = np.zeros(SHAPE, np.uint32), np.zeros((3, *SHAPE), np.uint16)
    list(segment_into(model(n_classes=4), picture(), labels, config(), evidence=evidence))
    assert evidence.any(axis=0).all()


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    """And names what can be shown: the foreground of a block, then its cells."""
    out = np.zeros(SHAPE, np.uint32)
    shown = np.zeros((2, *SHAPE), int)
    indices = []
    for event in segment_large(model(), picture(), out, config(), tmp_path, side=64):
        if isinstance(event, TileDone):
            indices.append(event.index)
            total = event.total
            shown[int(out[event.region].max(initial=0) > 1)][event.region] += 1
    assert indices == list(range(1, total + 1))
    assert (shown.sum(axis=0) == 2).all()


def test_what_is_complete_is_not_done_again(tmp_path: Path) -> None:
    """Stopped at any step and run again, the labels are those of a run that was not stopped."""
    segmenter, image = model(), picture()
    whole = segment(segmenter, image, config())
    total = sum(
        1
        for _ in segment_large(
            segmenter, image, np.zeros(SHAPE, np.uint32), config(), tmp_path / "whole", side=64
        )
    )
    for stop in range(5, total, 45):
        out = np.zeros(SHAPE, np.uint32)
        work = segment_large(segmenter, image, out, config(), tmp_path / str(stop), side=64)
        for _ in range(stop):
            next(work)
        work.close()
        again = list(segment_large(segmenter, image, out, config(), tmp_path / str(stop), side=64))
        np.testing.assert_array_equal(out, whole)
        if stop > 40:
            assert len(again) < total


def test_what_is_not_complete_is_done_again(tmp_path: Path) -> None:
    """Pixels that were written before a process was killed are not taken for a block."""
    segmenter, image = model(), picture()[None]
    store = open_store(tmp_path, segmenter, image, config(), side=64)
    boxes = store.boxes()
    store.probabilities[boxes[0]] = 0.77
    expected = segment(segmenter, picture(), config())
    np.testing.assert_array_equal(steps(store, segmenter, image, config()), expected)
    store.labels[boxes[1]] = 5
    next(store.folder.glob("cells-0-1*")).unlink()
    np.testing.assert_array_equal(steps(store, segmenter, image, config()), expected)


def test_a_process_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    """What it left behind is gone on with, and the labels are those of one run."""
    segmenter = model()
    segmenter.save(tmp_path / "model.safetensors")
    image = on_disk(tmp_path / "in.zarr", picture()[None])
    out = on_disk(tmp_path / "out.zarr", np.zeros(SHAPE, np.uint32))
    code = f"""
from pathlib import Path
import zarr
from napari_unet.core.config import PredictConfig
from napari_unet.engine.blocks import segment_large
from napari_unet.engine.segmenter import Segmenter
folder = Path({str(tmp_path)!r})
image, out = (zarr.open_array(folder / name) for name in ("in.zarr", "out.zarr"))
segmenter = Segmenter.load(folder / "model.safetensors")
for _ in segment_large(segmenter, image, out, {config()!r}, folder / "scratch", side=64):
    print(flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout
    for _ in range(int(np.random.default_rng().integers(1, 60))):
        child.stdout.readline()
    child.kill()
    child.communicate()
    list(segment_large(segmenter, image, out, config(), tmp_path / "scratch", side=64))
    np.testing.assert_array_equal(out[...], segment(segmenter, picture(), config()))


def test_a_complete_block_is_not_computed(tmp_path: Path) -> None:
    """It is read as it is."""
    segmenter, image = model(), picture()[None]
    store = open_store(tmp_path, segmenter, image, config(), side=64)
    for box in store.boxes():
        shape = [span.stop - span.start for span in box]
        store.keep_prediction(box, {"probabilities": np.ones(shape, np.float32)})
    assert (steps(store, segmenter, image, config()) == 1).all()


def test_another_model_or_another_rule_begins_anew(tmp_path: Path) -> None:
    """The same opens the same store, in whatever process."""
    segmenter, image = model(), picture()[None]
    store = open_store(tmp_path, segmenter, image, config(), side=64)
    assert open_store(tmp_path, segmenter, image, config(), side=64) == store
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301
    others = [
        open_store(tmp_path, model(seed=4), image, config(), side=64),
        open_store(tmp_path, replace(segmenter, split=0.7), image, config(), side=64),
        open_store(tmp_path, segmenter, image, config(threshold=0.6), side=64),
        open_store(tmp_path, segmenter, image[:, 1:], config(), side=64),
        open_store(tmp_path, segmenter, image, config(), side=32),
    ]
    assert len({other.folder for other in [store, *others]}) == 1 + len(others)

    classes = model(n_classes=3, kind="classes")
    knobs: list[dict[str, Any]] = [{}, {"rotations": 2}, {"magnification": 2.0}]
    stores = [open_store(tmp_path, classes, image, config(**some), side=64) for some in knobs]
    assert len({store.folder for store in stores}) == len(knobs)


def test_a_plane_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    """Each further attempt would leave another folder with the scratch files."""
    image = on_disk(tmp_path / "image", picture()[None])
    for chunk in (tmp_path / "image" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"no longer zarr")
    with pytest.raises(RuntimeError, match="decompression"):
        open_store(tmp_path / "scratch", model(), image, config(), side=64)
    assert not list(tmp_path.glob("scratch/*"))


def test_cells_are_not_numbered_before_all_blocks_are_found(tmp_path: Path) -> None:
    """The error says how many are missing."""
    store = open_store(tmp_path, model(), picture()[None], config(), side=64)
    with pytest.raises(JobError, match="12 of the 12 blocks"):
        store.number_cells()


@pytest.mark.parametrize("kind", ["cells", "classes"])
def test_rotated_copies_are_those_of_the_whole_plane(tmp_path: Path, kind: str) -> None:
    """They turn about the middle of the whole plane, whatever block is averaged."""
    segmenter, seven = replace(model(), kind=kind, downsample=2), config(rotations=7)
    out = np.zeros(SHAPE, np.uint32)
    events = list(segment_large(segmenter, picture()[None], out, seven, tmp_path, side=64))
    np.testing.assert_array_equal(out, segment(segmenter, picture(), seven))
    tiles = [event for event in events if isinstance(event, TileDone)]
    assert [event.index for event in tiles] == list(range(1, tiles[0].total + 1))


def test_odd_grey_values_of_a_large_plane_are_told_whoever_goes_on(tmp_path: Path) -> None:
    """As of any other plane; they are looked at once."""
    image = picture().astype(np.float64)
    image[: len(image) // 2] = np.nan
    out = np.zeros(SHAPE, np.uint32)
    events = segment_large(model(), image, out, config(), tmp_path, side=64)
    first = next(events)
    events.close()
    again = next(segment_large(model(), image, out, config(), tmp_path, side=64))

    assert isinstance(first, TileDone)
    assert isinstance(again, TileDone)
    assert "of the pixels are NaN or infinite" in first.oddity
    assert again.oddity == first.oddity


def test_large_planes_of_a_stack_are_segmented_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the output, where there is room; cells are numbered through all planes."""
    assert is_large((40_000, 40_000))
    assert not is_large((8192, 8192))
    segmenter, image = model(), np.stack([picture(seed=seed) for seed in (0, 1)])[None]
    expected = segment(segmenter, image, config())
    monkeypatch.setattr(blocks, "LARGE", 1000)
    out = zarr.create_array(tmp_path / "out.zarr", shape=(2, *SHAPE), dtype="u4")
    planes = []
    for event in segment_into(segmenter, image, out, config()):
        if isinstance(event, PlaneDone):
            planes.append((event.plane, event.planes, event.objects))
        else:
            assert any(entry.name.startswith(".live-unet-") for entry in tmp_path.iterdir())
            last = event
    np.testing.assert_array_equal(out[...], expected)
    assert [plane[:2] for plane in planes] == [(1, 2), (2, 2)]
    assert sum(plane[2] for plane in planes) == expected.max()
    assert last.index == last.total
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.zarr"]
    narrow = np.zeros((2, *SHAPE), np.uint8)
    with pytest.raises(InputError, match="can hold 255"):
        list(segment_into(segmenter, image, narrow, config(), after=250))
