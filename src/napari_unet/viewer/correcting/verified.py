"""Cells that the user has verified: what is accepted later leaves them as they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.core.annotation import first_cell
from napari_unet.errors import InputError
from napari_unet.viewer.correcting.picking import numbers_in, pixel_at
from napari_unet.viewer.field import Box
from napari_unet.viewer.notes import entry, meaning_of, note
from napari_unet.viewer.stack import PlaneIndex, finest

__all__ = ["cell_meant", "cells_in", "mark", "toggle", "verified_ids"]

COLUMN = "verified"
"""Of ``layer.features``, which napari's status bar shows under the cursor."""

MOST_NUMBERS = 1 << 16


def verified_ids(labels: Labels, plane: PlaneIndex) -> frozenset[int]:
    """Return the numbers of the verified cells of a plane."""
    return frozenset(_marks(labels).get(_key(plane), ()))


def mark(
    labels: Labels,
    plane: PlaneIndex,
    ids: Iterable[int],
    verified: bool = True,
) -> None:
    """Mark cells of a plane as verified, or take the mark away; it is kept with the layer.

    Parameters
    ----------
    labels : Labels
        With cells; their numbers stay what they are.
    plane : tuple of int
        Index of the plane; () for labels that are one plane.
    ids : iterable of int
        Numbers of the cells; what is no cell by the meaning of the layer is left out.
    verified : bool
        False takes the mark away.

    Raises
    ------
    InputError
        If the labels are classes.
    """
    meaning = meaning_of(labels)
    if meaning == "classes":
        raise InputError(
            f"Layer {labels.name!r} holds classes, and only cells can be verified; nothing that "
            f"is painted is changed by accepting anyway."
        )
    cells = {int(number) for number in ids if number >= first_cell(meaning)}
    known = verified_ids(labels, plane)
    marks = _marks(labels) | {_key(plane): sorted(known | cells if verified else known - cells)}
    note(labels, verified={key: found for key, found in marks.items() if found})
    _tell_status_bar(labels)


def toggle(labels: Labels, plane: PlaneIndex, ids: Iterable[int]) -> str:
    """Verify cells, or take the marks away if all of them are verified; return it in words.

    Raises
    ------
    InputError
        If the labels are classes, or there is no cell.
    """
    cells = sorted({int(number) for number in ids})
    if not cells:
        raise InputError(
            f"No painted cell of layer {labels.name!r} is in view by more than half: paint or "
            f"accept some first."
        )
    verify = not verified_ids(labels, plane).issuperset(cells)
    mark(labels, plane, cells, verified=verify)
    one = len(cells) == 1
    which = f"Cell {cells[0]} is" if one else f"{len(cells)} cells are"
    if not verify:
        return f"{which} no longer verified."
    return f"{which} verified: accepting leaves {'it as it is' if one else 'them as they are'}."


def cells_in(labels: Labels, plane: PlaneIndex, box: Box) -> NDArray[np.int64]:
    """Return the painted cells of a plane that lie in a box by more than half."""
    painted = np.asarray(finest(labels)[plane])
    return numbers_in(painted, box, first_cell(meaning_of(labels)))


def cell_meant(labels: Labels, plane: PlaneIndex, position: Sequence[float]) -> int:
    """Return the painted cell at a position in the world, or else the selected one.

    Raises
    ------
    InputError
        If there is neither in this plane.
    """
    painted, first = np.asarray(finest(labels)[plane]), first_cell(meaning_of(labels))
    pixel = pixel_at(labels, position)
    if pixel is not None and painted[pixel] >= first:
        return int(painted[pixel])
    selected = int(labels.selected_label)
    if selected >= first and (painted == selected).any():
        return selected
    raise InputError(
        f"No cell of layer {labels.name!r} lies under the mouse, and label {selected} is no cell "
        f"of this plane: point at a painted cell and press the key again."
    )


def _marks(labels: Labels) -> dict[str, list[int]]:
    marks: dict[str, list[int]] = entry(labels).get("verified", {})
    return marks


def _key(plane: PlaneIndex) -> str:
    return ",".join(str(index) for index in plane)


def _tell_status_bar(labels: Labels) -> None:
    """Mirror the marks into the table of features, unless the user keeps one there."""
    planes: dict[int, list[str]] = defaultdict(list)
    for key, ids in _marks(labels).items():
        for number in ids:
            planes[number].append(key)
    if not {str(name) for name in labels.features} <= {"index", COLUMN}:
        _renew_column(labels, planes)
        return
    if not planes:
        labels.features = {}
        return
    # all numbers, for of one that is not in the table napari says "[No Properties]"
    numbers = [*planes]
    if isinstance(labels.data, np.ndarray):
        top = max(int(labels.data.max()), *planes)
        numbers = [*range(top + 1)] if top < MOST_NUMBERS else numbers
    words = [_words(planes[number]) if number in planes else None for number in numbers]
    table: dict[str, Any] = {"index": np.array(numbers), COLUMN: np.array(words, dtype=object)}
    labels.features = table


def _renew_column(labels: Labels, planes: Mapping[int, list[str]]) -> None:
    """Let our column among others say what is true now; where there is none, none is made."""
    if COLUMN not in labels.features:
        return
    table = labels.features.copy()
    numbers = table.get("index", table.index)
    words = [_words(planes[number]) if number in planes else None for number in numbers]
    table[COLUMN] = np.array(words, dtype=object)
    labels.features = table if planes else table.drop(columns=COLUMN)


def _words(planes: list[str]) -> str:
    if planes == [""]:
        return "yes"
    return f"in plane {planes[0]}" if len(planes) == 1 else f"in {len(planes)} planes"
