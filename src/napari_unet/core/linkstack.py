"""Link whole stacks, plane by plane, in memory or on disk: what `napari_unet.core.linking` says.

Objects along Z may then be cut where they are narrow, as the cells of planes are: nuclei that lie
on top of each other overlap in the planes between them.
"""

from __future__ import annotations

from collections.abc import Generator
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_unet.core.given import check_pixels
from napari_unet.core.linking import Ids, Kind, Linker, Links
from napari_unet.core.necks3d import Necks
from napari_unet.core.objectcuts import ObjectCuts
from napari_unet.errors import InputError

__all__ = ["Linked", "link_into", "link_planes", "linking"]

UNCUT = Necks()


class Linked(NamedTuple):
    """Labels in which an object keeps its number, and the tables of `Links`."""

    labels: NDArray[np.uint32]
    tracks: Ids
    points: NDArray[np.float64]


def link_planes(
    labels: ArrayLike, *, kind: Kind = "objects", split: float = 0.0, spacing: float = 1.0
) -> Linked:
    """Renumber the objects of a stack of planes, so that each keeps its number.

    Pieces of one object overlap by at least half of the smaller one (`napari_unet.core.linking`).
    Then 3D objects are cut where they are narrow, if ``split`` is above 0.

    Parameters
    ----------
    labels : integer or boolean array
        (Z, Y, X), (T, Y, X) or (T, Z, Y, X). 0 is background; in a plane, every other label is an
        object. Labels of different planes need not be related.
    kind : {"objects", "tracks"}
        ``"objects"``: pieces that overlap along Z are one 3D object. ``"tracks"``: along T, and a
        track ends where its cell divides; in (T, Z, Y, X), the 3D objects are tracked.
    split : float
        Depth of the necks at which 3D objects are cut, as `PredictConfig.split` of planes: 0.1 for
        nuclei; 0 cuts none.
    spacing : float
        Distance between planes, in pixels of a plane; used for ``split`` only.

    Returns
    -------
    labels : uint32 array
        The same pixels, with numbers 1 ... n.
    tracks : (n, 4) int64 array
        Number, first plane, last plane, parent (0 if none) of every object.
    points : float64 array
        Number, plane and centroid of every piece.

    Raises
    ------
    InputError
        If these are not integer labels of planes, the kind is another, or a number makes no sense.
    """
    check_pixels("labels", labels, "read_labels")
    array = np.asarray(labels)
    out = np.zeros(array.shape, np.uint32)
    links = link_into(array, out, kind, Necks(depth=split, spacing=spacing))
    return Linked(out, links.tracks, links.points)


def link_into(labels: Any, out: Any, kind: Kind = "objects", necks: Necks = UNCUT) -> Links:
    """Link as `link_planes` does, from an array into another or the same one.

    Parameters
    ----------
    labels, out : array
        NumPy, zarr or any other that is read and written with an index; one plane at a time is in
        memory, or one volume of (T, Z, Y, X) that is tracked. Of objects that are cut, a bit per
        voxel is too, until they end.
    kind : {"objects", "tracks"}
        As there.
    necks : Necks
        Where 3D objects are cut.

    Raises
    ------
    InputError
        As there, or if the numbers do not fit the dtype of ``out``.
    """
    steps = linking(labels, out, kind, necks)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            links: Links = end.value
            return links


def linking(labels: Any, out: Any, kind: Kind, necks: Necks) -> Generator[float, None, Links]:
    """Do as `link_into`, and yield the share that is done after every plane."""
    shape = tuple(labels.shape)
    if len(shape) not in (3, 4) or tuple(out.shape) != shape or 0 in shape[:-2]:
        raise InputError(
            f"labels have shape {shape}, and what is linked goes into {tuple(out.shape)}: both are "
            "(Z, Y, X), (T, Y, X) or (T, Z, Y, X), of at least one plane."
        )
    planes = prod(shape[:-2])
    passes = 3 if necks.depth > 0 else 2
    if len(shape) == 3:
        progress = _Progress(planes * (passes if kind == "objects" else 1))
        return (yield from _link(labels, out, kind, necks, progress))
    progress = _Progress(planes * passes + (shape[0] if kind == "tracks" else 0))
    links = yield from _link_each(labels, out, necks, progress)
    if kind == "tracks":
        links = yield from _link(out, out, kind, necks, progress)
    return links


class _Progress:
    """Counts planes of all passes."""

    def __init__(self, planes: int) -> None:
        self._planes, self._done = planes, 0

    def step(self) -> float:
        """Count one more, and return the share that is done."""
        self._done += 1
        return self._done / self._planes


def _link_each(
    labels: Any, out: Any, necks: Necks, progress: _Progress
) -> Generator[float, None, Links]:
    """Link the objects of every volume of (T, Z, Y, X); no two volumes share a number."""
    parts: list[Links] = []
    for t in range(labels.shape[0]):
        used = sum(len(part.tracks) for part in parts)
        links = yield from _link(labels, out, "objects", necks, progress, t, used)
        before = (np.arange(4) == 0) * used  # of either table the first column has the numbers
        tracks = links.tracks + before
        points = np.insert(links.points + before, 1, t, axis=1)
        parts.append(Links(links.numbers, tracks, points))
    numbers = np.arange(sum(len(part.tracks) for part in parts) + 1, dtype=np.uint32)
    tables = zip(*((part.tracks, part.points) for part in parts), strict=True)
    return Links(numbers, *(np.concatenate(table) for table in tables))


def _link(
    labels: Any,
    out: Any,
    kind: Kind,
    necks: Necks,
    progress: _Progress,
    t: int | None = None,
    used: int = 0,
) -> Generator[float, None, Links]:
    """Link along the first axis, or along the second one of volume ``t``."""
    at = () if t is None else (t,)
    linker, places = Linker(kind), [(*at, i) for i in range(labels.shape[len(at)])]
    for place in places:
        _write(out, place, linker.add(labels[place]), used)
        yield progress.step()
    links = linker.finish()
    if kind == "tracks":
        return links
    if necks.depth > 0:
        cuts = ObjectCuts(links.tracks, necks)
        for plane, place in enumerate(places):
            cuts.look(_final(out, place, links, used), plane)
            yield progress.step()
        for plane, place in enumerate(places):
            _write(out, place, cuts.cut(_final(out, place, links, used), plane), used)
            yield progress.step()
        return cuts.finish()
    for place in places:
        _write(out, place, _final(out, place, links, used), used)
        yield progress.step()
    return links


def _final(out: Any, place: tuple[int, ...], links: Links, used: int) -> NDArray[np.uint32]:
    """Read a plane with its final numbers, from 1 on."""
    provisional = np.asarray(out[place]).astype(np.int64)
    provisional[provisional > 0] -= used
    return links.numbers[provisional]


def _write(out: Any, place: tuple[int, ...], plane: NDArray[np.uint32], used: int) -> None:
    """Write a plane whose numbers go on after ``used``."""
    highest = int(plane.max()) + used
    if highest > np.iinfo(out.dtype).max:
        raise InputError(
            f"Object {highest} does not fit an array of {out.dtype}: link into one of uint32."
        )
    out[place] = np.where(plane > 0, plane + np.uint32(used), 0) if used else plane
