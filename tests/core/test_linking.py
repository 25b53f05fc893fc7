"""Objects keep their numbers from plane to plane, whatever those were before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

import napari_unet
from napari_unet import metrics
from napari_unet.core.linking import Linker
from napari_unet.core.linkstack import link_into, link_planes, linking
from napari_unet.core.necks3d import Necks
from napari_unet.errors import InputError

Labels = NDArray[Any]
STACKS = arrays(
    np.uint8, st.tuples(st.integers(1, 5), st.just(5), st.just(6)), elements=st.integers(0, 4)
)
KINDS = pytest.mark.parametrize("kind", ["objects", "tracks"])


def disks(*frames: list[tuple[int, int, int]], shape: tuple[int, int] = (40, 60)) -> Labels:
    """Draw disks (y, x, radius) in every frame, numbered as they come."""
    y, x = np.indices(shape)
    out = np.zeros((len(frames), *shape), np.uint16)
    for plane, frame in zip(out, frames, strict=True):
        for number, (cy, cx, radius) in enumerate(frame, start=1):
            plane[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return out


def partition(plane: Labels) -> Labels:
    """Number the regions of a plane by their first pixel, so that equal partitions are equal."""
    _, first, which = np.unique(plane, return_index=True, return_inverse=True)
    first = np.where(plane.ravel()[first] == 0, -1, first)
    numbers: Labels = np.searchsorted(np.sort(first), first)[which].reshape(plane.shape)
    return numbers


def shuffled(stack: Labels, seed: int) -> Labels:
    """Number the objects of every plane anew, at random."""
    rng, out = np.random.default_rng(seed), np.zeros(stack.shape, np.uint32)
    for plane, old in zip(out, stack, strict=True):
        ids = np.unique(old[old > 0])
        for one, number in zip(ids, rng.choice(2**32 - 1, len(ids), replace=False), strict=True):
            plane[old == one] = number + 1
    return out


@KINDS
@given(stack=STACKS, seed=st.integers(0, 9))
def test_pieces_stay_as_they_are_and_their_old_numbers_do_not_matter(
    kind: Any, stack: Labels, seed: int
) -> None:
    """Tracks only renumber each plane; objects may join pieces, but cut none and move no pixel."""
    linked = link_planes(stack, kind=kind)

    assert np.array_equal(linked.labels > 0, stack > 0)
    for old, new in zip(stack, linked.labels, strict=True):
        if kind == "tracks":
            assert np.array_equal(partition(old), partition(new))
        assert all(len(np.unique(new[old == one])) == 1 for one in np.unique(old))
    again = link_planes(shuffled(stack, seed), kind=kind)
    assert all(np.array_equal(one, other) for one, other in zip(linked, again, strict=True))


@KINDS
@given(stack=STACKS)
def test_the_tables_say_what_the_labels_hold(kind: Any, stack: Labels) -> None:
    """Numbers are 1 ... n; first and last plane, centroids and parents are those of the labels."""
    labels, tracks, points = link_planes(stack, kind=kind)

    assert tracks[:, 0].tolist() == np.unique(labels[labels > 0]).tolist()
    assert tracks[:, 0].tolist() == list(range(1, len(tracks) + 1))
    for number, first, last, parent in tracks:
        planes = np.flatnonzero((labels == number).any((1, 2)))
        assert (first, last) == (planes[0], planes[-1])
        assert parent == 0 or tracks[parent - 1, 2] < first
    for number, plane, y, x in points:
        if kind == "tracks":
            inside = np.nonzero(labels[int(plane)] == number)
            assert np.allclose((y, x), np.mean(inside, axis=1))


def drifting(seed: int) -> Labels:
    """Planes that keep a part of the one before or of the one before that, where pieces split."""
    rng = np.random.default_rng(seed)
    planes = list(rng.integers(0, rng.integers(2, 5), (5, 6, 8)))
    for t in range(1, 5):
        kept = planes[max(t - rng.integers(1, 3), 0)]
        planes[t] = np.where(rng.random((6, 8)) < rng.choice([0.2, 0.6, 0.9]), kept, planes[t])
        right = planes[t][:, rng.integers(1, 8) :]
        right[right == 1] = 9
    return np.stack(planes)


def iou(one: set[int], other: set[int]) -> float:
    """Intersection over union."""
    return len(one & other) / len(one | other)


def partners(pixels: set[int], earlier: dict[Any, set[int]], kind: str) -> list[Any]:
    """Return which earlier pieces one belongs together with; of tracks only the most alike."""
    least = 0.5 if kind == "objects" else 0.1
    shares = {one: len(its & pixels) / min(len(its), len(pixels)) for one, its in earlier.items()}
    found = [one for one, share in shares.items() if share >= least]
    return found if kind == "objects" else sorted(found, key=lambda n: -iou(earlier[n], pixels))[:1]


def by_the_book(stack: Labels, kind: str) -> tuple[dict[Any, Any], set[Any]]:
    """Return for every piece one that stands for its object, and all children with their parents.

    As the module says it, with sets of pixels, piece by piece.
    """
    last: dict[Any, set[int]] = {}
    lost: dict[Any, set[int]] = {}
    object_of: dict[Any, Any] = {}
    family = set()
    for t, plane in enumerate(stack):
        numbers = [n for n in dict.fromkeys(plane.ravel().tolist()) if n]
        now = {(t, n): set(np.flatnonzero(plane == n).tolist()) for n in numbers}
        heirs: dict[Any, list[Any]] = {}
        for piece, pixels in now.items():
            object_of[piece] = piece
            for one in partners(pixels, last, kind) or partners(pixels, lost, kind):
                heirs.setdefault(one, []).append(piece)
        for one, its in heirs.items():
            before = (last | lost)[one]
            best = max(its, key=lambda piece: iou(before, now[piece]))
            alike, together = iou(before, now[best]), set().union(*(now[piece] for piece in its))
            if kind == "objects":
                joined = {object_of[piece] for piece in its}
                object_of |= {
                    p: object_of[one] for p, found in object_of.items() if found in joined
                }
            elif alike > 0.5 or alike >= iou(before, together):
                object_of[best] = object_of[one]
            else:
                family |= {(piece, object_of[one]) for piece in its}
        lost = {one: its for one, its in last.items() if one not in heirs}
        last = now
    return object_of, family


@KINDS
@given(seed=st.integers(0, 10_000))
def test_planes_are_linked_as_the_module_says(kind: Any, seed: int) -> None:
    """Written once more, piece by piece: which pieces are one object, and which are daughters."""
    stack = drifting(seed)
    object_of, family = by_the_book(stack, kind)

    labels, tracks, _ = link_planes(stack, kind=kind)

    number_of = {(t, n): int(labels[t][stack[t] == n][0]) for t, n in object_of}
    pairs = {(object_of[piece], number) for piece, number in number_of.items()}
    assert len(pairs) == len(set(object_of.values())) == len(set(number_of.values()))
    told = {(number, parent) for number, _, _, parent in tracks.tolist() if parent}
    assert told == {(number_of[child], number_of[parent]) for child, parent in family}


def test_a_moving_disk_keeps_its_number() -> None:
    """Also where another one is, that appears later and leaves again."""
    stack = disks(*[[(10, 8 + 5 * t, 6)] + [(30, 40, 5)] * (1 < t < 4) for t in range(6)])

    labels, tracks, points = link_planes(shuffled(stack, 0), kind="tracks")

    assert tracks.tolist() == [[1, 0, 5, 0], [2, 2, 3, 0]]
    assert np.array_equal(labels, stack)
    assert points[:6].tolist() == [[1, t, 10, 8 + 5 * t] for t in range(6)]


def test_a_division_gives_two_daughters_with_their_parent() -> None:
    """Both get new numbers, and the parent ends."""
    mother, daughters = [(20, 30, 10)], [(20, 23, 7), (20, 37, 7)]

    _, tracks, _ = link_planes(disks(mother, mother, daughters, daughters), kind="tracks")

    assert tracks.tolist() == [[1, 0, 1, 0], [2, 2, 3, 1], [3, 2, 3, 1]]


def test_a_speck_beside_a_cell_is_no_daughter() -> None:
    """A piece that is like the object before continues it; the other one begins by itself."""
    cell, speck = (20, 30, 10), (20, 41, 2)

    _, tracks, _ = link_planes(disks([cell], [cell, speck], [cell]), kind="tracks")

    assert tracks.tolist() == [[1, 0, 2, 0], [2, 1, 1, 0]]


@KINDS
def test_what_is_missed_in_one_plane_goes_on(kind: Any) -> None:
    """In two planes it is another object."""
    cell = [(20, 30, 10)]

    assert len(link_planes(disks(cell, [], cell, cell), kind=kind).tracks) == 1
    assert len(link_planes(disks(cell, [], [], cell), kind=kind).tracks) == 2


@KINDS
def test_what_was_missed_does_not_take_what_goes_on_from_another(kind: Any) -> None:
    """It may only go on in what nothing of the plane between goes on in."""
    missed, there, wide = (20, 20, 8), (20, 34, 8), (20, 27, 12)

    _, tracks, _ = link_planes(disks([missed], [there], [wide]), kind=kind)

    assert tracks.tolist() == [[1, 0, 0, 0], [2, 1, 2, 0]]


def test_branches_that_meet_later_are_one_object() -> None:
    """The first plane of an arch shows two pieces, the last one; all of it gets one number."""
    arch = disks([(20, 20, 8), (20, 40, 8)], [(20, 20, 8), (20, 40, 8)], [(20, 30, 19)])

    labels, tracks, _ = link_planes(arch)

    assert tracks.tolist() == [[1, 0, 2, 0]]
    assert np.array_equal(labels > 0, labels == 1)


def test_objects_are_told_apart_where_they_only_touch() -> None:
    """A tip below another object's rim shares less than half of the smaller one."""
    linked = link_planes(disks([(20, 20, 9)], [(20, 36, 9)]))

    assert len(linked.tracks) == 2


