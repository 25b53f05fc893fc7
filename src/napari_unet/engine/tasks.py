"""What the compute process is asked to run; importing this module loads no torch.

`napari_unet.engine.host.Host.run` takes functions by reference, and the program that holds the
host must never import torch, so these stand in for the engine's own generators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.annotation import IGNORE, Annotation, Meaning, encode
from napari_unet.core.boundary import boundary_weight_map
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.events import SegmentEvent, TrainEvent
from napari_unet.engine.segmenter import Segmenter

__all__ = ["segment_plane", "train", "weigh_plane"]


def train(
    annotations: Sequence[Annotation], config: TrainConfig, segmenter: Segmenter | None
) -> Iterator[TrainEvent]:
    """Run `napari_unet.engine.training.train`."""
    from napari_unet.engine import training

    return training.train(annotations, config, segmenter=segmenter)


def segment_plane(
    segmenter: Segmenter,
    image: NDArray[Any],
    labels: NDArray[np.integer],
    foreground: NDArray[np.float32] | None,
    plane: tuple[int, ...],
    config: PredictConfig,
    numbered: int,
) -> Iterator[SegmentEvent]:
    """Run `napari_unet.engine.inference.segment_into` for one plane of larger outputs.

    Parameters
    ----------
    segmenter, image, config
        As there; ``image`` is (C, Y, X).
    labels, foreground : array
        (*leading, Y, X), shared with the program; ``plane`` is written.
    plane : tuple of int
        Index into the leading axes.
    numbered : int
        Cells that the other planes have already.
    """
    from napari_unet.engine.inference import segment_into

    part = None if foreground is None else foreground[plane]
    return segment_into(segmenter, image, labels[plane], config, part, numbered=numbered)


def weigh_plane(
    labels: NDArray[np.integer],
    meaning: Meaning,
    region: NDArray[np.bool_] | None,
    out: NDArray[np.float32],
    w0: float,
    sigma: float,
) -> Iterator[int]:
    """Write the boundary weights of a painted plane (Y, X) into ``out``; 0 where not labelled."""
    target = encode(labels, meaning, region)
    unlabelled = target.classes == IGNORE
    out[...] = boundary_weight_map(target.cells, w0=w0, sigma=sigma, ignore=unlabelled)
    yield 1
