"""Objects that go through planes are measured as whole volumes are."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.core.measure3d import VolumeSums

PIXELS = st.sampled_from([0.0, 1.0, 2.0, 50.0, -3.0, np.nan, np.inf])


@st.composite
def volumes(draw: st.DrawFn) -> tuple[Any, Any]:
    """Labels (T, Z, Y, X), no number of which is in two volumes, and an image of two channels."""
    shape = tuple(draw(st.integers(1, most)) for most in (3, 4, 4, 5))
    labels = draw(arrays(np.uint32, shape, elements=st.integers(0, 3)))
    if draw(st.booleans()):  # objects that touch no side but, perhaps, the first or last plane
        labels = np.pad(labels, ((0, 0), (0, 0), (1, 1), (1, 1)))
        shape = labels.shape
    labels[labels > 0] += (3 * np.indices(shape)[0])[labels > 0].astype(np.uint32)
    return labels, draw(arrays(np.float64, (2, *shape), elements=PIXELS))


@settings(max_examples=60)
@given(case=volumes())
def test_plane_by_plane_objects_get_the_numbers_of_their_voxels(case: tuple[Any, Any]) -> None:
    """Written once more, object by object; also where no voxel of one has a grey value."""
    labels, image = case
    _, deep, height, width = labels.shape
    sums = VolumeSums(2, labels.shape, int(labels.max()))
    for plane, found in enumerate(labels.reshape(-1, height, width)):
        sums.add(found, image.reshape(2, -1, height, width)[:, plane], plane)

    table = sums.table()
    assert table["label"].tolist() == np.unique(labels[labels > 0]).tolist()
    for row, number in enumerate(table["label"]):
        t, *zyx = np.nonzero(labels == number)
        told = {name: column[row] for name, column in table.items()}
        assert told["volume"] == len(t)
        assert told["first_plane"] == t[0] * deep + min(zyx[0])
        assert told["last_plane"] == t[0] * deep + max(zyx[0])
        for name, places in zip("zyx", zyx, strict=True):
            np.testing.assert_allclose(told[f"centroid_{name}"], places.mean())
        sides = list(zip(zyx, (deep, height, width), strict=True))[0 if deep > 1 else 1 :]
        touching = any(places.min() == 0 or places.max() == n - 1 for places, n in sides)
        assert told["touches_border"] == touching
        for channel, pixels in enumerate(image):
            known = pixels[labels == number]
            known = known[np.isfinite(known)]
            for name in ("mean", "min", "max"):
                expected = getattr(known, name)() if known.size else np.nan
                np.testing.assert_allclose(told[f"intensity_{name}_{channel}"], expected)
