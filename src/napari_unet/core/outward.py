"""In which order things are done while somebody looks: what is in view first, then outward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["box_distance", "outward", "plane_distance"]

T = TypeVar("T")
C = TypeVar("C")


def outward(
    things: Sequence[T], centre: Callable[[], C | None], distance: Callable[[T, C], Any]
) -> Iterator[T]:
    """Yield each thing once: always the one, of those that are left, nearest to the centre.

    Parameters
    ----------
    things : sequence
        In the order that holds while there is no centre, and among equally near ones.
    centre : callable
        Returns where the centre is now, or None if that is not known; asked before every thing.
    distance : callable
        Given a thing and a centre, returns something that can be compared.
    """
    left, last = list(reversed(things)), None
    while left:
        now = centre()
        if now is not None and now != last:
            # a stable sort, also in reverse: equally near ones keep the order they had
            left.sort(key=lambda thing: distance(thing, now), reverse=True)
            last = now
        yield left.pop()


def box_distance(box: Sequence[slice], view: Sequence[slice]) -> tuple[int, int]:
    """Return how far a box lies from what is in view, and, for equal ones, from its middle.

    Sorted by it, boxes come in this order (the view covers the two boxes marked 1)::

        5 4 4 5 6
        3 2 2 3 5
        2 1 1 2 4
        3 2 2 3 5

    Parameters
    ----------
    box, view : sequence of slice
        Start and stop on every axis, in the same pixels.

    Returns
    -------
    (int, int)
        Square of the distance between the two, 0 where they overlap; square of twice the distance
        between their middles.
    """
    gap = middle = 0
    for one, other in zip(box, view, strict=True):
        # boxes that only touch share no pixel: that is a distance of 1
        apart = max(one.start - other.stop + 1, other.start - one.stop + 1, 0)
        gap += apart**2
        middle += (one.start + one.stop - other.start - other.stop) ** 2
    return gap, middle


def plane_distance(plane: Sequence[int], other: Sequence[int]) -> int:
    """Return how many steps along the leading axes lie between two planes."""
    return sum(abs(a - b) for a, b in zip(plane, other, strict=True))
