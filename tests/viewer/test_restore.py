"""What a crash leaves is offered back, and comes back pixel for pixel."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels
from small_things import make_segmenter

from napari_unet.core.config import TrainConfig
from napari_unet.engine.host import Host
from napari_unet.engine.saving.labels import read_labels
from napari_unet.engine.saving.session import (
    SavedRegions,
    SavedSession,
    read_session,
    write_session,
)
from napari_unet.errors import InputError, JobError
from napari_unet.sample_data import painted_scribbles, touching_cells
from napari_unet.viewer.imageregions import ImageRegions
from napari_unet.viewer.layers import (
    image_layers,
    labels_layers,
    likely_labels,
    new_scribbles,
)
from napari_unet.viewer.learning.history import Version
from napari_unet.viewer.learning.record import Record
from napari_unet.viewer.notes import is_linked, meaning_of, set_meaning
from napari_unet.viewer.painted import check_same_grid
from napari_unet.viewer.regions import new_regions, region_masks
from napari_unet.viewer.saving.autosave import Autosave
from napari_unet.viewer.saving.restore import Saved, dismiss, found, restore
from napari_unet.viewer.session import Session
from napari_unet.viewer.stack import ImageStack

STACK = (5, 60, 80)
NOW = datetime.datetime.now().astimezone()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where sessions of this test are saved."""
    return tmp_path / "autosave"


@pytest.fixture
def crash(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Save what a session has, and let it seem to have died."""

    def let_it(session: Session) -> Path:
        saving = Autosave(session, root)
        assert saving.save_now()
        saving.close(clean=False)
        assert saving.folder is not None
        saved = read_session(saving.folder)
        write_session(saving.folder, replace(saved, created=saved.created - 100))
        return saving.folder

    monkeypatch.setenv("NAPARI_UNET_AUTOSAVE", str(root))
    return let_it


@pytest.fixture
def painted(viewer: Any) -> Labels:
    """Two cells in a stack that was opened from a file."""
    image = viewer.add_image(np.zeros(STACK, np.float32), name="cells", scale=(4, 0.5, 0.5))
    layer = new_scribbles(viewer, image)
    layer.paint((0, 10, 10), 1)
    layer.paint((0, 30, 30), 2)
    layer.paint((2, 30, 50), 3)
    return layer


@pytest.fixture
def later(qtbot: Any) -> Iterator[Session]:  # noqa: ARG001 (Qt's loop)
    """The session of another viewer, opened after the crash."""
    viewer = ViewerModel()
    session = Session.of(viewer)
    yield session
    session.close()


CRASHES = """
import sys
from pathlib import Path
import napari
import numpy as np
from qtpy.QtCore import QTimer
from napari_unet.engine.saving.session import read_session
from napari_unet.viewer.regions import new_regions, region_masks
from napari_unet.viewer.saving.autosave import Autosave
from napari_unet.viewer.layers import new_scribbles
from napari_unet.viewer.session import Session

root, image = map(Path, sys.argv[1:])
viewer = napari.Viewer(show=False)
(image,) = viewer.open(image)
session = Session.of(viewer)
saving = Autosave(session, root)
labels = new_scribbles(viewer, image)
labels.brush_size = 7
labels.paint((0, 20, 20), 1)
labels.paint((2, 50, 30), 2)
labels.paint((2, 51, 33), 3)
labels.undo()
labels.paint((1, 10, 70), 4)
labels.paint((1, 10, 73), 0)

def tell():
    if saving.folder and (saving.folder / "session.json").exists():
        if [saved.parts for saved in read_session(saving.folder).labels] == [3]:
            print("saved", flush=True)
            timer.stop()

timer = QTimer()
timer.timeout.connect(tell)
timer.start(50)
np.save(root.parent / "painted.npy", labels.data)
napari.run()
"""


@pytest.mark.skipif(os.name != "posix", reason="kills with POSIX signals")
def test_every_pixel_painted_before_a_crash_comes_back(
    make_napari_viewer: Any, tmp_path: Path, root: Path
) -> None:
    """A real viewer, killed without warning; the image is opened again, and lies below."""
    path = tmp_path / "worm.tif"
    tifffile.imwrite(path, np.random.default_rng(0).random(STACK, np.float32))
    with subprocess.Popen(
        [sys.executable, "-c", CRASHES, root, path], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "saved\n"
            assert found(root) == [], "it still runs"
        finally:
            process.kill()

    viewer = make_napari_viewer()
    session = Session.of(viewer)
    (saved,) = found(root)
    assert saved.sentence.endswith(": 1 labels layer was saved.")
    assert saved.description.endswith(", 1 labels layer (worm.tif, 2 cells)")
    assert restore(viewer, session, saved) == []

    image, labels = viewer.layers
    np.testing.assert_array_equal(labels.data, np.load(tmp_path / "painted.npy"), strict=True)
    assert np.count_nonzero(labels.data) > 60
    assert (image.name, labels.name, meaning_of(labels)) == ("worm", "worm scribbles", "scribbles")
    assert is_linked(labels, image)
    assert viewer.layers.selection.active is labels
    assert found(root) == []
    session.close()


ENDS = """
import sys
from pathlib import Path
import napari
import numpy as np
from qtpy.QtWidgets import QApplication
from napari_unet.viewer.layers import new_scribbles

viewer = napari.Viewer(show=False)
_, dock = viewer.window.add_plugin_dock_widget("napari-live-unet", "Live U-Net")
QApplication.processEvents()
labels = new_scribbles(viewer, viewer.add_image(np.zeros((60, 80))))
labels.paint((20, 20), 1)
np.save(Path(sys.argv[1]), labels.data)
sys.exit(7)
"""


def test_a_script_that_exits_with_the_window_open_saves_and_complains_of_nothing(
    tmp_path: Path, root: Path
) -> None:
    """Qt has then deleted what is its own before we are told."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS, tmp_path / "painted.npy"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NAPARI_UNET_AUTOSAVE": str(root)},
    )
    (folder,) = (path.parent for path in root.rglob("session.json"))
    saved = read_session(folder)
    (layer,) = saved.labels
    read = read_labels(folder / layer.folder, layer.shape, layer.dtype, layer.parts)

    assert "Traceback" not in done.stderr
    assert done.returncode == 7
    assert saved.state == "closed"
    np.testing.assert_array_equal(read.pixels, np.load(tmp_path / "painted.npy"))


