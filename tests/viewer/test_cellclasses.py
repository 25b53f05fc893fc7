"""Classes in the table of a labels layer: read, written, learned from, and shown with results."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from painting import disks
from small_things import make_segmenter

from napari_unet.core.cellclasses import object_classes
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.summary import grouped, summarise
from napari_unet.engine.inference import probabilities
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError
from napari_unet.viewer.cellclasses import classes_of, set_class, show_classes
from napari_unet.viewer.colours import are_given
from napari_unet.viewer.learning.labelled import count
from napari_unet.viewer.learning.sources import Source
from napari_unet.viewer.notes import is_result, set_meaning
from napari_unet.viewer.painted import painted
from napari_unet.viewer.saving.savedlayers import add_labels, saved_labels
from napari_unet.viewer.scripts.as_code import as_command_line, as_python
from napari_unet.viewer.scripts.as_files import Work
from napari_unet.viewer.segmenting.rethreshold import Rethreshold
from napari_unet.viewer.session import Session

IMAGE, TRUTH = disks((100, 110))
CLASSES = {int(i): ("dividing", "healthy")[int(i) % 2] for i in np.unique(TRUTH)[1:]}
NAMES = ("dividing", "healthy")
CPU = PredictConfig(device="cpu", min_size=0)
TINY = TrainConfig(seconds=0, steps=4, base_channels=4, depth=2, device="cpu", downsample=1)


def model() -> Segmenter:
    """A network that says about as much of each class."""
    return make_segmenter(n_classes=3, class_names=NAMES, seed=3)


@pytest.fixture
def layers(viewer: Any) -> tuple[Any, Labels]:
    """An image, and labels of which most have a class."""
    image = viewer.add_image(IMAGE, name="cells")
    labels = viewer.add_labels(TRUTH.copy(), name="painted")
    set_meaning(labels, "instances")
    labels.features = {"index": list(CLASSES), "class": list(CLASSES.values())}
    return image, labels


def result(viewer: Any) -> Labels:
    """The layer that shows what was found."""
    (found,) = [layer for layer in viewer.layers if is_result(layer, "segmentation")]
    return found


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, {}),
        ({"area": [1, 2]}, {}),
        ({"class": [None, "a", "b"]}, {1: "a", 2: "b"}),  # as napari has it: row 1 is label 1
        ({"index": [5, 2], "class": ["a", "b"]}, {5: "a", 2: "b"}),
        ({"index": [5, 2, 3], "class": [1, 2, np.nan]}, {5: "1", 2: "2"}),
        ({"index": [5.0, np.nan], "class": [" x ", "b"]}, {5: "x"}),
    ],
)
def test_the_table_says_the_classes(table: dict[str, Any], expected: dict[int, str]) -> None:
    """With or without a column of labels; names or numbers; gaps are no class."""
    assert classes_of(Labels(TRUTH, features=table)) == expected


def test_a_class_is_written_beside_what_the_table_has() -> None:
    """Other columns, rows and labels stay; an empty name takes a class away."""
    layer = Labels(TRUTH, features={"area": [0, 9, 8]})
    set_class(layer, 2, "healthy")
    set_class(layer, 500, "dead")
    assert classes_of(layer) == {2: "healthy", 500: "dead"}
    assert layer.features["area"].tolist()[:3] == [0, 9, 8]
    set_class(layer, 2, "")
    assert classes_of(layer) == {500: "dead"}


def test_the_sentence_is_the_one_of_a_training(layers: Any) -> None:
    """Counted block by block, in the order of the classes."""
    image, labels = layers
    set_class(labels, 1, "")
    *_, summary = count(image, labels)
    annotations = painted(image, labels).annotations(threading.Event())
    assert summary == summarise(annotations)
    assert "16 cells (7 dividing, 8 healthy, 1 without a class)" not in str(summary)
    assert "without a class)" in str(summary)


def test_names_of_classes_of_pixels_are_in_the_sentence(layers: Any) -> None:
    """The same table names them."""
    image, labels = layers
    labels.data = np.where(TRUTH > 0, 2, 1)
    labels.features = {"index": [1, 2], "class": ["medium", "disk"]}
    set_meaning(labels, "classes")
    *_, summary = count(image, labels)
    assert "px medium, " in str(summary)
    assert " px disk, 0 %" in str(summary)


def test_what_is_no_class_is_said(layers: Any) -> None:
    """Before a training, in the sentence, and never by changing the table."""
    image, labels = layers
    labels.features = {"index": [1, 2], "class": [1.5, -1]}
    for ask in (lambda: list(count(image, labels)), lambda: painted(image, labels)):
        with pytest.raises(InputError, match=r"The class of label 1 is 1\.5; give a name"):
            ask()


def test_classes_are_learned_and_shown(session: Session, layers: Any, finish: Any) -> None:
    """From the table of the labels to the table of the result, in colours of classes."""
    image, labels = layers
    session.train(image, labels, None, TINY)
    finish(100)
    assert session.segmenter is not None
    assert session.segmenter.class_names == NAMES
    session.segmenter = model()
    session.segment(image, "whole layer", CPU)
    finish(100)
    layer = result(session.viewer)
    told = object_classes(probabilities(model(), IMAGE, CPU), layer.data)
    shown = classes_of(layer)
    assert shown == {k: NAMES[told[k] - 1] for k in range(1, int(layer.data.max()) + 1)}
    assert set(shown.values()) == set(NAMES)
    assert are_given(layer)
    colours = {tuple(layer.get_color(k)): shown[k] for k in shown}
    assert all(colours[tuple(layer.get_color(k))] == shown[k] for k in shown)
    assert len(colours) <= 6
    number = list(shown.values()).count("healthy")
    assert f"{number} healthy" in session.said.of_result
    session.segmenter = make_segmenter()
    session.segment(image, "whole layer", CPU)
    finish(100)
    assert classes_of(layer) == {}
    assert not are_given(layer)


def test_classes_that_are_numbers_are_the_same_in_the_result(
    session: Session, layers: Any, finish: Any
) -> None:
    """The table has them as they are painted, to be compared; a sentence says what they are."""
    image, _ = layers
    session.segmenter = make_segmenter(n_classes=3, class_names=("1", "2"), seed=3)
    session.segment(image, "whole layer", CPU)
    finish(100)
    layer = result(session.viewer)

    shown = list(classes_of(layer).values())
    assert set(shown) == {"1", "2"}
    assert are_given(layer)
    counted = ", ".join(f"{grouped(shown.count(name))} class {name}" for name in ("1", "2"))
    assert f"({counted})" in session.said.of_result


def test_another_threshold_keeps_the_classes(
    session: Session, layers: Any, finish: Any, qtbot: Any
) -> None:
    """They are those that a segmentation with that threshold finds, on every plane."""
    image, labels = layers
    for one in (image, labels):
        session.viewer.layers.remove(one)
    image = session.viewer.add_image(np.stack([IMAGE, IMAGE[::-1, ::-1], IMAGE[::-1]]))
    session.viewer.dims.set_current_step(0, 0)
    session.segmenter = model()
    session.segment(image, "whole layer", CPU)
    finish(100)
    rethreshold = Rethreshold(session)
    rethreshold.follow()
    other = PredictConfig(device="cpu", min_size=20, threshold=0.6)
    rethreshold.find(image, other)
    qtbot.wait_until(lambda: rethreshold.objects(image) is not None, timeout=100_000)
    rethreshold.leave()
    layer = result(session.viewer)
    cells, found = layer.data.copy(), classes_of(layer)
    session.segment(image, "whole layer", other)
    finish(100)
    np.testing.assert_array_equal(layer.data, cells)
    again = classes_of(layer)
    assert {k: v for k, v in found.items() if k <= cells.max()} == again
    assert len(again) == cells.max()


def test_the_classes_of_a_plane_replace_those_of_its_numbers() -> None:
    """And of no others."""
    layer = Labels(TRUTH)
    show_classes(layer, 0, 2, ["a", "b"])
    show_classes(layer, 2, 1, ["c"])
    assert classes_of(layer) == {1: "a", 2: "b", 3: "c"}
    show_classes(layer, 1, 1, [])
    assert classes_of(layer) == {1: "a", 3: "c"}


def test_classes_given_while_it_learns_are_learned(
    session: Session, layers: Any, qtbot: Any
) -> None:
    """Within seconds, and without a stroke."""
    image, labels = layers
    told: list[str] = []
    session.train(image, labels, None, TrainConfig(**(vars_of(TINY) | {"steps": 0})), live=True)
    assert session.training is not None

    def labelled() -> str:
        known = session.segmenter.provenance.get("labelled", "") if session.segmenter else ""
        told.append(known)
        return known

    qtbot.wait_until(lambda: "dividing" in labelled(), timeout=100_000)
    for label in (1, 2, 3):
        set_class(labels, label, "")
    qtbot.wait_until(lambda: "3 without a class" in labelled(), timeout=100_000)
    session.jobs.stop()
    qtbot.wait_until(lambda: session.jobs.state == "idle", timeout=100_000)


def vars_of(config: TrainConfig) -> dict[str, Any]:
    """The settings as a dictionary."""
    return {name: getattr(config, name) for name in config.__slots__}


def test_saved_labels_come_back_with_their_classes(viewer: Any, layers: Any) -> None:
    """In the table, and not in what is noted with the layer."""
    saved = saved_labels(viewer, layers[1], "labels-0")
    layer = add_labels(viewer, saved, TRUTH)
    assert classes_of(layer) == CLASSES
    assert "classes" not in layer.metadata["napari_unet"]


def test_a_copied_script_says_the_classes(viewer: Any, layers: Any) -> None:
    """A command line reads them from a file, which a script need not."""
    image, labels = layers
    work = Work(
        viewer=viewer,
        sources=[Source(image, labels)],
        image=image,
        scope="whole layer",
        segmenter=None,
        training=TINY,
        prediction=CPU,
    )
    assert f"classes={CLASSES})" in as_python(work)
    with pytest.raises(InputError, match="Copy as Python"):
        as_command_line(work)
