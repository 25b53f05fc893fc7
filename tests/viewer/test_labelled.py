"""The sentence that says what is labelled."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels, Shapes

from napari_unet.core.annotation import Annotation
from napari_unet.core.summary import Summary, summarise
from napari_unet.errors import InputError
from napari_unet.viewer.learning import labelled
from napari_unet.viewer.notes import set_meaning

MEANINGS = ["scribbles", "instances", "classes"]


def layers_of(data: np.ndarray, meaning: str) -> tuple[Image, Labels]:
    """Make an image and labels."""
    labels = Labels(data)
    set_meaning(labels, meaning)  # type: ignore[arg-type]
    return Image(np.zeros(data.shape)), labels


def summary(*layers: Any) -> Summary:
    """Return the last count, which is of everything."""
    *_, last = labelled.count(*layers)
    return last


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(MEANINGS),
    st.tuples(st.integers(2, 40), st.integers(2, 40)),
    st.booleans(),
    st.integers(3, 12),
)
def test_counting_by_blocks_gives_what_the_engine_counts(
    seed: int, meaning: str, shape: tuple[int, int], with_region: bool, block: int
) -> None:
    """Also where cells touch or cross from one block to the next."""
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 4, shape).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    image, labels = layers_of(data, meaning)
    regions = region = None
    if with_region and meaning != "classes":
        box = np.array([[1, 1], [1, shape[1]], [shape[0], shape[1]], [shape[0], 1]])
        regions = Shapes([box], shape_type="rectangle")
        region = labelled.region_masks(regions, image)[()]
    expected = summarise([Annotation(np.zeros(data.shape), data, meaning, region)])  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelled, "BLOCK", block)

        assert summary(image, labels, regions) == expected


@pytest.mark.parametrize("meaning", MEANINGS)
def test_empty_planes_of_a_stack_say_nothing(meaning: str) -> None:
    """A cell in each of two planes is two cells; the third plane is not labelled."""
    data = np.zeros((3, 20, 30), np.uint16)
    data[0, 3:9, 3:9] = data[2, 3:9, 3:9] = 2
    image, labels = layers_of(data, meaning)
    whole = Annotation(np.zeros((1, *data.shape)), data, meaning)  # type: ignore[arg-type]

    assert summary(image, labels) == summarise([whole])


def test_the_sentence_names_background_cells_and_the_rest() -> None:
    """As a person would."""
    data = np.zeros((100, 100), np.uint8)
    data[:2] = 1
    for cell in range(3):
        data[10 + 10 * cell : 15 + 10 * cell, 10:15] = cell + 2

    assert str(summary(*layers_of(data, "scribbles"))) == (
        "200 px background, 3 cells, 97 % unlabelled"
    )


@pytest.mark.parametrize(
    ("values", "meaning", "advice"),
    [
        ([0], "scribbles", "a few cells with label 2 and up and some background with label 1."),
        ([1], "scribbles", "a few cells with label 2 and up."),
        ([2], "scribbles", "some background with label 1."),
        ([1, 2], "scribbles", ""),
        ([1], "instances", ""),
        ([0], "instances", "a few cells."),
        ([1], "classes", "at least two classes."),
        ([1, 2], "classes", ""),
    ],
)
def test_what_is_missing_is_said(values: list[int], meaning: str, advice: str) -> None:
    """Before anybody presses Train."""
    data = np.zeros((20, 20), np.uint8)
    for index, value in enumerate(values):
        data[4 * index : 4 * index + 2, :5] = value
    image, labels = layers_of(data, meaning)
    said = labelled.advice(summary(image, labels), meaning)  # type: ignore[arg-type]

    assert said == (f". Paint {advice}" if advice else "")


def test_labels_that_cannot_be_used_are_refused_in_words() -> None:
    """Negative numbers, for example."""
    image, labels = layers_of(np.full((20, 20), -1), "instances")

    with pytest.raises(InputError, match="labels start at 0"):
        summary(image, labels)