def test_layers_come_back_as_they_were(
    session: Session, painted: Labels, later: Session, crash: Callable[..., Path]
) -> None:
    """Name, place, meaning; also without an image, and where that was no file."""
    classes = session.viewer.add_labels(np.full((20, 30), 3, np.int64), translate=(5, 6))
    set_meaning(classes, "classes")
    crash(session)
    (saved,) = found()
    complaints = restore(later.viewer, later, saved)

    assert saved.description.endswith(", 2 labels layers (cells, 2 cells; Labels, 1 class)")
    for before, after in zip((painted, classes), labels_layers(later.viewer), strict=True):
        np.testing.assert_array_equal(after.data, before.data, strict=True)
        np.testing.assert_array_equal(after.affine.affine_matrix, before.affine.affine_matrix)
        assert (after.name, after.units, after.axis_labels) == (
            (before.name, before.units, before.axis_labels)
        )
        np.testing.assert_array_equal(after.scale, before.scale)
        np.testing.assert_array_equal(after.translate, before.translate)
        assert meaning_of(after) == meaning_of(before)
    assert complaints == [
        "Image 'cells' could not be opened again (it did not come from a file): open it yourself."
    ]


def test_an_image_that_is_opened_again_lies_where_it_lay(
    make_napari_viewer: Any, tmp_path: Path, crash: Callable[..., Path]
) -> None:
    """With the names of its axes: taken for planes, channels would have lost their labels."""
    path = tmp_path / "two.tif"
    tifffile.imwrite(path, np.zeros((2, 40, 60), np.float32))
    viewer = make_napari_viewer()
    session = Session.of(viewer)
    (image,) = viewer.open(path)
    image.axis_labels, image.scale = ("c", "y", "x"), (1, 0.5, 0.5)
    image.translate, image.units = (0, 7, 9), ("pixel", "um", "um")
    image.rotate, image.affine = 30, np.diag([1, 1, 2, 1])
    new_scribbles(viewer, image).paint((10, 10), 2)
    crash(session)
    viewer.layers.clear()
    (saved,) = found()

    assert restore(viewer, session, saved) == []
    opened, labels = viewer.layers
    assert (opened.axis_labels, opened.units) == (image.axis_labels, image.units)
    np.testing.assert_allclose(opened.scale, image.scale)
    check_same_grid(opened, labels, ImageStack.of(opened))
    assert likely_labels(viewer, opened) is labels
    session.close()


