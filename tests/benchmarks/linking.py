"""How well planes are linked: nuclei along Z, and a drawn movie of cells that move and divide.

    python tests/benchmarks/linking.py

The labels of every plane are numbered at random and linked again: those of ``nuclei_3d`` as they
are, and with pieces missed, cut and run together; those of a movie whose tracks are known because a
program draws it, at several speeds. Where py-ctcmetrics is installed, the movie is scored by it
(TRA and LNK of the Cell Tracking Challenge) through the files of `napari_unet.engine.tracks`;
without it, by the share of links that are right. ``movie_hela`` has no known tracks: its links are
compared with the pairs of nuclei that are nearest in all. Prints one line of JSON each.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from kinds import DATA, Array, read
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from napari_unet import metrics
from napari_unet.core.linkstack import Linked, link_planes
from napari_unet.core.pieces import Pieces

SPACING = 0.284 / 0.127
"""Distance of the sections of nuclei_3d, in pixels."""

Tracks = list[tuple[int, int, int, int]]


def shuffled(labels: Array, rng: np.random.Generator) -> Array:
    """Number the objects of every plane at random."""
    out = np.zeros_like(labels)
    for plane, numbers in zip(out, labels, strict=True):
        ids = np.unique(numbers[numbers > 0])
        lookup = np.zeros(numbers.max() + 1, labels.dtype)
        lookup[ids] = rng.permutation(len(ids)) + 1
        plane[...] = lookup[numbers]
    return out


def damaged(labels: Array, rng: np.random.Generator, *, miss: float, cut: float) -> Array:
    """Leave pieces out, and cut others in two."""
    out = labels.copy()
    for plane in out:
        for cell in np.unique(plane[plane > 0]):
            inside, dice = plane == cell, rng.random()
            if dice < miss:
                plane[inside] = 0
            elif dice < miss + cut:
                x = np.nonzero(inside)[1]
                plane[inside & (np.arange(plane.shape[1]) > np.median(x))] = cell + labels.max()
    return out


def run_together(labels: Array, rng: np.random.Generator, share: float) -> Array:
    """Join what touches in some of the planes."""
    out = labels.copy()
    for plane in out:
        if rng.random() < share:
            plane[...] = ndimage.label(plane > 0)[0]
    return out


def movie(speed: float, frames: int = 20, side: int = 320, seed: int = 0) -> tuple[Array, Tracks]:
    """Draw round cells of about 9 pixels radius that move, push each other and divide.

    ``speed`` is the standard deviation of a step on each axis, in pixels.
    """
    rng = np.random.default_rng(seed)
    place, radius = rng.uniform(0, side, (60, 2)), rng.uniform(8, 10, 60)
    ids, tracks = np.arange(1, 61), {k: [0, 0, 0] for k in range(1, 61)}
    out, grid = np.zeros((frames, side, side), np.uint16), np.indices((side, side))
    for t, frame in enumerate(out):
        if t:
            divide = rng.random(len(ids)) < 0.04 * (radius > 8)
            angle = rng.uniform(0, np.pi, divide.sum())
            away = 0.75 * radius[divide][:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
            new = max(tracks) + 1 + np.arange(2 * divide.sum())
            parents = np.repeat(ids[divide], 2)
            tracks |= {int(k): [t, t, int(p)] for k, p in zip(new, parents, strict=True)}
            pairs = np.stack([place[divide] - away, place[divide] + away], 1).reshape(-1, 2)
            place = np.concatenate([place[~divide], pairs])
            small = np.repeat(radius[divide] / 2**0.5, 2)
            ids = np.concatenate([ids[~divide], new])
            radius = np.concatenate([np.minimum(radius[~divide] * 1.05, 10), small])
            place += rng.normal(0, speed, place.shape)
        for _ in range(10):
            apart = place[:, None] - place
            gap = np.linalg.norm(apart, axis=2) + np.eye(len(ids)) * 1e9
            push = np.clip(radius[:, None] + radius - gap, 0, None) / np.maximum(gap, 1)
            place = place + 0.2 * (push[..., None] * apart).sum(1)
        power = np.full((side, side), 0.0)
        for k, (y, x), r in zip(ids, place, radius, strict=True):
            nearer = (grid[0] - y) ** 2 + (grid[1] - x) ** 2 - r**2
            frame[nearer < power] = k
            power = np.minimum(power, nearer)
        for k in np.unique(frame[frame > 0]):
            tracks[int(k)][1] = t
    return _tidy(out, tracks)


def _tidy(labels: Array, tracks: dict[int, list[int]]) -> tuple[Array, Tracks]:
    """Describe what is seen: a track that leaves the picture and comes back is another one."""
    out, table, last = np.zeros_like(labels), [], {}
    for cell, (_, _, parent) in tracks.items():
        seen = np.flatnonzero((labels == cell).any((1, 2)))
        for part in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
            if len(part):
                number = len(table) + 1
                out[part] = np.where(labels[part] == cell, number, out[part])
                came_from = last.get(parent, (0, -1))
                known = came_from[0] if came_from[1] == part[0] - 1 else 0
                table.append((number, int(part[0]), int(part[-1]), known))
                last[cell] = number, part[-1]
    return out, table


def links_of(labels: Array, tracks: Any) -> set[tuple[int, int]]:
    """Return the pixels of the last piece and of the next one, of every link of one frame."""
    centre = {
        (t, int(k)): int(np.flatnonzero(plane.ravel() == k)[0]) + t * plane.size
        for t, plane in enumerate(labels)
        for k in np.unique(plane[plane > 0])
    }
    found = set()
    end = {int(label): int(last) for label, _, last, _ in tracks}
    for label, begin, last, parent in np.asarray(tracks).tolist():
        frames = [t for t in range(begin, last + 1) if (t, label) in centre]
        chain = [(t, label) for t in frames]
        if parent:
            chain = [(end[parent], parent), *chain]
        found |= {(centre[a], centre[b]) for a, b in pairwise(chain)}
    return found


def right_links(truth: Array, tracks: Tracks, found: Linked) -> dict[str, float]:
    """Return recall and precision of the links, and of the divisions."""
    known, said = links_of(truth, tracks), links_of(found.labels, found.tracks)
    both = len(known & said)
    divisions = sum(parent > 0 for *_, parent in tracks) // 2
    return {
        "links found": round(both / len(known), 3),
        "links right": round(both / max(len(said), 1), 3),
        "divisions": divisions,
        "divisions said": len(set(found.tracks[found.tracks[:, 3] > 0, 3].tolist())),
    }


def challenge(truth: Array, tracks: Tracks, found: Linked) -> dict[str, float]:
    """Score as the Cell Tracking Challenge does, if py-ctcmetrics is there."""
    try:
        from ctc_metrics import evaluate_sequence
    except ImportError:
        return {}
    from napari_unet.engine.tracks import write_challenge

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = Linked(truth, np.array(tracks), _points(truth))
        write_challenge(folder / "01_RES", found.labels, found.tracks, found.points)
        write_challenge(folder / "TRA", known.labels, known.tracks, known.points)
        gt = folder / "01_GT" / "TRA"
        gt.parent.mkdir()
        (folder / "TRA").rename(gt)
        for file in gt.glob("mask*"):
            file.rename(gt / file.name.replace("mask", "man_track"))
        (gt / "res_track.txt").rename(gt / "man_track.txt")
        with redirect_stdout(io.StringIO()):
            scores = evaluate_sequence(
                str(folder / "01_RES"), str(folder / "01_GT"), metrics=["TRA", "LNK"], threads=1
            )
    return {name: round(float(scores[name]), 4) for name in ("LNK", "TRA")}


def _points(labels: Array) -> Array:
    """Return the number and plane of every piece."""
    rows = [(k, t, 0, 0) for t, p in enumerate(labels) for k in np.unique(p[p > 0])]
    return np.array(sorted(rows), float)


def in_z(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Link the sections of nuclei."""
    truth = read("nuclei_3d/mask.tif").astype(np.int32)
    joined = run_together(truth, rng, 0.15)
    cases = {
        "as they are": truth,
        "5 % missed": damaged(truth, rng, miss=0.05, cut=0),
        "5 % missed, 5 % cut": damaged(truth, rng, miss=0.05, cut=0.05),
        "the same, and touching ones joined in 15 % of the sections": damaged(
            joined, rng, miss=0.05, cut=0.05
        ),
    }
    for (name, labels), split in product(cases.items(), (0.0, 0.1)):
        began = time.perf_counter()
        found = link_planes(shuffled(labels, rng), split=split, spacing=SPACING)
        yield {
            "nuclei_3d": name,
            "split": split,
            "SEG": round(metrics.seg_score(truth, found.labels), 3),
            "AP50": round(metrics.average_precision(truth, found.labels), 3),
            "objects": len(found.tracks),
            "of": len(np.unique(truth)) - 1,
            "ms a plane": round(10 * (time.perf_counter() - began), 1),
        }


