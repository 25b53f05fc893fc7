"""3D objects are cut where they are narrow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core import necks3d
from napari_unet.core.linkstack import link_into, link_planes
from napari_unet.core.necks3d import Necks, _without_gaps, coarseness, split_object
from napari_unet.errors import InputError


def balls(*middles: tuple[float, float, float], radius: float = 8, spacing: float = 1) -> Any:
    """Draw balls into (33 / spacing, 33, 33) voxels: the number of each, the nearest's."""
    grid = np.indices((int(33 / spacing), 33, 33)) * np.array([spacing, 1, 1])[:, None, None, None]
    away = [np.linalg.norm(grid - np.array(at)[:, None, None, None], axis=0) for at in middles]
    return np.where(np.min(away, axis=0) <= radius, np.argmin(away, axis=0) + 1, 0)


def agreement(truth: NDArray[Any], parts: NDArray[Any]) -> float:
    """Return the share of voxels of the objects that the best pairing of numbers gets right."""
    inside = truth > 0
    pairs, counts = np.unique(np.stack([truth[inside], parts[inside]]), axis=1, return_counts=True)
    return float(sum(counts[pairs[0] == one].max() for one in np.unique(truth[inside]))) / float(
        inside.sum()
    )


@pytest.mark.parametrize("spacing", [1, 2, 4])
@pytest.mark.parametrize(
    "other", [(22, 16, 16), (10, 16, 27), (18, 22, 22)], ids=["above", "beside", "aslant"]
)
def test_two_balls_that_overlap_are_two_parts(other: Any, spacing: int) -> None:
    """Wherever the second one is, and however far apart the planes are."""
    truth = balls((10, 16, 16), other, radius=7, spacing=spacing)
    parts = split_object(truth > 0, Necks(depth=0.1, spacing=spacing))

    assert parts.max() == 2
    assert agreement(truth, parts) > 0.95


@pytest.mark.parametrize("spacing", [1, 2, 4])
def test_a_ball_is_one_part(spacing: int) -> None:
    """Also where its planes are so few that in voxels it is flat."""
    ball = balls((16, 16, 16), radius=12, spacing=spacing) > 0

    assert (split_object(ball, Necks(depth=0.1, spacing=spacing)) == 1).all()


def test_a_missed_plane_is_no_neck() -> None:
    """A plane without any voxel, amid a ball, does not cut it."""
    ball = balls((16, 16, 16)) > 0
    ball[15] = False

    assert split_object(ball, Necks(depth=0.1)).max() == 1


def test_a_missed_plane_has_what_both_beside_it_have() -> None:
    """Whichever it is; the first and the last plane are never missed."""
    inside = np.random.default_rng(0).random((9, 8, 7)) < 0.5
    for missed in range(1, 8):
        without = inside.copy()
        without[missed] = False
        filled = without.copy()
        filled[missed] = inside[missed - 1] & inside[missed + 1]
        np.testing.assert_array_equal(_without_gaps(without), filled)


def test_deeper_necks_are_asked_for_with_a_larger_number() -> None:
    """Of two balls whose neck is 0.75 as wide as they are, the logarithm of that decides."""
    pair = balls((16, 16, 10), (16, 16, 22)) > 0

    assert split_object(pair, Necks(depth=0.1)).max() == 2
    assert split_object(pair, Necks(depth=0.8)).max() == 1


def test_a_ragged_outline_is_no_neck() -> None:
    """It makes hills of its own in the distance, which are smoothed away."""
    away = np.linalg.norm(np.indices((33, 33, 33)) - 16, axis=0)
    rough = np.random.default_rng(0).random(away.shape) < 0.5
    ball = (away <= 8) | ((away <= 12) & rough)

    assert split_object(ball, Necks(depth=0.1)).max() == 1
    assert split_object(ball, Necks(depth=0.1, smooth=0.1)).max() > 1