def test_training_regions_come_back_on_their_image(
    session: Session, painted: Labels, later: Session, crash: Callable[..., Path]
) -> None:
    """Each shape where it was drawn; without its image they come back, too."""
    viewer = session.viewer
    regions = new_regions(viewer, viewer.layers["cells"])
    box = [[2, 5, 5], [2, 5, 30.5], [2, 40, 30.5], [2, 40, 5]]
    regions.add(box, shape_type="rectangle")
    regions.add([[0, 9, 9], [0, 9, 20], [0, 30, 9]], shape_type="polygon")
    ImageRegions(viewer).put(viewer.layers["cells"], regions)
    crash(session)
    (saved,) = found()
    assert saved.sentence.endswith(": 1 labels layer and training regions were saved.")
    assert saved.description.endswith(", 1 labels layer (cells, 2 cells), training regions")
    image = later.viewer.add_image(np.ones(STACK, np.float32), name="cells", scale=(4, 0.5, 0.5))
    assert restore(later.viewer, later, saved) == []

    restored = ImageRegions(later.viewer).get(image)
    assert restored is not None
    before, after = (region_masks(one, image) for one in (regions, restored))
    assert before.keys() == after.keys() == {(0,), (2,)}
    assert all(np.array_equal(before[plane], after[plane]) for plane in before)
    assert (restored.name, restored.shape_type) == (regions.name, regions.shape_type)
    assert painted.name in later.viewer.layers


def test_training_regions_of_several_images_come_back_on_all_of_them(
    session: Session, painted: Labels, later: Session, crash: Callable[..., Path]
) -> None:
    """Without them, what is not labelled in the others would count as background."""
    viewer = session.viewer
    first, pixels = viewer.layers["cells"], np.ones(STACK, np.float32)
    where = {name: first.scale if name == "cells" else (1, 1, 1) for name in ("cells", "dye", "x")}
    viewer.add_image(pixels, name="dye")
    viewer.add_image(pixels, name="x")
    regions = new_regions(viewer, first)
    regions.add([[0, 9, 9], [0, 9, 20], [0, 30, 9]], shape_type="polygon")
    session.regions.put(first, regions)
    session.regions.put(viewer.layers["dye"], regions)
    crash(session)
    images = {
        name: later.viewer.add_image(pixels, name=name, scale=scale)
        for name, scale in where.items()
    }
    assert restore(later.viewer, later, found()[0]) == []

    drawn = later.viewer.layers[regions.name]
    assert later.regions.get(images["cells"]) is later.regions.get(images["dye"]) is drawn
    assert later.regions.get(images["x"]) is None
    assert painted.name in later.viewer.layers


def test_what_is_missing_is_said_once(
    session: Session, painted: Labels, later: Session, crash: Callable[..., Path]
) -> None:
    """Labels and training regions of one image that was no file."""
    viewer = session.viewer
    regions = new_regions(viewer, viewer.layers["cells"])
    regions.add([[0, 9, 9], [0, 9, 20], [0, 30, 9]], shape_type="polygon")
    ImageRegions(viewer).put(viewer.layers["cells"], regions)
    crash(session)
    (complaint,) = restore(later.viewer, later, found()[0])

    assert complaint == (
        "Image 'cells' could not be opened again (it did not come from a file): open it yourself."
    )
    assert [layer.name for layer in later.viewer.layers] == [painted.name, regions.name]


