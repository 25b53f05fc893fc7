"""What looks like a mistake in what a training is given, and is trained on all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import some_of

if TYPE_CHECKING:
    from napari_unet.core.annotation import Annotation
    from napari_unet.core.config import TrainConfig
    from napari_unet.core.doubt import Doubt
    from napari_unet.engine.segmenter import Segmenter

__all__ = [
    "class_doubts",
    "continuing_doubt",
    "grey_doubts",
    "meaning_doubts",
    "number_doubts",
    "pair_doubts",
]


def continuing_doubt(config: TrainConfig, model: Segmenter) -> str:
    """Say which settings a model that is continued does not take over, or nothing."""
    from napari_unet.core.config import TrainConfig

    default = TrainConfig()
    kept = {name: getattr(model, name) for name in ("base_channels", "depth", "downsample")}
    kept["start"] = default.start
    given = [
        f"--{name.replace('_', '-')} {value}"
        for name, own in kept.items()
        if (value := getattr(config, name)) not in (getattr(default, name), own)
    ]
    if not given:
        return ""
    return (
        f"{', '.join(given)}: no effect, because a continued model keeps its size, "
        f"resolution and weights. Leave --continue out to begin a new one."
    )


def pair_doubts(pairs: Sequence[tuple[Path, Path]]) -> Iterator[str]:
    """Say if an image and its labels are a pair only because there are no others."""
    from napari_unet.engine.formats.pairfiles import same_name

    for image, labels in pairs:
        if not same_name(image, labels):
            yield (
                f"{image} and {labels} have different names, and are used as a pair because "
                f"there is one of each."
            )


def meaning_doubts(
    pairs: Sequence[tuple[Path, Path]], annotations: Sequence[Annotation]
) -> Iterator[str]:
    """Ask what the dock asks where numbers contradict their meaning; each question once."""
    from napari_unet.core.doubt import doubt

    asked: list[str] = []
    for (_, labels), annotation in zip(pairs, annotations, strict=True):
        for plane in annotation.planes():
            has_regions = plane.region is not None
            found = doubt(plane.labels, plane.meaning, has_regions, tuple(asked))
            if found is not None:
                asked.append(found.key)
                yield f"{labels}: {found.question} {_answer(found, plane)}"


def _answer(doubt: Doubt, plane: Annotation) -> str:
    if doubt.yes != plane.meaning:
        return f"If so, give --meaning {doubt.yes}."
    if doubt.no is not None:
        return f"If not, give --meaning {doubt.no}."
    return (
        "If not, say with --region which parts are finished, or paint some background with 1, "
        "cells with 2, 3, ..., and give --meaning scribbles."
    )


def grey_doubts(
    pairs: Sequence[tuple[Path, Path]], annotations: Sequence[Annotation]
) -> Iterator[str]:
    """Say of which images the grey values are odd, once for each, as a batch does."""
    from napari_unet.core.normalise import oddity

    for (image, _), annotation in zip(pairs, annotations, strict=True):
        found = (oddity(plane.image) for plane in annotation.planes())
        if said := next(filter(None, found), ""):
            yield f"{image}: {said}"


def number_doubts(
    pairs: Sequence[tuple[Path, Path]], annotations: Sequence[Annotation]
) -> Iterator[str]:
    """Say of which labels the numbers do not seem to be cells."""
    from napari_unet.core.unnumbered import seems_unnumbered_to_learn

    for (_, labels), annotation in zip(pairs, annotations, strict=True):
        if annotation.meaning == "instances":
            planes = (seems_unnumbered_to_learn(plane.labels) for plane in annotation.planes())
            if doubt := next(filter(None, planes), ""):
                yield f"{labels}: {doubt}"


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
            f"{table} has classes for labels that are in no image: {some_of(lost)}. They are left "
            f"out."
        )
    if new and annotations[0].meaning != "classes" and (count := _count(annotations)) < 2:
        have = "1 class" if count == 1 else "no class"
        yield (
            f"{table} has {have} of cells, and two are needed to be told apart: the model learns "
            f"what a cell is, and no classes."
        )


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
