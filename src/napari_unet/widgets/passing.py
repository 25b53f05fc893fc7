"""Let what was said about the layers pass when it is about others than those of now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from napari.layers import Labels

from napari_unet.widgets.layer_choice import LayerChoice

__all__ = ["Passing"]

Call = Callable[[], object]

CHANGES = ("paint", "data", "scale", "translate", "metadata")
"""What may have been done about an error, of the events of labels."""


class Passing:
    """Tells panels when an answer or an error of theirs may not be true any more.

    Parameters
    ----------
    choice : LayerChoice
        Which layers are meant.
    on_choice : iterable of callable
        Called when others are chosen: "No labels are chosen" is not to be read beside labels.
    on_labels : iterable of callable
        Called when the chosen labels are painted on, moved, or given another meaning, too.
    """

    def __init__(
        self, choice: LayerChoice, *, on_choice: Iterable[Call], on_labels: Iterable[Call]
    ) -> None:
        self._choice, self._on_choice, self._on_labels = choice, tuple(on_choice), tuple(on_labels)
        self._of: tuple[object, ...] = ()
        self._painted: Labels | None = None

    def follow(self) -> None:
        """Follow the choice of layers."""
        self._choice.changed.connect(self._look)
        self._look()

    def leave(self) -> None:
        """Follow it no more."""
        self._choice.changed.disconnect(self._look)
        self._watch(None)
        self._of = ()

    def _look(self) -> None:
        choice = self._choice
        now = (choice.image, choice.labels, choice.regions)
        if now == self._of:
            return  # told of layers that come, go or are renamed, too
        self._of = now
        self._watch(choice.labels)
        for call in self._on_choice:
            call()

    def _watch(self, labels: Labels | None) -> None:
        for layer, connects in ((self._painted, False), (labels, True)):
            if layer is not None:
                for emitter in (layer.events[name] for name in CHANGES):
                    (emitter.connect if connects else emitter.disconnect)(self._on_change)
        self._painted = labels

    def _on_change(self, _: object = None) -> None:
        for call in self._on_labels:
            call()
