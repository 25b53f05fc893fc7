"""Find the image files of a file, a folder or a glob pattern, and what each is called there."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from napari_unet.engine.formats.cellposefile import is_cellpose
from napari_unet.engine.formats.imagefile import SUFFIXES
from napari_unet.engine.formats.labelnames import without_suffix
from napari_unet.engine.formats.maskfolder import image_of_masks
from napari_unet.engine.formats.source import AnyPath
from napari_unet.engine.formats.zarrfile import is_zarr, outermost_zarr, zarr_images
from napari_unet.errors import InputError

__all__ = ["find_images", "relative_name"]

ZARR_ENDING = re.compile(r"(\.ome)?\.zarr$", re.IGNORECASE)


def find_images(
    path: AnyPath, *, labels: bool = False, links: set[Path] | None = None
) -> list[Path]:
    """List the images of a file, a folder (with its subfolders) or a glob pattern.

    With ``labels``, a folder's files ``_seg.npy`` of Cellpose are listed, too, and a folder of
    masks with one cell each is listed instead of its image; without, the masks are left out.

    A folder of zarr is one image, or the fields of its plate. A pattern that matches folders, and
    no image, lists what is in them. Of folders and patterns, files with
    another suffix than an image's, unless the pattern names it, what is hidden (also macOS's
    ``._`` files) and what is partial are left out; the order is natural, ``a2`` before ``a10``.
    A subfolder that cannot be read is listed itself, so that it is missed where it is opened. One
    that is a link, which may lead in a circle, is added to ``links`` and not searched.

    Raises
    ------
    InputError
        If there is nothing, or the folder cannot be looked into.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if path.is_dir():
        _look_into(path)
        found = set(_inside(path, links, labels=labels))
    elif glob.has_magic(str(path)):
        found = set(_matching(path, links, labels=labels))
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
        name = without_suffix(last)
    return Path(*(ZARR_ENDING.sub("", folder) for folder in folders), name)


def _look_into(folder: Path) -> None:
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise InputError(
            f"{folder} cannot be looked into: {error.strerror}. Check the permissions of the "
            f"folder."
        ) from error


def _inside(folder: Path, links: set[Path] | None, *, labels: bool) -> Iterator[Path]:
    """Yield the images that a folder is, or that are in it."""
    if is_zarr(folder):
        yield from zarr_images(folder)
    elif labels and image_of_masks(folder) is not None:
        yield folder
    else:
        yield from _in_folder(folder, links, labels=labels)


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


def _matching(pattern: Path, links: set[Path] | None, *, labels: bool) -> Iterator[Path]:
    root = _root(pattern)
    named = {*SUFFIXES, pattern.suffix.lower()}
    found = [
        path
        for path in root.glob(pattern.relative_to(root).as_posix())
        if not any(map(_is_left_out, path.relative_to(root).parts))
    ]
    zarrs = {path for path in found if is_zarr(path)}
    found = [path for path in found if zarrs.isdisjoint(path.parents)]
    images = [p for p in found if p in zarrs or (p.suffix.lower() in named and _is_file(p))]
    for path in images or found:
        if _is_folder(path):
            yield from _inside(path, links, labels=labels)
        elif images:
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


def _root(path: Path) -> Path:
    """Return the folder that names are relative to: itself, a file's, or before a wildcard."""
    if path.is_file():
        return path.parent
    if not path.is_dir():
        # a folder may have brackets in its name
        path = next(p for p in path.parents if p.exists() or p == Path(path.anchor))
    elif image_of_masks(path) is not None:
        return path.parent
    outermost = outermost_zarr(path)
    return outermost.parent if outermost != path or is_zarr(path) else path


def _natural(path: Path) -> tuple[list[str | int], str]:
    written = path.as_posix()
    parts = re.split(r"(\d+)", written.casefold())
    # a1 and a01 count as the same; all machines must put them in the same order nevertheless
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], written
