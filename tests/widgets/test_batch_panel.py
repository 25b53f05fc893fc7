"""Segmenting many images with one click, from the dock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from small_things import make_segmenter

from napari_unet import link_planes, segment
from napari_unet.engine.files import read_labels, write_labels
from napari_unet.widgets.batch_table import MOST_ROWS


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Make noise in which a random network finds a few things."""
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.fixture
def batch_hand(open_dock: Any) -> Any:
    """The dock with a small model, and the batch unfolded."""
    hand = open_dock()
    hand.session.segmenter = make_segmenter()
    hand.dock.panels.batch_fold.toggle()
    hand.panel = hand.dock.panels.batch
    return hand


def texts(hand: Any) -> list[tuple[str, str]]:
    """Return what the table says."""
    model = hand.panel.table.model()
    return [
        (model.index(row, 0).data(), model.index(row, 1).data()) for row in range(model.rowCount())
    ]


def click_row(hand: Any, qtbot: Any, row: int) -> None:
    """Click on a row of the table."""
    table = hand.panel.table
    place = table.visualRect(table.model().index(row, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one in a subfolder, and a file that is none."""
    images = tmp_path / "images"
    (images / "day1").mkdir(parents=True)
    tifffile.imwrite(images / "a.tif", noise(40, 50))
    tifffile.imwrite(images / "day1" / "b.tif", noise(2, 40, 50, seed=1))
    (images / "broken.tif").write_bytes(b"II*\x00 this is no image")
    return images


def test_one_click_segments_all_open_images_and_a_row_leads_to_its_result(
    viewer: Any, batch_hand: Any, qtbot: Any
) -> None:
    """Each with its planes; what does not fit is a row that says why."""
    viewer.add_image(noise(40, 50), name="cells")
    viewer.add_image(noise(2, 30, 30, seed=1), name="worm")
    viewer.add_image(noise(40, 50, 3), name="photograph", rgb=True)
    batch_hand.click("Segment all")
    batch_hand.wait_until_idle()

    (cells, found), (worm, _), (photograph, why) = texts(batch_hand)
    assert (cells, worm, photograph) == ("cells", "worm", "photograph")
    assert found == f"done: {viewer.layers['cells segmentation'].data.max()} cells"
    assert viewer.layers["worm segmentation"].data[1].any()
    assert why.startswith("skipped: The model was trained on 1 channel(s)")
    assert batch_hand.reads("3 images: 2 done, 1 skipped in ")
    click_row(batch_hand, qtbot, 0)
    assert viewer.layers.selection.active is viewer.layers["cells segmentation"]
    shown = {layer.name for layer in viewer.layers if layer.visible}
    assert shown == {"cells", "cells segmentation"}
    click_row(batch_hand, qtbot, 2)
    assert batch_hand.reads("photograph: skipped: The model was trained on 1 channel(s)")


def test_a_folder_is_segmented_into_another_and_a_broken_file_is_one_row(
    viewer: Any, batch_hand: Any, qtbot: Any, folder: Path, tmp_path: Path, messages: Any
) -> None:
    """The others are done; a second click does nothing again, and a row opens image and labels."""
    batch_hand.panel.source.choose([str(folder)])
    batch_hand.panel.target.folder.value = str(tmp_path / "results")
    batch_hand.click("Segment all")
    batch_hand.wait_until_idle()

    rows = dict(texts(batch_hand))
    assert list(rows) == ["a", "broken", "day1/b"]
    assert rows["a"].startswith("done: ")
    assert rows["broken"].startswith("failed: ")
    assert (tmp_path / "results" / "day1" / "b_labels.tif").exists()
    assert messages()[-1] == (
        "warning",
        "1 image could not be segmented: see Batch in the dock.",
    )
    click_row(batch_hand, qtbot, 1)
    assert batch_hand.reads("broken: failed: ")
    click_row(batch_hand, qtbot, 2)
    image, labels = viewer.layers
    assert (image.data.shape, labels.data.shape) == ((2, 40, 50), (2, 40, 50))
    click_row(batch_hand, qtbot, 2)
    assert len(viewer.layers) == 2

    batch_hand.click("Segment all")
    batch_hand.wait_until_idle()
    assert dict(texts(batch_hand))["a"] == "skipped: is complete"
    corrected = tmp_path / "results" / "a_labels.tif"
    write_labels(corrected, read_labels(corrected) + 1)
    batch_hand.click("Segment all")
    batch_hand.wait_until_idle()
    said = f"skipped: {corrected} was not made by this batch, or changed since; move it away"
    assert dict(texts(batch_hand))["a"] == said


@pytest.fixture
def row_of_a_file(batch_hand: Any, qtbot: Any, folder: Path, tmp_path: Path) -> Any:
    """Segment the folder; return what clicks on the row of its first image."""
    batch_hand.panel.source.choose([str(folder)])
    batch_hand.panel.target.folder.value = str(tmp_path / "results")
    batch_hand.click("Segment all")
    batch_hand.wait_until_idle()
    return lambda: click_row(batch_hand, qtbot, 0)


def test_a_click_on_a_row_leaves_open_labels_as_they_are(viewer: Any, row_of_a_file: Any) -> None:
    """They may be painted on; only the image that was closed is opened again, below them."""
    row_of_a_file()
    image, labels = viewer.layers
    top = viewer.add_points(name="on top")
    labels.data_setitem((np.arange(10), np.arange(10)), 77)
    viewer.layers.remove(image)
    row_of_a_file()

    opened, *others = viewer.layers
    assert (opened.name, others) == ("a.tif", [labels, top])
    assert (labels.data == 77).sum() == 10
    assert opened.visible
    assert labels.visible


def test_a_click_on_a_row_opens_labels_that_were_closed_on_their_image(
    viewer: Any, row_of_a_file: Any
) -> None:
    """Above it, below what lies on top."""
    row_of_a_file()
    image, labels = viewer.layers
    top = viewer.add_points(name="on top")
    viewer.layers.remove(labels)
    row_of_a_file()

    assert [layer.name for layer in viewer.layers] == ["a.tif", "a_labels.tif", "on top"]
    assert viewer.layers[0] is image
    assert viewer.layers[2] is top


def test_a_click_on_a_row_shows_labels_on_the_image_that_the_user_opened(
    viewer: Any, row_of_a_file: Any, folder: Path
) -> None:
    """It is not opened a second time, and the labels lie where it lies."""
    (image,) = viewer.open(folder / "a.tif", plugin="napari")
    image.scale = (0.5, 0.5)
    row_of_a_file()

    assert viewer.layers[0] is image
    assert [layer.name for layer in viewer.layers][1:] == ["a_labels.tif"]
    np.testing.assert_array_equal(viewer.layers[1].scale, image.scale)


@pytest.mark.parametrize("is_open", [False, True])
def test_planes_of_stacks_are_linked_while_they_become_files(
    viewer: Any, batch_hand: Any, tmp_path: Path, is_open: bool
) -> None:
    """Of a folder and of open layers, as one after the other would give."""
    pixels, out = noise(2, 40, 50), tmp_path / "results"
    if is_open:
        viewer.add_image(pixels, name="worm", axis_labels=("t", "y", "x"))
        batch_hand.panel.target.results.value = "files in a folder"
    else:
        (tmp_path / "images").mkdir()
        tifffile.imwrite(tmp_path / "images" / "worm.tif", pixels)
        batch_hand.panel.source.choose([str(tmp_path / "images")])
    batch_hand.panel.target.folder.value = str(out)
    batch_hand.panel.target.link.value = "tracks"
    batch_hand.panel.target.outlines.value = "QuPath objects"
    batch_hand.click("Segment all")
    batch_hand.wait_until_idle()

    found = segment(batch_hand.session.segmenter, pixels[None], batch_hand.panel._settings())
    expected = link_planes(found, kind="tracks")
    assert dict(texts(batch_hand))["worm"].startswith(f"done: {len(expected.tracks)} cell")
    np.testing.assert_array_equal(read_labels(out / "worm_labels.tif"), expected.labels)
    assert (out / "worm_tracks.csv").exists()
    features = json.loads((out / "worm_outlines.geojson").read_text())["features"]
    axis = "t" if is_open else "z"  # of the file it is not known what its planes are
    outlined = [(f["geometry"]["plane"][axis], int(f["properties"]["name"])) for f in features]
    there = [(t, n) for t in range(2) for n in np.unique(expected.labels[t]).tolist() if n]
    assert sorted(outlined) == there


def test_without_a_folder_for_the_results_the_user_reads_what_to_do(
    batch_hand: Any, folder: Path
) -> None:
    """And nothing starts; the same without images."""
    panel = batch_hand.panel
    batch_hand.click("Segment all")
    assert batch_hand.reads("No image is open: open some, or choose files or a folder.")
    panel.source.choose([str(folder)])
    assert panel.target.folder.value == f"{folder}_segmented"
    panel.target.folder.value = ""
    batch_hand.click("Segment all")
    assert batch_hand.reads("No folder for the results is chosen: press Choose beside Save in.")
    panel.source.choose([])
    panel.target.folder.value = str(folder)
    batch_hand.click("Segment all")
    assert batch_hand.reads("No images are chosen: press Folder or Files beside Images")


def test_as_many_files_as_a_folder_holds_can_be_chosen(batch_hand: Any, tmp_path: Path) -> None:
    """Qt's own limit of a line is reached with some five hundred; a blank may be in a name."""
    files = [str(tmp_path / f"image {number:04}.tif") for number in range(2000)]
    source = batch_hand.panel.source
    source.choose(files)
    assert source.given == files

    both = tmp_path / "a; b.tif"
    both.touch()
    source.choose([str(both)])
    assert source.given == [str(both)]


def test_only_what_is_needed_is_asked_for(batch_hand: Any) -> None:
    """A folder for results where they become files."""
    panel = batch_hand.panel
    shown = lambda widget: widget.native.isVisibleTo(panel.widget.native)  # noqa: E731
    assert not shown(panel.source.files_row)
    assert not shown(panel.target.folder_row)
    assert not shown(panel.target.link), "layers are linked in a fold of their own"
    panel.target.results.value = "files in a folder"
    assert shown(panel.target.folder_row)
    assert shown(panel.target.format)
    assert shown(panel.target.link)
    assert shown(panel.target.outlines)
    panel.source.choose(["somewhere"])
    assert shown(panel.source.files_row)
    assert not shown(panel.target.results)


def test_many_rows_scroll(batch_hand: Any) -> None:
    """The table is not higher than a few of them."""
    from napari_unet.viewer.batches.batch import Batch, BatchRow

    table = batch_hand.panel.table
    table.show_batch(Batch(BatchRow(f"image {n}") for n in range(MOST_ROWS)))
    height = table.height()
    table.show_batch(Batch(BatchRow(f"image {n}") for n in range(5000)))
    assert table.height() == height
