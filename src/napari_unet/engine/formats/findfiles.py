"""Find image files in folders, and pair them with files of labels.

A folder of labels is paired with a folder of images by name: the path inside the folder, without
its suffix and without what says that it is of labels (`napari_unet.engine.formats.labelnames`).
``day1/a.tif`` is the image of ``day1/a.tif``, ``day1/a_labels.tif`` and ``day1/a-mask.png`` in the
other folder, and ``day1/a.ome.zarr`` that of ``day1/a.ome.zarr/labels/cells``. In a folder given
for both, files that say so are the labels and the others the images. A folder of masks with one
cell each (`napari_unet.engine.formats.maskfolder`) is one file of labels. What is written beside
labels needs no partner: ``a_probabilities.tif`` and what is in ``a_RES`` by `segment`,
``a_flows_cp_masks.tif`` and others by Cellpose; nor does its ``a_seg.npy`` beside other labels of
``a``.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from napari_unet.engine.formats.cellposefile import is_cellpose
from napari_unet.engine.formats.imagefile import SUFFIXES
from napari_unet.engine.formats.labelnames import (
    composed,
    in_common,
    without_image_word,
    without_label_word,
)
from napari_unet.engine.formats.maskfolder import image_of_masks
from napari_unet.engine.formats.zarrfile import is_zarr, zarr_images
from napari_unet.errors import InputError, some_of

__all__ = [
    "find_images",
    "labels_among",
    "pair_files",
    "relative_name",
    "same_name",
]

AnyPath = str | os.PathLike[str]

BESIDE_LABELS = re.compile(r"_probabilities$|_RES/[^/]+$")
"""What a batch writes beside labels."""

BESIDE_MASKS = re.compile(r"_(flows|dP|outlines|cp_output)_cp_masks$")
"""What Cellpose writes beside masks."""

ZARR_ENDING = re.compile(r"(\.ome)?\.zarr$", re.IGNORECASE)


def find_images(
    path: AnyPath, *, labels: bool = False, links: set[Path] | None = None
) -> list[Path]:
    """List the images of a file, a folder (with its subfolders) or a glob pattern.

    With ``labels``, a folder's files ``_seg.npy`` of Cellpose are listed, too, and a folder of
    masks with one cell each is listed instead of its image; without, the masks are left out.

    A folder of zarr is one image, or the fields of its plate. Of folders and patterns, files with
    another suffix than an image's, unless the pattern names it, what is hidden (also macOS's
    ``._`` files) and what is partial are left out; the order is natural, ``a2`` before ``a10``.
    A subfolder that cannot be read is listed itself, so that it is missed where it is opened. One
    that is a link, which may lead in a circle, is added to ``links`` and not searched.

    Raises
    ------
    InputError
        If there is nothing.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if is_zarr(path):
        found = set(zarr_images(path))
    elif labels and image_of_masks(path) is not None:
        found = {path}
    elif path.is_dir():
        found = set(_in_folder(path, links, labels=labels))
    elif glob.has_magic(str(path)):
        found = set(_matching(path))
    else:
        raise InputError(f"There is no file or folder {path}.")
    if not found:
        suffixes = ", ".join(sorted({*SUFFIXES, ".zarr"}))
        raise InputError(f"There is no image in {path}; looked for {suffixes}.")
    return sorted(found, key=_natural)


def relative_name(file: Path, given: AnyPath) -> Path:
    """Return where a file of `find_images` lies inside what was given, without its suffix.

    The fields of a plate lie inside its name: ``plate/A/1/0``.
    """
    *folders, last = file.relative_to(_root(Path(given))).parts
    if _is_folder(file):
        name = ZARR_ENDING.sub("", last)
    else:
        stem = Path(last).stem
        name = re.sub(r"\.ome$", "", stem, flags=re.IGNORECASE) or stem
    return Path(*(ZARR_ENDING.sub("", folder) for folder in folders), name)


def pair_files(
    images: Sequence[AnyPath], labels: Sequence[AnyPath], *, both_labels: bool = False
) -> list[tuple[Path, Path]]:
    """Pair files, folders or patterns of images and labels by name (see the module).

    A single file and a single file are a pair whatever their names. A folder may hold more than
    the files that are named, one by one or by a pattern, for the other side. With ``both_labels``,
    the first are labels, too.

    Raises
    ------
    InputError
        If a name is there twice, or files have no partner; the first of them are named.
    """
    first, second = _listed(images, labels=both_labels), _listed(labels, labels=True)
    if len(first) == len(second) == 1:
        return [(first[0][0], second[0][0])]
    both = {file for file, _ in first} & {file for file, _ in second}
    left = _by_key([(f, n) for f, n in first if f not in both or _key(n) == n.as_posix()])
    right = _by_key([(f, n) for f, n in second if f not in both or _key(n) != n.as_posix()])
    left = _met(left, right)
    images_named, labels_named = map(_are_named, (images, labels))
    without_labels = _without_partner(left, right) if images_named or not labels_named else []
    without_image = _without_partner(right, left) if labels_named or not images_named else []
    lonely, pairs = without_labels + without_image, left.keys() & right.keys()
    if lonely or not pairs:
        names = some_of(lonely) or "any file"
        some = ""
        if pairs and without_labels and not (images_named or without_image or both_labels):
            some = " Where some images have no labels, give the files of labels, not their folder."
        raise InputError(
            f"There is no partner for {names}. An image and its labels have the same name, the "
            f"labels optionally with _labels or _mask behind it.{some}"
        )
    return [(left[key], right[key]) for key in left if key in right]


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


