"""What the compute process is asked to run; importing this module loads no torch.

`napari_unet.engine.host.Host.run` takes functions by reference, and the program that holds the
host must never import torch, so these stand in for the engine's own generators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import IGNORE, Annotation, Meaning, encode
from napari_unet.core.boundary import boundary_weights_in
from napari_unet.core.cellclasses import class_sums, likeliest_classes
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.doubt import Doubt, doubt
from napari_unet.core.measure import measure_objects
from napari_unet.core.resolution import coarse_pixels, coarsen_labels
from napari_unet.core.tiles import lengths
from napari_unet.engine.cells import find_cells
from napari_unet.engine.events import Measured, PlaneDone, SegmentEvent, TrainEvent
from napari_unet.engine.process.mailbox import Mailbox
from napari_unet.engine.segmenter import Segmenter

__all__ = [
    "export_model",
    "find_doubt",
    "find_magnification",
    "number_cells",
    "segment_plane",
    "train",
    "weigh_box",
]


def train(
    annotations: Sequence[Annotation],
    config: TrainConfig,
    segmenter: Segmenter | None,
    mailbox: Mailbox | None = None,
    checkpoint: Path | None = None,
) -> Iterator[TrainEvent]:
    """Run `napari_unet.engine.training.train`."""
    from napari_unet.engine import training

    return training.train(
        annotations, config, segmenter=segmenter, mailbox=mailbox, checkpoint=checkpoint
    )


def segment_plane(
    segmenter: Segmenter,
    image: NDArray[Any],
    labels: NDArray[np.integer],
    foreground: NDArray[np.float32] | None,
    plane: tuple[int, ...],
    config: PredictConfig,
    after: int,
    mailbox: Mailbox | None = None,
    evidence: NDArray[np.uint16] | None = None,
    *,
    measure: bool = False,
) -> Iterator[SegmentEvent | Measured]:
    """Run `napari_unet.engine.inference.segment_into` for one plane of larger outputs.

    Parameters
    ----------
    segmenter, image, config, mailbox
        As there; ``image`` is (C, Y, X), or the `Remote` of one.
    labels, foreground : array
        (*leading, Y, X), shared with the program; ``plane`` is written.
    plane : tuple of int
        Index into the leading axes.
    after : int
        Cells that the other planes have already.
    evidence : uint16 array, optional
        (K, Y, X) of the plane alone, shared with the program.
    measure : bool
        Whether to measure the cells, before the plane is said to be done.
    """
    from napari_unet.engine.inference import segment_into

    part = None if foreground is None else foreground[plane]
    out = labels[plane]
    for event in segment_into(
        segmenter,
        image,
        out,
        config,
        part,
        evidence=evidence,
        after=after,
        mailbox=mailbox,
    ):
        if measure and isinstance(event, PlaneDone):
            yield Measured(columns=_measured(out, np.asarray(image), after))
        yield event


def _measured(
    labels: NDArray[np.integer], image: NDArray[Any], after: int
) -> dict[str, NDArray[Any]]:
    """Measure the cells of a plane that are numbered from ``after`` + 1 on."""
    columns = measure_objects(np.where(labels > after, labels - after, 0), image)
    return columns | {"label": columns["label"] + after}


def find_magnification(
    segmenter: Segmenter, planes: Sequence[Any], config: PredictConfig
) -> Iterator[float]:
    """Run `napari_unet.engine.findmagnification.finding` on (C, Y, X) planes."""
    from napari_unet.engine.findmagnification import finding

    return finding(segmenter, planes, config)


def export_model(segmenter: Segmenter, plane: Any, path: Path, name: str) -> Iterator[Path]:
    """Run `napari_unet.export_model` on a (C, Y, X) plane; yield once the file is there."""
    from napari_unet.engine.exporting.package import export_model

    export_model(segmenter, plane, path, name=name)
    yield path


def number_cells(
    foreground: NDArray[np.float32],
    segmenter: Segmenter,
    config: PredictConfig,
    out: NDArray[np.integer],
    after: int,
    evidence: NDArray[np.uint16] | None = None,
) -> Iterator[PlaneDone]:
    """Find the cells of a plane in its probabilities again.

    Parameters
    ----------
    foreground, segmenter, config
        As for `napari_unet.engine.cells.find_cells`.
    out : integer array
        (Y, X), shared with the program; receives the numbers of the cells.
    after : int
        The first cell gets the number after this one.
    evidence : uint16 array, optional
        (K, Y, X), by which the classes of the cells are told.

    Yields
    ------
    PlaneDone
        Once: how many there are, and their classes.
    """
    cells = find_cells(segmenter, foreground, config)
    out[...] = np.where(cells > 0, cells + after, 0)
    classes: tuple[int, ...] = ()
    if evidence is not None:
        classes = tuple(likeliest_classes(class_sums(evidence, cells))[1:].tolist())
    yield PlaneDone(plane=1, planes=1, objects=int(cells.max(initial=0)), classes=classes)


def weigh_box(
    labels: NDArray[np.integer],
    meaning: Meaning,
    region: NDArray[np.bool_] | None,
    box: Sequence[slice],
    factor: int,
    out: NDArray[np.float32],
    w0: float,
    sigma: float,
) -> Iterator[int]:
    """Write the boundary weights of a box into ``out``; 0 where not labelled.

    Parameters
    ----------
    labels : integer array
        (Y, X): what is painted `napari_unet.core.boundary.around` the box. It begins at a multiple
        of ``factor`` and ends at one, or at the end of the plane.
    meaning, region
        As for `napari_unet.core.annotation.encode`.
    box : (slice, slice)
        The box as pixels of ``labels``; begins and ends as they do.
    factor : int
        Working resolution: the weights are those of the labels that training sees.
    out : float32 array
        At least as large as the box; its first pixels are written.
    w0, sigma : float
        Height, and width in network pixels, of the border term.
    """
    if region is not None:
        region = coarsen_labels(region.astype(np.uint8), factor) > 0
    target = encode(coarsen_labels(labels, factor), meaning, region)
    inside = coarse_pixels(box, factor)
    unlabelled = target.classes == IGNORE
    weights = boundary_weights_in(target.cells, inside, w0=w0, sigma=sigma, ignore=unlabelled)
    height, width = lengths(box)
    fine = weights.repeat(factor, axis=0).repeat(factor, axis=1)
    out[:height, :width] = fine[:height, :width]
    yield 1


def find_doubt(
    labels: NDArray[np.integer], meaning: Meaning, has_regions: bool, answered: tuple[str, ...]
) -> Iterator[Doubt | None]:
    """Yield the question that the labels of a plane (Y, X) raise about their meaning, if any."""
    yield doubt(labels, meaning, has_regions, answered)
