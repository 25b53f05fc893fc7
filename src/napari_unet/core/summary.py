"""What is labelled, in numbers and in words: said before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_unet.core.annotation import IGNORE, Annotation, encode, first_cell
from napari_unet.core.cellclasses import class_title, counted, order_classes
from napari_unet.errors import InputError

__all__ = ["Summary", "grouped", "summarise"]


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
    labelled = int(counts[:IGNORE].sum())
    if annotations and annotations[0].meaning == "classes":
        last = int(np.flatnonzero(counts[:IGNORE]).max(initial=-1)) + 1
        per_class = tuple(int(n) for n in counts[:last]) or (0,)
        names = _names_of_classes(annotations, last)
        return Summary(0, 0, total - labelled, total, per_class, names)
    names = order_classes(kinds)
    cells = tuple(kinds[name] for name in names)
    return Summary(int(counts[0]), objects, total - labelled, total, (), names, cells)


def _names_of_classes(annotations: Sequence[Annotation], count: int) -> tuple[str, ...]:
    """Return the names of classes 1 ... count, "" where there is none; () without any."""
    names: dict[int, str] = {}
    for annotation in annotations:
        for number, name in annotation.class_of.items():
            if names.setdefault(number, name) != name:
                raise InputError(
                    f"Class {number} is called {names[number]!r} in one place and {name!r} in "
                    f"another; give it one name, and other pixels another number."
                )
    listed = tuple(names.get(number, "") for number in range(1, count + 1))
    return listed if any(listed) else ()
