"""Classes of labels as a table in a CSV file: the columns label and class, and perhaps file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import TypeAlias

from napari_unet.core.annotation import Meaning
from napari_unet.engine.formats.labelnames import composed, without_label_word, without_suffix
from napari_unet.engine.formats.source import AnyPath
from napari_unet.errors import InputError

__all__ = ["read_classes"]

Place: TypeAlias = tuple[tuple[str, ...], set[str]]
"""The folders that a file lies in, and what it may be called there."""


def read_classes(
    path: AnyPath, pairs: Sequence[tuple[Path, Path]], meaning: Meaning = "instances"
) -> list[dict[int, str]]:
    """Read which class the labels of some files have.

    The first row names the columns. A row is about the file that its column ``file`` names: an
    image or its labels, with or without folders in front and a suffix behind. Without that column,
    every row is about all files: about the only one, or where it names classes of pixels. Other
    columns are not read.

    Parameters
    ----------
    path : path
        The table.
    pairs : sequence of (image, labels)
        The files.
    meaning : {"instances", "scribbles", "classes"}
        Of the labels.

    Returns
    -------
    list of dict
        The class of each label, for every pair.

    Raises
    ------
    InputError
        If the table cannot be read, has no such columns or too short rows, or names a file that
        is not there, or that is there twice, or names none where there are several images.
    """
    classes: list[dict[int, str]] = [{} for _ in pairs]
    rows = _rows(Path(path))
    places = [[_place(file.absolute()) for file in pair] for pair in pairs]
    meant: dict[str | None, list[int]] = {}  # a file has a row for every cell
    for number, row in enumerate(rows, start=2):
        try:
            # pandas writes 3.0 where a column was not complete
            label = int(row["label"].removesuffix(".0"))
        except ValueError as error:
            raise InputError(
                f"{path}, row {number}: the label is {row['label']!r}; labels are whole numbers."
            ) from error
        name = row.get("file")
        if name not in meant:
            meant[name] = _meant(name, places, f"{path}, row {number}")
        for index in meant[name]:
            classes[index][label] = row["class"]
    if rows and "file" not in rows[0] and len(pairs) > 1 and meaning != "classes":
        raise InputError(
            f"{path} has no column file, and there are {len(pairs)} images, each with cells of its "
            f"own. Add the column: it names the image that a row is about."
        )
    return classes


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        # the mark in front that Excel writes is not part of the first name
        text = path.read_bytes().decode("utf-8-sig")
        separator = _separator(text.splitlines()[:1])
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        columns = table.fieldnames or ()
        rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table of classes: {error}.") from error
    if not {"label", "class"} <= set(columns):
        raise InputError(
            f"{path} has the columns {', '.join(columns) or 'none'}; it needs label and class, "
            f"separated by commas, semicolons or tabs, and file where there are several images."
        )
    for number, row in enumerate(rows, start=2):
        _check_length(row, f"{path}, row {number}")
    return _with_whole_numbers(rows)


def _separator(header: list[str]) -> str:
    """Return what separates the columns: Excel takes semicolons where a comma is in numbers."""
    needed = {"label", "class"}
    found = (one for one in ",;\t" if needed <= set(*csv.reader(header, delimiter=one)))
    return next(found, ",")


def _with_whole_numbers(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return rows with the class 3 for 3.0, as pandas writes numbers if some cells have none."""
    if not all(re.fullmatch(r"(\d+\.0)?", row["class"]) for row in rows):
        return rows
    return [{**row, "class": row["class"].removesuffix(".0")} for row in rows]


def _check_length(row: Mapping[str, str | None], where: str) -> None:
    """Raise an `InputError` for a row that ends before a cell that is read."""
    for column in ("label", "class", "file"):
        if row.get(column, "") is None:
            cells = sum(cell is not None for cell in row.values())
            raise InputError(
                f"{where}: there is no {column}; the row has {cells} of {len(row)} cells. Write "
                f"all of them, also those that are empty."
            )


def _meant(name: str | None, places: Sequence[Sequence[Place]], where: str) -> list[int]:
    """Return which pairs of files a row is about."""
    if name is None:
        return list(range(len(places)))
    # a table that was written on Windows has its own separators
    folders, names = _place(PureWindowsPath(name))
    found = [
        index
        for index, pair in enumerate(places)
        if any(names & own and _ends_with(inside, folders) for inside, own in pair)
    ]
    if len(found) != 1:
        raise InputError(
            f"{where}: {name!r} is the name of {len(found) or 'none'} of the images; give enough "
            f"of its path to tell it from the others."
        )
    return found


def _place(path: PurePath) -> Place:
    *folders, name = map(composed, path.parts[bool(path.anchor) :] or ("",))
    bare = without_suffix(name)
    # a name without its suffix may have a dot in it
    return tuple(folders), {name, PurePath(name).stem, bare, without_label_word(bare)}


def _ends_with(folders: tuple[str, ...], last: tuple[str, ...]) -> bool:
    return not last or folders[-len(last) :] == last
