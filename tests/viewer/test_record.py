"""The numbers behind the curve, and the sentence about them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_unet.engine.events import Learned, Prepared, StepDone, Trained, Validated
from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.learning.record import MOST_POINTS, Record

NO_MODEL = Segmenter(weights={}, in_channels=1, n_classes=2, base_channels=4, depth=2)


def model(iou: float | None) -> Segmenter:
    """Make a model that was measured."""
    return replace(NO_MODEL, provenance={"iou": iou})


def step(number: int, loss: float) -> StepDone:
    """Make a step of one second."""
    return StepDone(step=number, loss=loss, seconds=number, progress=0.0, segmenter=model(0.8))


def validated(number: int, loss: float, iou: float) -> Validated:
    """Make a validation."""
    return Validated(step=number, seconds=number, loss=loss, iou=iou, segmenter=model(0.8))


@pytest.fixture
def record() -> Record:
    """A record of three validations, of which the second is the best."""
    record = Record()
    record.add(Prepared(message="6 cells; on CPU", segmenter=NO_MODEL))
    for number, (loss, held_out, iou) in enumerate([(2, 1, 0.1), (1, 0.2, 0.8), (0, 0.5, 0.9)], 1):
        record.add(step(number, loss))
        record.add(validated(number, held_out, iou))
    return record


def test_the_loss_of_steps_is_smoothed(record: Record) -> None:
    """Single patches jump; a running mean can be read."""
    assert record.seconds == [1, 2, 3]
    assert record.loss == pytest.approx([2, 1.9, 1.71])
    assert record.held_out_loss == [1, 0.2, 0.5]


def test_the_quality_is_that_of_the_model_that_is_kept(record: Record) -> None:
    """As the model itself says, whatever the last validation measured."""
    assert record.kept_iou == 0.8
    record.add(Trained(steps=4, seconds=4, segmenter=model(None)))

    assert record.kept_iou is None


def test_numbers_that_are_none_are_left_out(record: Record) -> None:
    """A skipped step, and validations where nothing is held out."""
    record.add(step(4, math.nan))
    record.add(validated(4, math.nan, math.nan))

    assert len(record.seconds) == len(record.iou) == 3
    assert record.kept_iou == 0.8


def test_the_sentence_tells_how_it_goes_and_how_it_went(record: Record) -> None:
    """With the quality where it is known."""
    ended = Trained(steps=3, seconds=8.2, segmenter=NO_MODEL)

    assert record.prepared == "6 cells; on CPU"
    assert record.describe(step(3, 0)) == "Step 3, 3 s, loss 1.710, IoU 0.80 on held-out labels"
    assert record.describe(Learned(step=3, seconds=3, segmenter=NO_MODEL)) == (
        "Step 3, 3 s: fitting the model to what is painted"
    )
    assert record.describe(ended) == (
        "Trained 3 steps in 3 s, fitted the model in 5 s; IoU 0.80 on held-out labels."
    )
    assert Record().describe(ended) == (
        "Trained 3 steps in 8 s; nothing was held out to measure its quality."
    )


def test_a_long_training_does_not_pile_up_points() -> None:
    """Of a day of live training some two thousand are kept, evenly, and always the last."""
    record = Record()
    for number in range(1, 12_001):
        record.add(step(number, 1 + number / 12_000))
        if number % 4 == 0:
            record.add(validated(number, number, number / 12_000))

    assert len(record.seconds) == len(record.loss) <= MOST_POINTS
    assert len(record.held_out_seconds) == len(record.iou) == len(record.held_out_loss)
    assert 1000 <= len(record.held_out_seconds) <= MOST_POINTS
    assert record.seconds == sorted(record.seconds)
    assert record.seconds[-1] == 12_000
    assert max(np.diff(record.seconds)) < 40
    assert record.held_out_loss == record.held_out_seconds
    assert record.loss[-1] == pytest.approx(2, abs=0.01)


def test_thinning_follows_from_the_numbers_alone() -> None:
    """A training that was stopped and resumed shows the curve of one that was not."""
    events = [step(number, 1 / number) for number in range(1, 5001)]
    whole, resumed = Record(), Record()
    for event in events:
        whole.add(event)
    resumed.add(Prepared(message="", segmenter=NO_MODEL, earlier=tuple(events[:3000])))
    for event in events[3000:]:
        resumed.add(event)

    assert resumed.seconds == whole.seconds
    assert resumed.loss == whole.loss
