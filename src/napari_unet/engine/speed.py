"""How fast a device segments and trains, measured by doing both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.core.annotation import Annotation
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.device import describe, select_device
from napari_unet.engine.events import StepDone
from napari_unet.engine.inference import segment
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.training import train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Speed", "measure_speed"]

TURNS = 5
"""Times that a plane is segmented."""

STEPS, WARM_UP = 100, 20
"""Steps of training that are counted, after others in which a device gets going."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a device is.

    Attributes
    ----------
    device : str
        In words.
    plane_seconds : float
        To segment a plane, from the image to its cells: the median of `TURNS`.
    steps_per_second : float
        Of training.
    """

    device: str
    plane_seconds: float
    steps_per_second: float


def measure_speed(
    segmenter: Segmenter,
    image: NDArray[np.float32],
    annotation: Annotation,
    device: str,
) -> Speed:
    """Segment with a model, and train a new one of its size.

    Parameters
    ----------
    segmenter : Segmenter
        Any model.
    image : float32 array
        (C, Y, X), to segment.
    annotation : Annotation
        To train on.
    device : str
        As in `PredictConfig` and `TrainConfig`.

    Raises
    ------
    InputError, DeviceError
        If there is no such device, or it cannot be used.
    """
    config = PredictConfig(device=device)
    seconds = [_seconds(lambda: segment(segmenter, image, config)) for _ in range(TURNS)]
    return Speed(
        device=describe(select_device(device)),
        plane_seconds=statistics.median(seconds),
        steps_per_second=_steps_per_second(segmenter, annotation, device),
    )


def _steps_per_second(segmenter: Segmenter, annotation: Annotation, device: str) -> float:
    config = TrainConfig(
        seconds=0,
        steps=WARM_UP + STEPS,
        base_channels=segmenter.base_channels,
        depth=segmenter.depth,
        device=device,
        validate=False,
    )
    events = train([annotation], config)
    times = [event.seconds for event in events if isinstance(event, StepDone)]
    return STEPS / (times[-1] - times[-1 - STEPS])


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
