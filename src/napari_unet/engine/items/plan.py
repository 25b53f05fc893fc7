"""Name the results of a batch before anything starts, and share it among machines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from napari_unet.engine.formats.findfiles import relative_name
from napari_unet.engine.formats.source import AnyPath
from napari_unet.engine.formats.tiffset import image_files
from napari_unet.engine.items.given import images_given
from napari_unet.engine.items.item import CHALLENGE, SUFFIX, Item
from napari_unet.errors import InputError

__all__ = ["plan", "take_shard"]


def plan(
    images: AnyPath | Iterable[AnyPath],
    folder: AnyPath,
    *,
    shard: str = "",
    remark: Callable[[str], object] | None = None,
) -> list[Item]:
    """Name the results of all images before anything starts.

    Nothing is opened, but of a shard, to see whether several files are one image.

    Parameters
    ----------
    images : path or sequence of paths
        Images, folders of them, or patterns. What is itself a result of another is left out, be it
        of this batch or, unless it is named, of an earlier one with another folder; and so is, in
        a folder or pattern, what has the name of the labels of another image there.
    folder : path
        Where to write.
    shard : str
        "i/n": only every n-th item, from the i-th on. The n shards together are all items; an
        image in several files is in that of the first.
    remark : callable, optional
        Is told in a sentence how many results of batches with another folder are left out, in
        another how many labels, and in a third which folders are links.

    Raises
    ------
    InputError
        If there is nothing, or the folder is a file.
    """
    folder = Path(folder)
    _check_folder(folder)
    items: dict[tuple[str, str], Item] = {}
    outputs: set[str] = set()
    for image, source in images_given(images, folder, remark=remark):
        item = Item(image, relative_name(image, source), folder)
        items.setdefault((_key(image), _key(_labels(item))), item)
        outputs |= {
            _key(item.output(what, suffix))
            for what in ("labels", "probabilities")
            for suffix in SUFFIX.values()
        }
        outputs.add(_key(item.output(*CHALLENGE)))
    left = [item for item in items.values() if not _within(item.image, outputs)]
    if not left:
        raise InputError(
            f"All images given are results in {folder}, or of an earlier batch; give the images "
            f"themselves."
        )
    told_apart = _told_apart(left)
    return _whole_images(take_shard(told_apart, shard), told_apart) if shard else told_apart


def take_shard(items: Sequence[Item], shard: str) -> list[Item]:
    """Return the items of a shard "i/n"; all of them for an empty one.

    Raises
    ------
    InputError
        If it is not i/n with 1 <= i <= n.
    """
    if not shard:
        return list(items)
    parts = re.fullmatch(r"([0-9]+)/([0-9]+)", shard)
    index, count = map(int, parts.groups()) if parts else (0, 0)
    if not 1 <= index <= count:
        raise InputError(f"The shard is {shard!r}; give i/n, such as 1/4 for the first of four.")
    return list(items[index - 1 :: count])


def _whole_images(items: Sequence[Item], everything: Sequence[Item]) -> list[Item]:
    """Leave out files of a shard whose image begins in another one, and is segmented there."""

    def key(file: Path) -> str:
        return os.path.normpath(_key(file))  # as `image_files` calls them

    shard = {key(item.image) for item in items}
    places = {key(item.image): number for number, item in enumerate(everything)}

    def begins_here(item: Item) -> bool:
        files = {key(item.image)}
        with suppress(OSError):  # what cannot be read is missed where it is opened
            files |= {key(file) for file in image_files(item.image)}
        return min(files & places.keys(), key=places.__getitem__) in shard

    return [item for item in items if begins_here(item)]


def _told_apart(items: Sequence[Item]) -> list[Item]:
    """Return the items, of which those that would become the same result say so."""
    alike: dict[str, list[Item]] = {}
    for item in items:
        alike.setdefault(_key(_labels(item)), []).append(item)
    return [
        item if len(same) == 1 else replace(item, clash=_clash(same))
        for item, same in ((item, alike[_key(_labels(item))]) for item in items)
    ]


def _clash(items: Sequence[Item]) -> str:
    """Say which images would become one result, and how to give one of them."""
    first, second = items[0], items[1]
    remedy = "segment them into different folders, or give the folder that holds both"
    folder, start = first.image.parent, first.name.name
    if second.image.parent == folder and second.image.name.startswith(start):
        root = folder.parents[len(first.name.parts) - 2] if first.name.parent.parts else folder
        inside = "**/*" if first.name.parent.parts else "*"
        pattern = root / f"{inside}{first.image.name[len(start) :]}"
        remedy = f"give a pattern that takes one of them, such as '{pattern}'"
    return f"{first.image} and {second.image} would both become {_labels(first)}; {remedy}."


def _labels(item: Item) -> Path:
    return item.output("labels", SUFFIX["tiff"])


def _check_folder(folder: Path) -> None:
    for path in (folder, *folder.parents):
        if path.exists():
            if not path.is_dir():
                raise InputError(f"{path} is a file; give a folder to write results into.")
            return


def _within(image: Path, outputs: set[str]) -> bool:
    """Whether an image is a result, or lies in a folder that is one."""
    return not outputs.isdisjoint(_key(path) for path in (image, *image.parents))


def _key(path: Path) -> str:
    return os.path.normcase(path.absolute())
