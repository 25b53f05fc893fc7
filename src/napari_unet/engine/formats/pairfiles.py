"""Pair files of images with files of labels by their names.

The name is the path inside the folder that was given, without its suffix and without what says
that it is of labels (`napari_unet.engine.formats.labelnames`). ``day1/a.tif`` is the image of
``day1/a.tif``, ``day1/a_labels.tif`` and ``day1/a-mask.png`` in the other folder, and
``day1/a.ome.zarr`` that of ``day1/a.ome.zarr/labels/cells``. In a folder given for both, files that
say so are the labels and the others the images; among images, those that say so of another one are
left out. A folder of masks with one cell each (`napari_unet.engine.formats.maskfolder`) is one file
of labels. What is written beside labels needs no partner: ``a_probabilities.tif`` and what is in
``a_RES`` by `segment`, ``a_flows_cp_masks.tif`` and others by Cellpose; nor does its ``a_seg.npy``
beside other labels of ``a``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from napari_unet.engine.formats.cellposefile import is_cellpose
from napari_unet.engine.formats.findfiles import find_images, relative_name
from napari_unet.engine.formats.labelnames import (
    composed,
    in_common,
    without_image_word,
    without_label_word,
)
from napari_unet.engine.formats.maskfolder import image_of_masks
from napari_unet.engine.formats.source import AnyPath
from napari_unet.engine.formats.zarrfile import is_zarr, outermost_zarr
from napari_unet.errors import InputError, some_of

__all__ = ["Paired", "called", "labels_among", "pair_files", "pair_labels", "same_name"]

BESIDE_LABELS = re.compile(r"_probabilities$|_RES/[^/]+$")
"""What a batch writes beside labels."""

BESIDE_MASKS = re.compile(r"_(flows|dP|outlines|cp_output)_cp_masks$")
"""What Cellpose writes beside masks."""


class Paired(NamedTuple):
    """Pairs of files, and the files that are missed on the other side."""

    pairs: list[tuple[Path, Path]]
    without_second: list[Path]
    without_first: list[Path]


def pair_files(images: Sequence[AnyPath], labels: Sequence[AnyPath]) -> list[tuple[Path, Path]]:
    """Pair files, folders or patterns of images and labels by name (see the module).

    A single file and a single file are a pair whatever their names. A folder may hold more than
    the files that are named, one by one or by a pattern, for the other side.

    Raises
    ------
    InputError
        If a name is there twice, or files have no partner; the first of them are named.
    """
    paired = _paired(images, labels)
    if lonely := [*paired.without_second, *paired.without_first]:
        some = ""
        if paired.pairs and not (paired.without_first or _are_named(images)):
            some = " If some images have no labels, give the files of labels, not their folder."
        raise _no_partner(lonely, some)
    return paired.pairs


def pair_labels(truth: Sequence[AnyPath], predicted: Sequence[AnyPath]) -> Paired:
    """Pair labels with the truth about the same images, as `pair_files` pairs images and labels.

    Raises
    ------
    InputError
        If a name is there twice, or there is no pair.
    """
    return _paired(truth, predicted, both_labels=True)


def _paired(
    images: Sequence[AnyPath], labels: Sequence[AnyPath], *, both_labels: bool = False
) -> Paired:
    first, second = _listed(images, labels=both_labels), _listed(labels, labels=True)
    if len(first) == len(second) == 1:
        return Paired([(first[0][0], second[0][0])], [], [])
    both = {file for file, _ in first} & {file for file, _ in second}
    if not both_labels:
        first = _without_labels(first)
    left = _by_key([(f, n) for f, n in first if f not in both or _key(n) == n.as_posix()])
    right = _by_key([(f, n) for f, n in second if f not in both or _key(n) != n.as_posix()])
    left = _met(left, right)
    images_named, labels_named = map(_are_named, (images, labels))
    without_labels = _without_partner(left, right) if images_named or not labels_named else []
    without_image = _without_partner(right, left) if labels_named or not images_named else []
    pairs = [(left[key], right[key]) for key in left if key in right]
    if not pairs:
        raise _no_partner(without_labels + without_image)
    return Paired(pairs, without_labels, without_image)


def _no_partner(lonely: Sequence[Path], more: str = "") -> InputError:
    return InputError(
        f"There is no partner for {some_of(lonely) or 'any file'}. An image and its labels have "
        f"the same name, to which that of the labels may add _labels or _mask.{more}"
    )


def labels_among(files: Sequence[Path], given: AnyPath) -> set[Path]:
    """Return which files of `find_images` are, by their names, labels of another one of them."""
    named = [(file, Path(composed(str(relative_name(file, given))))) for file in files]
    return set(files) - {file for file, _ in _without_labels(named)}


def called(file: Path, given: AnyPath) -> Path:
    """Return the `relative_name` of a file, or of the image whose labels the folder is."""
    name = Path(composed(str(relative_name(file, given))))
    if (image := image_of_masks(file)) is not None:
        place = Path() if file == Path(given) else name.with_name(image.parent.name)
        return place / composed(image.stem)
    inside = file.parent.name == "labels" and outermost_zarr(file.parent) != file.parent
    return name.parent.parent if inside else name


def same_name(image: Path, labels: Path) -> bool:
    """Whether the names of two files alone would make them a pair."""
    first, second = (in_common(called(file, file).name) for file in (image, labels))
    return first == second


def _without_labels(files: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Leave out files that are, by their names, labels of another one of them."""
    others = {name.as_posix() for _, name in files}
    others |= {_renamed(name, without_image_word) for _, name in files}
    return [(f, n) for f, n in files if _key(n) == n.as_posix() or _key(n) not in others]


