"""Images that stay in the program while the compute process asks for regions of them."""

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import toy_tasks
import zarr
from small_things import make_segmenter

from napari_unet.core.config import PredictConfig
from napari_unet.engine import lazyplane
from napari_unet.engine.host import Host
from napari_unet.engine.inference import segment, segment_into
from napari_unet.engine.lazyplane import LazyPlane
from napari_unet.engine.process import tasks
from napari_unet.engine.process.lazy import MOST_PIXELS, Served
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.engine.process.shared_memory import SharedArray
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError, JobError

HANG = 20.0
"""Seconds that a read hangs; half of it tells who waited, also on a busy machine."""
ALL = slice(None)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host that imports nothing up front, for all these tests."""
    with Host(warm_up=()) as host:
        host.start()
        yield host


class Watched:
    """A real array on disk, and a list of what was read of it."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.chunks = array.chunks
        self.read: list[tuple[int, ...]] = []

    def __getitem__(self, index: Any) -> Any:
        pixels = self.array[index]
        spans = [s for s in index if isinstance(s, slice)]
        self.read.append(tuple(s.stop - s.start for s in spans[-2:]))
        return pixels


class Hanging:
    """An array behind a network that has gone."""

    shape, dtype, ndim = (40, 50), np.dtype(np.uint8), 2

    def __init__(self) -> None:
        self.asked, self.released = threading.Event(), threading.Event()

    def __getitem__(self, index: Any) -> Any:
        self.asked.set()
        self.released.wait(HANG)
        return np.zeros((40, 50), np.uint8)[index]


def on_disk(folder: Path, pixels: np.ndarray, chunk: int) -> Any:
    """Write a zarr array."""
    chunks = (*[1] * (pixels.ndim - 2), chunk, chunk)
    return zarr.create_array(store=folder / "image.zarr", data=pixels, chunks=chunks)


def picture(*shape: int) -> np.ndarray:
    """Noise of 16 bits."""
    return np.random.default_rng(0).integers(0, 60_000, shape).astype(np.uint16)


def served(array: Any) -> Served:
    """A plane (Y, X) as an argument of a run."""
    return Served(LazyPlane(array, {}, None), "layer 'embryo'")


def test_exactly_the_regions_are_read_that_the_function_indexes(host: Host, tmp_path: Path) -> None:
    """With any step, and never a pixel beyond the last one that is wanted."""
    pixels = picture(300, 200)
    array = Watched(on_disk(tmp_path, pixels, 64))
    indices = [
        (ALL, slice(10, 30), slice(40, 90)),
        (ALL, slice(0, 300, 7), slice(3, 200, 5)),
        (ALL, slice(290, 999), slice(150, 999)),
        (ALL, slice(5, 5), slice(0, 9)),
    ]
    arrived = list(host.run(toy_tasks.read_regions, served(array), *indices))

    for index, got in zip(indices, arrived, strict=True):
        np.testing.assert_array_equal(got, pixels[None][index])
    assert array.read == [(20, 50), (295, 196), (10, 50), (0, 9)]


@pytest.mark.parametrize("kind", ["zarr", "dask", "memory-mapped"])
def test_an_array_of_any_library_arrives_equal(host: Host, tmp_path: Path, kind: str) -> None:
    """As a whole, too, with its shape and type."""
    pixels = picture(90, 120)
    if kind == "memory-mapped":
        np.save(tmp_path / "image.npy", pixels)
        array: Any = np.load(tmp_path / "image.npy", mmap_mode="r")
    else:
        array = on_disk(tmp_path, pixels, 50)
        array = da.from_zarr(array) if kind == "dask" else array

    ((got, shape, dtype),) = host.run(toy_tasks.read_all, served(array))

    np.testing.assert_array_equal(got, pixels[None])
    assert (shape, dtype) == ((1, 90, 120), pixels.dtype)


@pytest.mark.parametrize("chunk", [256, 2000])
def test_a_region_larger_than_memory_should_hold_is_read_in_pieces(
    host: Host, tmp_path: Path, chunk: int
) -> None:
    """Every tenth pixel of a large plane needs a few chunks at a time, each of them once."""
    pixels = np.add.outer(np.arange(3000), np.arange(5000)).astype(np.uint16)
    array = Watched(on_disk(tmp_path, pixels, chunk))
    (got,) = host.run(
        toy_tasks.read_regions, served(array), (ALL, slice(4, None, 10), slice(0, None, 10))
    )

    np.testing.assert_array_equal(got[0], pixels[4::10, ::10])
    assert len(array.read) > 3
    assert max(y * x for y, x in array.read) <= max(MOST_PIXELS, chunk**2)
    assert sum(y * x for y, x in array.read) <= pixels.size


