"""A switch for the weight map, which is kept right while one paints."""

from __future__ import annotations

from collections.abc import Callable

from magicgui.widgets import CheckBox
from qtpy.QtCore import QTimer

from napari_unet.core.config import TrainConfig
from napari_unet.viewer.session import Session
from napari_unet.viewer.weightmap.weights import LiveWeights
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.parts import sentence, stack
from napari_unet.widgets.telling import telling_errors

__all__ = ["WeightsSwitch"]


class WeightsSwitch:
    """While it is on, shows the map of the layers that are chosen; off, takes it away.

    Parameters
    ----------
    session : Session
        Its background computes the map, at the working resolution of its model.
    data : DataPanel
        Chooses the layers.
    settings : callable
        Returns the configuration of training, height and width of the border term in it.
    """

    def __init__(
        self, session: Session, data: DataPanel, settings: Callable[[], TrainConfig]
    ) -> None:
        self._session, self._data, self._settings = session, data, settings
        self._map: LiveWeights | None = None
        self._of: tuple[object, ...] = ()
        self._starts = False
        self._box = CheckBox(text="Show while painting")
        self._box.tooltip = (
            "How much each pixel counts in training: most on the thin borders between cells, "
            "nothing where nothing is labelled."
        )
        self._said = sentence()
        self._said.visible = False
        self.widget = stack(self._box, self._said)
        self._box.changed.connect(self._on_box)
        # a layer that is renamed is for a moment not chosen
        self._later = QTimer(self.widget.native)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._follow_choice)

    def set_weights(self, w0: float, sigma: float) -> None:
        """Give the map that is shown, if one is, another height and width."""
        if self._map is not None:
            self._map.set_weights(w0, sigma)

    def follow(self) -> None:
        """Follow the choice of layers, and the model."""
        self._data.choice.changed.connect(self._on_choice)
        self._session.segmenter_changed.connect(self._on_segmenter)
        self._on_choice()

    def leave(self) -> None:
        """Follow nothing; the map stays as it is."""
        self._data.choice.changed.disconnect(self._on_choice)
        self._session.segmenter_changed.disconnect(self._on_segmenter)
        self._later.stop()
        self._end()

    def _on_box(self, on: bool) -> None:
        if on:
            self._start()
        elif self._map is not None:
            self._map.remove()

    def _on_choice(self) -> None:
        self._later.start(0)

    def _follow_choice(self) -> None:
        # also told when layers come, go or are renamed, our own among them
        if self._starts:
            return  # a question is on the screen; whoever asks it looks again after the answer
        if self._map is not None and self._layers() == self._of:
            self._map.set_regions(self._data.choice.regions)
        elif self._box.value:
            self._end()
            if None in self._layers():
                self._on_closed()
            else:
                self._start()

    def _on_segmenter(self) -> None:
        model = self._session.segmenter
        if self._map is not None and model is not None and model.downsample != self._map.factor:
            self._end()
            self._start()

    def _start(self) -> None:
        """Show the map of what is chosen, or say why there is none."""
        self._said.visible, self._of, self._starts = False, self._layers(), True
        try:
            with telling_errors(self._said):
                self._map = self._new_map()
        finally:
            self._starts = False
        self._on_choice()
        if self._map is None:
            self._on_closed()
        else:
            self._map.closed.connect(self._on_closed)

    def _new_map(self) -> LiveWeights | None:
        data, model, config = self._data, self._session.segmenter, self._settings()
        image, labels = data.image, data.labels
        if not data.settle_meaning():
            return None
        return LiveWeights(
            self._session.background,
            self._session.viewer,
            image,
            labels,
            data.regions,
            w0=config.w0,
            sigma=config.sigma,
            factor=config.downsample if model is None else model.downsample,
        )

    def _end(self) -> None:
        self._of = ()
        if self._map is not None:
            self._map.closed.disconnect(self._on_closed)
            self._map.close()
            self._map = None

    def _on_closed(self) -> None:
        self._map, self._of = None, ()
        with self._box.changed.blocked():
            self._box.value = False

    def _layers(self) -> tuple[object, ...]:
        return self._data.choice.image, self._data.choice.labels