def _without_partner(files: dict[str, Path], others: dict[str, Path]) -> list[Path]:
    """Return those files whose key the others lack, and that are missed there."""
    return [
        file
        for key, file in files.items()
        if not (key in others or BESIDE_LABELS.search(key) or BESIDE_MASKS.search(file.stem))
    ]


def _met(files: dict[str, Path], others: dict[str, Path]) -> dict[str, Path]:
    """Return files by the keys of others, also those whose names have less in common."""
    mine, theirs = _by_less(files, others), _by_less(others, files)
    met = {key: theirs[less] for less, key in mine.items() if less in theirs}
    return {met.get(key, key): file for key, file in files.items()}


def _by_less(files: dict[str, Path], others: dict[str, Path]) -> dict[str, str]:
    """Return the keys of files without a partner by what little they say, where only one does."""
    said = [
        (_renamed(Path(key), in_common), key)
        for key in files
        # the first of several channels is not the image
        if key not in others and not (key.endswith("_0000") and f"{key[:-1]}1" in files)
    ]
    count = Counter(less for less, _ in said)
    return {less: key for less, key in said if count[less] == 1}


def _are_named(given: Sequence[AnyPath]) -> bool:
    # a folder, but none of zarr, is whatever lies in it; shells of Windows leave patterns to us
    return all(is_zarr(Path(path)) or not Path(path).is_dir() for path in given)


def _listed(given: Sequence[AnyPath], *, labels: bool) -> list[tuple[Path, Path]]:
    found = [(file, path) for path in given for file in find_images(path, labels=labels)]
    named = [(file, called(file, path)) for file, path in found]
    # Cellpose writes this file always, and others where it is asked to
    others = {_key(n) for f, n in named if not is_cellpose(f) and _key(n) != n.as_posix()}
    return [(f, n) for f, n in named if not (is_cellpose(f) and _key(n) in others)]


def _by_key(files: list[tuple[Path, Path]]) -> dict[str, Path]:
    keyed: dict[str, Path] = {}
    for file, name in files:
        key = _key(name)
        if keyed.setdefault(key, file) != file:
            raise InputError(f"{keyed[key]} and {file} are both called {key}; keep one of them.")
    return keyed


def _key(name: Path) -> str:
    """Return what the names of an image and of its labels have in common."""
    return _renamed(name, without_label_word)


def _renamed(name: Path, words: Callable[[str], str]) -> str:
    return name.with_name(words(name.name)).as_posix()
