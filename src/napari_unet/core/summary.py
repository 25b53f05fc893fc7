"""What is labelled, in numbers and in words: said before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import IGNORE, Annotation, encode, first_cell
from napari_unet.core.cellclasses import class_title, order_classes
from napari_unet.errors import InputError

__all__ = ["Summary", "counted", "grouped", "in_cells", "summarise"]

Counts = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Summary:
    """What is labelled, in numbers; ``str()`` says it in words.

    Attributes
    ----------
    background, unlabelled, total : int
        Pixels.
    objects : int
        Cells.
    classes : tuple of int
        Pixels of each class; empty for labels of cells.
    names : tuple of str
        What the classes are called, pixels or cells.
    kinds : tuple of int
        Cells of each class; empty where no cell has one.
    """

    background: int
    objects: int
    unlabelled: int
    total: int
    classes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[int, ...] = ()

    @classmethod
    def of_classes(cls, counts: Counts, total: int, names: Mapping[int, str]) -> Summary:
        """Sum up classes of pixels.

        Parameters
        ----------
        counts : (256,) integer array
            Pixels of each class of a `Target`.
        total : int
            All pixels.
        names : mapping of int to str
            What classes 1, 2, ... are called, as far as they have names.
        """
        last = int(np.flatnonzero(counts[:IGNORE]).max(initial=-1)) + 1
        classes = tuple(int(n) for n in counts[:last]) or (0,)
        named = tuple(names.get(number, "") for number in range(1, last + 1))
        return cls(0, 0, total - sum(classes), total, classes, named if any(named) else ())

    @classmethod
    def of_cells(
        cls, counts: Counts, total: int, objects: int, kinds: Mapping[str, int]
    ) -> Summary:
        """Sum up cells.

        Parameters
        ----------
        counts, total
            As of classes.
        objects : int
            Cells.
        kinds : mapping of str to int
            How many of them are of each class that has any.
        """
        names = order_classes(kinds)
        unlabelled = total - int(counts[:IGNORE].sum())
        cells = tuple(kinds.get(name, 0) for name in names)
        return cls(int(counts[0]), objects, unlabelled, total, (), names, cells)

    def __str__(self) -> str:
        if self.classes:
            titles = [f"px {self._title(k)}" for k in range(len(self.classes))]
            painted = counted(titles, self.classes) or "no class painted"
        else:
            cells = "1 cell" if self.objects == 1 else f"{grouped(self.objects)} cells"
            painted = f"{grouped(self.background)} px background, {cells}{self._in_kinds()}"
        return f"{painted}, {self._percent_unlabelled()} % unlabelled"

    def _title(self, index: int) -> str:
        return class_title(self.names, index + 1)

    def _in_kinds(self) -> str:
        if not self.kinds:
            return ""
        titles = [self._title(k) for k in range(len(self.kinds))]
        unknown = self.objects - sum(self.kinds)
        return f" ({counted([*titles, 'without a class'], [*self.kinds, unknown])})"

    def _percent_unlabelled(self) -> str:
        percent = 100 * self.unlabelled / max(self.total, 1)
        rounded = f"{percent:.0f}"
        # a few strokes in a large image are not nothing
        return "99.9" if rounded == "100" and self.unlabelled < self.total else rounded


def grouped(n: int) -> str:
    """Return a number as it is written in sentences: 12 345."""
    return f"{n:,}".replace(",", " ")


def in_cells(n: int) -> str:
    """Count cells in words."""
    return "1 cell" if n == 1 else f"{grouped(n)} cells"


def counted(titles: Sequence[str], counts: Sequence[int]) -> str:
    """Say how many there are of each class that there is: "8 healthy, 4 class 2"."""
    pairs = zip(titles, counts, strict=True)
    return ", ".join(f"{grouped(n)} {title}" for title, n in pairs if n)


def summarise(annotations: Sequence[Annotation]) -> Summary:
    """Count what is labelled, over all annotations.

    Raises
    ------
    InputError
        If instances and classes are mixed, or one class has two names.
    """
    if len({a.meaning == "classes" for a in annotations}) > 1:
        raise InputError(
            "Some labels are classes and some are cells; a model learns one or the other. "
            "Give all label layers the same kind of meaning."
        )
    counts = np.zeros(256, dtype=np.int64)
    kinds: Counter[str] = Counter()
    objects, total = 0, 0
    for annotation in annotations:
        total += annotation.labels.size
        for plane in annotation.planes():
            target = encode(plane.labels, plane.meaning, plane.region)
            counts += np.bincount(target.classes.ravel(), minlength=256)
            ids = np.unique(plane.labels)
            ids = ids[ids >= first_cell(plane.meaning)]
            objects += len(ids)
            kinds.update(plane.class_of[i] for i in ids.tolist() if i in plane.class_of)
    if annotations and annotations[0].meaning == "classes":
        return Summary.of_classes(counts, total, _names_of_classes(annotations))
    return Summary.of_cells(counts, total, objects, kinds)


def _names_of_classes(annotations: Sequence[Annotation]) -> dict[int, str]:
    """Return the names of those classes that have one."""
    names: dict[int, str] = {}
    for annotation in annotations:
        for number, name in annotation.class_of.items():
            if names.setdefault(number, name) != name:
                raise InputError(
                    f"Class {number} is called {names[number]!r} in one place and {name!r} in "
                    f"another; give it one name, and other pixels another number."
                )
    return names