def in_t(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Link the frames of drawn movies."""
    for speed in (1.0, 2.0, 3.0, 4.0):
        truth, tracks = movie(speed)
        for name, rates in {"as it is": (0, 0), "3 % missed, 3 % cut": (0.03, 0.03)}.items():
            labels = damaged(truth, rng, miss=rates[0], cut=rates[1])
            found = link_planes(shuffled(labels, rng), kind="tracks")
            right = {} if any(rates) else right_links(truth, tracks, found)
            yield {
                "movie": f"steps of {speed:g} px",
                "labels": name,
                **right,
                **challenge(truth, tracks, found),
            }


def hela() -> Iterator[dict[str, Any]]:
    """Compare links of a real movie with the assignment of nuclei that is nearest in all."""
    labels = read("movie_hela/masks.tif")
    planes = [Pieces.of(plane) for plane in labels]
    found = link_planes(labels, kind="tracks")
    nearest = agree = 0
    for t, (before, now) in enumerate(pairwise(planes)):
        distance = cdist(before.centroids[1:], now.centroids[1:])
        one, other = linear_sum_assignment(np.minimum(distance, 30))
        near = distance[one, other] < 30
        nearest += near.sum()
        pairs = _ids(before, found.labels[t])[one], _ids(now, found.labels[t + 1])[other]
        parent = np.append(0, found.tracks[:, 3])
        agree += np.sum(((pairs[0] == pairs[1]) | (pairs[0] == parent[pairs[1]])) & near)
    parents = found.tracks[:, 3]
    yield {
        "movie_hela": f"{len(labels)} frames, {sum(p.sizes.size - 1 for p in planes)} nuclei",
        "nearest pairs": int(nearest),
        "of them linked": int(agree),
        "tracks": len(found.tracks),
        "divisions": len(set(parents[parents > 0].tolist())),
    }


def _ids(pieces: Pieces, linked: Array) -> Array:
    """Return the linked number of every piece."""
    _, first = np.unique(pieces.plane, return_index=True)
    return linked.ravel()[first[-(pieces.sizes.size - 1) :]]


def main() -> None:
    """Measure all three."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    rng = np.random.default_rng(0)
    if DATA.is_dir():
        for row in in_z(rng):
            print(json.dumps(row), flush=True)
        for row in hela():
            print(json.dumps(row), flush=True)
    for row in in_t(rng):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
