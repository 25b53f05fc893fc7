"""The live curve."""

from typing import Any

import numpy as np
import pytest

from napari_unet.viewer.learning.record import Record
from napari_unet.widgets.curve import TrainingCurve


@pytest.fixture
def curve(qtbot: Any) -> TrainingCurve:
    """A curve on the screen, as wide as in the dock."""
    curve = TrainingCurve()
    qtbot.add_widget(curve)
    curve.resize(330, curve.height())
    curve.show()
    qtbot.wait_exposed(curve)
    return curve


def record() -> Record:
    """Numbers of a training that goes well."""
    seconds = list(np.linspace(0, 60, 200))
    return Record(
        seconds=seconds,
        loss=list(2 * np.exp(-np.array(seconds) / 20)),
        held_out_seconds=[1.0, 30.0, 60.0],
        held_out_loss=[2.0, 0.5, 0.1],
        iou=[0.1, 0.6, 0.9],
    )


def test_loss_is_drawn_on_a_logarithmic_axis_and_iou_from_0_to_1(
    curve: TrainingCurve, qtbot: Any
) -> None:
    """The two axes do not mix."""
    curve.show_record(record())
    qtbot.wait(50)
    low, high = curve.getPlotItem().getViewBox().viewRange()[1]
    right_low, right_high = curve._right.viewRange()[1]

    assert low <= -1 <= np.log10(2) <= high
    assert (right_low, right_high) == pytest.approx((0, 1), abs=0.05)
    np.testing.assert_allclose(curve._held_out.getData()[1], np.log10([2, 0.5, 0.1]))
    np.testing.assert_allclose(curve._iou.getData()[1], [0.1, 0.6, 0.9])
    times = curve.getPlotItem().getViewBox().viewRange()[0]
    assert curve._right.viewRange()[0] == pytest.approx(times)
    assert 0 <= times[0] < 1


@pytest.mark.parametrize(
    ("low", "high", "names"),
    [
        (0.1, 2.0, ["0.1", "0.2", "0.5", "1", "2"]),
        (1e-5, 10.0, ["1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10"]),
        (0.6, 0.9, []),
    ],
)
def test_the_loss_axis_has_few_and_round_numbers(
    curve: TrainingCurve, low: float, high: float, names: list[str]
) -> None:
    """1, 2 and 5 of each power of ten, or only 1 where that would crowd."""
    axis = curve.getPlotItem().getAxis("left")
    ((_, ticks),) = axis.tickValues(np.log10(low), np.log10(high), 80)

    assert axis.tickStrings(ticks, 1, 1) == names


def test_a_new_training_clears_the_curve(curve: TrainingCurve) -> None:
    """And a record without anything held out shows no quality."""
    curve.show_record(record())
    assert curve.points() == 200
    curve.show_record(Record())
    assert curve.points() == 0
    curve.show_record(Record(seconds=[1.0], loss=[0.0]))

    assert curve.points() == 1
    assert np.isfinite(curve._loss.getData()[1]).all()


def test_time_is_named_in_seconds(curve: TrainingCurve) -> None:
    """At every tick."""
    assert curve.getPlotItem().getAxis("bottom").tickStrings([0, 10], 1, 10) == ["0 s", "10 s"]
