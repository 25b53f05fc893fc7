"""Which boxes of a plane are still to be computed, and in which order."""

from __future__ import annotations

from napari_unet.core.outward import box_distance
from napari_unet.core.tiles import parts_of
from napari_unet.viewer.field import Box

__all__ = ["Boxes"]


class Boxes:
    """The boxes that are still to be computed: around edits first, then what is in view.

    Parameters
    ----------
    shape : (int, int)
        Of the plane; to begin with, all of it is to be computed.
    side : int
        Longest side of a box.
    view : (slice, slice)
        What is in view now.
    """

    def __init__(self, shape: tuple[int, int], side: int, view: Box) -> None:
        self._side = side
        self._all = self._cut((slice(0, shape[0]), slice(0, shape[1])))
        self._tiles = sorted(self._all, key=lambda tile: box_distance(tile, view))
        self._edited: list[Box] = []

    def __len__(self) -> int:
        return len(self._edited) + len(self._tiles)

    def renew(self) -> None:
        """Everything is to be computed anew; what waited longest comes first."""
        self._tiles += [tile for tile in self._all if tile not in self._tiles]

    def add(self, box: Box) -> None:
        """Take up what an edit made wrong."""
        pieces = self._cut(box)
        new = [p for p in pieces if not any(_within(p, b) for b in self._tiles + self._edited)]
        (self._edited if len(pieces) == 1 else self._tiles).extend(new)

    def take(self, view: Box) -> Box | None:
        """Return the next box, if there is one."""
        if self._edited:
            return self._edited.pop(0)
        if not self._tiles:
            return None
        # those in view in the order they have, then by distance
        gaps = [box_distance(tile, view)[0] for tile in self._tiles]
        return self._tiles.pop(gaps.index(min(gaps)))

    def _cut(self, box: Box) -> list[Box]:
        return [(y, x) for y, x in parts_of(box, self._side)]


def _within(box: Box, other: Box) -> bool:
    return all(
        o.start <= span.start and span.stop <= o.stop for span, o in zip(box, other, strict=True)
    )
