"""What a comparison of a segmentation with the truth came to: in words, as a table, as a file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from napari.layers import Image

from napari_unet.core.annotation import Meaning
from napari_unet.core.classcomparison import ClassScore, mean_iou, together, wrong_share
from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.objecttable import object_table
from napari_unet.engine.scoring import Agreement
from napari_unet.errors import InputError
from napari_unet.viewer.stack import PlaneIndex

if TYPE_CHECKING:
    from napari_unet.core.comparison import ObjectScore

__all__ = ["CellScore", "ClassesScore", "Row", "Score"]

P = TypeVar("P")

Row = tuple[PlaneIndex, "ObjectScore"]
"""What became of an object, and in which plane it is, or its centre."""

WORST_FIRST = ("missed", "spurious", "merged", "split", "found")
MEANS = "means of "
FLATTERED = "The model may have learned from these labels, which flatters it."


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Score(ABC, Generic[P]):
    """How well a segmentation agrees with labels that are the truth.

    Attributes
    ----------
    image : Image
        What was segmented.
    trained_on : bool
        Whether the model may have learned from the truth.
    leading : tuple of int
        How many planes, or volumes, there are along each axis.
    parts : mapping
        What was found in every one that was compared; at least one.
    without_truth, not_segmented : int
        How many were left out because there was nothing to compare.
    """

    image: Image
    trained_on: bool
    leading: tuple[int, ...]
    parts: Mapping[PlaneIndex, P]
    without_truth: int = 0
    not_segmented: int = 0

    @property
    @abstractmethod
    def sentence(self) -> str:
        """The scores in words."""

    def rows(self) -> list[Row]:
        """List the objects that were compared, if any, the worst first."""
        return []

    def which(self, what: str, before: str = "") -> str:
        """Say which parts of the image these are the scores of.

        Parameters
        ----------
        what : str
            What a part is called.
        before : str
            What is said before the number of several.
        """
        if not self.leading:
            return ""
        if len(self.parts) == 1 and not self.without_truth + self.not_segmented:
            (part,) = self.parts
            return f" in {what} {', '.join(map(str, part))}"
        counts = {"without truth": self.without_truth, "not segmented": self.not_segmented}
        left_out = " and ".join(f"{count} {why}" for why, count in counts.items() if count)
        number = len(self.parts)
        parts = f"{before}{number} {what}s" if number != 1 else f"1 {what}"
        return f" ({parts}; left out: {left_out})" if left_out else f" ({parts})"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CellScore(Score[Agreement]):
    """How well cells agree with the truth.

    Attributes
    ----------
    truth_meaning : {"scribbles", "instances"}
        Of the labels.
    in_3d : bool
        Whether volumes were compared, and not planes.
    true_classes, predicted_classes : mapping
        The class of every cell that has one.
    """

    truth_meaning: Meaning
    in_3d: bool = False
    true_classes: Mapping[int, str] = field(default_factory=dict)
    predicted_classes: Mapping[int, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The scores in words; of several parts the means, as ``napari-unet evaluate`` has them.

        Merged and split are counted in true cells, so that with found and missed they are all.
        """
        parts = self.parts.values()
        seg, ap, iou = (
            fmean(getattr(part, name) for part in parts)
            for name in ("seg", "average_precision", "iou")
        )
        objects = [one for part in parts for one in part.objects]
        fates = Counter(one.fate for one in objects if one.side == "truth")
        spurious = sum(one.fate == "spurious" for one in objects)
        cells = fates.total()
        said = [
            f"SEG {seg:.2f}, AP@0.5 {ap:.2f}, IoU {iou:.2f}{self._which()}.",
            f"{cells} true cell{'s' * (cells != 1)}: {fates['found']} found, "
            f"{fates['missed']} missed, {fates['merged']} merged, {fates['split']} split; "
            f"{spurious} spurious.",
        ]
        said += self._about_classes(objects)
        said += [part.doubt for part in parts if part.doubt][:1]
        if self.truth_meaning == "scribbles":
            said.append("Only labelled pixels count.")
        if self.trained_on:
            said.append(FLATTERED)
        return " ".join(said)

    def rows(self) -> list[Row]:
        """List the objects, the worst first; of a pair that is found only the true one."""
        rows = [
            ((*part, round(one.z)) if self.in_3d else part, one)
            for part, score in self.parts.items()
            for one in score.objects
            if one.side == "truth" or one.fate != "found"
        ]
        return sorted(rows, key=lambda row: (WORST_FIRST.index(row[1].fate), row[1].iou, row[0]))

    def diameter(self, one: ObjectScore) -> float:
        """Return that of a disk, or a ball, with the pixels of an object."""
        return float(np.cbrt(6 * one.area / np.pi) if self.in_3d else 2 * np.sqrt(one.area / np.pi))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all objects of both sides as CSV, as ``napari-unet evaluate --objects`` does.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        content = object_table(
            [
                (self.image.name, _number(part, self.leading), score.objects)
                for part, score in self.parts.items()
            ],
            in_3d=self.in_3d,
        )
        try:
            write_atomically(Path(path), lambda file: file.write(content))
        except (OSError, ValueError) as error:  # ValueError: not a possible name of a file
            raise InputError(
                f"The table could not be saved to {path}: {error}. Choose another folder or name."
            ) from error

    def _which(self) -> str:
        if self.in_3d:
            return " of 3D objects" + self.which("time point", MEANS)
        return self.which("plane", MEANS)

    def _about_classes(self, objects: Sequence[ObjectScore]) -> list[str]:
        """Say how many of the cells that were found have the right class."""
        told = [
            self.predicted_classes.get(one.partner) == self.true_classes[one.label]
            for one in objects
            if (one.side, one.fate) == ("truth", "found") and one.label in self.true_classes
        ]
        if not told or not self.predicted_classes:
            return []
        return [f"Of {len(told)} found cells whose class is known, {sum(told)} have it."]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ClassesScore(Score[tuple[ClassScore, ...]]):
    """How well classes of pixels agree with the truth.

    Attributes
    ----------
    titles : mapping
        What the classes are called, where they have a name.
    """

    titles: Mapping[int, str]

    @property
    def sentence(self) -> str:
        """The scores in words, of the pixels of all planes together."""
        classes = together(self.parts.values())
        titles = [self.titles.get(one.label, f"class {one.label}") for one in classes]
        each = (f"{title} {one.iou:.2f}" for title, one in zip(titles, classes, strict=True))
        which = self.which("plane")
        said = [
            f"Mean IoU {mean_iou(classes):.2f}{which}: {', '.join(each)}.",
            f"{wrong_share(classes):.1%} of the labelled pixels have a wrong class.",
        ]
        return " ".join(said + [FLATTERED] * self.trained_on)


def _number(part: PlaneIndex, leading: tuple[int, ...]) -> int:
    """Count the parts before one."""
    return int(np.ravel_multi_index(part, leading)) if part else 0