def test_models_and_curves_come_back(
    session: Session, later: Session, crash: Callable[..., Path]
) -> None:
    """The present one and those before."""
    older, present = make_segmenter(seed=1), make_segmenter(seed=2)
    session.history.add(Version(older, "SEG 0.5", NOW))
    session.segmenter = present
    session.record = Record(prepared="5 cells", seconds=[0.5, 1.0], loss=[0.7, 0.6], kept_iou=0.9)
    crash(session)
    (saved,) = found()
    told = []
    later.told.connect(lambda: told.append(later.record.loss))
    assert restore(later.viewer, later, saved) == []

    assert saved.sentence.endswith(": a model was saved.")
    assert later.segmenter is not None
    (version,) = later.history
    for before, after in [(present, later.segmenter), (older, version.segmenter)]:
        assert all(np.array_equal(after.weights[k], w) for k, w in before.weights.items())
    assert (version.summary, version.time) == ("SEG 0.5", NOW)
    assert later.record == session.record
    assert told == [[0.7, 0.6]]


def test_nothing_that_is_open_is_changed(
    session: Session, painted: Labels, later: Session, crash: Callable[..., Path]
) -> None:
    """Neither a layer of the same name, nor the image, nor a model that was trained since."""
    session.segmenter = make_segmenter(seed=1)
    folder = crash(session)
    mine = make_segmenter(seed=2)
    later.segmenter = mine
    image = later.viewer.add_image(np.ones(STACK, np.float32), name="cells")
    same = later.viewer.add_labels(np.ones(STACK, np.uint16), name=painted.name)
    complaints = restore(later.viewer, later, found()[0])

    assert (same.data == 1).all()
    assert image_layers(later.viewer) == [image]
    restored = labels_layers(later.viewer)[1]
    np.testing.assert_array_equal(restored.data, painted.data)
    assert is_linked(restored, image)
    assert later.segmenter is mine
    assert [str(folder / "model.safetensors") in text for text in complaints] == [True]


def test_a_damaged_file_costs_one_save_and_is_told(
    session: Session, painted: Labels, later: Session, root: Path
) -> None:
    """Of labels and of models; the other layers and parts are as they were."""
    saving = Autosave(session, root)
    session.segmenter = make_segmenter(seed=1)
    assert saving.save_now()
    before = painted.data.copy()
    painted.paint((2, 50, 10), 9)
    session.segmenter = make_segmenter(seed=2)
    assert saving.save_now()
    assert saving.folder is not None
    died = replace(read_session(saving.folder), created=1.0)
    write_session(saving.folder, died)
    for name in ("labels-0/2-0-0.npz", "model.safetensors"):
        path = saving.folder / name
        path.write_bytes(path.read_bytes()[:-10])
    complaints = restore(later.viewer, later, found(root)[0])
    saving.close(clean=False)

    np.testing.assert_array_equal(labels_layers(later.viewer)[0].data, before)
    assert later.segmenter is not None
    np.testing.assert_array_equal(
        later.segmenter.weights["head.weight"], make_segmenter(seed=1).weights["head.weight"]
    )
    told = " ".join(complaints)
    assert "1 of 2 parts of labels 'cells scribbles' were damaged" in told
    assert "one save earlier" in told
    assert "The saved model was damaged" in told


def test_what_is_lost_for_good_is_told(
    session: Session, painted: Labels, later: Session, crash: Callable[..., Path]
) -> None:
    """No version of the model nor of a part of the labels can be read; the rest comes back."""
    session.segmenter = make_segmenter()
    folder = crash(session)
    (folder / "labels-0" / "2-0-0.npz").unlink()
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "record.json").unlink()
    complaints = restore(later.viewer, later, found()[0])

    (labels,) = labels_layers(later.viewer)
    np.testing.assert_array_equal(labels.data[:2], painted.data[:2])
    assert not labels.data[2].any()
    assert later.segmenter is None
    told = " ".join(complaints)
    assert "1 of 2 parts of labels 'cells scribbles' could not be read" in told
    assert "The model was not restored" in told


