"""Questions about labels that contradict what they are said to mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.draw import disk, line

from napari_unet.core.doubt import doubt
from napari_unet.sample_data import painted_scribbles, touching_cells

TRUTH = touching_cells((256, 256))[1]
SCRIBBLES = painted_scribbles(TRUTH)


def key(labels: NDArray[np.integer], meaning: str, **options: object) -> str | None:
    """Return what the question is about, if there is one."""
    question = doubt(labels, meaning, **options)  # type: ignore[arg-type]
    return None if question is None else question.key


def cells(*values: int, shape: tuple[int, int] = (200, 200)) -> NDArray[np.uint8]:
    """Draw one disc per value."""
    labels = np.zeros(shape, np.uint8)
    for number, value in enumerate(values):
        labels[disk((25 + 50 * (number // 4), 25 + 50 * (number % 4)), 12)] = value
    return labels


def with_strokes(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add background strokes of label 1."""
    labels = labels.copy()
    for y in (0, 3, 100, 103):
        rows, columns = line(y, 5, y + 40, 150)
        labels[rows, columns] = 1
    return labels


@pytest.mark.parametrize("seed", range(4))
def test_labels_that_mean_what_they_say_raise_no_question(seed: int) -> None:
    """Neither complete instances nor painted scribbles, of the sample."""
    truth = touching_cells((256, 256), seed)[1]

    assert key(truth, "instances") is None
    assert key(painted_scribbles(truth, seed=seed), "scribbles") is None


@pytest.mark.parametrize("seed", range(4))
def test_scribbles_said_to_be_instances_are_noticed(seed: int) -> None:
    """Label 1 is strokes then; the answer yes makes them scribbles."""
    scribbles = painted_scribbles(touching_cells((256, 256), seed)[1], seed=seed)
    question = doubt(scribbles, "instances")

    assert question is not None
    assert question.key == "1 is strokes"
    assert (question.yes, question.no) == ("scribbles", "instances")
    assert "Are these scribbles" in question.question


def test_instances_said_to_be_scribbles_are_noticed() -> None:
    """Label 1 is a compact piece like the others; the answer no makes it a cell."""
    question = doubt(cells(1, 2, 3, 4, 5), "scribbles")

    assert question is not None
    assert question.key == "1 is a cell"
    assert (question.yes, question.no) == ("scribbles", "instances")


def test_a_few_cells_said_to_be_all_are_noticed() -> None:
    """Most images hold more cells than the three painted ones; a region settles it."""
    labels = cells(1, 2, 3)
    question = doubt(labels, "instances")

    assert question is not None
    assert question.key == "few painted"
    assert question.question.startswith("Only 3 % is painted")
    assert question.no is None
    assert "training region" in question.remedy
    assert key(labels, "instances", has_regions=True) is None
    assert key(labels, "instances", answered=("few painted",)) is None


def test_a_sparse_image_with_many_cells_raises_no_question() -> None:
    """Nobody paints a hundred cells and forgets the rest."""
    labels = np.zeros((500, 500), np.uint16)
    for number in range(100):
        labels[disk((25 + 50 * (number // 10), 25 + 50 * (number % 10)), 4)] = number + 1

    assert key(labels, "instances") is None


def test_fully_painted_scribbles_may_be_classes() -> None:
    """Semantic labels of a few kinds leave no pixel unpainted."""
    labels = np.ones((100, 100), np.uint8)
    labels[20:60] = 2
    labels[60:] = 3
    question = doubt(labels, "scribbles")

    assert question is not None
    assert (question.key, question.yes, question.no) == ("all painted", "classes", "scribbles")


def test_fully_painted_scribbles_may_be_packed_cells() -> None:
    """A tissue without gaps has many numbers and no background."""
    labels = np.arange(25, dtype=np.uint8).reshape(5, 5).repeat(20, 0).repeat(20, 1) + 1
    question = doubt(labels, "scribbles")

    assert question is not None
    assert (question.yes, question.no) == ("instances", "scribbles")


def test_many_classes_may_be_cells() -> None:
    """Nobody paints thirteen kinds of pixels."""
    assert key(cells(*range(1, 13)), "classes") is None
    question = doubt(cells(*range(1, 15)), "classes")

    assert question is not None
    assert question.yes == "instances"


def test_a_mask_of_one_number_is_taken_as_it_is() -> None:
    """0 and 1, half painted: background and cells."""
    assert key((TRUTH > 0).astype(np.uint8), "instances") is None


def test_a_dab_of_background_among_strokes_is_no_cell() -> None:
    """Only one compact piece is suspicious."""
    assert key(with_strokes(cells(2, 3, 4)), "scribbles") is None
    assert key(with_strokes(cells(1, 2, 3, 4)), "scribbles") is None


def test_one_piece_of_background_is_no_cell_if_it_is_unlike_them() -> None:
    """Far larger, far smaller, or long and thin."""
    large, small, thin = (cells(2, 3, 4) for _ in range(3))
    large[90:190, 20:180] = 1
    small[100:104, 100:104] = 1
    thin[100:108, 20:80] = 1
    for labels in (large, small, thin):
        assert key(labels, "scribbles") is None
    small[96:116, 96:116] = 1  # no longer small
    assert key(small, "scribbles") == "1 is a cell"


def test_a_stray_pixel_is_no_stroke() -> None:
    """A cell stays a cell if the brush slipped once."""
    labels = cells(*range(1, 13))
    labels[150, 180] = 1

    assert key(labels, "instances") is None


def test_nothing_painted_raises_no_question() -> None:
    """There is nothing to misread yet."""
    for meaning in ("instances", "scribbles", "classes"):
        assert key(np.zeros((10, 10), int), meaning) is None


def test_a_large_plane_is_judged_quickly_and_alike() -> None:
    """Every n-th pixel will do."""
    large = SCRIBBLES.repeat(12, 0).repeat(12, 1)

    assert key(large, "instances") == "1 is strokes"
    assert key(large, "scribbles") is None


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["instances", "scribbles", "classes"]),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from([np.uint8, np.int32, np.uint16, np.int64]),
)
def test_any_labels_can_be_judged(
    seed: int, meaning: str, shape: tuple[int, int], dtype: type
) -> None:
    """Down to one pixel, of any integer type."""
    labels = np.random.default_rng(seed).integers(0, 5, shape).astype(dtype)
    question = doubt(labels, meaning)  # type: ignore[arg-type]

    assert question is None or question.question.endswith("?")