def test_what_is_in_one_plane_only_is_not_cut_again() -> None:
    """That was decided in its plane, however far the next one is."""
    pair = balls((16, 16, 10), (16, 16, 22)) > 0
    alone = np.zeros(pair.shape, np.uint8)
    alone[16] = pair[16]

    assert split_object(alone[16:17] > 0, Necks(depth=0.1, spacing=20)).max() == 2
    assert len(link_planes(alone, split=0.1, spacing=20).tracks) == 1


def test_only_what_is_too_large_is_looked_at_coarsely() -> None:
    """Every voxel of 8 planes of 1024 x 1024 is looked at, of more planes every second one."""
    shapes = (1, 1, 1), (8, 1024, 1024), (9, 1024, 1024), (32, 1024, 1024), (33, 1024, 1024)

    assert [coarseness(shape) for shape in shapes] == [1, 1, 2, 2, 3]


def test_a_very_large_object_is_looked_at_coarsely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cut lies where it does at full size, to two pixels, and every voxel gets a part."""
    truth = balls((10, 16, 16), (22, 16, 16), radius=7)
    labels = (truth > 0).astype(np.uint8)
    exact = link_planes(labels, split=0.1)
    monkeypatch.setattr(necks3d, "LARGEST", truth.size // 8)
    coarse = link_planes(labels, split=0.1)

    assert coarseness(truth.shape) > 1
    assert len(coarse.tracks) == len(exact.tracks) == 2
    assert np.array_equal(coarse.labels > 0, labels > 0)
    assert agreement(truth, coarse.labels) > 0.9


@given(
    places=st.lists(st.tuples(*[st.integers(6, 26)] * 3), min_size=1, max_size=5),
    depth=st.sampled_from([0.05, 0.2, 0.5]),
)
def test_parts_are_numbered_by_their_first_pixel_and_tabled(places: Any, depth: float) -> None:
    """As objects that are not cut are: pixels stay, and the tables say what the labels hold."""
    labels = balls(*places, radius=5)
    cut, tracks, points = link_planes(labels, split=depth)

    assert np.array_equal(cut > 0, labels > 0)
    numbers, first = np.unique(cut, return_index=True)
    assert numbers[numbers > 0].tolist() == tracks[:, 0].tolist() == list(range(1, len(tracks) + 1))
    assert (np.diff(first[numbers > 0]) > 0).all()
    for number, begin, end, parent in tracks:
        planes = np.flatnonzero((cut == number).any((1, 2)))
        assert (begin, end, parent) == (planes[0], planes[-1], 0)
    for number, plane, y, x in points:
        assert np.allclose((y, x), np.mean(np.nonzero(cut[int(plane)] == number), axis=1))


def entwined(seed: int) -> NDArray[Any]:
    """Four ragged objects in 9 planes, in boxes that overlap, with little background or none."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.normal(size=(4, 9, 22, 20)), (0, 1, 2, 2))
    fields[0, :, 13:] = fields[1, :, :7] = fields[2, :, :, 12:] = fields[3, :, :, :8] = -9
    stack = np.asarray(fields.argmax(0) + 1)
    stack[fields.max(0) < rng.choice([-1, 0.05])] = 0
    stack[rng.integers(2, 7), :, : rng.integers(1, 20)] = 0
    stack[:3, 0, :2] = [[5, 6], [0, 0], [0, 0]]  # in one plane, so never cut, and the first of all
    stack[8] = np.where(stack[8] == 4, 7, 0)
    return stack


def cut_one_by_one(stack: NDArray[Any], necks: Necks) -> NDArray[Any]:
    """Number the parts of each object by itself, its voxels looked at in memory."""
    linked, out = link_planes(stack), np.zeros(stack.shape, int)
    for number, first, last, _ in linked.tracks:
        voxels = np.argwhere(linked.labels == number)
        step = coarseness(tuple(np.ptp(voxels, axis=0) + 1))
        corner = voxels.min(0) // (1, step, step)
        places = voxels // (1, step, step) - corner
        seen = (voxels[:, 1:] % step == 0).all(1)
        inside = np.zeros(places.max(0) + 1, bool)
        inside[tuple(places[seen].T)] = True
        parts = split_object(inside, necks, step)[tuple(places.T)] if first < last else 1
        out[tuple(voxels.T)] = 1000 * number + parts
    return out


