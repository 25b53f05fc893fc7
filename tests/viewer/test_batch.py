"""Batches of open images and of files, from a real compute process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Image
from npe2 import PluginManager
from small_things import make_segmenter

import napari_unet
from napari_unet.core.config import PredictConfig
from napari_unet.engine.files import read_labels
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.engine.formats.source import PixelSize
from napari_unet.errors import InputError
from napari_unet.viewer.batches.beginning import BatchRequest, begin_batch
from napari_unet.viewer.session import Session

CONFIG = PredictConfig(device="cpu", min_size=0)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Make noise in which a random network finds a few things."""
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.fixture
def run(session: Session, finish: Any) -> Any:
    """Segment many images; return what became of each."""
    session.segmenter = make_segmenter()

    def run_it(**request: Any) -> dict[str, str]:
        begin_batch(session, BatchRequest(**request), CONFIG)
        finish()
        return {row.name: row.text for row in session.batch.rows}

    return run_it


def refuse(_: np.ndarray) -> np.ndarray:
    """Be a file that cannot be read."""
    raise OSError("the disk is gone")


def test_cells_are_measured_on_request(run: Any, viewer: Any) -> None:
    """As features of the layer, in physical units where the pixels have a size."""
    pixels = noise(2, 40, 50)
    viewer.add_image(
        pixels,
        name="worm",
        axis_labels=("t", "y", "x"),
        scale=(1, 0.5, 0.5),
        units=("pixel", "um", "um"),
    )
    run(measure=True)
    layer = viewer.layers["worm segmentation"]
    table = layer.features

    assert list(table["index"]) == list(range(1, layer.data.max() + 1))
    row = table[table["index"] == layer.data[1].max()].iloc[0]
    cell = layer.data[1] == row["index"]
    assert row["t"] == 1
    assert row["area"] == np.count_nonzero(cell)
    assert row["area_um2"] == pytest.approx(0.25 * row["area"])
    assert row["centroid_y"] == pytest.approx(np.nonzero(cell)[0].mean())
    assert row["intensity_mean_0"] == pytest.approx(pixels[1][cell].mean(), rel=1e-5)
    run()
    assert not len(layer.features.columns)


def test_an_image_that_cannot_be_read_is_one_row(run: Any, viewer: Any, messages: Any) -> None:
    """The others are segmented, and the dock says how many were not."""
    viewer.add_image(noise(40, 50), name="first")
    plane = da.from_array(noise(40, 50))
    hidden = plane.map_blocks(refuse, dtype=np.float32, meta=np.empty((0, 0), np.float32))
    viewer.add_image(da.stack([plane, hidden]), name="gone", contrast_limits=(0, 1))
    viewer.add_image(noise(40, 50, seed=1), name="last")
    rows = run()

    assert rows["first"].startswith("done: ")
    assert rows["last"].startswith("done: ")
    assert rows["gone"].startswith("failed: The pixels of layer 'gone'")
    assert "the disk is gone" in rows["gone"]
    session = Session.of(viewer)
    assert session.batch.sentence.startswith("3 images: 2 done, 1 failed in ")
    assert " in 2 images" in session.said.of_result
    assert "; 1 failed." in session.said.of_result
    assert [severity for severity, _ in messages()] == ["warning"]
    assert "gone segmentation (unfinished)" in viewer.layers


def test_open_images_become_files(run: Any, viewer: Any, tmp_path: Path) -> None:
    """Lazy ones, too; a click shows the labels where the image is, and nothing is done twice."""
    pixels = noise(2, 40, 50)
    spatial: Any = {"scale": (1, 0.5, 0.5), "units": ("pixel", "um", "um"), "translate": (0, 7, 7)}
    viewer.add_image(pixels, name="worm/1", axis_labels=("t", "y", "x"), **spatial)
    viewer.add_image(da.from_array(noise(2, 40, 50, seed=1)), name="lazy", contrast_limits=(0, 1))
    viewer.add_image(noise(40, 50, 3), name="photograph", rgb=True)
    rows = run(folder=str(tmp_path / "out"), measure=True)
    segmenter = Session.of(viewer).segmenter

    assert [text.split(":")[0] for text in rows.values()] == ["done", "done", "skipped"]
    path = tmp_path / "out" / "worm_1_labels.tif"
    expected = napari_unet.segment(segmenter, pixels[None], CONFIG)
    np.testing.assert_array_equal(read_labels(path), expected)
    assert open_image(path).pixel_size.yx == (0.5, 0.5)
    assert open_image(path).plane_axes == "T"
    assert "area_um2" in (tmp_path / "out" / "worm_1_objects.csv").read_text().splitlines()[0]
    row = Session.of(viewer).batch.rows[0]
    assert row.show is not None
    row.show(viewer)
    row.show(viewer)
    layer = viewer.layers["worm_1_labels.tif"]
    np.testing.assert_array_equal(layer.translate, (0, 7, 7))
    assert len(viewer.layers) == 4

    viewer.layers["worm/1"].data = 1 - pixels
    rows = run(folder=str(tmp_path / "out"), measure=True)
    assert [text.split(":")[0] for text in rows.values()] == ["done", "skipped", "skipped"]


