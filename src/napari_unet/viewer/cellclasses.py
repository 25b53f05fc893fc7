"""Classes of labels in napari's own table: ``layer.features`` with the columns index and class.

As napari has it, a row is about the label in its column ``index``, or without that column about the
label with the number of the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import label_colormap
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray

from napari_unet.core.cellclasses import class_name, class_title, classes_by_label
from napari_unet.core.summary import counted
from napari_unet.engine.segmenter import Segmenter
from napari_unet.viewer.colours import MOST, are_given, given_colours

__all__ = [
    "class_colours",
    "class_names",
    "classes_of",
    "colour_by_class",
    "counted_classes",
    "name_classes",
    "set_class",
    "show_classes",
    "write_classes",
]

CLASS, INDEX = "class", "index"

COLOURS = ("#56b4e9", "#e69f00", "#cc79a7", "#009e73", "#f0e442", "#d55e00", "#0072b2")
"""Of the first classes; colour-blind people tell them apart (Okabe and Ito)."""

SHADES = (1.0, 0.8, 0.6)


def classes_of(layer: Labels) -> dict[int, str]:
    """Return the class of every label that the table gives one.

    Raises
    ------
    InputError
        If one is neither a name nor a number from 1 on.
    """
    return classes_by_label(_rows(layer))


def set_class(layer: Labels, label: int, name: str) -> None:
    """Give a label a class, or with "" none; other columns and rows stay."""
    table = {key: _values(column) for key, column in layer.features.items()}
    rows = len(layer.features)
    if INDEX not in table:
        table = {INDEX: list(range(rows)), **table}
    table.setdefault(CLASS, [None] * rows)
    if label not in table[INDEX]:
        for key, column in table.items():
            column.append(label if key == INDEX else None)
    table[CLASS][table[INDEX].index(label)] = name or None
    layer.features = table


def name_classes(layer: Labels, names: Sequence[str]) -> None:
    """Write the names of painted classes into the table of a result, where they have any."""
    numbers = range(1, len(names) + 1)
    write_classes(layer, {number: class_title(names, number) for number in numbers})


def show_classes(layer: Labels, before: int, found: int, classes: Sequence[str]) -> None:
    """Write the classes of the cells of a plane into the table of a result.

    Parameters
    ----------
    layer : Labels
        The result.
    before, found : int
        The cells of that plane are numbered after the one, and so many.
    classes : sequence of str
        Their classes; empty where the model tells none.
    """
    known = _rows(layer)
    for label in range(before + 1, before + found + 1):
        known.pop(label, None)
    known.update(enumerate(classes, start=before + 1))
    write_classes(layer, known)


def write_classes(layer: Labels, classes: Mapping[int, Any]) -> None:
    """Write a table of classes and nothing else; without any, an empty one."""
    if classes:
        layer.features = {INDEX: list(classes), CLASS: list(classes.values())}
    elif CLASS in layer.features:
        layer.features = {}


def colour_by_class(layer: Labels, segmenter: Segmenter) -> None:
    """Give the cells of a class one colour, lighter and darker; without classes, each its own.

    Of more cells than can be given colours, too.
    """
    known = _rows(layer) if segmenter.cell_classes > 1 else {}
    if known and max(known) <= MOST:
        colours = dict(zip(_names(segmenter), class_colours(segmenter), strict=True))
        shown = np.tile(transform_color("gray"), (max(known) + 1, 1))
        shown[0] = 0
        for label, name in known.items():
            if name in colours:  # neighbours should not look like one cell
                shown[label] = colours[name] * (*[SHADES[label % len(SHADES)]] * 3, 1)
        layer.colormap = given_colours(shown)
    elif are_given(layer):
        layer.colormap = label_colormap()


def class_colours(segmenter: Segmenter) -> NDArray[np.float32]:
    """Return the colours (K, 4) of the classes of cells, in their order."""
    count = segmenter.cell_classes
    more = label_colormap(count + 1).colors[1 + len(COLOURS) :]
    colours: NDArray[np.float32] = np.vstack([transform_color(list(COLOURS)), more])[:count]
    return colours


def class_names(segmenter: Segmenter, classes: Sequence[int]) -> list[str]:
    """Return the classes of some cells as they are painted, and written into a table."""
    names = ["", *_names(segmenter)]
    return [names[number] for number in classes]


def counted_classes(segmenter: Segmenter, found: Counter[str]) -> str:
    """Say in brackets how many cells of each class were found; "" where none were told."""
    counts = [found[name] for name in _names(segmenter)]
    return f" ({counted(segmenter.output_names[1:], counts)})" if found else ""


def _rows(layer: Labels) -> dict[int, Any]:
    table = layer.features
    if CLASS not in table:
        return {}
    index = table[INDEX] if INDEX in table else range(len(table))
    rows = zip(index, table[CLASS], table[CLASS].notna(), strict=True)
    return {int(label): value for label, value, told in rows if told and label == label}


def _values(column: Any) -> list[Any]:
    """Return a column as a list; beside text napari would write NaN as text."""
    if column.dtype.kind in "iuf":
        return list(column)
    return [value if told else None for value, told in zip(column, column.notna(), strict=True)]


def _names(segmenter: Segmenter) -> list[str]:
    numbers = range(1, segmenter.cell_classes + 1)
    return [class_name(segmenter.class_names, number) for number in numbers]