@KINDS
def test_no_planes_make_no_objects(kind: Any) -> None:
    """A background that keeps its number, and empty tables."""
    numbers, tracks, points = Linker(kind).finish()

    assert numbers.tolist() == [0]
    assert (tracks.shape, len(points)) == ((0, 4), 0)


@KINDS
def test_masks_are_labels(kind: Any) -> None:
    """What is True in a plane is one object."""
    mask = np.random.default_rng(0).random((4, 5, 6)) < 0.5

    linked = link_planes(mask, kind=kind), link_planes(mask.astype(int), kind=kind)

    assert all(np.array_equal(one, other) for one, other in zip(*linked, strict=True))


@KINDS
def test_planes_can_come_one_after_the_other_and_stay_on_disk(kind: Any, tmp_path: Path) -> None:
    """The result in a zarr array, also in place, is that of the array in memory."""
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 3, (6, 8, 9)) * rng.integers(0, 2, (6, 8, 9))
    whole = link_planes(stack, kind=kind)
    stored = zarr.create_array(tmp_path / "a.zarr", shape=stack.shape, dtype="uint32")
    stored[...] = stack.astype(np.uint32)

    links = link_into(stored, stored, kind)
    linker = Linker(kind)
    streamed = np.stack([linker.add(plane) for plane in stack])

    assert np.array_equal(np.asarray(stored[...]), whole.labels)
    assert np.array_equal(links.tracks, whole.tracks)
    assert np.array_equal(linker.finish().numbers[streamed], whole.labels)


