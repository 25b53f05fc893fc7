"""The border term of the weight map: a slider for its height, one for its width."""

from __future__ import annotations

from collections.abc import Callable

from magicgui.widgets import FloatSlider

from napari_unet.core.config import TrainConfig
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.fields import Fields
from napari_unet.widgets.parts import form, stack
from napari_unet.widgets.weights_switch import WeightsSwitch

__all__ = ["WeightsPanel"]

W0 = (
    "How much more a pixel between two nearly touching cells counts than others (the paper: 10). "
    "Training uses it; the map follows at once."
)
SIGMA = (
    "How far apart cells may be for the border between them to count more, in pixels of the "
    "network (the paper: 5). Training uses it; the map follows at once."
)


class WeightsPanel:
    """The one place where training's border weights are set; the map, if shown, follows at once.

    Parameters
    ----------
    session, data
        As for `WeightsSwitch`.
    settings : callable
        Returns the rest of the configuration; its own height and width are shown first.

    Attributes
    ----------
    switch : WeightsSwitch
        Of the map.
    """

    def __init__(
        self, session: Session, data: DataPanel, settings: Callable[[], TrainConfig]
    ) -> None:
        self.switch = WeightsSwitch(session, data, lambda: self.over(settings()))
        self._sliders = {
            "w0": FloatSlider(label="Height (w0)", min=0, max=50, step=0.5, tooltip=W0),
            "sigma": FloatSlider(label="Width (sigma)", min=1, max=20, step=0.5, tooltip=SIGMA),
        }
        self.widget = stack(self.switch.widget, form(*self._sliders.values()))
        self._make_room(config := settings())
        self._fields = Fields(self._sliders, config)
        for slider in self._sliders.values():
            slider.changed.connect(self._renew_map)

    @property
    def w0(self) -> float:
        """The height, also one that the slider cannot show."""
        return self.over(self._fields.config).w0

    @property
    def sigma(self) -> float:
        """The width, in pixels that the network sees; also one that the slider cannot show."""
        return self.over(self._fields.config).sigma

    def set_config(self, config: TrainConfig) -> None:
        """Show height and width of a configuration; the sliders make room for unusual ones."""
        self._make_room(config)
        self._fields.show(config)
        self._renew_map()

    def over(self, config: TrainConfig) -> TrainConfig:
        """Put height and width over a configuration."""
        return self._fields.over(config)

    def follow(self) -> None:
        """Let the switch follow what the map is of."""
        self.switch.follow()

    def leave(self) -> None:
        """Let it follow nothing any more."""
        self.switch.leave()

    def _make_room(self, config: TrainConfig) -> None:
        for name, slider in self._sliders.items():
            value = getattr(config, name)
            with slider.changed.blocked():
                slider.min, slider.max = min(slider.min, value), max(slider.max, value)

    def _renew_map(self) -> None:
        self.switch.set_weights(self.w0, self.sigma)
