"""The boundary weight map against the paper's formula, computed the slow way."""

from __future__ import annotations

import tracemalloc
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.borderterm import border_term, parts, reach
from napari_unet.core.boundary import (
    PART,
    around,
    boundary_weight_map,
    boundary_weights_in,
    separate_touching,
)
from napari_unet.errors import InputError

Labels = NDArray[np.integer[Any]]
unhurried = settings(deadline=None, max_examples=60)


@st.composite
def label_images(draw: st.DrawFn) -> Labels:
    """Cells of one to a few pixels, in 2D or 3D; ids repeat, so a cell may be in pieces."""
    ndim = draw(st.sampled_from([2, 2, 3]))
    sides = draw(st.tuples(*[st.integers(1, 9 if ndim == 2 else 4)] * ndim))
    n_cells = draw(st.integers(0, 5))
    ids = st.sampled_from([0, 0, 0, *(37 * k + 1 for k in range(n_cells))])
    labels = draw(arrays(np.int64, sides, elements=ids))
    for axis, factor in enumerate(draw(st.tuples(*[st.integers(1, 4)] * ndim))):
        labels = np.repeat(labels, factor, axis=axis)
    return np.asarray(labels)


def slow_separation(labels: Labels) -> Labels:
    """Pixel by pixel: a pixel goes if an earlier neighbour is of another cell."""
    result = labels.copy()
    for at in product(*map(range, labels.shape)):
        for axis in range(labels.ndim):
            if at[axis] == 0:
                continue
            before = labels[tuple(i - (k == axis) for k, i in enumerate(at))]
            if labels[at] and before and before != labels[at]:
                result[at] = 0
    return result


def slow_border_term(
    cells: Labels, w0: float, sigma: float, spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """One distance transform per cell over the whole image, sorted."""
    ids = [i for i in np.unique(cells) if i != 0]
    if len(ids) < 2:
        return np.zeros(cells.shape)
    distances = [ndimage.distance_transform_edt(cells != i, sampling=spacing) for i in ids]
    d1, d2 = np.sort(distances, axis=0)[:2]
    return np.asarray(w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2)))