def test_a_layer_that_makes_no_sense_keeps_no_other_from_coming_back(
    session: Session, painted: Labels, later: Session, crash: Callable[..., Path]
) -> None:
    """Of a size no memory holds, or lying nowhere."""
    folder = crash(session)
    good = read_session(folder)
    huge = replace(good.labels[0], name="huge", shape=(2**30, 2**30, 2**30))
    apples = {"units": ["apples"] * 3}
    nowhere = replace(good.labels[0], name="nowhere", spatial=apples)
    corners = [[0.0, 9.0, 9.0], [0.0, 9.0, 20.0], [0.0, 30.0, 9.0]]
    blob = SavedRegions(
        name="blob", ndim=3, shapes=(("blob", corners),), edge_width=1.0, spatial={}
    )
    drawn = replace(blob, name="drawn", shapes=(("polygon", corners),))
    regions = (blob, replace(drawn, name="away", spatial=apples), drawn)
    write_session(folder, replace(good, labels=(huge, nowhere, *good.labels), regions=regions))
    complaints = restore(later.viewer, later, found()[0])

    (labels,) = labels_layers(later.viewer)
    np.testing.assert_array_equal(labels.data, painted.data)
    assert [text.partition(":")[0] for text in complaints[:2]] == [
        "Labels 'huge' were not restored",
        "Labels 'nowhere' were not restored",
    ]
    assert [text.partition(":")[0] for text in complaints[-2:]] == [
        "Training regions 'blob' were not restored",
        "Training regions 'away' were not restored",
    ]
    assert "drawn" in later.viewer.layers


@pytest.mark.parametrize("what", ["gone", "damaged", "of another shape"])
def test_an_image_that_cannot_be_opened_again_is_told(
    make_napari_viewer: Any, tmp_path: Path, crash: Callable[..., Path], what: str
) -> None:
    """The labels are there all the same."""
    path = tmp_path / "worm.tif"
    tifffile.imwrite(path, np.zeros(STACK, np.float32))
    viewer = make_napari_viewer()
    session = Session.of(viewer)
    (image,) = viewer.open(path)
    new_scribbles(viewer, image).paint((0, 10, 10), 2)
    crash(session)
    viewer.layers.clear()
    if what == "gone":
        path.unlink()
    elif what == "damaged":
        path.write_bytes(b"II*\0" + b"\xff" * 50)
    else:
        tifffile.imwrite(path, np.zeros((20, 30), np.float32))
    (complaint,) = restore(viewer, session, found()[0])

    assert str(path) in complaint
    assert [layer.data.max() for layer in labels_layers(viewer)] == [2]
    assert found() == []
    session.close()


def test_a_reader_that_fails_in_its_own_way_is_told(
    make_napari_viewer: Any, tmp_path: Path, crash: Callable[..., Path]
) -> None:
    """A plugin may raise anything; the labels are there, and are not offered once more."""

    class NotMyFileError(Exception):
        pass

    def read(path: str) -> list[Any]:
        if not Path(path).stat().st_size:
            raise NotMyFileError("no scanner wrote it")
        return [(np.zeros(STACK, np.float32), {"name": "scan"}, "image")]

    path = tmp_path / "worm.scan"
    path.write_text("pixels")
    viewer = make_napari_viewer()
    session = Session.of(viewer)
    with npe2.DynamicPlugin("scanner") as plugin:

        @plugin.contribute.reader(filename_patterns=["*.scan"])
        def get_reader(path: str) -> Any:  # noqa: ARG001 (npe2 names it)
            return read

        (image,) = viewer.open(path, plugin="scanner")
        new_scribbles(viewer, image).paint((0, 10, 10), 2)
        crash(session)
        viewer.layers.clear()
        path.write_text("")
        (complaint,) = restore(viewer, session, found()[0])

    assert complaint == (
        f"Image {path} could not be opened again (no scanner wrote it): open it yourself."
    )
    assert [layer.data.max() for layer in labels_layers(viewer)] == [2]
    assert found() == []
    session.close()


