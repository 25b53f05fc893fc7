"""Kinds of real microscopy images, each with what somebody painted and images to be scored on.

Every kind comes in two splits that share no image. On ``develop`` the defaults are chosen, with any
number of looks; on ``report`` nothing is, so only its scores say what a new user gets. Of `dic`
there is one field: each split trains on one half and scores the other, and both were looked at.
The images are found through NAPARI_UNET_DATA or in ``../shared/data``; none is copied into the
project.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet import metrics
from napari_unet.core.annotation import Annotation

__all__ = [
    "DATA",
    "HIGHER",
    "KINDS",
    "UNSEEN",
    "Array",
    "Kind",
    "Split",
    "largest_pieces",
    "read",
    "strokes",
]

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))

Array = NDArray[Any]
Split = Literal["develop", "report"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is painted, and what is scored.

    Attributes
    ----------
    painted : list of Annotation
        Of (C, Y, X) images.
    others : list of Annotation
        All labels of the images that are neither painted nor scored.
    images : list of (array, array)
        (C, Y, X) images and the truth of each, (Y, X).
    score : callable
        Scores by name of (truth, labels, probabilities); the first is the one that counts.
    """

    painted: list[Annotation]
    others: list[Annotation]
    images: list[tuple[Array, Array]]
    score: Callable[[Array, Array, Array], dict[str, float]]


def read(name: str) -> Array:
    """Read one file of the data set."""
    array: Array = tifffile.imread(DATA / name)
    return array


