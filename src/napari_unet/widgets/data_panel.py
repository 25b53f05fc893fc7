"""What is trained on: the layers, what the labels mean, and what is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, ComboBox
from napari.layers import Image, Labels, Shapes

from napari_unet.viewer import notes
from napari_unet.viewer.learning.sources import Source, painted_sources
from napari_unet.viewer.session import Session
from napari_unet.widgets.class_choice import ClassChoice
from napari_unet.widgets.labelled_text import LabelledText
from napari_unet.widgets.layer_choice import LayerChoice
from napari_unet.widgets.parts import form, narrow, stack
from napari_unet.widgets.settling import settle

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["DataPanel"]

MEANINGS = [
    ("scribbles: 1 background, 2+ cells", "scribbles"),
    ("instances: 0 background, 1+ cells", "instances"),
    ("classes: 1, 2, ... kinds of pixels", "classes"),
]


class DataPanel:
    """Chooses layers and the meaning of labels, and says in words what is labelled.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are offered, between `follow` and `leave`.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        there, dims = viewer.layers.events, viewer.dims.events
        self._news = (there.inserted, there.removed, there.renamed, dims.axis_labels)
        self.choice = LayerChoice(viewer)
        self.text = LabelledText(viewer, self.choice, Session.of(viewer).background)
        self._meaning = narrow(ComboBox(label="Meaning", choices=MEANINGS))
        self._meaning.tooltip = (
            "What the numbers in the labels layer mean; kept with the layer. In scribbles and "
            "classes, 0 means not labelled. It cannot be changed during a training."
        )
        self._trains = False
        self.others_box = CheckBox(value=True)
        self.others_box.tooltip = (
            "The model learns from all images you painted on or trained with; untick to learn "
            "from the chosen one only."
        )
        choice, self.class_choice = self.choice, ClassChoice()
        self.boxes = choice.image_box, choice.labels_box, self.others_box
        meaning = (self._meaning, self.class_choice.widget)
        rows = form(choice.image_box, choice.labels_row, *meaning, choice.regions_row)
        self.widget = stack(rows, self.others_box, self.text.widget)
        self._meaning.changed.connect(self._on_meaning)
        self.choice.changed.connect(self._on_choice)

    @property
    def image(self) -> Image:
        """The chosen image layer; an `InputError` if there is none."""
        return self.choice.required_image()

    @property
    def labels(self) -> Labels:
        """The chosen labels layer; an `InputError` if there is none."""
        return self.choice.required_labels()

    @property
    def regions(self) -> Shapes | None:
        """The chosen layer of training regions, if any."""
        return self.choice.regions

    def chosen(self) -> tuple[Image | None, Labels | None, Shapes | None]:
        """Return what is chosen so far: image, labels and training regions."""
        return self.choice.image, self.choice.labels, self.choice.regions

    def others(self) -> list[Source]:
        """Return the other painted images that are trained on too."""
        return self._count_others() if self.others_box.value else []

    def renew(self) -> None:
        """Show what a training that began or ended changes."""
        trains = Session.of(self._viewer).training is not None
        if trains != self._trains:
            self._trains = trains
            self._renew_meaning()
            self._count_others()  # a training links layers

    def follow(self) -> None:
        """Look at the layers now, and whenever they, or the names of their axes, change."""
        for emitter in self._news:
            emitter.connect(self.choice.follow)
        self.choice.follow()

    def leave(self) -> None:
        """Look no more."""
        for emitter in self._news:
            emitter.disconnect(self.choice.follow)
        self.class_choice.leave()
        self.text.forget()

    def settle_meaning(self, also: Sequence[Source] = ()) -> bool:
        """Ask where labels contradict their meaning, further ones too; return whether to go on.

        Raises
        ------
        InputError
            If after an answer nothing can be learned from the labels as they are.
        """
        here, renew = self.widget.native, self._on_choice
        if not settle(here, self.labels, has_regions=self.regions is not None, then=renew):
            return False
        return all(
            settle(here, one.labels, has_regions=one.regions is not None, then=renew, named=True)
            for one in also
        )

    def _count_others(self) -> list[Source]:
        image, labels, _ = self.chosen()
        sources = painted_sources(self._viewer, self.choice.image_regions)
        others = [one for one in sources if one.image is not image and one.labels is not labels]
        self.others_box.text = f"Also {len(others)} other painted image{'s' * (len(others) > 1)}"
        self.others_box.visible = bool(others)
        return others

    def _on_choice(self) -> None:
        self._count_others()
        self._renew_meaning()
        self.class_choice.follow(self.choice.labels)
        self.text.watch()

    def _renew_meaning(self) -> None:
        labels = self.choice.labels
        self._meaning.enabled = labels is not None and not self._trains
        if labels is not None:
            with self._meaning.changed.blocked():
                self._meaning.value = notes.meaning_of(labels)

    def _on_meaning(self, meaning: notes.Meaning) -> None:
        if self.choice.labels is not None:
            notes.set_meaning(self.choice.labels, meaning)
        self.text.renew()
