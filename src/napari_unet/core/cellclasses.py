"""Cells of several classes: which class a painted cell has, and which a found one.

A network for cells of K classes has K + 1 outputs: background and the classes. So the probability
of cells is that of all classes together, and everything that looks for cells reads it through
`foreground`. For K = 1 it is the second of two outputs, to the last bit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.given import check_pixels
from napari_unet.errors import InputError

__all__ = [
    "ANY_CELL",
    "Classes",
    "ModelKind",
    "class_evidence",
    "class_name",
    "class_sums",
    "class_targets",
    "class_title",
    "classes_by_label",
    "foreground",
    "likeliest",
    "likeliest_classes",
    "object_classes",
    "order_classes",
]

ANY_CELL = 254
"""Target value of a pixel of a cell whose class nobody told: any class but the background."""

MOST_CLASSES = ANY_CELL - 1
"""All numbers below that one, but for the background."""

NEGATIVE = re.compile(r"\s*-\s*\d+\s*")
"""What is no name, though it is text."""

ModelKind = Literal["cells", "classes"]
"""What a network tells apart: cells from background, or the painted classes."""

Classes = Mapping[int, Any] | Sequence[Any] | NDArray[Any]

MOST_OBJECTS = 1 << 26
"""Highest label in a table of the classes of all labels up to it."""

FULL = 65535
"""Probability 1 as a whole number: sums of those do not depend on their order."""


def foreground(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of cells, whatever their class, of (K + 1, ...) probabilities."""
    cells: NDArray[np.float32] = (
        probabilities[1] if len(probabilities) == 2 else 1 - probabilities[0]
    )
    return cells


