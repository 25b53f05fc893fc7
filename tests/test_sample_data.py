"""The sample image is reproducible, honest about its truth, and needs more than a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

from napari_unet.errors import InputError
from napari_unet.sample_data import painted_scribbles, touching_cells, touching_cells_layers


def jaccard_per_cell(truth: np.ndarray, found: np.ndarray) -> list[float]:
    """For each true cell, its overlap over union with the object that covers most of it, or 0."""
    scores = []
    for cell in range(1, int(truth.max()) + 1):
        mask = truth == cell
        ids, counts = np.unique(found[mask], return_counts=True)
        best = int(ids[counts.argmax()])
        covered = best != 0 and counts.max() > 0.5 * mask.sum()
        scores.append(counts.max() / np.sum(mask | (found == best)) if covered else 0.0)
    return scores


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_threshold_and_connected_components_cannot_separate_the_cells(seed: int) -> None:
    """Otsu's threshold with connected components scores below 0.3 where a perfect result is 1."""
    image, truth = touching_cells(seed=seed)
    otsu, _ = ndi.label(image > threshold_otsu(image))

    assert np.mean(jaccard_per_cell(truth, otsu)) < 0.3
    assert np.mean(jaccard_per_cell(truth, truth)) == 1.0


def test_most_cells_touch_another_cell() -> None:
    """More than half of the cells share a border with a neighbour."""
    _, truth = touching_cells()
    touching = set()
    for a, b in ((truth[:-1], truth[1:]), (truth[:, :-1], truth[:, 1:])):
        border = (a != b) & (a > 0) & (b > 0)
        touching |= set(a[border].tolist()) | set(b[border].tolist())

    assert len(touching) > truth.max() / 2


def test_cells_are_brighter_than_the_background_beside_them() -> None:
    """The image shows what the labels say: four cells in five outshine the gap around them."""
    image, truth = touching_cells()
    gap = truth == 0
    brighter = []
    for cell, (rows, columns) in enumerate(ndi.find_objects(truth), start=1):
        around = (
            slice(max(rows.start - 8, 0), rows.stop + 8),
            slice(max(columns.start - 8, 0), columns.stop + 8),
        )
        if gap[around].sum() > 100:
            inside = truth[around] == cell
            brighter.append(
                np.median(image[around][inside]) > np.median(image[around][gap[around]])
            )

    assert np.mean(brighter) > 0.8


@pytest.mark.parametrize("shape", [(64, 64), (64, 300), (257, 130)])
def test_any_shape_from_64_pixels_up_holds_cells(shape: tuple[int, int]) -> None:
    """The arrays have the shape asked for, the promised type and range, and whole cells."""
    image, truth = touching_cells(shape)

    assert image.shape == truth.shape == shape
    assert (image.dtype, truth.dtype) == (np.float32, np.int32)
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.05
    assert np.array_equal(np.unique(truth), np.arange(truth.max() + 1))
    assert all(ndi.label(truth == cell)[1] == 1 for cell in range(1, truth.max() + 1))


def test_the_seed_decides_the_image() -> None:
    """The same seed repeats the image and its labels; another seed gives others."""
    first, again, other = (touching_cells((128, 128), seed=seed) for seed in (3, 3, 4))

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("shape", [(63, 64), (512,), (64, 64, 64)])
def test_a_shape_too_small_or_not_flat_is_refused(shape: tuple[int, ...]) -> None:
    """The message names the shape that was given."""
    with pytest.raises(InputError, match=str(shape[0])):
        touching_cells(shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_cells", [1, 2, 6, 9])
def test_scribbles_never_contradict_the_truth(n_cells: int) -> None:
    """Each painted cell lies inside one true cell, and background strokes lie outside all."""
    _, truth = touching_cells()
    scribbles = painted_scribbles(truth, n_cells=n_cells)

    assert scribbles.dtype == np.uint8
    assert np.array_equal(np.unique(scribbles), np.arange(n_cells + 2))
    assert not truth[scribbles == 1].any()
    painted = [np.unique(truth[scribbles == value]) for value in range(2, n_cells + 2)]
    assert all(len(cells) == 1 and cells[0] > 0 for cells in painted)
    assert len({int(cells[0]) for cells in painted}) == n_cells


def test_scribbles_leave_most_pixels_unlabelled() -> None:
    """Ten painted cells are the work of a minute: less than a tenth of the image is labelled."""
    _, truth = touching_cells()

    assert 0.01 < np.mean(painted_scribbles(truth) > 0) < 0.1


def test_scribbles_fill_a_cell_to_its_outline() -> None:
    """A painted cell is all of the true cell, so the border of touching ones is learned."""
    _, truth = touching_cells()
    scribbles = painted_scribbles(truth)
    for value in range(2, 8):
        cell = truth[scribbles == value][0]

        assert np.array_equal(scribbles == value, truth == cell)


def test_scribbles_paint_touching_neighbours() -> None:
    """The first two painted cells are neighbours, so the border between them can be learned."""
    _, truth = touching_cells()
    scribbles = painted_scribbles(truth, n_cells=2)
    first, second = (truth == truth[scribbles == value][0] for value in (2, 3))

    assert np.any(ndi.binary_dilation(first, iterations=2) & second)


def test_asking_for_more_cells_than_there_are_paints_them_all() -> None:
    """A hundred cells cannot be painted where only a few exist."""
    _, truth = touching_cells((64, 64))

    assert painted_scribbles(truth, n_cells=100).max() == truth.max() + 1


def test_cells_without_background_get_no_background_strokes() -> None:
    """Where cells fill the image there is nothing to paint as background."""
    truth = np.ones((64, 64), np.int32)
    truth[:, 32:] = 2

    assert np.array_equal(np.unique(painted_scribbles(truth)), [2, 3])


def test_no_stroke_is_drawn_where_there_is_no_room() -> None:
    """One cell in a plane of five pixels leaves none for a brush."""
    truth = np.zeros((5, 5), int)
    truth[2, 2] = 7

    painted = painted_scribbles(truth)
    assert (painted[2, 2], painted[0, 0]) == (2, 0)


@pytest.mark.parametrize(
    ("labels", "n_cells"),
    [(np.zeros((64, 64), int), 1), (np.ones((4, 64, 64), int), 1), (np.ones((64, 64), int), 0)],
)
def test_labels_that_cannot_be_painted_from_are_refused(labels: np.ndarray, n_cells: int) -> None:
    """The message names the shape of the labels and the number asked for."""
    with pytest.raises(InputError, match=f"{n_cells} cells from labels of shape"):
        painted_scribbles(labels, n_cells=n_cells)


def test_the_napari_sample_is_an_image_with_scribbles_that_say_what_they_mean() -> None:
    """The provider returns two layers of one shape, and the labels carry their meaning."""
    (image, _, image_kind), (scribbles, options, labels_kind) = touching_cells_layers()

    assert (image_kind, labels_kind) == ("image", "labels")
    assert image.shape == scribbles.shape
    assert options["metadata"] == {"napari_unet": {"meaning": "scribbles"}}
