"""What painted numbers mean: the three meanings, training regions, and the words for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from napari_unet.core.annotation import IGNORE, Annotation, Target, encode
from napari_unet.core.boundary import boundary_weight_map, separate_touching
from napari_unet.core.summary import Summary, in_cells, summarise
from napari_unet.core.unet import weighted_cross_entropy
from napari_unet.errors import InputError

torch.set_num_threads(1)
unhurried = settings(deadline=None, max_examples=60)
MEANINGS = ["scribbles", "instances", "classes"]
Labels = NDArray[np.integer[Any]]

shapes = st.tuples(st.integers(1, 10), st.integers(1, 10))


def painted(shape: tuple[int, ...]) -> st.SearchStrategy[Labels]:
    """Labels with a few ids, some of them huge."""
    ids = st.sampled_from([0, 0, 1, 2, 3, IGNORE, 70_000, 2**40])
    return arrays(np.int64, shape, elements=ids)


def annotate(labels: Any, meaning: Any = "instances", region: Any = None) -> Annotation:
    """Annotate an image of zeros."""
    labels = np.asarray(labels)
    return Annotation(np.zeros((1, *labels.shape)), labels, meaning, region)


def test_scribbles_by_hand() -> None:
    """0 says nothing, 1 is background, more is a cell; touching cells get a border."""
    target = encode(np.array([[0, 1, 1, 2, 2, 3, 3, 0]]), "scribbles")
    np.testing.assert_array_equal(target.classes, [[IGNORE, 0, 0, 1, 1, 0, 1, IGNORE]])
    np.testing.assert_array_equal(target.cells, [[0, 0, 0, 2, 2, 0, 3, 0]])


def test_instances_by_hand() -> None:
    """0 is background, everything else is a cell, 1 and 255 too."""
    target = encode(np.array([[0, 1, 1, 2, 255, 255, 0]]), "instances")
    np.testing.assert_array_equal(target.classes, [[0, 1, 1, 0, 0, 1, 0]])
    np.testing.assert_array_equal(target.cells, [[0, 1, 1, 0, 0, 255, 0]])


def test_classes_by_hand() -> None:
    """0 says nothing, k is class k - 1; touching classes get no border."""
    annotation = Annotation(np.zeros((1, 4)), np.array([[0, 1, 2, 254]]), "classes")
    target = encode(annotation.labels, "classes")
    np.testing.assert_array_equal(target.classes, [[IGNORE, 0, 1, 253]])
    assert not target.cells.any()


@pytest.mark.parametrize("meaning", ["instances", "scribbles"])
def test_a_region_decides_what_zero_means(meaning: Any) -> None:
    """Unpainted is background inside, and says nothing outside; what is painted stays."""
    labels = np.array([[0, 5, 0, 0], [0, 0, 0, 6]])
    region = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
    target = encode(labels, meaning, region)
    expected = [[0, 1, 0, IGNORE], [IGNORE, IGNORE, IGNORE, 1]]
    np.testing.assert_array_equal(target.classes, expected)


@unhurried
@given(data=st.data(), shape=shapes)
def test_every_pixel_gets_what_its_number_means(
    data: st.DataObject, shape: tuple[int, int]
) -> None:
    """Any labels, any region: pixel by pixel against the table of meanings."""
    meaning = data.draw(st.sampled_from(["scribbles", "instances"]))
    labels = data.draw(painted(shape))
    region = data.draw(st.one_of(st.none(), arrays(np.bool_, shape)))
    target: Target = encode(labels, meaning, region)
    cell = labels > (1 if meaning == "scribbles" else 0)
    separated = separate_touching(np.where(cell, labels, 0))
    for at in np.ndindex(*shape):
        if cell[at]:
            expected = int(separated[at] != 0)
        elif labels[at] == 0 and (meaning == "scribbles" if region is None else not region[at]):
            expected = IGNORE
        else:
            expected = 0
        assert target.classes[at] == expected
        assert target.cells[at] == (labels[at] if expected == 1 else 0)


@unhurried
@given(data=st.data(), shape=shapes)
def test_unlabelled_pixels_have_exactly_no_gradient(
    data: st.DataObject, shape: tuple[int, int]
) -> None:
    """From painted labels through target and weights to the loss; labelled pixels all have one."""
    meaning = data.draw(st.sampled_from(MEANINGS))
    labels = data.draw(arrays(np.uint8, shape, elements=st.integers(0, 4)))
    target = encode(labels, meaning)
    ignored = target.classes == IGNORE
    weight = boundary_weight_map(target.cells, ignore=ignored)
    logits = torch.randn((1, 4, *shape), requires_grad=True)
    classes, weights = (torch.from_numpy(a)[None] for a in (target.classes, weight))
    weighted_cross_entropy(logits, classes, weights).backward()
    assert logits.grad is not None
    gradient = logits.grad[0].numpy()
    assert (gradient[:, ignored] == 0).all()
    assert (gradient[:, ~ignored] != 0).any(axis=0).all()


def test_a_summary_says_it_in_words() -> None:
    """Background, cells and the share that is not labelled."""
    labels = np.zeros((320, 140), dtype=np.int32)
    labels[0, :] = labels[1, :] = 1
    labels[4:12, 0:100] = 1
    labels[12, 0:124] = 1
    for cell in range(5):
        labels[20 + 4 * cell, 3:33] = 2 + cell
    assert str(summarise([annotate(labels, "scribbles")])) == (
        "1 204 px background, 5 cells, 97 % unlabelled"
    )
    assert str(summarise([annotate([[0, 0, 7]])])) == "2 px background, 1 cell, 0 % unlabelled"
    assert str(Summary(1_234_567, 1_000, 0, 9)) == (
        "1 234 567 px background, 1 000 cells, 0 % unlabelled"
    )
    assert [in_cells(n) for n in (0, 1, 12_345)] == ["0 cells", "1 cell", "12 345 cells"]


def test_a_summary_of_classes_names_each() -> None:
    """Pixels of every painted class, with the number it was painted with."""
    labels = np.array([[0, 1, 1, 3]])
    assert str(summarise([annotate(labels, "classes")])) == (
        "2 px class 1, 1 px class 3, 25 % unlabelled"
    )
    nothing = summarise([annotate(np.zeros((2, 2), int), "classes")])
    assert str(nothing) == "no class painted, 100 % unlabelled"


def test_a_few_strokes_in_a_large_image_are_not_nothing() -> None:
    """100 % unlabelled is said only of what is."""
    labels = np.zeros((400, 400), dtype=np.uint8)
    assert str(summarise([annotate(labels, "scribbles")])).endswith("100 % unlabelled")
    labels[0, 0] = 1
    assert str(summarise([annotate(labels, "scribbles")])).endswith("99.9 % unlabelled")


def test_annotations_add_up() -> None:
    """Over several images and the planes of a stack; empty planes of a stack say nothing."""
    stack = np.zeros((3, 2, 4), dtype=np.uint8)
    stack[1, 0] = [0, 4, 4, 9]
    summary = summarise([annotate(stack), annotate([[0, 0, 1, 1]])])
    assert (summary.background, summary.objects) == (5 + 1 + 2, 3)
    assert (summary.unlabelled, summary.total) == (16, 28)


def test_cells_and_classes_do_not_mix() -> None:
    """A model learns one or the other."""
    labels = [[0, 1, 2]]
    with pytest.raises(InputError, match="classes and some are cells"):
        summarise([annotate(labels, "classes"), annotate(labels, "instances")])
    assert summarise([annotate(labels, "scribbles"), annotate(labels)]).objects == 3


def test_a_notebook_shows_an_annotation_in_a_line() -> None:
    """Without its arrays, and without what kind every single cell is."""
    image, labels = np.zeros((40, 50), np.uint16), np.ones((40, 50), np.uint8)
    plain = Annotation(image, labels, "scribbles")
    assert repr(plain) == (
        "<Annotation: image (1, 40, 50) uint16; labels (40, 50) uint8, scribbles>"
    )
    kinds = dict.fromkeys(range(1, 5000), "healthy")
    full = Annotation(image, labels, "instances", labels > 0, kinds, pixel_size=0.65)
    assert repr(full) == (
        "<Annotation: image (1, 40, 50) uint16; labels (40, 50) uint8, instances; within a "
        "training region; 4999 labels with a class; pixels of 0.65 µm>"
    )


def test_planes_of_a_stack_are_the_labelled_ones() -> None:
    """With their channels, labels and part of the region."""
    image = np.arange(2 * 4 * 3 * 5).reshape(2, 4, 3, 5)
    labels = np.zeros((4, 3, 5), dtype=np.uint8)
    labels[2, 1, 1] = 7
    region = np.zeros((4, 3, 5), dtype=bool)
    region[3, 0] = True
    planes = list(Annotation(image, labels, "instances", region).planes())
    assert [plane.image.shape for plane in planes] == [(2, 3, 5)] * 2
    np.testing.assert_array_equal(planes[0].image, image[:, 2])
    np.testing.assert_array_equal(planes[0].labels, labels[2])
    np.testing.assert_array_equal(planes[1].region, region[3])
    assert [plane.channels for plane in planes] == [2, 2]


def test_one_region_can_serve_all_planes() -> None:
    """A flat region is spread over the stack."""
    labels = np.zeros((3, 2, 2), dtype=np.uint8)
    region = np.array([[True, False], [False, False]])
    annotation = Annotation(np.zeros((1, 3, 2, 2)), labels, "scribbles", region)
    assert len(list(annotation.planes())) == 3
    assert summarise([annotation]).background == 3


@pytest.mark.parametrize("dtype", [bool, np.uint8, ">u2", np.int32, np.float16, np.float64])
def test_any_real_image_is_accepted(dtype: Any) -> None:
    """A bare plane becomes one channel."""
    annotation = Annotation(np.zeros((4, 5), dtype=dtype), np.ones((4, 5), dtype=np.int8))
    assert annotation.image.shape == (1, 4, 5)
    assert annotation.image.dtype.kind in "iuf"


@pytest.mark.parametrize("dtype", [bool, np.uint64, ">i2", np.float32])
def test_whole_numbers_of_any_type_are_labels(dtype: Any) -> None:
    """Booleans are one cell, and floats are fine when nothing is lost."""
    annotation = Annotation(np.zeros((1, 3)), np.array([[0, 1, 1]], dtype=dtype))
    assert annotation.labels.dtype.kind in "iu"
    np.testing.assert_array_equal(encode(annotation.labels, "instances").classes, [[0, 1, 1]])
    np.testing.assert_array_equal(encode(annotation.labels, "classes").classes, [[255, 0, 0]])


@pytest.mark.parametrize(
    ("image", "labels", "more", "message"),
    [
        (np.zeros((3, 3), complex), np.zeros((3, 3), int), {}, "dtype complex128"),
        (np.zeros(3), np.zeros(3, int), {}, r"shape \(3,\)"),
        (np.zeros((1, 2, 3, 4, 5)), np.zeros((2, 3, 4, 5), int), {}, r"\(1, 2, 3, 4, 5\)"),
        (np.zeros((0, 3)), np.zeros((0, 3), int), {}, "no pixels"),
        (np.zeros((3, 3)), np.full((3, 3), 0.5), {}, "labels hold float64"),
        (np.zeros((1, 2)), np.array([[0, np.nan]]), {}, r"labels hold NaN \(1 px\)"),
        (np.zeros((1, 2)), np.array([[0, np.inf]]), {}, "labels hold float64"),
        (np.zeros((1, 2)), np.array([[0, 1e30]]), {}, "labels hold float64"),
        (np.zeros((1, 2)), np.array([[0, 2.0**63]]), {}, "labels hold float64"),
        (np.zeros((1, 2)), np.array([[0, -1]]), {}, "hold -1"),
        (np.zeros((3, 3)), np.zeros((3, 4), int), {}, r"\(3, 4\).*\(3, 3\)"),
        (np.zeros((4, 5, 3)), np.zeros((4, 5), int), {}, "channels seem to come last"),
        (np.zeros((7, 4, 5)), np.zeros((7, 4, 5), int), {}, "planes of one channel.*np.newaxis"),
        (np.zeros((1, 2)), np.array([[0, 255]]), {"meaning": "classes"}, "255.*1 to 254"),
        (np.zeros((1, 2)), np.array([[0, 1]]), {"meaning": "cells"}, "'cells'.*scribbles"),
        (np.zeros((1, 2)), np.array([[0, 1]]), {"region": np.ones((2, 2))}, r"\(2, 2\).*\(1, 2\)"),
        (
            np.zeros((1, 2)),
            np.array([[0, 1]]),
            {"region": np.ones((1, 2)), "meaning": "classes"},
            "no background",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    image: Any, labels: Any, more: dict[str, Any], message: str
) -> None:
    """The error names the value seen."""
    with pytest.raises(InputError, match=message):
        Annotation(image, labels, **more)
