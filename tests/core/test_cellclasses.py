"""Cells of several classes: what painted ones are called, and what found ones are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.annotation import Annotation
from napari_unet.core.cellclasses import (
    ANY_CELL,
    class_evidence,
    class_name,
    class_sums,
    class_targets,
    class_title,
    classes_by_label,
    foreground,
    likeliest_classes,
    object_classes,
    order_classes,
)
from napari_unet.core.summary import summarise
from napari_unet.core.unet import weighted_cross_entropy
from napari_unet.errors import InputError

torch.set_num_threads(1)


def softmax(seed: int, n: int, shape: tuple[int, ...]) -> Any:
    """Draw probabilities of n classes."""
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (n, *shape)))
    return torch.softmax(logits.float(), dim=0).numpy()


def test_the_foreground_of_one_class_is_its_own_output() -> None:
    """To the last bit; of several, it is all that is not background."""
    one, three = softmax(0, 2, (5, 6)), softmax(1, 4, (5, 6))
    assert foreground(one) is not one
    np.testing.assert_array_equal(foreground(one), one[1])
    np.testing.assert_allclose(foreground(three), three[1:].sum(axis=0), atol=1e-6)


def test_the_class_of_an_object_has_the_largest_sum() -> None:
    """Not the most pixels: a few sure ones count more. Labels without pixels have no class."""
    probabilities = np.zeros((3, 1, 5), np.float32)
    probabilities[1, 0] = [0.4, 0.4, 0.9, 0.9, 0.1]
    probabilities[2, 0] = [0.5, 0.5, 0.1, 0.1, 0.8]
    labels = np.array([[1, 1, 1, 3, 4]])
    assert object_classes(probabilities, labels).tolist() == [0, 1, 0, 1, 2]
    assert object_classes(probabilities[:, :, None], labels[:, None]).tolist() == [0, 1, 0, 1, 2]
    assert object_classes(probabilities, labels.astype(np.uint64)).tolist() == [0, 1, 0, 1, 2]
    nothing = object_classes(probabilities, np.zeros((1, 5), int))
    assert (nothing.tolist(), nothing.dtype) == ([0], np.uint8)
    with pytest.raises(InputError, match=r"go up to 1099511627779, .* number them anew"):
        object_classes(probabilities, labels + 2**40 - 1)
    with pytest.raises(InputError, match=r"shape \(3, 1, 5\), the labels \(1, 4\)"):
        object_classes(probabilities, labels[:, :4])
    for wrong in (labels - 2, labels / 1):
        with pytest.raises(InputError, match="and whole numbers from 0 on"):
            object_classes(probabilities, wrong)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 19))
def test_classes_do_not_depend_on_how_a_plane_was_cut(seed: int, cut: int) -> None:
    """The evidence is whole numbers: the sums of parts add up to exactly those of the whole."""
    probabilities = softmax(seed, 4, (20, 30))
    labels = np.random.default_rng(seed).integers(0, 9, (20, 30))
    whole = class_evidence(probabilities)
    pieces = (slice(cut), slice(cut, None))
    parts = [class_sums(class_evidence(probabilities[:, y]), labels[y], 9) for y in pieces]
    np.testing.assert_array_equal(sum(parts), class_sums(whole, labels, 9))
    told = likeliest_classes(class_sums(whole, labels))
    np.testing.assert_array_equal(told, object_classes(probabilities, labels))


def test_a_cell_of_any_class_is_exactly_a_cell() -> None:
    """Its loss is -log of the sum of the classes; between them, it has no gradient."""
    logits = torch.randn(1, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    target, weight = torch.full((1, 2, 3), ANY_CELL), torch.ones(1, 2, 3, dtype=torch.float64)
    loss = weighted_cross_entropy(logits, target, weight, any_cell=True)
    p = torch.softmax(logits, dim=1)
    torch.testing.assert_close(loss, -(1 - p[:, 0]).log().mean())
    loss.backward()
    assert logits.grad is not None
    within = logits.grad[:, 1:] / p[:, 1:]  # raises all classes alike
    torch.testing.assert_close(within, within[:, :1].expand_as(within))
    known = torch.tensor([[[0, 1, 2], [3, 0, 1]]])
    told = weighted_cross_entropy(logits, known, weight, any_cell=True)
    torch.testing.assert_close(told, weighted_cross_entropy(logits, known, weight))


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({2: "healthy", 3: "dividing"}, {2: "healthy", 3: "dividing"}),
        ({2: 1, 3: np.int64(2), 4: 2.0}, {2: "1", 3: "2", 4: "2"}),
        (["", "healthy", None, 0, float("nan"), " dead "], {1: "healthy", 5: "dead"}),
        (np.array([0, 1, 2]), {1: "1", 2: "2"}),
        (pd.Series(["healthy", "dividing"], index=[7, 3]), {7: "healthy", 3: "dividing"}),
        ({5: "007", 6: "0"}, {5: "7"}),
        ({5: "-/-", 6: "-1 day"}, {5: "-/-", 6: "-1 day"}),
        ({}, {}),
    ],
)
def test_classes_are_names_or_numbers(given_: Any, expected: dict[int, str]) -> None:
    """As a mapping, or in the order of the labels; what says nothing is left out."""
    assert classes_by_label(given_) == expected


@pytest.mark.parametrize("wrong", [{2: -1}, {2: "-1"}, {2: 1.5}, {2: ["a"]}, {-2: "a"}, {"a": "b"}])
def test_other_classes_are_refused(wrong: Any) -> None:
    """With the label, or what is none."""
    with pytest.raises(InputError, match=r"class of label 2 is|is given a class, but labels are"):
        Annotation(np.zeros((2, 2)), np.zeros((2, 2), int), classes=wrong)


def test_numbers_stay_what_they_are_and_names_are_ordered() -> None:
    """3 is class 3 whether or not anything is class 2."""
    assert order_classes(["3", "1"]) == ("1", "2", "3")
    assert order_classes(["dividing", "healthy", "dead"]) == ("dead", "dividing", "healthy")
    assert order_classes(["b", "10", "9"]) == ("9", "10", "b")
    assert order_classes([]) == ()
    assert [class_title(("dead", "2"), k) for k in (1, 2, 3)] == ["dead", "class 2", "class 3"]
    assert [class_title(("2", "dead"), k) for k in (1, 2)] == ["class 2", "dead"]
    assert [class_name(("2", "dead"), k) for k in (1, 2, 3)] == ["2", "dead", "3"]
    with pytest.raises(InputError, match="a model can tell 253 apart"):
        order_classes(["999999999999"])


def test_pixels_of_cells_get_the_number_of_their_class() -> None:
    """Cells without a class, or with one that is not learned, are cells of any class."""
    cells = np.array([[0, 2, 2, 3], [2**40, 4, 0, 5]])
    classes = {2: "b", 3: "a", 4: "new", 0: "a"}
    expected = [[0, 2, 2, 1], [ANY_CELL, ANY_CELL, 0, ANY_CELL]]
    np.testing.assert_array_equal(class_targets(cells, classes, ("a", "b")), expected)
    assert set(class_targets(cells, {}, ("a", "b")).ravel()) == {0, ANY_CELL}


def test_the_sentence_counts_the_cells_of_each_class() -> None:
    """Of cells that are painted, not of rows of a table; with names or with numbers."""
    labels = np.array([[0, 1, 2, 2, 3, 4, 0, 0]])
    image = np.zeros(labels.shape)

    def said(classes: Any, meaning: Any = "scribbles") -> str:
        return str(summarise([Annotation(image, labels, meaning, classes=classes)]))

    named = {1: "background", 2: "healthy", 3: "dividing", 4: "healthy", 9: "dead"}
    assert "3 cells (1 dividing, 2 healthy), 38 %" in said(named)
    assert "3 cells (1 class 2, 2 without a class), 38 %" in said({3: 2})
    assert "3 cells, 38 %" in said({9: "dead"})
    names = {1: "axon", 3: "myelin"}
    assert said(names, "classes").startswith("1 px axon, 2 px class 2, 1 px myelin, 1 px class 4,")


def test_a_class_of_pixels_has_one_name() -> None:
    """Two images that disagree are refused."""
    both = [
        Annotation(np.zeros((1, 3)), np.array([[1, 2, 0]]), "classes", classes={1: name})
        for name in ("axon", "myelin")
    ]
    with pytest.raises(InputError, match="Class 1 is called 'axon' in one place and 'myelin' in"):
        summarise(both)


def test_the_planes_of_a_stack_keep_the_classes() -> None:
    """A number has one class on all planes."""
    stack = Annotation(
        np.zeros((1, 2, 1, 3)), np.array([[[1, 2, 0]], [[0, 2, 2]]]), classes=[0, 1, 2]
    )
    assert [plane.class_of for plane in stack.planes()] == [{1: "1", 2: "2"}] * 2
    assert "3 cells (1 class 1, 2 class 2)" in str(summarise([stack]))
