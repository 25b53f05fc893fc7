"""What looks like a mistake in what a training is given, and is trained on all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.core.annotation import Annotation

__all__ = ["class_doubts", "some"]

SHOWN = 5
"""Names in a sentence, before only their number is told."""


def class_doubts(
    table: str,
    pairs: Sequence[tuple[Path, Path]],
    annotations: Sequence[Annotation],
    *,
    new: bool,
) -> Iterator[str]:
    """Say what of a table of classes will not be learned; a model that is not new may know more."""
    lost = _unmatched(pairs, annotations)
    if lost:
        yield (
            f"{table} has classes for labels that are in no image: {some(lost)}. They are left out."
        )
    if new and annotations[0].meaning != "classes" and (count := _count(annotations)) < 2:
        have = "1 class" if count == 1 else "no class"
        yield (
            f"{table} has {have} of cells, and two are needed to be told apart: the model learns "
            f"what a cell is, and no classes."
        )


def some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _unmatched(pairs: Sequence[tuple[Path, Path]], annotations: Sequence[Annotation]) -> list[str]:
    """Return the labels that have a class and are nowhere, with the name of their image."""
    import numpy as np

    present = [{*np.unique(one.labels).tolist()} for one in annotations]
    if annotations[0].meaning == "classes":
        # their names are those of all images
        everywhere = set().union(*present)
        return [str(n) for n in sorted(_classified(annotations) - everywhere)]
    return [
        f"{label} ({image.name})"
        for (image, _), one, there in zip(pairs, annotations, present, strict=True)
        for label in sorted(one.class_of.keys() - there)
    ]


def _classified(annotations: Sequence[Annotation]) -> set[int]:
    """Return all labels that have a class."""
    return {label for one in annotations for label in one.class_of}


def _count(annotations: Sequence[Annotation]) -> int:
    """Return how many classes the cells have that there are."""
    from napari_unet.core.summary import summarise

    return len(summarise(annotations).kinds)
