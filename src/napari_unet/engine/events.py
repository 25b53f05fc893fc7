"""What the engine's generators tell: frozen values with numbers and regions, never pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from napari_unet.engine.segmenter import Segmenter

__all__ = [
    "PlaneDone",
    "Prepared",
    "SegmentEvent",
    "StepDone",
    "TileDone",
    "TrainEvent",
    "Trained",
    "Validated",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Training can begin.

    Attributes
    ----------
    message : str
        What is labelled, on which device and at which resolution it is learned, in words.
    segmenter : Segmenter
        Where training starts from.
    """

    message: str
    segmenter: Segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """One optimiser step.

    Attributes
    ----------
    step : int
        1, 2, ... in this run.
    loss : float
        Weighted cross entropy of the step's patches (eq. 1).
    seconds : float
        Since training began.
    progress : float
        Used share of the budget, 0 ... 1 (0 without a budget).
    segmenter : Segmenter
        The best so far.
    """

    step: int
    loss: float
    seconds: float
    progress: float
    segmenter: Segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The network was measured on labelled pixels that it is not trained on.

    Attributes
    ----------
    step, seconds : int, float
        When.
    loss : float
        Weighted cross entropy on the held-out pixels.
    iou : float
        Mean over classes of intersection over union on them (foreground only for cells).
    segmenter : Segmenter
        The best so far.
    """

    step: int
    seconds: float
    loss: float
    iou: float
    segmenter: Segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The last event of a training: ``segmenter`` is the best one."""

    steps: int
    seconds: float
    segmenter: Segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class TileDone:
    """One tile is computed.

    Attributes
    ----------
    index, total : int
        1 ... total, over all planes.
    region : tuple of slice
        The pixels of the output that are final now, one slice per axis of the labels; may be
        empty while rotated copies are still averaged.
    """

    index: int
    total: int
    region: tuple[slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneDone:
    """All cells of one plane are numbered.

    Attributes
    ----------
    plane, planes : int
        1 ... planes.
    objects : int
        Cells found in it (0 for a model of classes).
    """

    plane: int
    planes: int
    objects: int


TrainEvent: TypeAlias = Prepared | StepDone | Validated | Trained
SegmentEvent: TypeAlias = TileDone | PlaneDone
