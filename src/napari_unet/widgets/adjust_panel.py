"""What is made of probabilities: threshold, smallest cell, largest hole, border; live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import FloatSlider, FloatSpinBox
from magicgui.widgets.bases import ValueWidget
from napari.layers import Image
from psygnal import SignalInstance
from qtpy.QtWidgets import QDoubleSpinBox

from napari_unet.core.config import PredictConfig
from napari_unet.viewer.segmenting.rethreshold import Rethreshold
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.fields import Fields
from napari_unet.widgets.parts import button, form, row, sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["AdjustPanel"]

AUTOMATIC = PredictConfig()
ADJUSTED = {
    "threshold": "How sure the network must be that a pixel belongs to a cell. Lower values find "
    "more and larger cells, higher values fewer and smaller ones.",
    "min_size": "Cells with fewer pixels are dropped. Automatic: a tenth of a typical painted "
    "cell, less if small cells are painted, and half of that at the edge of the image. 0 keeps "
    "all.",
    "max_hole": "Holes of up to this many pixels inside a cell are filled. Automatic: 0.3 of a "
    "typical painted cell. 0 fills none.",
    "border": "The network leaves a thin border between touching cells; cells grow by this many "
    "pixels to close it. Automatic: 1.5 pixels of the model's resolution. 0 leaves the border.",
}
FIRST = "Segment first; then changes here take effect at once."
NO_CELLS = "This model finds classes of pixels, not cells: there is nothing to adjust."
LATER = "This image is being segmented; changes take effect when it is done."


class AdjustPanel:
    """The one place of the knobs that need no network; they act on the last result at once.

    Parameters
    ----------
    session : Session
        Whose results are adjusted.
    data : DataPanel
        The image whose result it is.
    settings : callable
        Returns the rest of the configuration.
    """

    def __init__(
        self, session: Session, data: DataPanel, settings: Callable[[], PredictConfig]
    ) -> None:
        self._session, self._data, self._settings = session, data, settings
        self._rethreshold = Rethreshold(session)
        self._editors: dict[str, ValueWidget[Any]] = {
            "threshold": FloatSlider(label="Threshold", min=0, max=1, step=0.01),
            "min_size": _pixels("Smallest cell", 10**9),
            "max_hole": _pixels("Largest hole", 10**9),
            "border": _pixels("Border", 100, decimals=1),
        }
        self._automatic = button("Automatic", "Set all four back to automatic.")
        self._said = sentence()
        below = row(self._said, self._automatic, stretch=(1, 0))
        self.widget = stack(form(*self._editors.values()), below)
        self._fields = Fields(self._editors, AUTOMATIC)
        for editor in self._editors.values():
            editor.changed.connect(self._on_edited)
        self._automatic.changed.connect(self._on_automatic)
        self.renew()

    def set_config(self, config: PredictConfig) -> None:
        """Show the four values of a configuration; the result stays as it is."""
        self._fields.show(config)

    def over(self, config: PredictConfig) -> PredictConfig:
        """Put the four values over a configuration."""
        return self._fields.over(config)

    def follow(self) -> None:
        """Follow the chosen image, and what is kept and found of it."""
        for signal in self._news():
            signal.connect(self.renew)
        self._rethreshold.follow()
        self.renew()

    def leave(self) -> None:
        """Follow them no more."""
        for signal in self._news():
            signal.disconnect(self.renew)
        self._rethreshold.leave()

    def renew(self, _: object = None) -> None:
        """Say on what the knobs act, and disable them where there are no cells."""
        image = self._data.choice.image
        kind = None if image is None else self._rethreshold.kind(image)
        classes = (kind or getattr(self._session.segmenter, "kind", None)) == "classes"
        for name, editor in self._editors.items():
            editor.enabled = not classes
            editor.tooltip = NO_CELLS if classes else ADJUSTED[name]
        self._automatic.enabled = not classes
        self._said.value = NO_CELLS if classes else self._sentence(image, kind)

    def _sentence(self, image: Image | None, kind: str | None) -> str:
        if image is not None and self._rethreshold.is_segmenting(image):
            return LATER
        if image is None or kind is None:
            return FIRST
        if (found := self._rethreshold.objects(image)) is None:
            return "Changes here act on the last result at once."
        cells, planes = found
        number = f"{cells} cell{'s' * (cells != 1)}" + f" in {planes} planes" * (planes > 1)
        return f"Changes here act on the last result at once: {number}."

    def _news(self) -> tuple[SignalInstance, ...]:
        return (self._data.choice.changed, self._session.kept.changed, self._rethreshold.told)

    def _on_edited(self, _: object = None) -> None:
        image = self._data.choice.image
        if image is not None:
            with telling_errors(self._said):
                self._rethreshold.find(image, self.over(self._settings()))

    def _on_automatic(self) -> None:
        self.set_config(AUTOMATIC)
        self._on_edited()


def _pixels(label: str, most: int, decimals: int = 0) -> FloatSpinBox:
    """Return an editor of pixels that shows -1 as a word."""
    made = FloatSpinBox(label=label, min=-1, max=most, step=1 if decimals else None, value=0)
    native: QDoubleSpinBox = made.native
    native.setDecimals(decimals)
    native.setSpecialValueText("automatic")
    native.setKeyboardTracking(False)  # a number counts when it is typed to its end
    native.setMinimumWidth(60)
    return made
