"""Which images are given: without results of batches, and labels, that lie among them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_unet.engine.formats.findfiles import find_images
from napari_unet.engine.formats.pairfiles import labels_among
from napari_unet.engine.formats.source import AnyPath
from napari_unet.engine.items.item import RECORDS
from napari_unet.errors import InputError, some_of

__all__ = ["images_given"]

RESULT = re.compile(r"_((labels|probabilities)(\.tif|\.ome\.zarr)|RES)$")
"""How the pictures among the results end."""


def images_given(
    images: AnyPath | Iterable[AnyPath],
    folder: Path | None = None,
    *,
    remark: Callable[[str], object] | None,
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
