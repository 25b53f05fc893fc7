"""What a batch remembers of an item: what its results were made from, and what they looked like.

A record is written when all results of an item are complete in its scratch folder, and before they
are moved to their places. So at any moment each file at such a place is one of these:

- as the record says, also where it was copied and has another time: a result;
- as it was when the record was written: an earlier result, which the next run may replace;
- anything else: made by someone else, or changed since; never replaced unasked.

An item is complete if all its results are as the record says, and were made from the same image,
by the same model and settings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import napari_unet
from napari_unet.core.config import PredictConfig
from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.items.item import CHALLENGE, SUFFIX, BatchOptions, Item
from napari_unet.engine.items.stamps import stamp, summed
from napari_unet.engine.outlinefile import OUTLINES
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

__all__ = [
    "Record",
    "check_place",
    "explained",
    "find_complete",
    "find_foreign",
    "find_lasting",
    "find_outdated",
    "identify",
    "read_record",
    "renew_record",
    "wanted",
    "write_record",
]

FORMAT = 1
"""Version of the records, and of what makes results differ; older results are made anew."""

WITHOUT_INFLUENCE = ("tile_size", "device")
"""Settings that do not change a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is remembered of an item.

    Attributes
    ----------
    image, fingerprint : str
        What it was made from.
    made_by : str
        Model and settings, as `identify` says it.
    settings, version : dict, str
        The same settings in words, and the version of this program: for people.
    outputs : dict of str to (str, str)
        Of each kind of result, such as "labels": name of the file or folder, and its `stamp`. One
        in another format is listed under its own name.
    earlier : dict of str to str
        Names and stamps of what was made of it before, or lay there and was to be replaced.
    image_sum : str
        The `summed_image` of what it was made from; "" where that is no file.
    sums : dict of str to str
        Names of all results that were ever made of it, and what the last one holds, as `summed`
        says it: a copy has another stamp.
    objects : int or None
        Cells found.
    """

    image: str
    fingerprint: str
    made_by: str
    settings: dict[str, Any]
    outputs: dict[str, tuple[str, str]]
    earlier: dict[str, str] = field(default_factory=dict)
    version: str = napari_unet.__version__
    objects: int | None = None
    image_sum: str = ""
    sums: dict[str, str] = field(default_factory=dict)

    def is_of(self, made_by: str, seen: str, image_sum: str) -> bool:
        """Whether it was made by this model and these settings of this image, or a copy of it."""
        same = self.fingerprint == seen or (image_sum != "" and self.image_sum == image_sum)
        return self.made_by == made_by and same

    def is_result(self, path: Path) -> bool:
        """Whether a result lies there as it was made, or a copy of it."""
        if (seen := stamp(path)) is None:
            return False
        known = self.sums.get(path.name, "")
        return (path.name, seen) in self.outputs.values() or (known != "" and summed(path) == known)

    def paths(self, item: Item) -> tuple[Path, ...]:
        """Return where the results lie, but for those that are there in another format, too."""
        folder = (item.folder / item.name).parent
        return tuple(folder / name for kind, (name, _) in self.outputs.items() if kind != name)


def identify(
    segmenter: Segmenter, config: PredictConfig, options: BatchOptions
) -> tuple[str, dict[str, Any]]:
    """Return a digest of a model and the settings that change results, and these settings."""
    settings = {k: v for k, v in asdict(config).items() if k not in WITHOUT_INFLUENCE}
    settings["link"] = options.link
    model = {name: getattr(segmenter, name) for name in segmenter.__dataclass_fields__}
    for name in ("weights", "provenance", "seen"):
        del model[name]
    digest = hashlib.sha256(json.dumps([model, settings], sort_keys=True).encode())
    segmenter.hash_weights(digest.update)
    return digest.hexdigest(), settings


def wanted(options: BatchOptions) -> dict[str, tuple[str, ...]]:
    """Return the kinds of results that are asked for, and the suffixes each may have."""
    pictures = tuple(SUFFIX.values()) if options.format == "auto" else (SUFFIX[options.format],)
    kinds = {"labels": pictures}
    if options.probabilities:
        kinds["probabilities"] = pictures
    if options.measure:
        kinds["objects"] = (f".{options.measure}",)
        if options.link in ("objects", "volume"):
            kinds["volumes"] = (f".{options.measure}",)
    if options.outlines:
        kinds["outlines"] = (OUTLINES[options.outlines],)
    if options.link == "tracks":
        kinds |= {"tracks": (".csv",), CHALLENGE[0]: (CHALLENGE[1],)}
    return kinds


def find_complete(item: Item, made_by: str, options: BatchOptions) -> Record | None:
    """Return the record of an item whose results are all there and what this run would make.

    Where image or results were copied, it has the stamps that they have now.
    """
    record = read_record(item)
    if record is None or record.made_by != made_by:
        return None
    folder = (item.folder / item.name).parent
    is_result = cache(record.is_result)  # a copy is read as a whole
    for kind, suffixes in wanted(options).items():
        name, _ = record.outputs.get(kind, ("", ""))
        if not name.endswith(suffixes) or not is_result(folder / name):
            return None
    seen = item.fingerprint()
    # a sum takes long, and is needed where the time is another one
    image_sum = "" if record.fingerprint == seen else item.image_sum()
    if not record.is_of(made_by, seen, image_sum):
        return None
    outputs = {
        kind: (name, str(stamp(folder / name)) if is_result(folder / name) else was)
        for kind, (name, was) in record.outputs.items()
    }
    return replace(record, fingerprint=seen, outputs=outputs)


def find_foreign(item: Item, outputs: Iterable[Path]) -> list[Path]:
    """Return those of the paths at which something lies that no record explains."""
    record = read_record(item)
    there = [(path, seen) for path in outputs if (seen := stamp(path)) is not None]
    return [
        path
        for path, seen in there
        if record is None or not (record.earlier.get(path.name) == seen or record.is_result(path))
    ]


def check_place(item: Item) -> None:
    """Raise an `InputError` if an item's results would replace those of another image.

    Of one that is still there, and holds something else: what was moved, copied or written anew
    takes the place of what it was.
    """
    record, source = read_record(item), Path(item.source)
    if record is None or not (Path(record.image).exists() and source.exists()):
        return
    folder = (item.folder / item.name).parent
    there = [path for name, _ in record.outputs.values() if (path := folder / name).exists()]
    if not there or source.samefile(record.image):
        return
    if not record.is_of(record.made_by, item.fingerprint(), item.image_sum()):
        raise InputError(
            f"{item.image} has the name of {record.image}, of which {there[0]} was made; segment "
            f"them into different folders, or give the folder that holds both."
        )


def find_outdated(
    item: Item, outputs: Iterable[Path], made_by: str, seen: str, image_sum: str
) -> list[Path]:
    """Return results that do not fit those that are about to be written.

    Such as tables, and labels in another format, which another model or other settings made.

    Parameters
    ----------
    item : Item
        Of the batch.
    outputs : iterable of Path
        What is written now.
    made_by, seen, image_sum : str
        As ``made_by``, ``fingerprint`` and ``image_sum`` of the new record.
    """
    record, new = read_record(item), {path.name for path in outputs}
    if record is None or record.is_of(made_by, seen, image_sum):
        return []
    folder = (item.folder / item.name).parent
    return [
        folder / name
        for name, _ in record.outputs.values()
        if name not in new and record.is_result(folder / name)
    ]


def find_lasting(
    item: Item, outputs: Mapping[str, Path], made_by: str, seen: str, image_sum: str
) -> dict[str, tuple[str, str]]:
    """Return results, such as tables, that fit what the same model writes with the same settings.

    They are remembered on, so that they go when what another model writes comes.

    Parameters
    ----------
    item : Item
        Of the batch.
    outputs : mapping of str to Path
        What is written now, by its kind.
    made_by, seen, image_sum : str
        As ``made_by``, ``fingerprint`` and ``image_sum`` of the new record.

    Returns
    -------
    dict of str to (str, str)
        As ``outputs`` of a record; one of a kind that is written now in another format is called
        by its name.
    """
    record, new = read_record(item), {path.name for path in outputs.values()}
    if record is None or not record.is_of(made_by, seen, image_sum):
        return {}
    folder = (item.folder / item.name).parent
    return {
        name if kind in outputs else kind: (name, str(stamp(folder / name)))
        for kind, (name, _) in record.outputs.items()
        if name not in new and record.is_result(folder / name)
    }


def explained(item: Item) -> dict[str, str]:
    """Return names and stamps of all results that were ever made of an item."""
    record = read_record(item)
    return {} if record is None else record.earlier | dict(record.outputs.values())


def read_record(item: Item) -> Record | None:
    """Return what is remembered of an item; None if that is nothing, or is damaged."""
    try:
        content = json.loads(item.kept(".json").read_bytes())
        if content.pop("format") != FORMAT:
            return None
        outputs = {
            kind: (str(name), str(seen)) for kind, (name, seen) in content["outputs"].items()
        }
        return Record(**content | {"outputs": outputs})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def write_record(item: Item, record: Record) -> None:
    """Remember an item; raises OSError."""
    text = json.dumps({"format": FORMAT, **asdict(record)}, indent=1)
    write_atomically(item.kept(".json"), lambda file: file.write(text.encode()))


def renew_record(item: Item, record: Record) -> None:
    """Remember a record with other stamps, unless another one was written; raises OSError."""
    known = read_record(item)
    if known is None or known == record:
        return
    if replace(known, fingerprint=record.fingerprint, outputs=record.outputs) == record:
        write_record(item, record)
