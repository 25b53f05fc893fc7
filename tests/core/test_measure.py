"""Objects are measured as scikit-image measures them, whatever pieces the plane comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import regionprops_table

from napari_unet.core.measure import ObjectSums, measure_objects
from napari_unet.errors import InputError
from napari_unet.sample_data import touching_cells


def test_size_place_and_brightness_are_those_of_scikit_image() -> None:
    """On cells, with an image of two channels."""
    image, labels = touching_cells((200, 300))
    both = np.stack([image, 1000 - image]).astype(float)

    found = measure_objects(labels, both)

    names = ("label", "area", "centroid", "intensity_mean", "intensity_min", "intensity_max")
    expected = regionprops_table(labels, np.moveaxis(both, 0, -1), properties=names)
    np.testing.assert_array_equal(found["label"], expected["label"])
    np.testing.assert_array_equal(found["area"], expected["area"])
    for axis, name in enumerate(("centroid_y", "centroid_x")):
        np.testing.assert_allclose(found[name], expected[f"centroid-{axis}"])
    for channel in (0, 1):
        for kind in ("mean", "min", "max"):
            np.testing.assert_allclose(
                found[f"intensity_{kind}_{channel}"], expected[f"intensity_{kind}-{channel}"]
            )
    edge = np.zeros(labels.shape, bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    np.testing.assert_array_equal(
        found["touches_border"], np.isin(found["label"], np.unique(labels[edge]))
    )


@given(side=st.integers(1, 70), seed=st.integers(0, 9))
def test_blocks_in_any_order_give_the_table_of_the_whole(side: int, seed: int) -> None:
    """An object that lies in several blocks is one object."""
    image, labels = touching_cells((64, 64), seed=seed)
    image = np.round(image * 1000)  # sums of whole numbers do not depend on their order
    sums = ObjectSums(1, labels.shape)
    corners = [(y, x) for y in range(0, 64, side) for x in range(0, 64, side)]
    for y, x in np.random.default_rng(seed).permutation(corners):
        box = slice(y, y + side), slice(x, x + side)
        sums.add(labels[box], image[None, *box], (y, x))

    whole = measure_objects(labels, image[None])
    for name, column in sums.table().items():
        np.testing.assert_array_equal(column, whole[name])


def test_numbers_may_have_gaps_and_pixels_may_be_missing() -> None:
    """What has no pixels has no row; what has no finite pixel has no brightness."""
    labels = np.zeros((4, 6), np.uint32)
    labels[1, 1:3], labels[2, 4] = 7, 100_000
    image = np.ones((1, 4, 6))
    image[0, 1, 1], image[0, 2, 4] = np.nan, np.inf

    found = measure_objects(labels, image)

    assert found["label"].tolist() == [7, 100_000]
    assert found["area"].tolist() == [2, 1]
    assert found["centroid_x"].tolist() == [1.5, 4]
    assert found["touches_border"].tolist() == [False, False]
    np.testing.assert_array_equal(found["intensity_mean_0"], [1, np.nan])
    np.testing.assert_array_equal(found["intensity_max_0"], [1, np.nan])


@pytest.mark.parametrize("far", [100, 2**40, 2**64 - 4])
def test_numbers_may_be_as_high_as_any(far: int) -> None:
    """Those of large data sets say where an object is from; a table up to them has no room."""
    image, labels = touching_cells((64, 70))
    expected = measure_objects(labels, image)
    numbers = np.where(labels > 0, labels.astype(np.uint64) % 3 + np.uint64(far), 0)
    found = measure_objects(numbers, image)

    assert found["label"].tolist() == sorted({int(n) for n in np.unique(numbers)} - {0})
    assert found["area"].sum() == expected["area"].sum()
    for number, mean in zip(found["label"], found["intensity_mean_0"], strict=True):
        assert mean == pytest.approx(image[numbers == number].mean(dtype=float))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_plane_without_objects_has_the_same_columns(dtype: type) -> None:
    """So that tables of several planes fit together."""
    image = np.ones((2, 5, 5), dtype)
    some = measure_objects(np.eye(5, dtype=np.uint8), image)
    none = measure_objects(np.zeros((5, 5), np.uint8), image)

    assert list(none) == list(some)
    assert [column.dtype for column in none.values()] == [c.dtype for c in some.values()]
    assert {len(column) for column in none.values()} == {0}


def test_what_is_no_plane_with_its_labels_is_refused() -> None:
    """Else the brightness would be that of other pixels; an image may lack the axis C."""
    rng = np.random.default_rng(0)
    image, labels = rng.random((6, 8)), np.repeat([[0, 1, 2, 2]], 6, axis=0).repeat(2, axis=1)
    plain, with_axis = measure_objects(labels, image), measure_objects(labels, image[None])
    assert plain.keys() == with_axis.keys()
    assert all(np.array_equal(plain[name], with_axis[name]) for name in plain)
    for wrong in (image.T, rng.random((9, 9)), np.stack([image] * 2, axis=-1), image[None, None]):
        with pytest.raises(InputError, match=r"shape \(6, 8\), the image has shape"):
            measure_objects(labels, wrong)
    for strange in (labels / 2, labels - 1):
        with pytest.raises(InputError, match="whole numbers from 0 on"):
            measure_objects(strange, image)