@pytest.mark.parametrize("largest", [1 << 23, 1000, 500])
@pytest.mark.parametrize("seed", range(3))
def test_entwined_objects_are_cut_each_by_itself(
    monkeypatch: pytest.MonkeyPatch, largest: int, seed: int
) -> None:
    """Plane by plane as in memory, with planes that miss some, also where looked at coarsely."""
    monkeypatch.setattr(necks3d, "LARGEST", largest)
    necks = Necks(depth=0.05, spacing=1.5, smooth=1)
    stack = entwined(seed)
    parts = cut_one_by_one(stack, necks)
    ids, first = np.unique(parts, return_index=True)
    order = np.argsort(first[ids > 0])
    wanted = np.zeros(parts.max() + 1, int)
    wanted[ids[ids > 0][order]] = np.arange(1, len(order) + 1)
    out = np.zeros(stack.shape, np.uint32)

    links = link_into(stack, out, "objects", necks)

    assert len(order) > len(link_planes(stack).tracks) + 3
    np.testing.assert_array_equal(out, wanted[parts])
    np.testing.assert_array_equal(links.numbers, np.arange(len(order) + 1, dtype="u4"), strict=True)
    pieces = [(n, z) for n in range(1, len(order) + 1) for z in range(9) if (out[z] == n).any()]
    assert [(n, z) for n, z, *_ in links.points.tolist()] == pieces
    for (number, z), (y, x) in zip(pieces, links.points[:, 2:], strict=True):
        assert np.allclose((y, x), np.argwhere(out[z] == number).mean(0))


def test_the_distance_of_planes_decides_where_objects_are_cut() -> None:
    """As it is given to either function."""
    stack, out = entwined(0), np.zeros((2, 9, 22, 20), np.uint32)
    for found, spacing in zip(out, (1, 4), strict=True):
        link_into(stack, found, "objects", Necks(depth=0.05, spacing=spacing))
        cut = link_planes(stack, split=0.05, spacing=spacing)
        np.testing.assert_array_equal(cut.labels, found)

    assert (out[0] != out[1]).any()


def test_objects_of_every_time_point_are_cut_and_then_tracked() -> None:
    """Of (T, Z, Y, X): no two volumes share an object, but a track has all of them."""
    volume = (balls((10, 16, 16), (22, 16, 16), radius=7) > 0).astype(np.uint16)
    stack = np.stack([volume, volume, volume])
    out = np.zeros(stack.shape, np.uint32)
    necks = Necks(depth=0.1)

    assert len(link_into(stack, out, "objects", necks).tracks) == 6
    assert np.unique(out[2]).tolist() == [0, 5, 6]
    assert link_into(stack, out, "tracks", necks).tracks.tolist() == [[1, 0, 2, 0], [2, 0, 2, 0]]
    assert (out[0] == out[2]).all()


def test_tracks_along_time_are_never_cut() -> None:
    """A cell that moves has no necks."""
    frames = (balls((10, 16, 16), (22, 16, 16), radius=7) > 0).astype(np.uint16)

    assert len(link_planes(frames, kind="tracks", split=0.1).tracks) == 1


@pytest.mark.parametrize("wrong", [{"split": -0.1}, {"split": np.nan}, {"spacing": 0.0}])
def test_numbers_that_make_no_sense_are_refused(wrong: Any) -> None:
    """With the number, and what would make sense."""
    with pytest.raises(InputError, match=r"(split|spacing) is .*; give"):
        link_planes(np.ones((2, 3, 4), int), **wrong)
