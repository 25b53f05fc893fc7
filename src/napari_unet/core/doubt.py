"""Ask where the numbers in a labels layer contradict what they are said to mean.

Misreading one meaning as another trains a network on the opposite of what was painted, and nothing
else in the program would notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.core.annotation import Meaning

__all__ = ["Doubt", "doubt"]

MOST_PIXELS = 1 << 20
"""Pixels of a plane that are looked at, on a regular grid."""

FEW_PAINTED, FEW_IDS = 0.05, 20
"""Less than this share of a plane, and no more cells than these, may be a few of very many."""

MANY_CLASSES = 12
"""More numbers than this are hardly kinds of pixels."""

MOST_COMPARED = 30
"""Labels whose shapes that of label 1 is compared with."""

STROKES, CELL, FACTOR = 0.6, 0.75, 4
"""Label 1 is less round than this share of the others if it is strokes; if it is a cell, it is
rounder than this share of them, and smaller or larger by no more than this factor."""

LEAST_PIECE = 0.1
"""Of the largest piece of a label, what another one must have to count."""

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A question to the user, to be answered with yes or no.

    Attributes
    ----------
    key : str
        What it is about; an answered question is not asked again for the same layer.
    question : str
        In words, starting with what was seen.
    yes : Meaning
        The meaning of the layer after that answer.
    no : Meaning or None
        The same; None: it cannot be trained on as it is.
    remedy : str
        What to do then.
    """

    key: str
    question: str
    yes: Meaning
    no: Meaning | None
    remedy: str = ""


def doubt(
    labels: NDArray[np.integer],
    meaning: Meaning,
    has_regions: bool = False,
    answered: tuple[str, ...] = (),
) -> Doubt | None:
    """Return the question that the labels of a plane raise about their meaning, if any.

    Parameters
    ----------
    labels : integer array
        (Y, X), as painted.
    meaning : {"instances", "scribbles", "classes"}
        What the numbers are said to mean.
    has_regions : bool
        Whether training regions say what is finished.
    answered : tuple of str
        Keys of the questions that were answered before.
    """
    step = int(np.ceil(np.sqrt(labels.size / MOST_PIXELS))) or 1
    labels = labels[::step, ::step]
    painted = float(np.count_nonzero(labels)) / max(labels.size, 1)
    if painted == 0:
        return None
    match meaning:
        case "instances":
            questions = _of_instances(labels, painted, has_regions)
        case "scribbles":  # regions change what 0 means, never what 1 does
            questions = _of_scribbles(labels, painted)
        case "classes":
            questions = _of_classes(labels)
    return next((question for question in questions if question.key not in answered), None)


def _of_instances(labels: NDArray[Any], painted: float, has_regions: bool) -> list[Doubt]:
    found = []
    if painted < 0.5 and _one_looks_like_strokes(labels):
        found.append(
            Doubt(
                key="1 is strokes",
                question=(
                    "Label 1 looks like strokes of background, but as instances it is a cell, and "
                    "all that is unpainted is background. Are these scribbles (1 background, "
                    "2, 3, ... cells, the rest not labelled)?"
                ),
                yes="scribbles",
                no="instances",
            )
        )
    if painted < FEW_PAINTED and not has_regions and len(np.unique(labels)) <= FEW_IDS + 1:
        found.append(
            Doubt(
                key="few painted",
                question=(
                    f"Only {_percent(painted)} % is painted, and as instances all the rest is "
                    f"background, also cells that you did not paint. Is all the rest really "
                    f"background?"
                ),
                yes="instances",
                no=None,
                remedy=(
                    "Draw a training region around the part that is fully labelled (Regions: New). "
                    "Or paint some background with label 1, cells with 2, 3, ..., and choose the "
                    "meaning scribbles."
                ),
            )
        )
    return found


def _of_scribbles(labels: NDArray[Any], painted: float) -> list[Doubt]:
    if painted == 1:
        several = len(np.unique(labels)) > MANY_CLASSES
        other: Meaning = "instances" if several else "classes"
        words = "cells, also 1" if several else "kinds of pixels (classes)"
        return [
            Doubt(
                key="all painted",
                question=(
                    f"Every pixel is painted. As scribbles, 1 is background and every other number "
                    f"one cell. Are all the numbers {words}?"
                ),
                yes=other,
                no="scribbles",
            )
        ]
    if not _one_looks_like_a_cell(labels):
        return []
    return [
        Doubt(
            key="1 is a cell",
            question=(
                "Label 1 is one compact piece, like the cells, but as scribbles it is background. "
                "Is it background?"
            ),
            yes="scribbles",
            no="instances",
        )
    ]


def _of_classes(labels: NDArray[Any]) -> list[Doubt]:
    numbers = len(np.unique(labels[labels > 0]))
    if numbers <= MANY_CLASSES:
        return []
    return [
        Doubt(
            key="many classes",
            question=(
                f"The labels hold {numbers} different numbers, and as classes each is a kind of "
                f"pixels of its own. Are they cells?"
            ),
            yes="instances",
            no="classes",
        )
    ]


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one label looks: pixels, pieces worth the name, roundness of the largest (0 ... 1)."""

    area: int
    pieces: int
    roundness: float


def _one_looks_like_strokes(labels: NDArray[Any]) -> bool:
    one, others = _shapes(labels)
    if one is None or not others:
        return False
    scattered = one.pieces > 1 and np.median([shape.pieces for shape in others]) == 1
    return scattered or one.roundness < STROKES * _median(others)


def _one_looks_like_a_cell(labels: NDArray[Any]) -> bool:
    one, others = _shapes(labels)
    if one is None or not others or one.pieces > 1:
        return False
    ratio = one.area / np.median([shape.area for shape in others])
    alike = 1 / FACTOR < ratio < FACTOR
    return bool(alike and one.roundness > CELL * _median(others))


def _median(shapes: list[_Shape]) -> float:
    return float(np.median([shape.roundness for shape in shapes]))


def _shapes(labels: NDArray[Any]) -> tuple[_Shape | None, list[_Shape]]:
    """Describe label 1 (None if there is none) and some of the others."""
    ids = np.unique(labels[labels > 1])
    compact = np.searchsorted(np.concatenate([[0, 1], ids]), labels)
    boxes = ndimage.find_objects(compact)
    present = [(i, box) for i, box in enumerate(boxes, start=1) if box is not None]
    shapes = {i: _shape(compact[box] == i) for i, box in present[: MOST_COMPARED + 1]}
    return shapes.pop(1, None), list(shapes.values())


def _shape(mask: NDArray[np.bool_]) -> _Shape:
    pieces = ndimage.label(mask, EIGHT_NEIGHBOURS)[0]
    areas = np.bincount(pieces.ravel())[1:]
    largest = np.pad(pieces == areas.argmax() + 1, 1)
    # of a disc, the deepest pixel lies one radius deep
    depth = float(ndimage.distance_transform_edt(largest).max())
    roundness = depth / np.sqrt(areas.max() / np.pi)
    pieces_that_count = int((areas >= LEAST_PIECE * areas.max()).sum())
    return _Shape(area=int(areas.sum()), pieces=pieces_that_count, roundness=float(roundness))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.01 else f"{100 * share:.0f}"
