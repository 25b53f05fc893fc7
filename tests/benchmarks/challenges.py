"""The original images of the paper's three experiments, as the challenges hand them out, and their
scores.

ISBI 2012 (EM)::

    train-volume.tif  train-labels.tif  [test-volume.tif]

Cell Tracking Challenge (PhC-C2DH-U373, DIC-C2DH-HeLa)::

    01/t000.tif  01_GT/SEG/man_seg000.tif or man_seg_000_005.tif  [01_ST/SEG/man_seg000.tif]
    02/...

The truth of both test sets is hidden, so part of what is annotated is scored, and the rest is
trained on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet import metrics
from napari_unet.core.annotation import Annotation
from napari_unet.errors import InputError

__all__ = [
    "Best",
    "Fold",
    "Plane",
    "cell_scores",
    "hidden_sections",
    "membrane_scores",
    "section",
    "sections",
    "sequence_folds",
    "volume_folds",
    "write_map",
]

Array = NDArray[Any]

FOLDS, APART = 3, 4
"""Parts of an annotated volume, and how many sections between painted and scored ones are unused:
neighbours look alike."""

EDGE = 50
"""Width in pixels of the border outside the field of interest of PhC-C2DH-U373 and DIC-C2DH-HeLa,
where the challenge does not ask for every cell."""

THRESHOLDS = np.arange(10) / 10
"""The 10 levels a membrane map is cut at; the scripts of the challenge count what is above."""

AT_RAND = "warping error where the Rand error is best"

ANNOTATED = re.compile(r"man_seg_?(\d+)(?:_(\d+))?\.tif")


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """An image with its truth.

    Attributes
    ----------
    image : array
        (C, Y, X).
    truth : integer array
        (Y, X): cells 1, 2, ..., background 0.
    known : bool array, optional
        (Y, X): where the truth is known; everywhere if it is not given.
    """

    image: Array
    truth: Array
    known: Array | None = None

    def annotation(self) -> Annotation:
        """Return what is painted; where the truth is not known, that is nothing."""
        if self.known is None:
            return Annotation(self.image, self.truth, "instances")
        painted = np.where(self.known, self.truth.astype(np.int64) + 1, 0)
        return Annotation(self.image, painted, "scribbles")


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """What is trained on, and other images to score."""

    painted: list[Annotation]
    scored: list[Plane]


class Best(NamedTuple):
    """A score, and the threshold of the map at which it is best, if there is one."""

    value: float
    threshold: float | None = None


def sections(folder: Path) -> list[Plane]:
    """Read the annotated volume of ISBI 2012; 0 in the labels is membrane."""
    volume, labels = (_read(folder / f"train-{part}.tif") for part in ("volume", "labels"))
    if volume.shape != labels.shape or volume.ndim != 3:
        raise InputError(
            f"In {folder}, train-volume.tif has shape {volume.shape} and train-labels.tif "
            f"{labels.shape}; both should be one stack of sections (Z, Y, X)."
        )
    return [section(*pair) for pair in zip(volume, labels, strict=True)]


def section(image: Array, interior: Array) -> Plane:
    """Return a section whose cells are the 4-connected pieces of what is not 0."""
    return Plane(image=image[None], truth=ndimage.label(interior > 0)[0])


def hidden_sections(folder: Path) -> Array | None:
    """Read the test volume (Z, Y, X) of ISBI 2012, if it is there."""
    path = folder / "test-volume.tif"
    return _read(path) if path.exists() else None


def volume_folds(planes: Sequence[Plane]) -> list[Fold]:
    """Score each third of a volume once, trained on sections that are not near it.

    Raises
    ------
    InputError
        If there are too few sections for that.
    """
    least = FOLDS * (APART + 1)
    if len(planes) < least:
        raise InputError(
            f"The volume has {len(planes)} sections; {FOLDS} parts that are {APART} sections away "
            f"from what they are trained on need at least {least}."
        )
    folds = []
    for part in np.array_split(np.arange(len(planes)), FOLDS):
        far = [z for z in range(len(planes)) if not part[0] - APART <= z <= part[-1] + APART]
        painted = [planes[z].annotation() for z in far]
        folds.append(Fold(painted=painted, scored=[planes[z] for z in part]))
    return folds


def write_map(path: Path, maps: Array) -> None:
    """Write probabilities (Z, Y, X) as ISBI 2012 wants them: 32 bits, 0 membrane, 1 no membrane."""
    tifffile.imwrite(path, maps.astype(np.float32), imagej=True, metadata={"axes": "ZYX"})


def sequence_folds(folder: Path) -> list[Fold]:
    """Score each sequence of the Cell Tracking Challenge once, trained on the others.

    Raises
    ------
    InputError
        If fewer than two are annotated, or images and annotations do not fit.
    """
    names = sorted(path.name for path in folder.glob("[0-9][0-9]") if path.is_dir())
    found = {name: planes for name in names if (planes := _sequence(folder, name))}
    if len(found) < 2:
        raise InputError(
            f"{folder} has {len(found)} annotated sequences (01, 01_GT/SEG/man_seg*.tif, 02, ...); "
            f"two are needed, one to train on and one to score."
        )
    return [
        Fold(
            painted=[p.annotation() for other in found if other != name for p in found[other]],
            scored=found[name],
        )
        for name in found
    ]


def _sequence(folder: Path, name: str) -> list[Plane]:
    """Read the annotated frames of a sequence: gold, or silver if there is no gold."""
    gold, silver = (_annotated(folder / f"{name}_{kind}" / "SEG") for kind in ("GT", "ST"))
    return [
        _frame(folder / name, key, path, silver.get(key)) for key, path in (gold or silver).items()
    ]


def _annotated(folder: Path) -> dict[tuple[str, str | None], Path]:
    """List annotations by time and section, each as it is written in the name."""
    named = ((ANNOTATED.fullmatch(path.name), path) for path in sorted(folder.glob("*.tif")))
    return {(match[1], match[2]): path for match, path in named if match}


def _frame(folder: Path, key: tuple[str, str | None], gold: Path, silver: Path | None) -> Plane:
    """Read a frame; outside the annotated cells, not all of it is known to be background."""
    time, z = key
    image, truth = _read(folder / f"t{time}.tif"), _read(gold)
    if z is not None and image.ndim == 3 and int(z) < len(image):
        image = image[int(z)]
    if image.shape != truth.shape or truth.ndim != 2:
        raise InputError(
            f"{gold} has shape {truth.shape}, its image {image.shape}; both should be one plane "
            f"(Y, X). Volumes that are annotated as a whole are not read."
        )
    known = np.zeros(truth.shape, dtype=bool)
    known[EDGE:-EDGE, EDGE:-EDGE] = True
    if silver is not None:
        known &= _read(silver) == 0  # a cell here that gold left out is no background
    return Plane(image=image[None], truth=truth, known=known | (truth > 0))


def _read(path: Path) -> Array:
    if not path.is_file():
        raise InputError(
            f"There is no file {path}. How the folder should look: {Path(__file__).name}"
        )
    array: Array = tifffile.imread(path)
    return array


def membrane_scores(truths: Sequence[Array], maps: Sequence[Array]) -> dict[str, Best]:
    """Score maps of the interior of cells at the best of 10 thresholds, as ISBI 2012 does.

    Every score has its own best threshold, the same for all sections. The warping error comes at
    that of the Rand error too.

    Parameters
    ----------
    truths : sequence of integer array
        (Y, X): cells 1, 2, ..., membranes 0.
    maps : sequence of float array
        (Y, X): 0 membrane, 1 no membrane.
    """
    each = {float(t): _membrane_errors(truths, [m > t for m in maps]) for t in THRESHOLDS}
    names = next(iter(each.values()))
    scores = {
        name: min(Best(errors[name], threshold) for threshold, errors in each.items())
        for name in names
    }
    # the best of all 10 may be that of an empty mask, where a cell that is missing costs one pixel
    threshold = scores["Rand error"].threshold
    assert threshold is not None
    scores[AT_RAND] = Best(each[threshold]["warping error"], threshold)
    return scores


def _membrane_errors(truths: Sequence[Array], found: Sequence[Array]) -> dict[str, float]:
    """Return the errors of masks of the interior, pooled over sections or their mean."""
    cells = [ndimage.label(mask)[0] for mask in found]
    true, predicted = _in_a_row(truths), _in_a_row(cells)
    inside = true > 0
    both = int(np.count_nonzero(inside & (predicted > 0)))
    either = int(np.count_nonzero(inside) + np.count_nonzero(predicted))
    pairs = list(zip(truths, found, cells, strict=True))
    return {
        "warping error": float(np.mean([metrics.warping_error(t > 0, m) for t, m, _ in pairs])),
        "Rand error": 1 - metrics.foreground_rand_score(true, predicted).score,
        "Rand error, a membrane as one region": float(
            np.mean([metrics.adapted_rand_error(t, c) for t, _, c in pairs])
        ),
        "pixel error": 1 - 2 * both / max(either, 1),
        "pixel error, share of pixels": metrics.pixel_error(inside, predicted > 0),
    }


def cell_scores(planes: Sequence[Plane], labels: Sequence[Array]) -> dict[str, Best]:
    """Score cells: SEG of all cells of all images, and the IoU of their foreground where known."""
    true, found = _in_a_row([plane.truth for plane in planes]), _in_a_row(labels)
    known = np.concatenate(
        [
            np.broadcast_to(True if p.known is None else p.known, p.truth.shape).ravel()
            for p in planes
        ]
    )
    return {
        "SEG": Best(metrics.seg_score(true, found)),
        "foreground IoU": Best(metrics.iou(true[known], found[known])),
    }


def _in_a_row(planes: Sequence[Array]) -> Array:
    """Number the regions of all planes through, and return all pixels in one row."""
    rows, last = [], 0
    for plane in planes:
        rows.append(np.where(plane > 0, plane.astype(np.int64) + last, 0).ravel())
        last += int(plane.max(initial=0))
    return np.concatenate(rows)