def strokes(truth: Array, n_cells: int, rng: np.random.Generator) -> Array:
    """Paint ``n_cells`` cells, part of the background around them, and six strokes elsewhere."""
    painted = np.zeros(truth.shape, np.uint16)
    sizes = np.bincount(truth.ravel())
    sizes[0] = 0
    background = truth == 0
    clear = ndimage.distance_transform_edt(background) > 1
    y, x = np.indices(truth.shape)
    chosen = rng.choice(np.flatnonzero(sizes > 30), n_cells, replace=False)
    for number, cell in enumerate(chosen, start=2):
        inside = truth == cell
        near = ndimage.binary_dilation(inside, iterations=4) & clear
        angle, cy, cx = rng.uniform(0, 2 * np.pi), y[inside].mean(), x[inside].mean()
        painted[near & ((y - cy) * np.cos(angle) + (x - cx) * np.sin(angle) > 0)] = 1
        painted[inside] = number
    for _ in range(6):
        angle, cy, cx = rng.uniform(0, np.pi), rng.uniform(0, y.max()), rng.uniform(0, x.max())
        along = (y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        painted[(abs(along) < 60) & (abs(across) < 3) & clear & (painted == 0)] = 1
    return painted


def largest_pieces(labels: Array) -> Array:
    """Keep the largest connected piece of every label; the rest are specks of the annotation."""
    cleaned = np.zeros_like(labels)
    for cell, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            pieces, _ = ndimage.label(labels[box] == cell)
            largest = np.bincount(pieces.ravel())[1:].argmax() + 1
            cleaned[box][pieces == largest] = cell
    return cleaned


def labelled(
    images: Sequence[Array], truth: Sequence[Array], which: Iterable[int]
) -> list[Annotation]:
    """Return these images with all their labels."""
    return [Annotation(images[k], truth[k], "instances") for k in which]


def others(images: Sequence[Array], *used: int) -> list[int]:
    """Return which images are not used."""
    return [k for k in range(len(images)) if k not in used]


def score_cells(truth: Array, labels: Array, _: Array) -> dict[str, float]:
    """Score objects."""
    return {
        "SEG": metrics.seg_score(truth, labels),
        "AP50": metrics.average_precision(truth, labels),
        "IoU": metrics.iou(truth, labels),
    }


def score_membranes(truth: Array, labels: Array, probabilities: Array) -> dict[str, float]:
    """Score the interior of cells as the challenge does: pixels, and pairs of pixels."""
    return {
        "pixel error": metrics.pixel_error(truth, labels),
        "Rand error": metrics.adapted_rand_error(truth, labels),
        "pixel error of probabilities": metrics.pixel_error(truth, probabilities[1] >= 0.5),
        "Rand error of probabilities": metrics.adapted_rand_error(
            truth, ndimage.label(probabilities[1] >= 0.5)[0]
        ),
    }


def score_classes(truth: Array, labels: Array, probabilities: Array) -> dict[str, float]:
    """Score classes 0 ... n - 1 of the truth, which the labels number from 1."""
    classes = range(len(probabilities))
    each = [metrics.iou(truth == k, labels == k + 1) for k in classes]
    return {"IoU": float(np.mean(each))}


NUCLEI: Mapping[Split, tuple[int, tuple[int, ...]]] = {
    "develop": (3, (0, 5, 9, 11, 14, 17)),
    "report": (19, (2, 10, 15)),
}
"""Of the larger fluorescence images: which is painted, which are scored."""

UNSEEN: Mapping[str, frozenset[int]] = {
    "fluo256": frozenset(range(0, 120, 5)),
    "fluo520x696": frozenset(k for one, others in NUCLEI.values() for k in (one, *others)),
}
"""Of all fluorescence images: those that the starter model was not trained on."""


def nuclei(split: Split, artefact: bool = False) -> Kind:
    """Ten nuclei and background strokes on one fluorescence image; others of that set."""
    image, truth = (read(f"nuclei_dsb2018/fluo520x696-{part}.tif") for part in ("images", "masks"))
    trained, scored = NUCLEI[split]
    painted = strokes(truth[trained], 10, np.random.default_rng(0))
    shown = image[trained].copy()
    if artefact:
        y, x = np.indices(shown.shape)
        free = np.argwhere(ndimage.distance_transform_edt(painted == 0) > 24)
        cy, cx = free[len(free) // 2]
        shown[(y - cy) ** 2 + (x - cx) ** 2 < 20**2] = 255
    return Kind(
        painted=[Annotation(shown, painted, "scribbles")],
        others=labelled(image, truth, others(image, trained, *scored)),
        images=[(image[k][None], truth[k]) for k in scored],
        score=score_cells,
    )


def artefact(split: Split) -> Kind:
    """Paint the same nuclei on an image with a bright piece of debris."""
    return nuclei(split, artefact=True)


def phase(split: Split) -> Kind:
    """All cells of one phase contrast image; others."""
    image, truth = (read(f"phase_t98g/{part}.tif") for part in ("images", "masks"))
    trained, scored = {"develop": (0, (2, 4, 7)), "report": (1, (3, 5, 6))}[split]
    truth = [largest_pieces(labels) for labels in truth]
    return Kind(
        painted=labelled(image, truth, [trained]),
        others=labelled(image, truth, others(image, trained, *scored)),
        images=[(image[k][None], truth[k]) for k in scored],
        score=score_cells,
    )


def membranes(split: Split) -> Kind:
    """Two sections of nerve tissue; two far away in z."""
    image, interior = read("em_membranes/images.tif"), read("em_membranes/labels.tif") > 0
    trained, scored = {"develop": ((0, 1), (10, 14)), "report": ((5, 6), (16, 19))}[split]
    truth = [ndimage.label(section)[0] for section in interior]
    far = [k for k in range(len(image)) if min(abs(k - other) for other in scored) > 3]
    return Kind(
        painted=labelled(image, truth, trained),
        others=labelled(image, truth, [k for k in far if k not in trained]),
        images=[(image[k][None], truth[k]) for k in scored],
        score=score_membranes,
    )


def dic(split: Split) -> Kind:
    """Half a field of touching cells; the other half."""
    image, truth = (read(f"dic_cells/{part}.tif") for part in ("image", "mask"))
    halves = [slice(0, 512), slice(512, 1024)]
    trained, scored = halves if split == "develop" else halves[::-1]
    return Kind(
        painted=[Annotation(image[trained], truth[trained], "instances")],
        others=[],
        images=[(image[scored][None], truth[scored])],
        score=score_cells,
    )


AXONS = {
    "develop": ("rat1_sample-data1", ("rat2_sample-data5", "rat4_sample-data12")),
    "report": ("rat2_sample-data5", ("rat7_sample-Maxo03img60",)),
}
ANIMALS = "rat1_sample-data1", "rat2_sample-data5", "rat4_sample-data12", "rat7_sample-Maxo03img60"


def axons(split: Split) -> Kind:
    """Background, myelin and axons of one animal; other animals at other pixel sizes."""
    trained, scored = AXONS[split]
    pairs = {
        name: [read(f"axon_sem/{name}-{part}.tif") for part in ("image", "semantic")]
        for name in ANIMALS
    }

    def labelled(name: str) -> Annotation:
        image, truth = pairs[name]
        return Annotation(image, truth + 1, "classes")

    return Kind(
        painted=[labelled(trained)],
        others=[labelled(name) for name in ANIMALS if name not in (trained, *scored)],
        images=[(pairs[name][0][None], pairs[name][1]) for name in scored],
        score=score_classes,
    )


def histology(split: Split) -> Kind:
    """Two stained tissue images in colour; others."""
    image, truth = (read(f"nuclei_dsb2018/rgb256x320-{part}.tif") for part in ("images", "masks"))
    image = np.moveaxis(image, -1, 1)
    trained, scored = {"develop": ((0, 1), (2, 5, 7, 8)), "report": ((3, 9), (4, 6, 11))}[split]
    return Kind(
        painted=labelled(image, truth, trained),
        others=labelled(image, truth, others(image, *trained, *scored)),
        images=[(image[k], truth[k]) for k in scored],
        score=score_cells,
    )


KINDS: Mapping[str, Callable[[Split], Kind]] = {
    "nuclei": nuclei,
    "artefact": artefact,
    "phase": phase,
    "membranes": membranes,
    "dic": dic,
    "axons": axons,
    "histology": histology,
}

HIGHER = {name: name != "membranes" for name in KINDS}
"""Whether a higher score is better."""