def test_a_session_that_runs_or_ended_well_or_has_nothing_is_not_offered(
    session: Session, painted: Labels, root: Path, crash: Callable[..., Path]
) -> None:
    """And none that was dealt with."""
    saving = Autosave(session, root)
    assert saving.save_now()
    assert found() == [], "it runs"
    saving.close()
    assert found() == [], "it ended well"
    assert saving.folder is not None

    folder = crash(session)
    assert [saved.folder for saved in found()] == [folder]
    dismiss(found()[0])
    assert found() == [], "the user wants none of it"
    assert (folder / "labels-0" / "0-0-0.npz").exists()

    painted.data = np.zeros(STACK, np.uint16)
    crash(session)
    assert found() == [], "nobody painted"


@pytest.mark.usefixtures("painted")
def test_the_newest_is_offered_first_and_what_is_damaged_not_at_all(
    session: Session, crash: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """A folder nobody can read is passed over, with a line in the log."""
    folder = crash(session)
    for name in ("20200101-120000-1", "20300101-120000-1", "20250101-120000-1"):
        shutil.copytree(folder, folder.with_name(name))
    (folder.with_name("20250101-120000-1") / "session.json").write_text("{}")
    for older in folder.with_name("20250101-120000-1").glob("session.*.json"):
        older.unlink()

    names = [saved.folder.name for saved in found()]
    assert names == ["20300101-120000-1", folder.name, "20200101-120000-1"]
    assert "20250101-120000-1" in caplog.text


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (datetime.timedelta(0), r"\d\d:\d\d"),
        (datetime.timedelta(days=2), r"\w+\.? \d\d:\d\d"),
        (datetime.timedelta(days=30), r"\d+ \w+\.? \d\d:\d\d"),
    ],
)
def test_when_it_was_is_said_as_people_say_it(ago: datetime.timedelta, expected: str) -> None:
    """Today, this week, earlier."""
    session = replace(SavedSession.of_this_process(), saved=(NOW - ago).timestamp())

    assert re.fullmatch(expected, Saved(Path(), session).time)


@pytest.mark.usefixtures("painted")
def test_the_model_of_a_running_training_is_not_mixed_with_the_saved_one(
    session: Session, later: Session, crash: Callable[..., Path], host: Host, qtbot: Any
) -> None:
    """Nor are its curves; once it is stopped, all comes back beside its model."""
    session.segmenter = make_segmenter()
    session.record.loss.append(0.5)
    crash(session)
    later.host = host
    (saved,) = found()
    pixels, cells = touching_cells((64, 64))
    labels = later.viewer.add_labels(painted_scribbles(cells))
    set_meaning(labels, "scribbles")
    config = TrainConfig(seconds=100, base_channels=4, depth=2, device="cpu")
    later.train(later.viewer.add_image(pixels), labels, None, config)
    record = later.record
    with pytest.raises(JobError, match="Training is still running; stop it"):
        restore(later.viewer, later, saved)
    assert later.record is record
    assert len(later.viewer.layers) == 3  # a preview is the third
    assert [offer.folder for offer in found()] == [saved.folder]

    qtbot.wait_until(lambda: later.segmenter is not None, timeout=100_000)
    later.jobs.stop()
    qtbot.wait_until(lambda: later.jobs.state == "idle", timeout=100_000)
    model = later.segmenter
    assert any("There is a model already" in said for said in restore(later.viewer, later, saved))
    assert later.segmenter is model


def test_a_folder_that_cannot_be_written_is_told(
    session: Session, painted: Labels, later: Session, crash: Callable[..., Path]
) -> None:
    """All is restored nevertheless; it will be offered again."""
    folder = crash(session)
    (saved,) = found()
    (folder / "session.2.json").unlink(missing_ok=True)
    (folder / "session.2.json" / "in the way").mkdir(parents=True)

    with pytest.raises(InputError, match=r"will be offered again\. Delete the folder"):
        dismiss(saved)
    assert "will be offered again" in restore(later.viewer, later, saved)[-1]
    np.testing.assert_array_equal(labels_layers(later.viewer)[0].data, painted.data)
