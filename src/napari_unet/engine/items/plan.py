"""Which images a batch has, what their results are called, and which of them are this machine's.

Results lie in the output folder, at the place that the image has in what was given::

    OUT/day1/a_labels.tif            or a_labels.ome.zarr
    OUT/day1/a_probabilities.tif     or a_probabilities.ome.zarr
    OUT/day1/a_objects.csv           or a_objects.parquet
    OUT/day1/a_volumes.csv           where planes are linked into 3D objects, likewise
    OUT/day1/a_tracks.csv, a_RES/    where planes are linked into tracks
    OUT/.live-unet/day1/a.json       the record, see `napari_unet.engine.items.manifest`
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from napari_unet.core.config import check_fields
from napari_unet.engine.formats.findfiles import find_images, labels_among, relative_name
from napari_unet.engine.formats.imagefile import ImageFile, open_image
from napari_unet.errors import InputError, some_of

__all__ = [
    "RECORDS",
    "BatchOptions",
    "Item",
    "Link",
    "Outlines",
    "images_given",
    "plan",
    "take_shard",
]

AnyPath = str | os.PathLike[str]

RECORDS = ".live-unet"
"""Folder in the output folder for what the batch remembers."""

SUFFIX = {"tiff": ".tif", "ome-zarr": ".ome.zarr"}

CHALLENGE = ("RES", "")
"""Ending and suffix of the folder of tracks, where programs of the challenge look for it."""

Link: TypeAlias = Literal["", "objects", "volume", "tracks"]
"""What to link planes to, see `BatchOptions`."""

Outlines: TypeAlias = Literal["", "imagej", "geojson"]
"""Which outlines to write, see there."""

RESULT = re.compile(r"_((labels|probabilities)(\.tif|\.ome\.zarr)|RES)$")
"""How the pictures among the results end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What a batch writes. Frozen and validated; illegal values raise `InputError`.

    Attributes
    ----------
    format : {"auto", "tiff", "ome-zarr"}
        Of labels and probabilities; "auto" is TIFF, but OME-Zarr where the image is one, where a
        plane has more than 67 megapixels, or where the labels take more than 2 GiB.
    probabilities : bool
        Also write the probability of cells, or of every class.
    measure : {"", "csv", "parquet"}
        Also write a table of the objects in every plane, and of linked 3D objects as wholes.
    outlines : {"", "imagej", "geojson"}
        Also write the outlines of the objects, as ROIs of ImageJ or as GeoJSON for QuPath.
    link : {"", "objects", "volume", "tracks"}
        Link the planes of a stack, so that an object keeps its number: into 3D objects; into those
        that are found along all three axes; or into tracks, which are also written as a table and
        as the Cell Tracking Challenge has them.
    overwrite : bool
        Make everything anew, and replace what others made or changed.
    """

    format: Literal["auto", "tiff", "ome-zarr"] = "auto"
    probabilities: bool = False
    measure: Literal["", "csv", "parquet"] = ""
    outlines: Outlines = ""
    link: Link = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class Item:
    """An image of a batch.

    Attributes
    ----------
    image : Path
        A file, or a folder of OME-Zarr.
    name : Path
        Of its results, without suffix, inside the output folder.
    folder : Path
        The output folder.
    seen : str
        What tells the image from others, where it is no file.
    clash : str
        Why it cannot be segmented, where another image would become the same result.
    """

    image: Path
    name: Path
    folder: Path
    seen: str = ""
    clash: str = ""

    def open(self) -> ImageFile:
        """Open the image, without reading its pixels."""
        return open_image(self.image)

    def output(self, what: str, suffix: str) -> Path:
        """Return the path of a result: NAME_what.suffix."""
        return self.folder / self.name.with_name(f"{self.name.name}_{what}{suffix}")

    def kept(self, suffix: str) -> Path:
        """Return the path of what is remembered of it: its record, lock or scratch folder."""
        return self.folder / RECORDS / self.name.with_name(self.name.name + suffix)


def plan(
    images: AnyPath | Iterable[AnyPath],
    folder: AnyPath,
    *,
    shard: str = "",
    remark: Callable[[str], object] | None = None,
) -> list[Item]:
    """Name the results of all images before anything starts; nothing is opened.

    Parameters
    ----------
    images : path or sequence of paths
        Images, folders of them, or patterns. What is itself a result of another is left out, be it
        of this batch or, unless it is named, of an earlier one with another folder; and so is, in
        a folder or pattern, what has the name of the labels of another image there.
    folder : path
        Where to write.
    shard : str
        "i/n": only every n-th item, from the i-th on. The n shards together are all items.
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
    return take_shard(_told_apart(left), shard)


def images_given(
    images: AnyPath | Iterable[AnyPath],
    folder: Path | None = None,
    *,
    remark: Callable[[str], object] | None = None,
) -> list[tuple[Path, AnyPath]]:
    """List images, and what was given of which each is one; see `plan`.

    Results of the batch that writes into the folder are left out without a remark.

    Raises
    ------
    InputError
        If there is nothing.
    """
    given = [images] if isinstance(images, str | os.PathLike) else list(images)
    if not given:
        raise InputError("There is no image in an empty list; give at least one path.")
    left_out = _LeftOut()
    found = [
        (image, source) for source in given for image in _without_labels(source, folder, left_out)
    ]
    for sentence in left_out.sentences():
        if remark is not None:
            remark(sentence)
    return found


@dataclass(slots=True)
class _LeftOut:
    """What lies among images and is none, or was not looked at."""

    results: set[Path] = field(default_factory=set)
    labels: set[Path] = field(default_factory=set)
    links: set[Path] = field(default_factory=set)

    def sentences(self) -> Iterator[str]:
        """Yield what a user may want to know."""
        if self.results:
            results = "1 result" if len(self.results) == 1 else f"{len(self.results)} results"
            yield f"{results} of an earlier batch left out."
        if self.labels:
            yield f"Left out as labels of other images: {some_of(sorted(self.labels))}."
        if self.links:
            names = some_of(sorted(self.links))
            yield f"Not searched, because they are links: {names}. Give them by name, too."


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


def _without_labels(source: AnyPath, folder: Path | None, left_out: _LeftOut) -> Iterator[Path]:
    """Find images without results of earlier batches and labels; note these."""
    found = find_images(source, links=left_out.links)
    named = labels_among(found, source)
    for image in _without_results(found, source, folder, left_out.results):
        if image in named:
            left_out.labels.add(image)
        else:
            yield image


def _without_results(
    images: Sequence[Path], source: AnyPath, folder: Path | None, others: set[Path]
) -> Iterator[Path]:
    """Leave out results of earlier batches; add those of other folders to a set."""
    for image in images:
        made = _recorded(image)
        if made is None:
            yield image
            continue
        result, into = made
        if folder is None or into != folder.absolute():
            if image == Path(source):  # what is named is meant
                yield image
            else:
                others.add(result)


def _recorded(image: Path) -> tuple[Path, Path] | None:
    """Return the result that an image is, or lies in, and the folder of the batch that made it."""
    image = image.absolute()
    for path in (image, *image.parents):
        name = RESULT.sub("", path.name)
        if name == path.name:
            continue
        for folder in path.parents:
            record = folder / RECORDS / path.relative_to(folder).with_name(f"{name}.json")
            if _is_there(record):
                return path, folder
    return None


def _is_there(record: Path) -> bool:
    try:
        return record.is_file()
    except OSError:  # in a folder that may not be entered
        return False


def _key(path: Path) -> str:
    return os.path.normcase(path.absolute())