def test_results_of_another_open_image_of_that_name_are_kept(
    run: Any, viewer: Any, messages: Any, tmp_path: Path
) -> None:
    """A layer has the name of its file alone, whatever its folder is."""
    for day in ("1", "2"):
        path = tmp_path / day / "a.tif"
        path.parent.mkdir()
        tifffile.imwrite(path, noise(40, 50, seed=int(day)))
    PluginManager.instance().discover()
    (first,) = viewer.open(tmp_path / "1" / "a.tif", plugin="napari")
    out = tmp_path / "out"
    assert run(folder=str(out))["a"].startswith("done: ")
    before = (out / "a_labels.tif").read_bytes()
    viewer.layers.remove(first)
    viewer.open(tmp_path / "2" / "a.tif", plugin="napari")
    (said,) = run(folder=str(out)).values()

    assert f"has the name of {tmp_path / '1' / 'a.tif'}, of which" in said
    assert (out / "a_labels.tif").read_bytes() == before
    assert [severity for severity, _ in messages()] == ["warning"]


@pytest.mark.parametrize(
    ("axes", "scale", "units", "expected"),
    [
        ("tyx", (1.5, 1, 1), ("min", "pixel", "pixel"), PixelSize(frame=90.0)),
        (
            "tzyx",
            (90, 2, 0.5, 0.5),
            ("s", "um", "um", "um"),
            PixelSize((0.5, 0.5), "micrometer", 2.0, 90.0),
        ),
    ],
)
def test_steps_between_planes_are_kept_in_files(
    run: Any, viewer: Any, tmp_path: Path, axes: str, scale: Any, units: Any, expected: PixelSize
) -> None:
    """From section to section, and from frame to frame, also where pixels have no size."""
    pixels = noise(*(2,) * (len(axes) - 2), 40, 50)
    viewer.add_image(pixels, name="film", axis_labels=list(axes), scale=scale, units=units)
    run(folder=str(tmp_path))

    assert open_image(tmp_path / "film_labels.tif").pixel_size == expected


def test_what_is_too_large_for_a_layer_is_told_where_to_go(
    run: Any, viewer: Any, session: Session
) -> None:
    """By its row, or by the button, also for the plane that is shown."""
    viewer.add_image(noise(40, 50), name="cells")
    slide = da.zeros((8200, 8200), dtype=np.uint8, chunks=4100)
    large = viewer.add_image([slide, slide[::8, ::8]], name="slide", contrast_limits=(0, 1))
    rows = run()

    assert rows["cells"].startswith("done: ")
    assert "'slide' (8200 x 8200 px, 1 channel) is too large for a layer" in rows["slide"]
    for scope in ("whole layer", "current plane"):
        with pytest.raises(InputError, match="choose files in a folder beside Results"):
            session.segment(large, scope, CONFIG)


def test_a_plane_in_memory_that_leaves_no_room_for_its_cells_is_refused(session: Session) -> None:
    """An array of one byte that pretends to be 10^11 pixels: nobody has 48 bytes for each."""
    huge = np.broadcast_to(np.uint8(0), (400_000, 400_000))
    image = Image(huge, contrast_limits=(0, 1), name="slide")
    with pytest.raises(InputError, match="too large for a layer"):
        session.segment(image, "current plane", CONFIG)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images that take a moment."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        tifffile.imwrite(folder / f"{number}.tif", noise(300, 300, seed=number))
    return folder


def begin(session: Session, folder: Path, qtbot: Any, done: int) -> None:
    """Segment a folder, until so many are done."""
    session.segmenter = make_segmenter(base_channels=16)
    request = BatchRequest(given=(str(folder),), folder=str(folder.parent / "results"))
    begin_batch(session, request, CONFIG)
    qtbot.wait_until(lambda: states(session).count("done") >= done, timeout=100_000)


def states(session: Session) -> list[str]:
    """Return where the images are."""
    return [row.state for row in session.batch.rows]


def test_a_batch_that_is_stopped_goes_on_where_it_was(
    session: Session, finish: Any, qtbot: Any, folder: Path
) -> None:
    """What is done is not done again, and nothing half-written is left."""
    begin(session, folder, qtbot, done=1)
    session.jobs.stop()
    finish()
    done = states(session).count("done")
    assert 1 <= done < 4
    assert states(session).count("stopped") == 4 - done
    assert "Stopped; start it again to do the rest." in session.batch.sentence
    assert len(list((folder.parent / "results").glob("*"))) == done + 1  # the records

    session.segmenter = make_segmenter(base_channels=16)
    begin(session, folder, qtbot, done=4 - done)
    finish()
    assert states(session).count("skipped") == done
    assert states(session).count("done") == 4 - done
    assert session.progress == 1.0


def test_a_batch_that_runs_says_how_far_it_is(
    session: Session, finish: Any, qtbot: Any, folder: Path
) -> None:
    """In images, megapixels a second and time that is left."""
    sentences = []
    session.told.connect(lambda: sentences.append(session.batch.sentence))
    begin(session, folder, qtbot, done=3)
    finish()

    assert any("of 4 images" in sentence for sentence in sentences)
    assert sentences[-1].startswith("4 images: 4 done in ")


def test_a_crash_is_one_sentence_and_the_table_keeps_what_was_done(
    session: Session, finish: Any, qtbot: Any, folder: Path, host: Any, messages: Any
) -> None:
    """And the next click goes on in a new process."""
    begin(session, folder, qtbot, done=1)
    os.kill(host._child._process.pid, signal.SIGKILL)
    finish()
    done = states(session).count("done")
    assert 1 <= done < 4
    assert "its process was killed (SIGKILL" in session.batch.sentence
    assert [severity for severity, _ in messages()] == ["error"]

    begin(session, folder, qtbot, done=4 - done)
    finish()
    assert states(session).count("skipped") == done
    assert session.batch.sentence.startswith(f"4 images: {4 - done} done, {done} skipped in ")