def labels_among(files: Sequence[Path], given: AnyPath) -> set[Path]:
    """Return which files of `find_images` are, by their names, labels of another one of them."""
    names = {file: Path(composed(str(relative_name(file, given)))) for file in files}
    others = {name.as_posix() for name in names.values()}
    others |= {_renamed(name, without_image_word) for name in names.values()}
    keys = {file: _key(name) for file, name in names.items()}
    return {file for file, key in keys.items() if key != names[file].as_posix() and key in others}


def same_name(image: Path, labels: Path) -> bool:
    """Whether the names of two files alone would make them a pair."""
    first, second = (in_common(_called(file, file).name) for file in (image, labels))
    return first == second


def _in_folder(folder: Path, links: set[Path] | None, *, labels: bool) -> Iterator[Path]:
    closed: list[OSError] = []
    for inside, folders, names in os.walk(folder, onerror=closed.append):
        below = [Path(inside, name) for name in folders if not _is_left_out(name)]
        for image in filter(is_zarr, below):
            yield from zarr_images(image)
        if links is not None:
            links |= {one for one in below if one.is_symlink() and not is_zarr(one)}
        masks = {one: of for one in below if (of := image_of_masks(one)) is not None}
        done = set(masks)
        if labels:
            yield from masks
            done |= {of.parent for of in masks.values()}
        # what is inside of a zarr is no matter of ours
        folders[:] = [one.name for one in below if not (is_zarr(one) or one in done)]
        files = [Path(inside, name) for name in names if not _is_left_out(name)]
        for file in files:
            wanted = file.suffix.lower() in SUFFIXES or (labels and is_cellpose(file))
            if wanted and _is_file(file):
                yield file
    # what cannot be looked into may hold images: it is missed where it is opened
    yield from (Path(error.filename) for error in closed)


def _matching(pattern: Path) -> Iterator[Path]:
    root = _root(pattern)
    named = {*SUFFIXES, pattern.suffix.lower()}
    found = [
        path
        for path in root.glob(pattern.relative_to(root).as_posix())
        if not any(map(_is_left_out, path.relative_to(root).parts))
    ]
    zarrs = {path for path in found if is_zarr(path)}
    for path in found:
        if not zarrs.isdisjoint(path.parents):
            continue
        if path in zarrs:
            yield from zarr_images(path)
        elif path.suffix.lower() in named and _is_file(path):
            yield path


def _is_file(path: Path) -> bool:
    """Whether it is a file, or nothing that can be reached: an image that must be missed."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link that leads nowhere, or a folder that may be listed, not entered
        return True


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name.endswith(".partial")


def _are_named(given: Sequence[AnyPath]) -> bool:
    # a folder, but none of zarr, is whatever lies in it; shells of Windows leave patterns to us
    return all(is_zarr(Path(path)) or not Path(path).is_dir() for path in given)


def _root(path: Path) -> Path:
    """Return the folder that names are relative to: itself, a file's, or before a wildcard."""
    if path.is_file():
        return path.parent
    if not path.is_dir():
        # a folder may have brackets in its name
        path = next(p for p in path.parents if p.exists() or p == Path(path.anchor))
    elif image_of_masks(path) is not None:
        return path.parent
    outermost = _outermost(path)
    return outermost.parent if outermost != path or is_zarr(path) else path


def _outermost(path: Path) -> Path:
    """Return the folder of zarr that a path lies in, the path itself if there is none."""
    zarrs = [parent for parent in path.parents if parent.suffix.lower() == ".zarr"]
    return zarrs[-1] if zarrs else path


def _natural(path: Path) -> tuple[list[str | int], str]:
    written = path.as_posix()
    parts = re.split(r"(\d+)", written.casefold())
    # a1 and a01 count as the same; all machines must put them in the same order nevertheless
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], written


def _listed(given: Sequence[AnyPath], *, labels: bool) -> list[tuple[Path, Path]]:
    found = [(file, path) for path in given for file in find_images(path, labels=labels)]
    named = [(file, _called(file, path)) for file, path in found]
    # Cellpose writes this file always, and others where it is asked to
    others = {_key(n) for f, n in named if not is_cellpose(f) and _key(n) != n.as_posix()}
    return [(f, n) for f, n in named if not (is_cellpose(f) and _key(n) in others)]


def _called(file: Path, given: AnyPath) -> Path:
    """Return the `relative_name` of a file, or of the image whose labels the folder is."""
    name = Path(composed(str(relative_name(file, given))))
    if (image := image_of_masks(file)) is not None:
        place = Path() if file == Path(given) else name.with_name(image.parent.name)
        return place / composed(image.stem)
    inside = file.parent.name == "labels" and _outermost(file.parent) != file.parent
    return name.parent.parent if inside else name


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
