"""Choose what is the truth, and what of a stack is compared with it."""

from __future__ import annotations

from magicgui.widgets import ComboBox
from napari.layers import Labels

from napari_unet.viewer.scores.comparison import Scope, possible_scopes
from napari_unet.viewer.scores.scorable import possible_truths
from napari_unet.viewer.session import Session
from napari_unet.widgets.data_panel import DataPanel
from napari_unet.widgets.layer_box import offer_anew
from napari_unet.widgets.parts import narrow

__all__ = ["ScoreChoice"]

SCOPES: dict[Scope, str] = {
    "plane": "current plane",
    "planes": "all planes",
    "volumes": "3D objects",
}


class ScoreChoice:
    """Two boxes that offer what fits the chosen image.

    Parameters
    ----------
    session : Session
        Whose viewer has the layers.
    data : DataPanel
        Chooses the image.

    Attributes
    ----------
    truth, scope : ComboBox
        What is chosen; the scope is shown where there is a choice.
    """

    def __init__(self, session: Session, data: DataPanel) -> None:
        self._session, self._data = session, data
        self.truth = narrow(ComboBox(label="Truth", nullable=True, choices=self._truths))
        self.truth.tooltip = (
            "A labels layer that is right. Only layers with the size of the image are offered; "
            "their meaning counts, so what scribbles leave unlabelled is left out. The model "
            "should not have learned from it."
        )
        self.scope = narrow(ComboBox(choices=self._scopes))
        self.scope.tooltip = (
            "The plane in view; every plane that is segmented and has a truth; or whole objects, "
            "if both layers number them through the planes, as Link planes and Segment in 3D do."
        )
        self.truth.changed.connect(self._on_truth)

    def follow(self) -> None:
        """Follow the layers."""
        self._data.choice.changed.connect(self._on_layers)
        self._on_layers()

    def leave(self) -> None:
        """Follow them no more."""
        self._data.choice.changed.disconnect(self._on_layers)

    def _truths(self, _: object) -> list[tuple[str, Labels]]:
        layers = possible_truths(self._session.viewer, self._data.choice.image)
        return [(layer.name, layer) for layer in layers]

    def _scopes(self, _: object) -> list[tuple[str, Scope]]:
        image = self._data.choice.image if self.truth.value is not None else None
        scopes: list[Scope] = ["plane"] if image is None else possible_scopes(image)
        return [(SCOPES[scope], scope) for scope in scopes]

    def _on_layers(self) -> None:
        """Offer the layers there are; choose the only one that nobody paints on."""
        offer_anew(self.truth)
        if self.truth.value is None:
            there = [layer for _, layer in self._truths(None)]
            others = [layer for layer in there if layer is not self._data.choice.labels]
            self.truth.value = others[0] if len(others) == 1 else None
        self._on_truth()

    def _on_truth(self) -> None:
        self.scope.reset_choices()
        self.scope.visible = len(self.scope.choices) > 1
