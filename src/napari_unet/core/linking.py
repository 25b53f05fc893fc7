"""Link what overlaps in consecutive planes: into 3D objects along Z, or tracks along T.

Two pieces belong together if they share at least half of the smaller one: a nucleus grows and
shrinks from section to section, so the intersection over union would break it up at its ends. A
piece that is missed in one plane does not end its object: what has no partner is also compared
with the plane before the last::

    plane       0     1     2     3
    objects     A --- A     A --- A         one plane of A is missed
                 `--- A --- A -'            all that overlaps is one object

    tracks      A --- A --- B --- B         A divides: both daughters are new, A is their parent
                       `--- C --- C

In a track every plane holds one piece. Of several objects that a piece may continue it takes the
one with the largest intersection over union. An object that several pieces would continue divides,
unless one of them is so like it that the intersection over union is above a half, or no less like
it than all of them together: then that one continues it, and the others begin tracks without a
parent.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.core.pieces import Meeting, Pieces, meeting
from napari_unet.errors import InputError

__all__ = ["KINDS", "Kind", "Linker", "Links"]

Kind: TypeAlias = Literal["objects", "tracks"]
KINDS: Final[tuple[Kind, ...]] = ("objects", "tracks")

SHARES: Final[dict[Kind, float]] = {"objects": 0.5, "tracks": 0.1}
"""Shares of the smaller of two pieces from which on they belong together."""

LIKE: Final = 0.5
"""Intersection over union above which a piece continues an object that has several to choose."""

Ids: TypeAlias = NDArray[np.int64]


class Links(NamedTuple):
    """What was linked.

    Attributes
    ----------
    numbers : uint32 array
        The final number of every number that `Linker.add` gave; ``numbers[0]`` is 0.
    tracks : (n, 4) int64 array
        Number, first plane, last plane and parent (0 if none) of every object, by rising numbers:
        the columns L B E P of the Cell Tracking Challenge.
    points : (m, 2 + axes) float64 array
        Number, plane and centroid (y, x in pixels) of every piece, by number, then plane.
    """

    numbers: NDArray[np.uint32]
    tracks: Ids
    points: NDArray[np.float64]

    @classmethod
    def of(cls, numbers: NDArray[np.uint32], points: NDArray[np.float64]) -> Links:
        """Make the tables from points, with final numbers 1 ... n, in any order."""
        points = points[np.lexsort(points.T[1::-1])]
        ids, planes = points[:, :2].astype(np.int64).T
        tracks = np.zeros((int(ids.max(initial=0)), 4), np.int64)
        tracks[:, 0] = np.arange(1, len(tracks) + 1)
        tracks[ids[::-1] - 1, 1] = planes[::-1]  # numpy keeps the last of several values
        tracks[ids - 1, 2] = planes
        return cls(numbers, tracks, points)


class _Seen(NamedTuple):
    """A plane to compare with: its pieces, and the id of each; ``ids[0]`` is 0."""

    pieces: Pieces
    ids: Ids


class Linker:
    """Links planes that come one after the other; holds two of them in memory.

    Parameters
    ----------
    kind : {"objects", "tracks"}
        What they are linked into; see the module.

    Raises
    ------
    InputError
        If the kind is another.
    """

    def __init__(self, kind: Kind = "objects") -> None:
        if kind not in KINDS:
            raise InputError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}.")
        self._kind, self._share = kind, SHARES[kind]
        self._planes = self._used = 0
        # the last plane, and what had no partner in it of the one before
        self._seen: list[_Seen] = []
        self._merged: list[Ids] = []
        self._parents: list[tuple[int, int]] = []
        self._points: list[NDArray[np.float64]] = []

    def add(self, labels: ArrayLike) -> NDArray[np.uint32]:
        """Return the next plane with numbers that hold through all planes.

        Those of tracks are final; those of objects may turn out to be one: see `finish`.

        Parameters
        ----------
        labels : integer or boolean array
            (Y, X), or (Z, Y, X) to track volumes: 0 background, any other label an object.

        Raises
        ------
        InputError
            If these are not labels, or not of the shape of the planes before.
        """
        plane = np.asarray(labels)
        self._check(plane)
        pieces = Pieces.of(plane)
        pairs, ids_before = self._pairs(pieces)
        ids = self._follow(pairs, ids_before, pieces.sizes.size)
        self._remember(pieces, ids, pairs)
        rows = np.full((ids.size - 1, 1), self._planes)
        self._points.append(np.hstack([ids[1:, None], rows, pieces.centroids[1:]]))
        self._planes += 1
        return pieces.renumbered(ids)

    def finish(self) -> Links:
        """Return what was linked, and the final numbers: 1 ... n without gaps."""
        numbers = self._final_numbers()
        points = np.concatenate(self._points) if self._points else np.zeros((0, 4))
        points[:, 0] = numbers[points[:, 0].astype(np.int64)]
        links = Links.of(numbers, points)
        for child, parent in self._parents:
            links.tracks[child - 1, 3] = parent
        return links

    def _check(self, plane: NDArray[Any]) -> None:
        if plane.dtype.kind not in "biu" or plane.ndim < 2 or 0 in plane.shape:
            raise InputError(
                f"plane {self._planes} holds {plane.dtype} values of shape {plane.shape}: pass "
                "integer labels with pixels in Y and X."
            )
        if self._seen and self._seen[0].pieces.plane.shape != plane.shape:
            raise InputError(
                f"plane {self._planes} has shape {plane.shape}, those before "
                f"{self._seen[0].pieces.plane.shape}: planes that are linked have one shape."
            )

    def _pairs(self, now: Pieces) -> tuple[Meeting, Ids]:
        """Return what belongs together, and the ids of what the planes before hold.

        What was lost is numbered behind the pieces of the last plane, and counts only where that
        plane has no partner.
        """
        pairs, ids = Meeting(*np.zeros((5, 0), np.int64)), np.zeros(1, np.int64)
        for behind, seen in enumerate(self._seen):
            found = meeting(seen.pieces, now)
            found = found.where((found.share >= self._share) & ~np.isin(found.now, pairs.now))
            found = found.behind(behind * (ids.size - 1))
            pairs = Meeting(*(np.concatenate(both) for both in zip(pairs, found, strict=True)))
            ids = np.concatenate([ids, seen.ids[1:]])
        return (_best(pairs, pairs.now) if self._kind == "tracks" else pairs), ids

    def _follow(self, pairs: Meeting, before: Ids, n: int) -> Ids:
        """Give every piece an id: that of what it continues, or a new one."""
        ids = np.zeros(n, np.int64)
        if self._kind == "objects":
            continued = np.ones(pairs.now.size, bool)
            ids[pairs.now] = before[pairs.before]  # of several, any: they turn out to be one
            self._merged.append(np.stack([before[pairs.before], ids[pairs.now]]))
        else:
            continued = _continued(pairs)
            ids[pairs.now[continued]] = before[pairs.before[continued]]
        new = np.flatnonzero(ids[1:] == 0) + 1
        ids[new] = self._used + np.arange(1, new.size + 1)
        self._used += new.size
        daughter = ~continued & ~np.isin(pairs.before, pairs.before[continued])
        family = ids[pairs.now[daughter]].tolist(), before[pairs.before[daughter]].tolist()
        self._parents += zip(*family, strict=True)
        return ids

    def _remember(self, pieces: Pieces, ids: Ids, pairs: Meeting) -> None:
        """Keep this plane, and of the last one what has no partner here."""
        lost: list[_Seen] = []
        if self._seen:
            last = self._seen[0]
            continued = np.zeros(last.ids.size, bool)
            continued[pairs.before[pairs.before < continued.size]] = True
            if not continued[1:].all():
                lost = [_Seen(last.pieces.without(continued), last.ids)]
        self._seen = [_Seen(pieces, ids), *lost]

    def _final_numbers(self) -> NDArray[np.uint32]:
        """Number the objects by their first pixel, those that turned out to be one together."""
        one, other = np.concatenate(self._merged, axis=1) if self._merged else np.zeros((2, 0), int)
        n = self._used + 1
        graph = coo_array((np.ones(one.size, bool), (one, other)), shape=(n, n))
        _, joined = connected_components(graph.tocsr(), directed=False)
        _, first, which = np.unique(joined, return_index=True, return_inverse=True)
        numbers: NDArray[np.uint32] = np.argsort(np.argsort(first))[which].astype(np.uint32)
        return numbers


def _best(pairs: Meeting, of: Ids) -> Meeting:
    """Keep for each piece only the pair that is most alike, of equals the first."""
    order = np.lexsort((pairs.now, pairs.before, -pairs.iou, of))
    _, best = np.unique(of[order], return_index=True)
    return pairs.where(order[best])


def _continued(pairs: Meeting) -> NDArray[np.bool_]:
    """Tell which pieces continue the object that they were best linked to (see the module)."""
    best = np.isin(pairs.now, _best(pairs, pairs.before).now)
    return best & ((pairs.iou > LIKE) | (pairs.iou >= pairs.joint_iou))