def test_volumes_are_linked_along_z_and_then_tracked() -> None:
    """Of (T, Z, Y, X) every time point has objects of its own, and tracks go through them."""
    volume = disks([(20, 15, 6), (20, 45, 6)], [(20, 15, 6), (20, 45, 6)])
    stack = np.stack([shuffled(np.roll(volume, 2 * t, axis=2), t) for t in range(3)])

    objects, tracks = (link_planes(stack, kind=kind) for kind in ("objects", "tracks"))

    assert objects.tracks[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert np.unique(objects.labels[2]).tolist() == [0, 5, 6]
    assert objects.points[0].tolist() == [1, 0, 0, 20, 15]
    assert tracks.tracks.tolist() == [[1, 0, 2, 0], [2, 0, 2, 0]]
    assert tracks.points[1].tolist() == [1, 1, 0.5, 20, 17]


@pytest.mark.parametrize("split", [0.0, 0.1])
def test_each_time_point_is_linked_by_itself(split: float) -> None:
    """Numbers go on from volume to volume, in the labels and both tables; tracks link those."""
    stack = np.stack([np.kron(drifting(seed), np.ones((1, 3, 3), int)) for seed in range(3)])
    alone = [link_planes(volume, split=split) for volume in stack]
    used = np.cumsum([0, *(len(each.tracks) for each in alone)]).tolist()
    wanted = np.stack(
        [np.where(v.labels, v.labels + n, 0) for v, n in zip(alone, used, strict=False)]
    )
    out = np.zeros(stack.shape, np.uint32)

    links = link_into(stack, out, "objects", Necks(depth=split))

    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(links.numbers, np.arange(used[-1] + 1, dtype="u4"), strict=True)
    tables = enumerate(zip(alone, used, strict=False))
    parts = [(t, each, np.array([n, 0, 0, 0])) for t, (each, n) in tables]
    np.testing.assert_array_equal(links.tracks, np.concatenate([e.tracks + n for _, e, n in parts]))
    points = [np.insert(each.points + n, 1, t, axis=1) for t, each, n in parts]
    np.testing.assert_array_equal(links.points, np.concatenate(points))
    linker = Linker("tracks")
    np.testing.assert_array_equal(
        link_planes(stack, kind="tracks", split=split).labels, [linker.add(v) for v in wanted]
    )


@KINDS
@pytest.mark.parametrize("shape", [(4, 5, 6), (2, 4, 5, 6)])
@pytest.mark.parametrize("split", [0.0, 0.1])
def test_the_share_that_is_done_rises_evenly_to_one(
    kind: Any, shape: tuple[int, ...], split: float
) -> None:
    """With every plane of every pass: linked, looked at for cuts, written; volumes are tracked."""
    stack = np.zeros(shape, np.uint8)
    along_z = 0 if (kind, len(shape)) == ("tracks", 3) else 3 if split else 2
    planes = int(np.prod(shape[:-2]))
    count = along_z * planes + (shape[0] if kind == "tracks" else 0)

    shares = list(linking(stack, stack.astype(np.uint32), kind, Necks(depth=split)))

    assert shares == [done / count for done in range(1, count + 1)]


def test_what_cannot_be_linked_is_said() -> None:
    """A wrong kind, values, shapes, or too small an output."""
    stack = np.zeros((3, 4, 5), int)
    with pytest.raises(InputError, match="choose one of objects, tracks"):
        link_planes(stack, kind="cells")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="float64 values"):
        link_planes(stack.astype(float))
    with pytest.raises(InputError, match=r"shape \(4, 5\)"):
        link_planes(stack[0])
    for shape in ((0, 4, 5), (0, 3, 4, 5), (2, 0, 4, 5)):
        with pytest.raises(InputError, match="of at least one plane"):
            link_planes(np.zeros(shape, int), split=0.1)
    for plane in (np.zeros(5, int), np.zeros((0, 5), int)):
        with pytest.raises(InputError, match=r"plane 0 holds int64 values of shape"):
            Linker().add(plane)
    linker = Linker()
    linker.add(stack[0])
    with pytest.raises(InputError, match=r"plane 1 has shape \(3, 5\)"):
        linker.add(stack[0, 1:])
    with pytest.raises(InputError, match="Object 300 does not fit an array of uint8"):
        link_into(np.arange(1, 301).reshape(1, 15, 20), np.zeros((1, 15, 20), np.uint8))
    full = np.arange(1, 128).reshape(1, 1, 1, 127)
    link_into(full[0], np.zeros((1, 1, 127), np.int8))
    with pytest.raises(InputError, match="Object 254 does not fit an array of int8"):
        link_into(full.repeat(2, axis=0), np.zeros((2, 1, 1, 127), np.int8))
    for wide in (4, 6):
        with pytest.raises(InputError, match=rf"\(3, 4, 5\), and .* into \(3, 4, {wide}\)"):
            link_into(stack, np.zeros((3, 4, wide), np.uint32))


def test_sections_of_real_nuclei_become_the_nuclei(data_dir: Path) -> None:
    """Numbered at random in every section, 54 nuclei are found again, all of them exactly."""
    truth = tifffile.imread(data_dir / "nuclei_3d" / "mask.tif")

    linked = napari_unet.link_planes(shuffled(truth, 0))

    assert len(linked.tracks) == 54
    assert metrics.average_precision(truth, linked.labels, 0.99) == 1


def test_real_nuclei_that_are_run_together_are_cut_in_3d(data_dir: Path) -> None:
    """In the half of the sections that keep only what is cell and what not."""
    truth = tifffile.imread(data_dir / "nuclei_3d" / "mask.tif").astype(np.int32)
    joined = truth.copy()
    joined[::2] = [ndimage.label(plane > 0)[0] for plane in truth[::2]]
    linked, cut = (link_planes(joined, split=split, spacing=2.24) for split in (0, 0.1))
    scores = [metrics.seg_score(truth, found.labels) for found in (linked, cut)]

    assert scores[0] < 0.95 < 0.99 < scores[1]
