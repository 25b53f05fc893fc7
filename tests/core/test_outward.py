"""What is in view comes first, whatever is looked at and however often that changes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.outward import box_distance, outward, plane_distance
from napari_unet.core.tiles import tile_grid

Box = tuple[slice, slice]


def boxes(side: int = 10, count: int = 6) -> list[Box]:
    """A grid of square boxes, row by row."""
    starts = range(0, side * count, side)
    return [(slice(y, y + side), slice(x, x + side)) for y in starts for x in starts]


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share a pixel."""
    return all(
        one.start < other.stop and other.start < one.stop for one, other in zip(a, b, strict=True)
    )


def test_without_a_view_the_order_is_kept() -> None:
    """Row by row, as they were given."""
    assert list(outward(boxes(), lambda: None, box_distance)) == boxes()


def test_boxes_in_view_come_first_and_then_the_rings_around_them() -> None:
    """The middle first; no box of a ring before one of the ring inside it."""
    view = (slice(22, 39), slice(21, 38))  # the four boxes in the middle, and not quite all of them
    order = list(outward(boxes(), lambda: view, box_distance))
    inner = {(y, x) for y in (20, 30) for x in (20, 30)}
    ring = {(y, x) for y in (10, 20, 30, 40) for x in (10, 20, 30, 40)} - inner
    starts = [(y.start, x.start) for y, x in order]

    assert set(starts[:4]) == inner
    assert set(starts[4:16]) == ring


near = st.tuples(st.integers(0, 20), st.integers(1, 7)).map(lambda s: slice(s[0], sum(s)))


@given(box=st.tuples(near, near), view=st.tuples(near, near))
def test_a_box_is_as_far_as_its_pixels_and_its_middle_are(box: Box, view: Box) -> None:
    """Of all pairs of pixels the nearest; boxes that touch are one pixel apart."""
    one, other = (
        np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in sides)), -1).reshape(-1, 2)
        for sides in (box, view)
    )
    gap, middle = box_distance(box, view)

    assert gap == ((one[:, None] - other) ** 2).sum(-1).min()
    assert middle == np.rint(4 * ((one.mean(0) - other.mean(0)) ** 2).sum())


def test_a_new_view_changes_the_order_of_those_that_are_left() -> None:
    """Nothing is done twice, nothing is forgotten."""
    views = iter([(slice(0, 5), slice(0, 5))] * 3 + [(slice(55, 60), slice(55, 60))] * 40)
    order = list(outward(boxes(), lambda: next(views), box_distance))

    assert [(y.start, x.start) for y, x in order[:3]] == [(0, 0), (0, 10), (10, 0)]
    assert (order[3][0].start, order[3][1].start) == (50, 50)
    assert sorted(order, key=boxes().index) == boxes()


spans = st.tuples(st.integers(-50, 250), st.integers(1, 90)).map(lambda s: slice(s[0], sum(s)))


@given(
    sides=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    views=st.lists(st.one_of(st.none(), st.tuples(spans, spans)), min_size=1, max_size=5),
)
def test_every_tile_is_done_once_wherever_one_looks(
    sides: tuple[int, int], views: list[Box | None]
) -> None:
    """Tiles that share a pixel with the view come before all that are left and do not."""
    tiles = tile_grid(sides, output=36, context=12, stride=8)
    seen: list[Box | None] = []

    def look() -> Box | None:
        seen.append(views[len(seen) % len(views)])
        return seen[-1]

    order = list(outward(tiles, look, lambda tile, view: box_distance(tile.write, view)))

    covered = np.zeros(sides, dtype=int)
    for tile in order:
        covered[tile.write] += 1
    assert (covered == 1).all()
    for index, view in enumerate(seen):
        if view is not None and not overlap(order[index].write, view):
            assert not any(overlap(tile.write, view) for tile in order[index:])


def test_planes_are_as_far_apart_as_the_sliders_say() -> None:
    """Over all sliders; without any, there is only one plane."""
    planes = [(t, z) for t in range(3) for z in range(4)]
    order = list(outward(planes, lambda: (1, 2), plane_distance))

    assert order[0] == (1, 2)
    assert set(order[1:5]) == {(0, 2), (2, 2), (1, 1), (1, 3)}
    assert list(outward([()], lambda: (), plane_distance)) == [()]