def slow_balance(cells: Labels, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each class gets the same total; the mean over known pixels is 1."""
    weights = np.zeros(cells.shape)
    classes = [known & (cells == 0), known & (cells != 0)]
    classes = [c for c in classes if c.any()]
    for mask in classes:
        weights[mask] = known.sum() / len(classes) / mask.sum()
    return weights


@unhurried
@given(data=st.data(), labels=label_images())
def test_the_map_is_the_papers_formula(data: st.DataObject, labels: Labels) -> None:
    """2D and 3D, any spacing, ignored pixels, touching cells, cells in pieces, 0 to 5 cells."""
    w0 = data.draw(st.sampled_from([0.0, 0.3, 10.0, 25.0]))
    sigma = data.draw(st.sampled_from([0.4, 1.0, 5.0, 12.5]))
    sides = st.sampled_from([0.5, 1.0, 3.0])
    spacing = data.draw(st.one_of(st.none(), st.tuples(*[sides] * labels.ndim)))
    class_weights = data.draw(st.booleans())
    how = data.draw(st.sampled_from(["nothing", "value", "mask"]))

    ignore: Any = None
    known = np.ones(labels.shape, dtype=bool)
    if how == "value":
        ignore = data.draw(st.sampled_from([0, 1, 38, 255]))
        known = labels != ignore
    elif how == "mask":
        ignore = data.draw(arrays(np.bool_, labels.shape))
        known = ~ignore
    original = labels.copy()
    weights = boundary_weight_map(
        labels, w0=w0, sigma=sigma, class_weights=class_weights, spacing=spacing, ignore=ignore
    )

    cells = slow_separation(np.where(known, labels, 0))
    expected = slow_border_term(cells, w0, sigma, spacing or (1.0,) * labels.ndim)
    expected += slow_balance(cells, known) if class_weights else 1.0
    expected[~known] = 0
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-5)
    assert not weights[~known].any()
    np.testing.assert_array_equal(labels, original)


def test_two_cells_by_hand() -> None:
    """Between cells at columns 0 and 4: d1 + d2 is 4 in the gap, and 4 + 2k beyond it."""
    labels = np.array([[3, 0, 0, 0, 9, 0, 0]])
    weights = boundary_weight_map(labels, class_weights=False)
    d = np.array([4, 4, 4, 4, 4, 6, 8])
    np.testing.assert_allclose(weights[0], 1 + 10 * np.exp(-(d**2) / 50), rtol=1e-6)


def test_a_single_cell_in_pieces_has_no_border() -> None:
    """A cell does not compete with itself, however many pieces it is in."""
    labels = np.zeros((9, 30), dtype=np.int32)
    labels[2:4, 2:6] = labels[2:4, 9:12] = labels[6:8, 20:22] = 5
    np.testing.assert_array_equal(boundary_weight_map(labels, class_weights=False), 1)


def test_distances_reach_over_the_whole_image() -> None:
    """A wide sigma makes cells far apart matter to each other."""
    labels = np.zeros((5, 400), dtype=np.uint8)
    labels[2, 3], labels[2, 390] = 1, 2
    weights = boundary_weight_map(labels, sigma=200.0, class_weights=False)
    expected = slow_border_term(labels, 10.0, 200.0, (1, 1)) + 1
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


@pytest.mark.parametrize("spacing", [(0.25, 0.5), (4.0, 1.0), (1.0, 0.25)])
def test_distances_reach_as_far_as_the_spacing_says(spacing: tuple[float, float]) -> None:
    """Pixels close together are many, as far as the term is not 0, on all sides of the cells."""
    labels = np.zeros((130, 150), dtype=np.uint8)
    labels[64:66, 70:72], labels[64:66, 76:78] = 1, 2
    weights = boundary_weight_map(labels, sigma=2.0, spacing=spacing, class_weights=False)
    expected = slow_border_term(labels, 10.0, 2.0, spacing) + 1
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_thousands_of_cells_finish() -> None:
    """The map of a regular field of cells is regular."""
    side, count = 12, 64
    ids = np.arange(1, count**2 + 1).reshape(count, count)
    labels = np.kron(ids, np.pad(np.ones((8, 8), dtype=int), 2))
    weights = boundary_weight_map(labels, class_weights=False)
    middle = weights[20 * side : 21 * side, 20 * side : 21 * side]
    np.testing.assert_allclose(weights[20 * side : 21 * side, 25 * side : 26 * side], middle)
    assert middle.max() == pytest.approx(1 + 10 * np.exp(-(5**2) / 50), rel=1e-5)


@unhurried
@given(labels=label_images())
def test_no_two_cells_stay_connected(labels: Labels) -> None:
    """After the separation no two different cells share a face, and only border pixels went."""
    separated = separate_touching(labels)
    np.testing.assert_array_equal(separated, slow_separation(labels))
    for axis in range(labels.ndim):
        moved = np.moveaxis(separated, axis, 0)
        before, after = moved[:-1], moved[1:]
        assert not ((before != after) & (before != 0) & (after != 0)).any()
    gone = separated != labels
    assert not separated[gone].any()


def test_the_separating_border_is_one_pixel_wide() -> None:
    """Of a row of touching cells, each but the first gives its first column."""
    labels = np.repeat([[1, 2, 3]], 4, axis=1)
    np.testing.assert_array_equal(separate_touching(labels), [[1, 1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3]])


@unhurried
@given(data=st.data())
def test_background_and_cells_weigh_the_same_in_total(data: st.DataObject) -> None:
    """The mean over labelled pixels is 1, and others get 0."""
    shape = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    labels = data.draw(arrays(np.uint8, shape, elements=st.integers(0, 4)))
    unlabelled = data.draw(st.one_of(st.none(), arrays(np.bool_, shape)))
    known = np.ones(shape, dtype=bool) if unlabelled is None else ~unlabelled
    cells = separate_touching(np.where(known, labels, 0)) > 0

    weights = boundary_weight_map(labels, w0=0.0, ignore=unlabelled)

    assert not weights[~known].any()
    if not known.any():
        return
    assert weights[known].mean() == pytest.approx(1, rel=1e-5)
    totals = [weights[known & (cells == side)].sum() for side in np.unique(cells[known])]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-4)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint64, ">i4"])
def test_any_integer_type_is_a_label_image(dtype: Any) -> None:
    """One cell in any integer type, and in a read-only view with strides."""
    labels = np.zeros((6, 8), dtype=dtype)
    labels[1:3, 1:3] = 1
    labels.flags.writeable = False
    expected = boundary_weight_map(labels.astype(np.int64))
    np.testing.assert_array_equal(boundary_weight_map(labels), expected)
    np.testing.assert_array_equal(boundary_weight_map(labels[::-1, ::-1])[::-1, ::-1], expected)


@pytest.mark.parametrize(
    ("labels", "settings_", "message"),
    [
        (np.zeros((3, 3)), {}, "integer label image.*float64"),
        (np.int64(3), {}, "integer label image"),
        (np.array([[0, -1]]), {}, "hold -1.*ignore"),
        (np.zeros((3, 3), int), {"w0": -1.0}, "w0 = -1"),
        (np.zeros((3, 3), int), {"w0": float("nan")}, "w0 = nan"),
        (np.zeros((3, 3), int), {"w0": float("inf")}, "w0 = inf"),
        (np.zeros((3, 3), int), {"sigma": 0.0}, "sigma = 0"),
        (np.zeros((3, 3), int), {"sigma": float("inf")}, "sigma = inf"),
        (np.zeros((3, 3), int), {"spacing": (1.0, 0.0)}, "spacing = .*2 positive"),
        (np.zeros((3, 3), int), {"spacing": (1.0, 1.0, 1.0)}, "spacing = .*2 positive"),
        (np.zeros((3, 3), int), {"spacing": float("nan")}, "spacing = nan"),
        (np.zeros((3, 3), int), {"spacing": float("inf")}, "spacing = inf"),
        (np.zeros((3, 3), int), {"ignore": np.zeros((2, 3), bool)}, r"\(2, 3\).*\(3, 3\)"),
        (np.zeros((3, 3), int), {"ignore": np.zeros((3, 4), bool)}, r"\(3, 4\).*\(3, 3\)"),
        (np.zeros((3, 3), int), {"ignore": True}, r"ignore has shape \(\)"),
    ],
)
def test_what_cannot_be_used_is_refused(
    labels: Any, settings_: dict[str, Any], message: str
) -> None:
    """The error names the value seen."""
    with pytest.raises(InputError, match=message):
        boundary_weight_map(labels, **settings_)


def test_negative_labels_can_be_ignored() -> None:
    """The usual -1 for "not labelled" is a value like any other to `ignore`."""
    labels = np.array([[-1, 0, 1, 0, 2, -1]])
    weights = boundary_weight_map(labels, ignore=-1, class_weights=False)
    assert not weights[0, [0, -1]].any()
    assert (weights[0, 1:-1] > 1).all()


@pytest.mark.parametrize("as_given", [np.uint8, np.float32, list])
def test_what_is_ignored_can_be_told_in_several_ways(as_given: Any) -> None:
    """As a mask of any type, whose values are 0 or not, or as a number of NumPy's."""
    labels = np.array([[1, 1, 0, 2, 3], [3, 0, 0, 2, 2]])
    mask = labels == 3
    expected = boundary_weight_map(labels, ignore=mask)

    found = boundary_weight_map(labels, ignore=as_given(mask * 5))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(boundary_weight_map(labels, ignore=np.uint8(3)), expected)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 4)])
