"""What a comparison of a segmentation with the truth came to: in words, as a table, as a file."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_unet.core.annotation import Meaning
from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.scoring import PlaneScore
from napari_unet.errors import InputError
from napari_unet.viewer.stack import ImageStack, PlaneIndex

if TYPE_CHECKING:
    from napari_unet.core.comparison import ObjectScore

__all__ = ["Row", "Score"]

Row = tuple[PlaneIndex, "ObjectScore"]
"""What became of an object, and in which plane."""

WORST_FIRST = ("missed", "spurious", "merged", "split", "found")


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """How well the cells of an image agree with labels that are the truth.

    Attributes
    ----------
    image : Image
        What was segmented.
    truth_meaning : {"scribbles", "instances"}
        Of the labels.
    trained_on : bool
        Whether the model may have learned from them.
    planes : mapping
        The scores of every plane that was compared; at least one.
    without_truth, not_segmented : int
        Planes that were left out because there was nothing to compare.
    """

    image: Image
    truth_meaning: Meaning
    trained_on: bool
    planes: Mapping[PlaneIndex, PlaneScore]
    without_truth: int = 0
    not_segmented: int = 0

    @property
    def sentence(self) -> str:
        """The scores in words; of several planes the means, as ``napari-unet evaluate`` has them.

        Merged and split are counted in true cells, so that with found and missed they are all.
        """
        planes = self.planes.values()
        seg, ap, iou = (
            fmean(getattr(plane, name) for plane in planes)
            for name in ("seg", "average_precision", "iou")
        )
        objects = [one for plane in planes for one in plane.objects]
        fates = Counter(one.fate for one in objects if one.side == "truth")
        spurious = sum(one.fate == "spurious" for one in objects)
        cells = fates.total()
        said = [
            f"SEG {seg:.2f}, AP@0.5 {ap:.2f}, IoU {iou:.2f}{self._which()}.",
            f"{cells} true cell{'s' * (cells != 1)}: {fates['found']} found, "
            f"{fates['missed']} missed, {fates['merged']} merged, {fates['split']} split; "
            f"{spurious} spurious.",
        ]
        if self.truth_meaning == "scribbles":
            said.append("Only labelled pixels count.")
        if self.trained_on:
            said.append("The model may have learned from these labels, which flatters it.")
        return " ".join(said)

    def rows(self) -> list[Row]:
        """List the objects, the worst first; of a pair that is found only the true one."""
        rows = [
            (plane, one)
            for plane, score in self.planes.items()
            for one in score.objects
            if one.side == "truth" or one.fate != "found"
        ]
        return sorted(rows, key=lambda row: (WORST_FIRST.index(row[1].fate), row[1].iou, row[0]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all objects of both sides as CSV, as ``napari-unet evaluate --objects`` does.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        shape = ImageStack.of(self.image).leading
        objects = [
            {"image": self.image.name, "plane": _number(plane, shape), **asdict(one)}
            for plane, score in self.planes.items()
            for one in score.objects
        ]
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(objects[0])
        for one in objects:
            writer.writerow(f"{v:.4f}" if isinstance(v, float) else v for v in one.values())
        content = text.getvalue().encode()
        try:
            write_atomically(Path(path), lambda file: file.write(content))
        except (OSError, ValueError) as error:  # ValueError: not a possible name of a file
            raise InputError(
                f"The table could not be saved to {path}: {error}. Choose another folder or name."
            ) from error

    def _which(self) -> str:
        """Say which planes these are the scores of."""
        if not ImageStack.of(self.image).leading:
            return ""
        if len(self.planes) == 1 and not self.without_truth + self.not_segmented:
            (plane,) = self.planes
            return f" in plane {', '.join(map(str, plane))}"
        counts = {"without a true cell": self.without_truth, "not segmented": self.not_segmented}
        left_out = " and ".join(f"{count} {why}" for why, count in counts.items() if count)
        number = len(self.planes)
        means = f" (means of {number} planes" if number != 1 else " (1 plane"
        return means + (f"; left out: {left_out})" if left_out else ")")


def _number(plane: PlaneIndex, leading: tuple[int, ...]) -> int:
    """Count the planes before one."""
    return int(np.ravel_multi_index(plane, leading)) if leading else 0
