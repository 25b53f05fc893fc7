"""What the three experiments of the U-Net paper are trained and scored on.

Each is made of the paper's own images where their folder is given, and of stand-ins otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import kinds
from challenges import (
    Array,
    Fold,
    Plane,
    hidden_sections,
    section,
    sections,
    sequence_folds,
    volume_folds,
)

from napari_unet.errors import InputError

__all__ = ["EXPERIMENTS", "Experiment"]

MEMBRANES = {"warping error": 0.000353, "Rand error": 0.0382, "pixel error": 0.0611}
"""Table 1 of the paper; Table 2 has one figure for each of the other two."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Images to learn and others to score, in one or several parts.

    ``paper`` has the paper's figures by score, ``hidden`` a volume without truth to be mapped.
    """

    title: str
    data: str
    folds: list[Fold]
    paper: dict[str, float]
    original: bool
    hidden: Array | None = None

    @property
    def membranes(self) -> bool:
        """Whether maps of membranes are scored, and not cells."""
        return "warping error" in self.paper


def em(folder: Path | None) -> Experiment:
    """Twelve sections of nerve tissue; four at the far end of the volume."""
    title = "EM membranes"
    if folder is not None:
        planes = sections(folder)
        return Experiment(
            title=title,
            data=f"ISBI 2012, {len(planes)} annotated sections, a third at a time is scored",
            folds=volume_folds(planes),
            paper=MEMBRANES,
            original=True,
            hidden=hidden_sections(folder),
        )
    images, labels = stand_in("--isbi", "em_membranes/images.tif", "em_membranes/labels.tif")
    planes = [section(*pair) for pair in zip(images, labels, strict=True)]
    return Experiment(
        title=title,
        data="`em_membranes`, sections 0 to 11 painted, 16 to 19 scored",
        folds=[Fold(painted=[p.annotation() for p in planes[:12]], scored=planes[16:])],
        paper=MEMBRANES,
        original=False,
    )


def phase(folder: Path | None) -> Experiment:
    """Five images of crowded cells; three others."""
    title, paper = "phase contrast", {"SEG": 0.9203}
    if folder is not None:
        return sequences(title, folder, paper)
    images, labels = stand_in("--phc", "phase_t98g/images.tif", "phase_t98g/masks.tif")
    planes = [
        Plane(image=image[None], truth=kinds.largest_pieces(truth))
        for image, truth in zip(images, labels, strict=True)
    ]
    fold = Fold(
        painted=[planes[k].annotation() for k in (0, 1, 2, 4, 7)],
        scored=[planes[k] for k in (3, 5, 6)],
    )
    data = "`phase_t98g`, images 0, 1, 2, 4 and 7 painted, 3, 5 and 6 scored"
    return Experiment(title=title, data=data, folds=[fold], paper=paper, original=False)


def dic(folder: Path | None) -> Experiment:
    """Half a field of touching cells; the other half."""
    title, paper = "DIC", {"SEG": 0.7756}
    if folder is not None:
        return sequences(title, folder, paper)
    stand_in("--dic", "dic_cells/image.tif", "dic_cells/mask.tif")
    kind = kinds.KINDS["dic"]("report")
    scored = [Plane(image=image, truth=truth) for image, truth in kind.images]
    fold = Fold(painted=kind.painted, scored=scored)
    data = "`dic_cells`, rows 512 to 1023 painted, 0 to 511 scored"
    return Experiment(title=title, data=data, folds=[fold], paper=paper, original=False)


def sequences(title: str, folder: Path, paper: dict[str, float]) -> Experiment:
    """Each annotated sequence of the Cell Tracking Challenge; the other."""
    folds = sequence_folds(folder)
    data = f"{folder.name}, {len(folds)} sequences with "
    data += " and ".join(str(len(fold.scored)) for fold in folds) + " annotated frames"
    return Experiment(title=title, data=data, folds=folds, paper=paper, original=True)


def stand_in(option: str, *names: str) -> list[Array]:
    """Read files of the data set, or say what to do if they are not there."""
    for name in names:
        if not (kinds.DATA / name).is_file():
            raise InputError(
                f"There is no file {kinds.DATA / name}. Set NAPARI_UNET_DATA to the folder with "
                f"the stand-in images, give the original ones with {option}, or leave this "
                f"experiment out with --only."
            )
    return [kinds.read(name) for name in names]


EXPERIMENTS: dict[str, Callable[[Path | None], Experiment]] = {
    "em": em,
    "phase": phase,
    "dic": dic,
}
