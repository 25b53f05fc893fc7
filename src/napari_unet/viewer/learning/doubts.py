"""Whether a labels layer contradicts its meaning, and what the user answered.

What is doubtful in the pixels of one plane is judged by `napari_unet.core.doubt`. Here it is asked
of a layer: which of its planes is judged, here or in the background, and the answer is kept with
the layer, so that it is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.annotation import Meaning
from napari_unet.core.doubt import Doubt, doubt
from napari_unet.engine.process import tasks
from napari_unet.errors import InputError
from napari_unet.viewer.background import Background
from napari_unet.viewer.notes import entry, meaning_of, note
from napari_unet.viewer.stack import finest

__all__ = ["answer", "ask_doubt", "doubt_about", "forget_doubt", "fullest_plane"]

MOST_PLANES = 50
QUESTION = "doubt"


def doubt_about(layer: Labels, *, has_regions: bool = False) -> Doubt | None:
    """Return the question that a labels layer raises about its meaning, if any.

    It is judged by its `fullest_plane`.
    """
    fullest = None
    for fullest in fullest_plane(layer):  # noqa: B007 (the last one counts)
        pass
    return None if fullest is None else doubt(fullest, *_how(layer, has_regions))


def fullest_plane(layer: Labels) -> Iterator[NDArray[Any] | None]:
    """Yield, after every plane, that with most painted pixels so far, of fifty that have any."""
    data = finest(layer)
    fullest, most, left = None, 0, MOST_PLANES
    for index in np.ndindex(data.shape[:-2]):
        plane = np.asarray(data[index])
        painted = int(np.count_nonzero(plane))
        if painted > most:
            fullest, most = plane, painted
        left -= painted > 0
        yield fullest
        if not left:
            return


def ask_doubt(
    background: Background,
    layer: Labels,
    plane: NDArray[Any],
    has_regions: bool,
    on_doubt: Callable[[Doubt | None], object],
) -> None:
    """Look for a doubt in the background: it takes too long to paint meanwhile.

    Parameters
    ----------
    background : Background
        Looks.
    layer : Labels
        Whose meaning is judged.
    plane : integer array
        (Y, X), the fullest one.
    has_regions : bool
        Whether training regions say what is finished.
    on_doubt : callable
        Told the question, or None.
    """
    plane = plane.copy()  # it is sent in another thread, while somebody paints
    background.ask(QUESTION, tasks.find_doubt, plane, *_how(layer, has_regions), on_event=on_doubt)


def forget_doubt(background: Background) -> None:
    """Wait for no answer any more."""
    background.cancel(QUESTION)


def answer(layer: Labels, doubt: Doubt, *, yes: bool) -> None:
    """Remember an answer with the layer.

    Raises
    ------
    InputError
        If after this answer nothing can be learned from the labels as they are.
    """
    meaning = doubt.yes if yes else doubt.no
    if meaning is None:
        raise InputError(doubt.remedy)
    note(layer, meaning=meaning, answered=(*_answered(layer), doubt.key))


def _how(layer: Labels, has_regions: bool) -> tuple[Meaning, bool, tuple[str, ...]]:
    """Return what `napari_unet.core.doubt.doubt` has to know beside the pixels."""
    return meaning_of(layer), has_regions, _answered(layer)


def _answered(layer: Labels) -> tuple[str, ...]:
    return tuple(entry(layer).get("answered", ()))
