"""Choose what is the truth, and what of a stack is compared with it."""

from __future__ import annotations

from weakref import WeakKeyDictionary, ref

from magicgui.widgets import ComboBox
from napari.layers import Image, Labels

from napari_unet.viewer.layers import image_layers
from napari_unet.viewer.notes import is_linked
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
        self._of: ref[Image] | None = None
        self._chosen: WeakKeyDictionary[Image, ref[Labels]] = WeakKeyDictionary()
        self.truth = narrow(ComboBox(label="Truth", nullable=True, choices=self._truths))
        self.truth.tooltip = (
            "A labels layer you trust. Only layers with the size of the image are offered. Its "
            "meaning counts: what scribbles leave unlabelled is not scored. The model should not "
            "have been trained on it."
        )
        self.scope = narrow(ComboBox(choices=self._scopes))
        self.scope.tooltip = (
            "The plane in view; every plane that is segmented and has a truth; or whole 3D "
            "objects, if both layers number them through the planes, as Link planes and Segment "
            "in 3D do."
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
        """Offer the layers there are; choose what is likely for another image than before."""
        offer_anew(self.truth)
        image = self._data.choice.image
        if not self._is_meant(image) or self.truth.value is None:
            self._of = None if image is None else ref(image)
            self.truth.value = self._likely(image)
        self._on_truth()

    def _is_meant(self, image: Image | None) -> bool:
        """Whether the truth that is chosen now was chosen for an image."""
        return (None if self._of is None else self._of()) is image

    def _likely(self, image: Image | None) -> Labels | None:
        """Return what was chosen for an image before, or the only one that nobody paints on.

        One of another image is not: of several fields, all have one size.
        """
        there = [layer for _, layer in self._truths(None)]
        chosen = {one: truth() for one, truth in self._chosen.items()}
        if image in chosen and chosen[image] in there:
            return chosen[image]
        others = [one for one in image_layers(self._session.viewer) if one is not image]
        taken = {self._data.choice.labels, *(chosen.get(other) for other in others)}
        free = [layer for layer in there if layer not in taken]
        free = [layer for layer in free if not any(is_linked(layer, other) for other in others)]
        return free[0] if len(free) == 1 else None

    def _on_truth(self) -> None:
        image, truth = self._data.choice.image, self.truth.value
        if image is not None and truth is not None and self._is_meant(image):
            self._chosen[image] = ref(truth)
        self.scope.reset_choices()
        self.scope.visible = len(self.scope.choices) > 1
