"""The live curve: loss of every step, loss and quality on the held-out pixels."""

from __future__ import annotations

import math

import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt

from napari_unet.viewer.learning.record import Record

__all__ = ["TrainingCurve"]

LOSS, HELD_OUT, IOU = "#8a97a6", "#e69f00", "#2ca678"
LEAST_LOSS = 1e-6
HEIGHT = 130


class TrainingCurve(pg.PlotWidget):  # type: ignore[misc]
    """Loss on a logarithmic axis, IoU on the right one (0 ... 1), against seconds."""

    def __init__(self) -> None:
        axes = {
            "left": _LogAxis("left"),
            "right": pg.AxisItem("right"),
            "bottom": _SecondsAxis("bottom"),
        }
        super().__init__(background=None, enableMenu=False, axisItems=axes)
        self.setFixedHeight(HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # there is nothing to do with keys
        self.setMinimumWidth(120)
        self.setToolTip(
            "Grey: training loss. Orange: loss on held-out labelled blocks. Green: overlap (IoU) "
            "on those blocks; 1 is perfect."
        )
        plot = self.getPlotItem()
        plot.setMouseEnabled(x=False, y=False)
        plot.hideButtons()
        plot.setLimits(xMin=0)
        plot.setTitle(
            f"<span style='color:{LOSS}'>loss</span> &nbsp; "
            f"<span style='color:{HELD_OUT}'>loss on held-out labels</span> &nbsp; "
            f"<span style='color:{IOU}'>IoU (right)</span>",
            size="8pt",
        )
        axes["left"].setWidth(36)
        axes["right"].setWidth(26)
        axes["right"].setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self._loss = plot.plot(pen=pg.mkPen(LOSS, width=1))
        self._held_out = plot.plot(**_line_with_dots(HELD_OUT))
        self._iou = pg.PlotDataItem(**_line_with_dots(IOU))
        self._right = pg.ViewBox(enableMouse=False, enableMenu=False)
        self._right.setYRange(0, 1, padding=0.02)
        self._right.addItem(self._iou)
        axes["right"].linkToView(self._right)
        plot.scene().addItem(self._right)
        self._right.setXLink(plot)
        plot.getViewBox().sigResized.connect(self._follow)
        self._drawn = (0, 0, 0)
        self.show_record(Record())

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return a size that lets the dock be narrow; pyqtgraph asks for 640 x 480."""
        return QSize(280, HEIGHT)

    def show_record(self, record: Record) -> None:
        """Draw a training as far as it is."""
        drawn = (id(record), len(record.seconds), len(record.iou))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        self._loss.setData(record.seconds, _log(record.loss))
        self._held_out.setData(record.held_out_seconds, _log(record.held_out_loss))
        self._iou.setData(record.held_out_seconds, record.iou)
        plot = self.getPlotItem()
        if record.seconds:
            plot.enableAutoRange()
        else:
            plot.setRange(xRange=(0, 60), yRange=_log([0.01, 2.0]), padding=0)

    def points(self) -> int:
        """Return how many steps are drawn."""
        seconds, _ = self._loss.getOriginalDataset()
        return 0 if seconds is None else len(seconds)

    def set_text_colour(self, colour: str) -> None:
        """Follow the theme of the viewer."""
        for side, shown in (("left", colour), ("bottom", colour), ("right", IOU)):
            axis = self.getPlotItem().getAxis(side)
            axis.setPen(shown)
            axis.setTextPen(shown)

    def _follow(self) -> None:
        """Keep the right axis' view on top of the plot."""
        self._right.setGeometry(self.getPlotItem().getViewBox().sceneBoundingRect())


class _LogAxis(pg.AxisItem):  # type: ignore[misc]
    """Names powers of ten; pyqtgraph's logarithmic mode crowds a small plot with 2 ... 9."""

    def tickValues(  # noqa: N802 (pyqtgraph's name)
        self, minimum: float, maximum: float, size: float
    ) -> list[tuple[float, list[float]]]:
        """Return where ticks are: at 1, 2, 5 of each power of ten, or 1 where those crowd."""
        powers = range(math.floor(minimum), math.ceil(maximum) + 1)
        few = (maximum - minimum) * 3 * 16 <= size
        ticks = [power + math.log10(n) for power in powers for n in ((1, 2, 5) if few else (1,))]
        return [(1.0, [tick for tick in ticks if minimum <= tick <= maximum])]

    def tickStrings(  # noqa: N802 (pyqtgraph's name)
        self, values: list[float], scale: float, spacing: float
    ) -> list[str]:
        """Return the loss at each tick."""
        del scale, spacing
        return [f"{10**value:g}" for value in values]


class _SecondsAxis(pg.AxisItem):  # type: ignore[misc]
    """Names its unit at every tick, which takes less room than a line of its own."""

    def tickStrings(  # noqa: N802 (pyqtgraph's name)
        self, values: list[float], scale: float, spacing: float
    ) -> list[str]:
        """Return the time at each tick."""
        return [f"{text} s" for text in super().tickStrings(values, scale, spacing)]


def _line_with_dots(colour: str) -> dict[str, object]:
    pen = pg.mkPen(colour, width=2)
    return {"pen": pen, "symbol": "o", "symbolSize": 4, "symbolBrush": colour, "symbolPen": None}


def _log(loss: list[float]) -> list[float]:
    return [math.log10(max(value, LEAST_LOSS)) for value in loss]
