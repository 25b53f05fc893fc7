"""Ask what is meant where labels contradict their meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_unet.viewer.learning import doubts
from napari_unet.widgets.telling import ask

__all__ = ["settle"]


def settle(
    parent: QWidget,
    labels: Labels,
    *,
    has_regions: bool,
    then: Callable[[], object],
    named: bool = False,
) -> bool:
    """Ask until nothing is doubtful any more; return whether to go on.

    Parameters
    ----------
    parent : QWidget
        What the questions lie over.
    labels : Labels
        Whose meaning is asked for, and kept with the layer.
    has_regions : bool
        Whether training regions say what is finished.
    then : callable
        Called after every answer.
    named : bool
        Whether to say which layer it is about: another one than the user has chosen.

    Raises
    ------
    InputError
        If after an answer nothing can be learned from the labels as they are.
    """
    about = f"Layer {labels.name!r}: " if named else ""
    while doubt := doubts.doubt_about(labels, has_regions=has_regions):
        question, remedy = about + doubt.question, about + doubt.remedy
        answer = ask(parent, question)
        if answer is None:
            return False
        doubts.answer(labels, dataclasses.replace(doubt, remedy=remedy), yes=answer)
        then()
    return True