def test_an_image_without_pixels_has_a_map_without_pixels(shape: tuple[int, ...]) -> None:
    """It is no error."""
    labels = np.zeros(shape, np.uint16)
    for ignore in (None, 3, labels > 0):
        assert boundary_weight_map(labels, ignore=ignore).shape == shape


def test_a_box_is_given_as_to_numpy() -> None:
    """Open at its ends, or counted from the end."""
    labels = np.kron([[1, 2, 3], [4, 0, 5]], np.ones((5, 5), int))
    box = (slice(None, -2), slice(-6, None))
    whole = boundary_weight_map(labels, class_weights=False)
    np.testing.assert_array_equal(boundary_weights_in(labels, box), whole[box])


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box inside an array, possibly empty."""
    spans = []
    for n in shape:
        start = draw(st.integers(0, n))
        spans.append(slice(start, draw(st.integers(start, n))))
    return tuple(spans)


@unhurried
@given(data=st.data(), labels=label_images())
def test_the_weights_of_a_box_are_the_maps(data: st.DataObject, labels: Labels) -> None:
    """Bit for bit, for any box, spacing and width, touching cells and ignored pixels included."""
    # a wide gap in the middle, so that something is out of reach
    gap = data.draw(st.integers(0, 40))
    labels = np.insert(labels, [labels.shape[0] // 2] * gap, 0, axis=0)
    box = data.draw(boxes(labels.shape))
    options: dict[str, Any] = {
        "w0": data.draw(st.sampled_from([0.0, 0.3, 10.0, 25.0])),
        "sigma": data.draw(st.sampled_from([0.2, 0.4, 1.0, 2.5, 5.0])),
        "spacing": data.draw(st.sampled_from([None, 1.0, 3.0])),
        "ignore": data.draw(st.one_of(st.none(), st.just(1), arrays(np.bool_, labels.shape))),
    }
    whole = boundary_weight_map(labels, class_weights=False, **options)

    np.testing.assert_array_equal(boundary_weights_in(labels, box, **options), whole[box])


@pytest.mark.parametrize(
    ("dtype", "offset"),
    [
        (np.uint32, 2**31 - 3),
        (np.uint32, 2**32 - 9),
        (np.int64, 2**40),
        (np.uint64, 2**64 - 9),
        (">u8", 2**63),
    ],
)
def test_large_ids_are_ids_like_others(dtype: Any, offset: int) -> None:
    """Those that are equal modulo 2**32 are different cells, and cells in pieces stay one."""
    small = np.array([[1, 1, 0, 0, 2, 0, 3, 0, 1], [0, 0, 0, 0, 3, 3, 0, 0, 4]])
    large = np.where(small > 0, small.astype(dtype) + np.array(offset, dtype), 0).astype(dtype)
    np.testing.assert_array_equal(boundary_weight_map(large), boundary_weight_map(small))

    alike = np.array([[5, 0, 5 + 2**32]])
    expected = boundary_weight_map(np.array([[5, 0, 6]]))
    np.testing.assert_array_equal(boundary_weight_map(alike), expected)


@unhurried
@given(data=st.data(), sides=st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_parts_divide_a_box(data: st.DataObject, sides: list[int]) -> None:
    """Every pixel is in exactly one part, and no part has too many."""
    box = data.draw(boxes(tuple(sides)))
    most = data.draw(st.integers(1, 500))
    covered = np.zeros(sides, dtype=int)
    for part in parts(box, most):
        assert 0 <= covered[part].size <= most
        covered[part] += 1

    expected = np.zeros(sides, dtype=int)
    expected[box] = 1
    np.testing.assert_array_equal(covered, expected)


def large_field(side: int) -> Labels:
    """Draw cells of 40 by 39 pixels, each of which touches those beside it."""
    count = side // 40 + 1
    ids = np.arange(1, count**2 + 1, dtype=np.uint16).reshape(count, count)
    return np.kron(ids, np.pad(np.ones((39, 40), np.uint16), ((0, 1), (0, 0))))[:side, :side]


def test_a_map_made_in_parts_has_no_seams_and_takes_no_memory_of_its_size() -> None:
    """Of 4 million pixels: equal to boxes over the seams, and balanced over all of it."""
    side = 2080  # a multiple of the cells and of the parts: seams lie where cells touch
    labels = large_field(side)
    assert labels.size > 8 * PART
    tracemalloc.start()
    weights = boundary_weight_map(labels, class_weights=False)
    peak = tracemalloc.get_traced_memory()[1] - weights.nbytes
    tracemalloc.stop()

    assert peak < 50e6
    cuts = sorted({part[0].start for part in parts((slice(0, side),) * 2, PART)})[1:]
    assert cuts
    for cut in cuts:
        for box in (
            (slice(cut - 60, cut + 60), slice(0, side)),
            (slice(0, side), slice(cut, cut + 9)),
        ):
            np.testing.assert_array_equal(boundary_weights_in(labels, box), weights[box])
    cells = separate_touching(labels) > 0
    expected = slow_balance(cells, np.ones_like(cells)).astype(np.float32)
    np.testing.assert_array_equal(boundary_weight_map(labels, w0=0.0), expected)


@unhurried
@given(data=st.data())
def test_after_edits_only_what_is_around_them_must_be_computed_again(data: st.DataObject) -> None:
    """A map kept up to date box by box equals the full recomputation after every edit."""
    labels = np.kron(np.arange(1, 21).reshape(4, 5), np.pad(np.ones((7, 6), int), 2))
    w0 = data.draw(st.sampled_from([0.0, 1.0, 10.0]))
    sigma = data.draw(st.sampled_from([0.3, 0.8, 1.5, 5.0]))
    unlabelled = labels == data.draw(st.integers(0, 3))
    kept = boundary_weight_map(labels, w0=w0, sigma=sigma, class_weights=False, ignore=unlabelled)
    for _ in range(data.draw(st.integers(1, 4))):
        edit = data.draw(boxes(labels.shape))
        labels[edit] = data.draw(st.integers(0, 25))
        unlabelled[edit] = data.draw(st.booleans())
        dirty = around(edit, labels.shape, w0=w0, sigma=sigma)
        kept[dirty] = boundary_weights_in(labels, dirty, w0=w0, sigma=sigma, ignore=unlabelled)

        whole = boundary_weight_map(
            labels, w0=w0, sigma=sigma, class_weights=False, ignore=unlabelled
        )
        np.testing.assert_array_equal(kept, whole)


def test_labels_out_of_reach_are_not_looked_at() -> None:
    """Of 9 million pixels, two cells count; even what would be refused elsewhere is not seen."""
    labels = np.zeros((3000, 3000), dtype=np.int32)
    labels[1500, 1500], labels[1500, 1510] = 1, 2
    labels[0] = -1
    box = (slice(1490, 1520), slice(1490, 1520))
    near = around(box, labels.shape, w0=10, sigma=5)

    assert near == (slice(1456, 1554), slice(1456, 1554))
    crop = boundary_weight_map(labels[1400:1600, 1400:1600], class_weights=False)
    np.testing.assert_array_equal(boundary_weights_in(labels, box), crop[90:120, 90:120])


def test_the_border_term_ends_where_it_is_said_to() -> None:
    """From the reach on it is exactly 0, and just before it is too small to be seen."""
    limit = reach(10.0, 5.0)
    labels = np.zeros((1, 200), dtype=np.uint8)
    labels[0, 0], labels[0, int(limit)] = 1, 2
    near = border_term(labels, (slice(0, 1), slice(0, 200)), 10.0, 5.0, (1.0, 1.0))
    labels[0, int(limit)], labels[0, int(limit) + 1] = 0, 2
    far = border_term(labels, (slice(0, 1), slice(0, 200)), 10.0, 5.0, (1.0, 1.0))

    assert 0 < near.max() < 1.1e-7
    assert not far.any()
    assert reach(0.0, 5.0) == 0.0


def test_the_border_term_is_not_cut_off_before_that() -> None:
    """Around two cells it is the formula, in all directions, down to where it is called nothing."""
    labels = np.zeros((60, 80), dtype=np.uint8)
    labels[28:30, 38:40], labels[28:30, 41:43] = 1, 2
    box = (slice(3, 60), slice(0, 77))
    term = border_term(labels, box, 10.0, 5.0, (1.0, 1.5))

    expected = slow_border_term(labels, 10.0, 5.0, (1.0, 1.5))[box]
    assert (term > 0).sum() > 500
    np.testing.assert_allclose(term, expected, rtol=1e-4, atol=2e-8)


@pytest.mark.parametrize(
    "box",
    [
        (slice(0, 2),),
        (slice(0, 2), slice(0, 2), slice(0, 2)),
        (slice(0, 2), slice(0, 3, 2)),
        (slice(0, 2), slice(0, 2, -1)),
        (slice(2, 1), slice(0, 2)),
    ],
)
def test_a_box_that_does_not_fit_is_refused(box: tuple[slice, ...]) -> None:
    """Too few or too many axes, steps, and ends before the start."""
    with pytest.raises(InputError, match=r"does not fit labels of shape \(3, 3\).*2 slices"):
        boundary_weights_in(np.zeros((3, 3), int), box)
