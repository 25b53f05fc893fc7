"""Networks for cells of several classes: learned, continued, kept in files, and asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from painting import config, disks

from napari_unet.core.annotation import Annotation
from napari_unet.core.cellclasses import ANY_CELL, foreground, object_classes
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.batch import segment_files
from napari_unet.engine.classtable import read_classes
from napari_unet.engine.events import PlaneDone, StepDone, Trained
from napari_unet.engine.files import read_labels
from napari_unet.engine.inference import predict, probabilities, segment, segment_into
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.learning.calibration import calibrate
from napari_unet.engine.learning.paintedplane import PaintedPlane
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.process.mailbox import Mailbox, Repainted
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import starter_model, with_classes
from napari_unet.engine.training import train
from napari_unet.errors import InputError
from napari_unet.sample_data import touching_cells

torch.set_num_threads(1)
CPU = PredictConfig(device="cpu")
NAMES = ("dividing", "healthy")


def two_kinds(shape: tuple[int, int] = (190, 190), seed: int = 0) -> Any:
    """Disks, brighter than the background or darker; the class of each."""
    image, labels = disks(shape)
    ids = np.unique(labels)[1:]
    kinds = np.random.default_rng(seed).permutation(len(ids)) % 2
    classes = {int(i): NAMES[k] for i, k in zip(ids, kinds, strict=True)}
    dark = [i for i, name in classes.items() if name == "dividing"]
    image[np.isin(labels, dark)] -= 2
    return image, labels, classes


def annotation(classes: Any = None, **more: Any) -> Annotation:
    """All disks labelled, with their classes or with others."""
    image, labels, known = two_kinds(**more)
    return Annotation(image, labels, classes=known if classes is None else classes)


def training_set(*annotations: Annotation, segmenter: Segmenter | None = None) -> TrainingSet:
    """Prepare them."""
    return prepare(annotations, config(), segmenter, torch.device("cpu"))


def trained(
    annotations: Sequence[Annotation], settings: TrainConfig, segmenter: Segmenter | None = None
) -> Segmenter:
    """Train to the end."""
    *_, event = train(annotations, settings, segmenter=segmenter)
    assert isinstance(event, Trained)
    return event.segmenter


@pytest.fixture(scope="module")
def model() -> Segmenter:
    """A small network that learned two kinds of disks for a few seconds."""
    return trained([annotation()], config(steps=200, base_channels=8, seed=1))


def test_a_short_training_tells_two_kinds_of_cells_apart(model: Segmenter) -> None:
    """Nine of ten, and more, on an image that it has not seen; and it finds them."""
    image, truth, classes = two_kinds((220, 250), seed=7)
    labels = segment(model, image, CPU)
    told = object_classes(probabilities(model, image, CPU), labels)
    right, seen = [], set()
    for label in range(1, len(told)):
        cell = np.bincount(truth[labels == label]).argmax()
        if cell:
            seen.add(cell)
            right.append(model.class_names[told[label] - 1] == classes[int(cell)])
    assert len(seen) > 0.9 * len(classes)
    assert np.mean(right) > 0.9


def test_events_bring_the_classes_of_the_cells(model: Segmenter) -> None:
    """The same as from all probabilities, plane by plane, however the plane is tiled."""
    image = np.stack([two_kinds((100, 160), seed=s)[0] for s in (3, 4)])[None]
    labels = np.zeros(image.shape[1:], np.uint32)
    evidence = np.zeros((2, *image.shape[1:]), np.uint16)
    said = np.zeros(image.shape[1:], np.float32)
    tiled = replace(CPU, tile_size=100)
    events = segment_into(model, image, labels, tiled, said, evidence=evidence)
    done = [event for event in events if isinstance(event, PlaneDone)]
    assert [len(event.classes) for event in done] == [event.objects for event in done]
    every = probabilities(model, image, CPU)
    together = [*done[0].classes, *done[1].classes]
    assert object_classes(every, labels)[1:].tolist() == together
    assert set(together) == {1, 2}
    np.testing.assert_allclose(evidence / 65535, every[1:], atol=2e-5)
    np.testing.assert_allclose(said, foreground(every), atol=1e-5)
    found = np.zeros(image.shape[1:], np.uint8)
    for _ in predict(model, image, found, CPU):
        pass
    np.testing.assert_array_equal(found, foreground(every) >= 0.5)


def test_a_model_of_classes_of_cells_survives_its_file(model: Segmenter, tmp_path: Path) -> None:
    """With the names; plain models are written as ever, for older programs."""
    model.save(tmp_path / "two.unet")
    again = Segmenter.load(tmp_path / "two.unet")
    assert (again.class_names, again.n_classes, again.cell_classes) == (NAMES, 3, 2)
    assert "to cells of 2 classes (dividing, healthy)" in again.describe()
    assert b'\\"format\\": 2' in (tmp_path / "two.unet").read_bytes()
    plain = starter_model()
    plain.save(tmp_path / "plain.unet")
    content = (tmp_path / "plain.unet").read_bytes()
    assert b'\\"format\\": 1' in content
    assert b"class_names" not in content


def test_cells_without_a_class_are_learned_as_cells() -> None:
    """Of any class; a single class is none; and classes that nobody painted do not count."""
    some = training_set(annotation({1: "healthy", 2: "dividing", 9_999: "dead"}))
    assert (some.n_classes, some.class_names) == (3, NAMES)
    targets = some.planes[0].target
    assert targets.unique().tolist() == [0, 1, 2, ANY_CELL]
    weight = some.planes[0].weight + some.held_out_weights[0]
    assert (weight[targets == ANY_CELL] > 0).all()
    one = training_set(annotation(dict.fromkeys(range(1, 999), "healthy")))
    assert (one.n_classes, one.class_names) == (2, ())
    assert one.planes[0].target.unique().tolist() == [0, 1]


def test_classes_of_cells_count_alike() -> None:
    """A rare class weighs more, so that both weigh the same in total; the mean stays 1."""
    image, labels, _ = two_kinds()
    classes = {int(i): NAMES[int(i) > 2] for i in np.unique(labels)[1:]}
    data = prepare(
        [Annotation(image, labels, classes=classes)],
        config(validate=False, w0=0),
        None,
        torch.device("cpu"),
    )
    plane = data.planes[0]
    rare, common = (plane.weight[plane.target == k].double() for k in (1, 2))
    assert rare.mean() > 5 * common.mean()
    torch.testing.assert_close(rare.sum(), common.sum(), rtol=1e-4, atol=0)
    torch.testing.assert_close(torch.cat([rare, common]).mean().item(), 1.0, rtol=1e-4, atol=0)


def test_a_model_of_cells_goes_on_with_classes() -> None:
    """It begins with the same cells, and what it knows; and a model of classes without any."""
    plain = starter_model()
    several = with_classes(plain, ("a", "b", "c"))
    image, _, _ = two_kinds((90, 100))
    before, after = (probabilities(one, image, CPU) for one in (plain, several))
    np.testing.assert_allclose(foreground(after), before[1], atol=1e-5)
    np.testing.assert_allclose(after[1], after[3], atol=1e-6)
    first = trained([annotation({0: "none"})], config())
    assert first.cell_classes == 1
    then = trained([annotation()], config(), first)
    assert (then.cell_classes, then.class_names, then.provenance["steps"]) == (2, NAMES, 6)
    last = trained([annotation({1: "healthy"})], config(), then)
    assert last.class_names == NAMES
    with pytest.raises(InputError, match="knows cells of the classes dividing, healthy, but dead"):
        trained([annotation({1: "dead"})], config(), last)


def test_a_new_model_of_classes_begins_with_the_starter() -> None:
    """The last layer finds the cells of the starter, whatever their class."""
    events = train([annotation()], TrainConfig(steps=1, device="cpu"))
    start = next(events).segmenter
    events.close()
    assert start.cell_classes == 2
    np.testing.assert_array_equal(
        start.weights["head.weight"][2], starter_model().weights["head.weight"][1]
    )


def test_the_threshold_is_fitted_to_cells_of_all_classes(model: Segmenter) -> None:
    """The shift of the last bias moves the foreground, and no class against another."""
    data = training_set(annotation())
    bias = model.weights["head.bias"].copy()
    bias[1:] -= 1.5  # a network that is too careful
    careful = replace(model, weights={**model.weights, "head.bias": bias})
    moved = calibrate(careful, data).weights["head.bias"] - bias
    assert moved[0] == 0
    assert moved[1] == moved[2] > 0


def test_classes_change_while_a_network_learns() -> None:
    """Without a pixel being painted; and what is painted has the classes that came with it."""
    image, labels, classes = two_kinds((100, 110))
    plane = PaintedPlane(Annotation(image, labels, classes=classes), 1, 10.0, 5.0, names=NAMES)
    nothing = (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.int32), None
    border = plane.border.copy()
    swapped = {label: NAMES[name == "dividing"] for label, name in classes.items()}
    plane.repaint(*nothing, swapped)
    fresh = PaintedPlane(Annotation(image, labels, classes=swapped), 1, 10.0, 5.0, names=NAMES)
    np.testing.assert_array_equal(plane.target, fresh.target)
    np.testing.assert_array_equal(plane.border, border)
    box = (slice(0, 50), slice(0, 60))
    plane.repaint(box, np.where(labels[box] == 1, 500, labels[box]), None, {500: "healthy"})
    assert set(plane.target[labels == 1]) == {2}
    assert set(plane.target[plane.cells > 500]) <= {ANY_CELL}


def test_a_training_takes_new_classes_up_at_once() -> None:
    """One that it has no output for teaches a cell, and does not end the training."""
    image, labels, classes = two_kinds((100, 110))
    mailbox = Mailbox()
    events = train([Annotation(image, labels, classes=classes)], config(steps=6), mailbox=mailbox)
    for event in events:
        if isinstance(event, StepDone) and event.step == 2:
            told = Repainted(
                plane=0, box=(slice(0, 0),) * 2, labels=labels[:0, :0], classes={1: "dead"}
            )
            mailbox.put(told)
    assert event.segmenter.class_names == NAMES
    assert "16 cells (1 dead, 15 without a class)" in event.segmenter.provenance["labelled"]


def test_names_of_painted_classes_go_with_the_model(tmp_path: Path) -> None:
    """Also through its file, and through a training that does not name them."""
    image, labels, _ = two_kinds((100, 110))
    painted = np.where(labels > 0, 2, 1)
    named = Annotation(image, painted, "classes", classes={2: "disk"})
    model = trained([named], config())
    assert model.class_names == ("", "disk")
    model.save(tmp_path / "named.unet")
    assert "2 classes (disk)" in Segmenter.load(tmp_path / "named.unet").describe()
    again = trained([Annotation(image, painted, "classes")], config(), model)
    assert again.class_names == ("", "disk")


def pairs(*names: str) -> list[tuple[Path, Path]]:
    """Return images and their labels in two folders."""
    return [(Path("images", f"{n}.tif"), Path("painted", f"{n}_labels.tif")) for n in names]


def test_a_table_says_the_classes_of_each_file(tmp_path: Path) -> None:
    """By the name of the image or of its labels, as a program, pandas or Windows writes it."""
    table = tmp_path / "classes.csv"
    table.write_bytes(
        b"\xef\xbb\xbffile,label,class,note\r\na.tif,2,healthy,x\r\nsub/b,3,dead,\r\na_labels,3,,\r\n"
    )
    assert read_classes(table, pairs("a", "sub/b")) == [{2: "healthy", 3: ""}, {3: "dead"}]
    table.write_text("file,label,class\nimages\\sub\\b.tif,3.0,dead\n")
    assert read_classes(table, pairs("a", "b", "sub/b")) == [{}, {}, {3: "dead"}]
    table.write_text("label,class\n1,healthy\n3,dividing\n")
    expected = {1: "healthy", 3: "dividing"}
    assert read_classes(table, pairs("a")) == [expected]
    assert read_classes(table, pairs("a", "b"), "classes") == [expected] * 2


def test_classes_that_are_numbers_are_the_same_in_what_a_batch_writes(tmp_path: Path) -> None:
    """Its table of the objects says the classes of a next training."""
    tifffile.imwrite(tmp_path / "a.tif", touching_cells((96, 96))[0])
    model, out = with_classes(starter_model(), ("1", "2")), tmp_path / "out"
    options = BatchOptions(measure="csv", outlines="geojson")
    list(segment_files(model, tmp_path / "a.tif", out, CPU, options))

    labels = out / "a_labels.tif"
    (told,) = read_classes(out / "a_objects.csv", [(tmp_path / "a.tif", labels)])
    assert list(told) == list(range(1, int(read_labels(labels).max()) + 1))
    assert set(told.values()) <= {"1", "2"}
    outlined = json.loads((out / "a_outlines.geojson").read_text())["features"]
    kinds = {int(o["properties"]["name"]): o["properties"]["classification"] for o in outlined}
    assert {label: kind["name"] for label, kind in kinds.items()} == told


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_has_the_separators_of_any_country(separator: str, tmp_path: Path) -> None:
    """Excel writes semicolons where a comma is in numbers, and R puts names into quotes."""
    table = tmp_path / "classes.csv"
    rows = (('"label"', '"class"'), ("2", '"a, b; c"'), ("3", "dead"))
    table.write_text("".join(f"{separator.join(row)}\n" for row in rows))

    assert read_classes(table, pairs("a")) == [{2: "a, b; c", 3: "dead"}]


def test_numbers_of_classes_are_whole_where_some_cells_have_none(tmp_path: Path) -> None:
    """As pandas writes such a column; names that look alike stay what they are."""
    table = tmp_path / "classes.csv"
    table.write_text("label,class\n1,1.0\n2,\n3,2.0\n")
    assert read_classes(table, pairs("a")) == [{1: "1", 2: "", 3: "2"}]
    table.write_text("label,class\n1,1.0\n2,\n3,2.5\n")
    assert read_classes(table, pairs("a")) == [{1: "1.0", 2: "", 3: "2.5"}]


@pytest.mark.parametrize(
    ("written", "row"),
    [
        ("day 1.5", 0),
        ("day 1.5.tif", 0),
        ("day 2.5_labels", 1),
        ("day", 2),
        ("images/day.ome.tif", 2),
        (str(Path("images", "day 2.5.tif").absolute()), 1),
    ],
)
def test_an_image_is_found_by_its_name_with_dots_and_by_its_whole_path(
    written: str, row: int, tmp_path: Path
) -> None:
    """As scripts write it, with and without the suffix."""
    table = tmp_path / "classes.csv"
    table.write_text(f"file,label,class\n{written},1,dead\n")

    found = read_classes(table, pairs("day 1.5", "day 2.5", "day.ome"))

    assert [bool(classes) for classes in found] == [number == row for number in range(3)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none; it needs label and class"),
        ("label|class\n1|a\n", r"has the columns label\|class; it needs"),
        ("label,class\nx,a\n", "row 2: the label is 'x'"),
        ("file,label,class\nc,1,a\n", "row 2: 'c' is the name of none of the images"),
        ("file,label,class\nb,1,a\na.tif\n", "row 3: there is no label; the row"),
        ("file,label,class\nb\n", "row 2: there is no label; the row"),
        ("label,class,note,file\n1,a,x\n", "row 2: there is no file; the row"),
        ("label,class\n1\n", "row 2: there is no class; the row"),
        ("label,class\n1,a\n", "has no column file, and there are 2 images"),
        ("file,label,class\nb,1,a\n", "row 2: 'b' is the name of 2 of the images"),
        (None, "cannot be read as a table of classes"),
    ],
)
def test_a_table_that_says_something_else_is_refused(
    text: str | None, message: str, tmp_path: Path
) -> None:
    """With the row, and what is wrong with it."""
    table = tmp_path / "classes.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(InputError, match=message):
        read_classes(table, pairs("b", "sub/b"))