def test_an_image_stored_in_one_piece_is_read_once(host: Host, tmp_path: Path) -> None:
    """Any region of it costs as much as all of it."""
    pixels = picture(100, 80)
    array = Watched(on_disk(tmp_path, pixels, 100))
    index = (ALL, slice(10, 20), slice(0, 80, 3))
    for got in host.run(toy_tasks.read_regions, served(array), index, index):
        np.testing.assert_array_equal(got[0], pixels[index[1:]])

    assert array.read == [(100, 80)]


def test_a_plane_of_a_stack_with_channels_is_served_channels_first(
    host: Host, tmp_path: Path
) -> None:
    """Wherever the channels are, and without those that are not used."""
    pixels = picture(3, 60, 50, 4)
    array = zarr.create_array(store=tmp_path / "rgb.zarr", data=pixels, chunks=(1, 20, 20, 4))
    plane = LazyPlane(array, {0: 2}, 3, channels=3)
    (got,) = host.run(
        toy_tasks.read_regions, Served(plane, "layer 'stain'"), (ALL, slice(7, 30), slice(1, 9))
    )

    np.testing.assert_array_equal(got, np.moveaxis(pixels[2, 7:30, 1:9, :3], -1, 0))


@pytest.mark.parametrize("how", ["stop", "close"])
def test_a_stop_is_quick_while_a_read_hangs(host: Host, tmp_path: Path, how: str) -> None:
    """The generator is closed where it waits, and its process goes on living."""
    array, stop = Hanging(), threading.Event()
    run = host.run(toy_tasks.read_and_note, served(array), str(tmp_path), stop=stop)
    pid = next(run)
    threading.Timer(0.3, stop.set).start() if how == "stop" else None
    start = time.monotonic()
    if how == "stop":
        assert list(run) == []
    run.close()

    assert time.monotonic() - start < HANG / 2
    assert (tmp_path / "log").read_text() == "closed\n"
    array.released.set()  # the answer comes too late, and disturbs nobody
    with closing(host.run(toy_tasks.process_id)) as again:
        assert next(again) == pid


def test_closing_the_program_does_not_wait_for_a_read_that_hangs(tmp_path: Path) -> None:
    """It is in a thread that does not count."""
    array, host = Hanging(), Host(warm_up=())
    run = host.run(toy_tasks.read_and_note, served(array), str(tmp_path))
    next(run)
    threading.Timer(0.3, host.close).start()
    start = time.monotonic()
    with pytest.raises(JobError, match="closed while"):
        next(run)

    assert array.asked.is_set()
    assert time.monotonic() - start < HANG / 2
    array.released.set()


def test_a_damaged_file_fails_the_run_with_its_name_and_place(host: Host, tmp_path: Path) -> None:
    """A chunk that cannot be unpacked is not silently black."""
    array = on_disk(tmp_path, picture(100, 100), 50)
    chunk = max((path for path in (tmp_path / "image.zarr" / "c" / "1").iterdir()), key=str)
    chunk.write_bytes(b"not an image")
    run = host.run(
        toy_tasks.read_regions,
        served(array),
        *[(ALL, slice(y, y + 9), slice(0, 60)) for y in (0, 80)],
    )
    assert next(run).shape == (1, 9, 60)

    place = "layer 'embryo' in rows 80 to 88 and columns 0 to 59"
    with pytest.raises(InputError, match=rf"{place} could not be read \(\w+: .*file is complete"):
        next(run)


def test_a_failed_read_can_be_tidied_up_after(host: Host, tmp_path: Path) -> None:
    """The generator sees the error where it indexes."""

    class Gone(Hanging):
        def __getitem__(self, index: Any) -> Any:
            raise OSError("Stale file handle")

    with pytest.raises(InputError, match=r"OSError: Stale file handle"):
        list(host.run(toy_tasks.read_and_note, served(Gone()), str(tmp_path)))
    assert (tmp_path / "log").read_text() == "InputError\nclosed\n"


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((3, 3), np.uint8), r"shape \(1, 3, 3\) where \(1, 9, 9\) were asked for"),
        (np.full((9, 9), "x", object), "read as object; convert"),
    ],
)
def test_an_array_that_does_not_keep_its_word_is_refused(
    host: Host, pixels: np.ndarray, message: str
) -> None:
    """Before the network sees it."""

    class Liar(Hanging):
        def __getitem__(self, index: Any) -> Any:
            return pixels

    with pytest.raises(InputError, match=message):
        list(host.run(toy_tasks.read_regions, served(Liar()), (ALL, slice(0, 9), slice(0, 9))))