def class_evidence(probabilities: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return what `class_sums` adds up, (K, ...) of (K + 1, ...) probabilities."""
    evidence: NDArray[np.uint16] = np.rint(probabilities[1:] * np.float32(FULL)).astype(np.uint16)
    return evidence


def class_sums(
    evidence: NDArray[np.uint16], labels: NDArray[np.integer], count: int = 0
) -> NDArray[np.int64]:
    """Return the evidence for each class in the pixels of every object.

    They are whole numbers, so those of the pieces of an image add up to exactly those of the image.

    Parameters
    ----------
    evidence : uint16 array
        (K, *spatial), of `class_evidence`.
    labels : integer array
        Of the spatial shape: 0 background, 1 ... n objects.
    count : int
        Of numbers that there is room for at least; otherwise n + 1.

    Returns
    -------
    int64 array
        (K, count), indexed by label.
    """
    flat = labels.ravel().astype(np.intp, copy=False)  # as `count_labels` does
    count = max(count, int(flat.max(initial=0)) + 1)
    return np.array([np.bincount(flat, part.ravel(), count) for part in evidence]).astype(np.int64)


def likeliest(evidence: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the class 1 ... K with most evidence, of (K, ...); of equal ones the first."""
    classes: NDArray[np.uint8] = evidence.argmax(axis=0).astype(np.uint8) + np.uint8(1)
    return classes


def likeliest_classes(sums: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the class of every object: the `likeliest`.

    Parameters
    ----------
    sums : int64 array
        (K, n + 1), of `class_sums`.

    Returns
    -------
    uint8 array
        (n + 1,), indexed by label: 1 ... K, and 0 for the background and for labels of which there
        is no evidence.
    """
    classes = likeliest(sums)
    classes[~sums.any(axis=0)] = 0
    classes[0] = 0
    return classes


def object_classes(
    probabilities: NDArray[np.float32], labels: NDArray[np.integer]
) -> NDArray[np.uint8]:
    """Return the class of every object: that with the largest sum of probabilities in its pixels.

    Parameters
    ----------
    probabilities : float array
        (K + 1, Y, X) or (K + 1, Z, Y, X) of a model for cells of K classes.
    labels : integer array
        (Y, X) or (Z, Y, X): 0 background, 1 ... n objects, such as `napari_unet.segment` returns,
        corrected or not.

    Returns
    -------
    uint8 array
        (n + 1,), indexed by label: 1 ... K, and 0 for the background and for labels without a
        pixel.

    Raises
    ------
    InputError
        If the shapes do not fit, or the labels are no whole numbers from 0 on, or too high.
    """
    check_pixels("labels", labels, "read_labels")
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    are_labels = labels.dtype.kind in "iub" and labels.min(initial=0) >= 0
    if probabilities.shape[1:] != labels.shape or len(probabilities) < 2 or not are_labels:
        raise InputError(
            f"The probabilities have shape {probabilities.shape}, the labels {labels.shape} "
            f"({labels.dtype}); give the probabilities of background and classes, "
            f"(K + 1, *{labels.shape}), and whole numbers from 0 on."
        )
    if (most := labels.max(initial=0)) > MOST_OBJECTS:
        raise InputError(
            f"The labels go up to {most}, and each number up to the highest has a class; number "
            f"them anew first, such as with skimage.segmentation.relabel_sequential."
        )
    return likeliest_classes(class_sums(class_evidence(probabilities), labels))


def classes_by_label(classes: Classes) -> dict[int, str]:
    """Return the class of each label that has one, as text.

    Parameters
    ----------
    classes : mapping or pandas.Series of label to class, or sequence indexed by label
        A class is a name, or a number from 1 on; None, "", 0 and NaN are none.

    Raises
    ------
    InputError
        If a label or a class is something else.
    """
    # a Series of pandas has its labels beside it, and is no Mapping
    pairs: Any = classes.items() if hasattr(classes, "items") else enumerate(classes)
    named = {}
    for label, value in pairs:
        if not isinstance(label, int | np.integer) or label < 0:
            raise InputError(
                f"{label!r} is given a class, but labels are whole numbers from 0 on; give a "
                f"dictionary of label to class."
            )
        name = _name(label, value)
        if name:
            named[int(label)] = name
    return named


def _name(label: object, value: Any) -> str:
    """Return a class as text; "" for none."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and value.is_integer():
        value = int(value)  # a column of numbers with gaps is one of floats
    if isinstance(value, str | int | np.integer) and not NEGATIVE.fullmatch(str(value)):
        text = str(value).strip()
        return text if not text.isdecimal() else str(int(text)) * (int(text) > 0)
    raise InputError(
        f"The class of label {label} is {value!r}; give a name, or a whole number from 1 on."
    )


def order_classes(names: Collection[str]) -> tuple[str, ...]:
    """Return the classes in the order in which a network numbers them from 1 on.

    Where all are numbers they stay the numbers they are, and those in between exist too; names
    come in the order of the alphabet, numbers among them first.

    Raises
    ------
    InputError
        If there are more than a network can have.
    """
    numbers = {name for name in names if name.isdecimal()}
    ordered = [*sorted(numbers, key=int), *sorted(set(names) - numbers)]
    if ordered and ordered[-1].isdecimal():
        ordered = [str(number) for number in range(1, min(int(ordered[-1]), 2**16) + 1)]
    if len(ordered) > MOST_CLASSES:
        raise InputError(
            f"The cells have classes up to {ordered[-1]!r}, {len(ordered):,} in all; a model can "
            f"tell {MOST_CLASSES} apart. Give the cells of one kind the same class."
        )
    return tuple(ordered)


def class_name(names: Sequence[str], number: int) -> str:
    """Return class ``number`` (1, 2, ...) as tables have it: its name, or the number as text."""
    return (names[number - 1] if number <= len(names) else "") or str(number)


def class_title(names: Sequence[str], number: int) -> str:
    """Return what to call class ``number`` (1, 2, ...): its name, or "class 2" for the name "2"."""
    name = class_name(names, number)
    return f"class {name}" if name.isdecimal() else name


def class_targets(
    cells: NDArray[np.integer], classes: Mapping[int, str], names: Sequence[str]
) -> NDArray[np.uint8]:
    """Return the class of every pixel of some cells: 0 where there is none.

    Parameters
    ----------
    cells : integer array
        (Y, X): the labels of cells, 0 elsewhere.
    classes : mapping of label to class
        What is known of them.
    names : sequence of str
        What the network tells apart; with other classes, or none, a cell is `ANY_CELL`.
    """
    numbers = {name: number for number, name in enumerate(names, start=1)}
    known = sorted(label for label, name in classes.items() if label > 0 and name in numbers)
    if not known:
        return np.where(cells > 0, np.uint8(ANY_CELL), np.uint8(0))
    labels = np.array(known)
    values = np.array([numbers[classes[label]] for label in known], dtype=np.uint8)
    place = np.searchsorted(labels, cells).clip(max=len(labels) - 1)
    told = np.where(labels[place] == cells, values[place], np.uint8(ANY_CELL))
    return np.where(cells > 0, told, np.uint8(0))
