"""Hand tracks to other programs: the layout of the Cell Tracking Challenge, and napari's Tracks."""

from __future__ import annotations

import csv
import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_unet.engine.atomic import unfinished, write_atomically
from napari_unet.errors import InputError

__all__ = ["napari_tracks", "write_challenge", "write_points"]

MOST = np.iinfo(np.uint16).max
"""Highest number of a track that the masks of the challenge can hold."""


def write_challenge(
    folder: str | os.PathLike[str],
    labels: Any,
    tracks: NDArray[np.integer],
    points: NDArray[np.floating],
) -> None:
    """Write tracks as results of the Cell Tracking Challenge: the folder appears when it is whole.

    ``mask000.tif``, ``mask001.tif``, ... hold the labels of each plane, and ``res_track.txt`` a
    line ``L B E P`` for each track: number, first and last plane, parent. The layout knows no gaps,
    so a track that is missed in a plane ends there, and one that it is the parent of begins. Masks
    have 16 bits, as it says, but 32 where there are more than 65 535 tracks.

    Parameters
    ----------
    folder : path
        Made anew; ``01_RES`` where programs look for the results of a movie ``01``.
    labels : array
        (T, Y, X) or (T, Z, Y, X) linked labels, read plane by plane.
    tracks, points : array
        As `napari_unet.link_planes` returns them.

    Raises
    ------
    InputError
        If the folder exists, or cannot be written.
    """
    target = Path(folder)
    if target.exists():
        raise InputError(f"{target} exists already: choose another folder, or remove it.")
    table, numbers = _without_gaps(tracks, points)
    dtype = np.uint16 if table[:, 0].max(initial=0) <= MOST else np.uint32
    beside = unfinished(target)
    digits = max(3, len(str(labels.shape[0] - 1)))
    try:
        beside.mkdir(parents=True)
        for t in range(labels.shape[0]):
            plane = np.asarray(labels[t])
            lookup = numbers.get(t, np.zeros((2, 0), np.int64))
            new = np.zeros(int(plane.max(initial=0)) + 1, dtype)
            new[lookup[0]] = lookup[1]
            tifffile.imwrite(
                beside / f"mask{t:0{digits}}.tif",
                new[plane],
                compression="zlib",
                photometric="minisblack",  # three planes, or four, would be the parts of a colour
            )
        text = "".join(f"{' '.join(map(str, row))}\n" for row in table.tolist())
        (beside / "res_track.txt").write_text(text, encoding="ascii")
        beside.rename(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_points(
    path: str | os.PathLike[str], tracks: NDArray[np.integer], points: NDArray[np.floating]
) -> None:
    """Write where every track is in every plane as CSV: track_id, t, (z,) y, x, parent.

    The first columns are the data of napari's Tracks layers.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    axes = ("z", "y", "x")[5 - points.shape[1] :]
    parents = dict(zip(tracks[:, 0].tolist(), tracks[:, 3].tolist(), strict=True))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["track_id", "t", *axes, "parent"])
    for number, t, *place in points.tolist():
        writer.writerow([int(number), int(t), *(f"{at:.2f}" for at in place), parents[int(number)]])
    content = text.getvalue().encode()
    try:
        write_atomically(Path(path), lambda file: file.write(content))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def napari_tracks(
    tracks: NDArray[np.integer], points: NDArray[np.floating]
) -> tuple[NDArray[np.float64], dict[int, list[int]]]:
    """Return data and graph of a Tracks layer: ``viewer.add_tracks(data, graph=graph)``."""
    daughters = tracks[tracks[:, 3] > 0]
    graph = {int(number): [int(parent)] for number, _, _, parent in daughters}
    return np.asarray(points, np.float64), graph


def _without_gaps(
    tracks: NDArray[np.integer], points: NDArray[np.floating]
) -> tuple[NDArray[np.int64], dict[int, NDArray[np.int64]]]:
    """End tracks at gaps; return the table, and by plane the old and new number of its tracks."""
    if not len(points):
        return np.zeros((0, 4), np.int64), {}
    ids, planes = points[:, :2].astype(np.int64).T
    begins = np.ones(ids.size, bool)
    begins[1:] = (np.diff(ids) != 0) | (np.diff(planes) > 1)
    whole = np.ones(ids.size, bool)  # where a track begins, not only goes on after a gap
    whole[1:] = np.diff(ids) != 0
    first = np.flatnonzero(begins)
    new = np.zeros(ids.size, np.int64)
    new[first[whole[first]]] = ids[first[whole[first]]]
    gaps = first[~whole[first]]
    new[gaps] = int(ids.max(initial=0)) + np.arange(1, gaps.size + 1)
    parts = new[first]  # the number of every part, by track, then plane
    new = parts[np.cumsum(begins) - 1]
    last = np.append(first[1:], ids.size) - 1
    of = dict(zip(tracks[:, 0].tolist(), tracks[:, 3].tolist(), strict=True))
    ends = dict(zip(ids.tolist(), new.tolist(), strict=True))  # the last part of every track
    parent = [
        ends.get(of[int(ids[at])], 0) if whole[at] else int(new[at - 1]) for at in first.tolist()
    ]
    table = np.stack([parts, planes[first], planes[last], np.array(parent, np.int64)], axis=1)
    numbers = {int(t): np.stack([ids[planes == t], new[planes == t]]) for t in np.unique(planes)}
    return table[np.argsort(table[:, 0])], numbers