def test_reads_mail_and_many_events_do_not_wait_for_each_other(host: Host) -> None:
    """A slow consumer, a full stream and a read in between: everything arrives, in order."""
    pixels, mailbox = picture(1, 40), Mailbox()
    received, mail = [], []
    for pixel, messages in host.run(
        toy_tasks.read_and_repeat_mail, served(da.from_array(pixels, chunks=7)), mailbox, 300
    ):
        received.append(pixel)
        mail += messages
        mailbox.put(len(received))
        if len(received) % 50 == 0:
            time.sleep(0.05)

    assert received == [int(pixels[0, i % 40]) for i in range(300)]
    assert mail == list(range(1, len(mail) + 1))
    assert len(mail) > 100


@pytest.fixture(scope="module")
def model() -> Segmenter:
    """A small network with random weights."""
    return make_segmenter()


@pytest.mark.parametrize("rotations", [1, 2])
@pytest.mark.parametrize("kind", ["zarr", "dask"])
def test_a_plane_on_disk_is_segmented_like_one_in_memory(
    host: Host, tmp_path: Path, model: Segmenter, kind: str, rotations: int
) -> None:
    """Bit for bit, and tile by tile."""
    pixels = picture(150, 170)
    stored = Watched(on_disk(tmp_path, pixels, 32))
    array = stored if kind == "zarr" else da.from_array(stored, chunks=64)
    config = PredictConfig(device="cpu", tile_size=80, min_size=0, rotations=rotations)
    results = []
    for image in (served(array), pixels[None]):
        with (
            SharedArray.create((150, 170), np.uint16) as labels,
            SharedArray.create((150, 170), np.float32) as foreground,
        ):
            for _ in host.run(tasks.segment_plane, model, image, labels, foreground, (), config, 0):
                pass
            results.append((labels.array, foreground.array))

    (labels, foreground), (expected_labels, expected_foreground) = results
    np.testing.assert_array_equal(foreground, expected_foreground)
    np.testing.assert_array_equal(labels, expected_labels)
    assert labels.max() > 3
    if rotations == 1:  # the statistics of a small plane need all its pixels, once
        assert sorted(stored.read)[-1:] == [(150, 170)] or kind == "dask"
        assert all(y <= 80 and x <= 80 for y, x in stored.read if (y, x) != (150, 170))


def test_a_plane_on_disk_can_be_seen_as_one_channel() -> None:
    """Every way to index it agrees with the array in memory."""
    plane = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    stored = zarr.create_array(
        store=zarr.storage.MemoryStore(), data=plane, chunks=(7, 7), overwrite=True
    )
    view = LazyPlane(stored, {}, None)
    assert (view.shape, view.ndim, view.dtype) == ((1, 20, 30), 3, np.dtype(np.uint16))
    np.testing.assert_array_equal(np.asarray(view), plane[None])
    as_floats = np.asarray(view, dtype=np.float32)
    np.testing.assert_array_equal(as_floats, plane[None])
    np.testing.assert_array_equal(view[:, 3:9, ::4], plane[None, 3:9, ::4])


def test_of_planes_that_are_kept_whole_only_as_many_are_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stack of thousands of them would fill the memory, plane by plane."""
    monkeypatch.setattr(lazyplane, "ROOM", 2 * 40 * 50)
    stack = zarr.create_array({}, shape=(3, 40, 50), chunks=(1, 40, 50), dtype="uint8")
    watched = Watched(stack)
    first, second, third = (LazyPlane(watched, {0: z}, None) for z in range(3))

    for plane in (first, second, second, third, third, second):
        assert plane[:, :5, :6].shape == (1, 5, 6)
    assert watched.read == [(40, 50)] * 3
    assert first[:, :5, :6].shape == (1, 5, 6)
    assert watched.read == [(40, 50)] * 4


def test_a_stack_that_is_segmented_is_not_in_memory_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where each of its planes has to be read in one piece."""
    monkeypatch.setattr(lazyplane, "ROOM", 0)
    pixels = np.random.default_rng(0).normal(size=(1, 6, 60, 70)).astype(np.float32)
    read: list[weakref.ref[Any]] = []

    class Read(np.ndarray[Any, Any]):
        """Pixels of a plane, which can be told to be gone."""

    class Stored:
        shape, dtype, ndim, chunks = pixels.shape, pixels.dtype, 4, (1, 1, 60, 70)

        def __getitem__(self, index: Any) -> Any:
            part = Read(pixels[index].shape, pixels.dtype)
            part[...] = pixels[index]
            read.append(weakref.ref(part))
            return part

    segmenter = make_segmenter()
    labels = np.zeros(pixels.shape[1:], np.uint32)
    most = 0
    for _ in segment_into(segmenter, Stored(), labels, PredictConfig(device="cpu")):
        most = max(most, sum(part() is not None for part in read))

    assert most == 1
    np.testing.assert_array_equal(labels, segment(segmenter, pixels, PredictConfig(device="cpu")))
