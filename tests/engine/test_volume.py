"""3D objects are found along all three axes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from balls import SPACING, two_balls
from small_things import make_segmenter

from napari_unet import InputError, PredictConfig, probabilities, segment_volume
from napari_unet.core.metrics import seg_score
from napari_unet.engine import volume
from napari_unet.engine.cells import useful_axes
from napari_unet.engine.starter import starter_model
from napari_unet.engine.volume import finding_cells, predicting_sections

CPU = PredictConfig(device="cpu")


def predicted(image: Any, axes: tuple[int, ...], spacing: float) -> Any:
    """Return the sum of what the starter model says of sections along some axes."""
    out = np.zeros(image.shape[1:], np.float32)
    shares = list(predicting_sections(starter_model(), image, out, spacing, CPU, axes))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    return out


@cache
def across(axis: int) -> Any:
    """Return what it says of the sections of two balls along an axis; read-only."""
    found = predicted(two_balls()[0][None], (axis,), SPACING)
    found.flags.writeable = False
    return found


def test_a_ball_on_top_of_another_is_two_objects() -> None:
    """Numbered from 1, with the tables of `link_planes`."""
    image, truth = two_balls()
    labels, tracks, points = segment_volume(starter_model(), image, replace(CPU, spacing=SPACING))

    assert seg_score(truth, labels) > 0.6
    planes = [np.flatnonzero((labels == number).any((1, 2))) for number in (1, 2)]
    assert tracks.tolist() == [[n, at[0], at[-1], 0] for n, at in enumerate(planes, start=1)]
    assert points[:, :2].tolist() == [[n, z] for n, at in enumerate(planes, start=1) for z in at]


def test_a_plane_is_predicted_as_by_itself() -> None:
    """With its own brightness."""
    image = two_balls()[0][None, 8:20]
    expected = probabilities(starter_model(), image, CPU)[1]

    assert np.array_equal(predicted(image, (0,), SPACING), expected)


@pytest.mark.parametrize("axis", [1, 2])
def test_across_planes_objects_are_as_high_as_they_are_deep(axis: int) -> None:
    """A ball that planes far apart were taken of is round to the network, wherever it is cut."""
    image, truth = two_balls()
    found = across(axis)

    inside = truth > 0
    assert found[inside].mean() > 0.8
    assert found[~inside].mean() < 0.05
    flat = predicted(image[None], (axis,), 1)
    assert flat[inside].mean() < found[inside].mean()


def test_noise_beside_all_objects_holds_none() -> None:
    """A section that no object reaches is not stretched until it seems to hold some."""
    nowhere = np.abs(np.arange(96) - 48) > 28
    assert (across(1)[:, nowhere] < 0.5).all()


def test_what_is_not_in_memory_is_read_some_sections_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same result."""
    image = two_balls()[0][None, 8:20, 20:52, 10:42]
    stored = zarr.create_array(tmp_path / "a.zarr", shape=image.shape, dtype=image.dtype)
    stored[...] = image
    at_once = predicted(image, (0, 1, 2), SPACING)
    monkeypatch.setattr(volume, "SLAB", 5 * 32 * 32)

    assert np.array_equal(predicted(stored, (0, 1, 2), SPACING), at_once)


def test_planes_too_far_apart_are_looked_at_alone() -> None:
    """Where a typical object, of 20 pixels here, lies in fewer than two of them."""
    assert useful_axes(starter_model(), CPU, 10) == (0, 1, 2)
    assert useful_axes(starter_model(), CPU, 10.1) == (0,)
    assert useful_axes(starter_model(), replace(CPU, magnification=2), 10.1) == (0, 1, 2)
    assert useful_axes(replace(starter_model(), diameter=0.0), CPU, 99) == (0, 1, 2)
    image = two_balls()[0][:, 20:76, 20:76]
    far, alone = replace(CPU, spacing=40), np.zeros(image.shape, np.float32)
    list(predicting_sections(starter_model(), image[None], alone, 40, CPU, (0,)))
    expected = np.stack([cells for _, cells in finding_cells(starter_model(), alone, 40, far)])

    assert np.array_equal(segment_volume(starter_model(), image, far).labels > 0, expected > 0)


def test_a_volume_may_have_channels_and_be_a_single_plane() -> None:
    """And planes nearer than pixels."""
    model = make_segmenter(channels=2)
    for shape in ((2, 1, 20, 24), (2, 9, 20, 24)):
        labels, *_ = segment_volume(model, np.zeros(shape, np.uint8), replace(CPU, spacing=0.5))
        assert labels.shape == shape[1:]


def test_a_volume_may_be_a_list_of_planes_or_on_disk(tmp_path: Path) -> None:
    """As one reads them from files, or where an array takes no further axis."""
    image = two_balls()[0][8:20, 20:76, 20:76]
    stored = zarr.create_array(tmp_path / "a.zarr", shape=image.shape, dtype=image.dtype)
    stored[...] = image
    expected = segment_volume(starter_model(), image, CPU)
    assert expected.labels.any()
    for given in (list(image), stored):
        found = segment_volume(starter_model(), given, CPU)
        np.testing.assert_array_equal(found.labels, expected.labels)


def test_what_is_no_volume_is_refused() -> None:
    """In one sentence, before anything is predicted."""
    image = two_balls()[0]
    with pytest.raises(InputError, match=r"shape \(96, 96\); give \(Z, Y, X\)"):
        segment_volume(starter_model(), image[0], CPU)
    with pytest.raises(InputError, match="3D objects are cells"):
        segment_volume(make_segmenter(kind="classes"), image, CPU)
    with pytest.raises(InputError, match="trained on 1 channel"):
        segment_volume(starter_model(), np.stack([image, image]), CPU)
