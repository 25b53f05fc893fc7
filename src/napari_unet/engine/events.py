"""What the engine's generators tell: frozen values with numbers and regions, never pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.engine.segmenter import Segmenter

__all__ = [
    "Learned",
    "Measured",
    "OddPlane",
    "PlaneDone",
    "Prepared",
    "Previewed",
    "Score",
    "SegmentEvent",
    "StepDone",
    "TileDone",
    "TrainEvent",
    "Trained",
    "Validated",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good a model is on labels that it was not trained on, and how good it was before.

    ``str()`` says it in a line: "SEG 0.81 -> 0.86 on 7 held-out cells".

    Attributes
    ----------
    metric : {"SEG", "IoU"}
        SEG of the Cell Tracking Challenge over the held-out cells; where no cell is held out, and
        for classes, the mean intersection over union of the held-out pixels.
    before : float or None
        Of the model that training started from; None for a new model.
    after : float
        Of the model that training ended with.
    count : int
        Held-out cells, or held-out blocks.
    drawn : int
        Further held-out cells, which are as the model before drew them: they do not count.
    """

    metric: Literal["SEG", "IoU"]
    before: float | None
    after: float
    count: int
    drawn: int = 0

    def __str__(self) -> str:
        before = "" if self.before is None else f"{self.before:.2f} -> "
        what = "cell" if self.metric == "SEG" else "block"
        many = "" if self.count == 1 else "s"
        told = f"{self.metric} {before}{self.after:.2f} on {self.count} held-out {what}{many}"
        drawn = f" ({self.drawn} drawn by the earlier model not counted)" if self.drawn else ""
        return told + drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Training can begin, or go on.

    Attributes
    ----------
    message : str
        What is labelled, on which device and at which resolution it is learned, in words.
    segmenter : Segmenter
        Where training starts from; of a resumed one, the best so far.
    earlier : tuple of StepDone and Validated
        What a training that is resumed told before it was stopped.
    """

    message: str
    segmenter: Segmenter
    earlier: tuple[StepDone | Validated, ...] = ()


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
class Previewed:
    """What the network in training makes of what the user looks at is written.

    Attributes
    ----------
    key : int
        Of the `napari_unet.engine.process.mailbox.Look` that asked for it.
    step : int
        After how many steps.
    segmenter : Segmenter
        The best so far.
    """

    key: int
    step: int
    segmenter: Segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """All steps are taken; the model is being fitted to what is painted, and measured.

    That takes some seconds where much is painted.

    Attributes
    ----------
    step, seconds : int, float
        When.
    segmenter : Segmenter
        The best so far.
    """

    step: int
    seconds: float
    segmenter: Segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The last event of a training.

    Attributes
    ----------
    steps, seconds : int, float
        How long it was.
    score : Score or None
        How good the model is now and was before; None if nothing was held out.
    segmenter : Segmenter
        The best one.
    """

    steps: int
    seconds: float
    segmenter: Segmenter
    score: Score | None = None


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
    note : str
        What the user should know about the tiles, in a sentence: that memory was too small for
        those that were planned. The same from then on; empty as long as all is well.
    oddity : str
        What the user should know about the grey values of the plane, in a sentence; mostly empty.
    """

    index: int
    total: int
    region: tuple[slice, ...]
    note: str = ""
    oddity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneDone:
    """All cells of one plane are numbered.

    Attributes
    ----------
    plane, planes : int
        1 ... planes.
    objects : int
        Cells found in it (0 for a model of classes).
    classes : tuple of int
        Of a model for cells of several classes: the class 1 ... K of each of them, in the order of
        their numbers; empty otherwise.
    """

    plane: int
    planes: int
    objects: int
    classes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OddPlane:
    """The grey values of a plane of a volume are odd.

    Attributes
    ----------
    plane : int
        0, 1, ...: which of the stack, time points after each other.
    oddity : str
        What the user should know about them, in a sentence.
    """

    plane: int
    oddity: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """The cells of a plane are measured.

    Attributes
    ----------
    columns : dict of str to array
        A row for every cell, as `napari_unet.core.measure.ObjectSums.table` returns them.
    """

    columns: dict[str, NDArray[np.generic]]


TrainEvent: TypeAlias = Prepared | StepDone | Validated | Previewed | Learned | Trained
SegmentEvent: TypeAlias = TileDone | PlaneDone
