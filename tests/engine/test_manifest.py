"""A record says what was made from what, and is never believed when it is wrong."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet import BatchOptions, PredictConfig
from napari_unet.engine.items import stamps
from napari_unet.engine.items.item import Item
from napari_unet.engine.items.manifest import (
    Record,
    explained,
    find_complete,
    find_foreign,
    find_lasting,
    find_outdated,
    identify,
    read_record,
    renew_record,
    write_record,
)
from napari_unet.engine.items.stamps import fingerprint, stamp, summed, summed_image
from napari_unet.engine.starter import starter_model

OPTIONS = BatchOptions()


@pytest.fixture
def item(tmp_path: Path) -> Item:
    """Make an image of 200 kB and its result."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").write_bytes(bytes(200_000))
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "out" / "sub" / "a_labels.tif").write_bytes(b"labels")
    return Item(tmp_path / "in" / "a.tif", Path("sub/a"), tmp_path / "out")


def record_of(item: Item, **changes: Any) -> Record:
    """Remember the result of an item."""
    path = item.output("labels", ".tif")
    record = Record(
        image=str(item.image),
        fingerprint=fingerprint(item.image),
        made_by="me",
        settings={"threshold": 0.5},
        outputs={"labels": (path.name, str(stamp(path)))},
        image_sum=summed_image(item.image),
        sums={path.name: summed(path)},
    )
    write_record(item, replace(record, **changes))
    return record


def test_a_record_comes_back_as_it_was(item: Item) -> None:
    """It lies at the item's place in a hidden folder, and people can read it."""
    record = record_of(item, objects=3)

    assert read_record(item) == replace(record, objects=3)
    assert record.paths(item) == (item.output("labels", ".tif"),)
    content = json.loads((item.folder / ".live-unet" / "sub" / "a.json").read_text())
    assert content["settings"] == {"threshold": 0.5}
    assert content["image"] == str(item.image)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', "\xff"])
def test_a_damaged_record_is_none(item: Item, text: str) -> None:
    """Nothing is concluded from it, so the result is somebody else's."""
    record_of(item)
    item.kept(".json").write_bytes(text.encode("latin-1"))

    assert read_record(item) is None
    assert find_complete(item, "me", OPTIONS) is None
    assert find_foreign(item, [item.output("labels", ".tif")])


def test_a_record_of_another_version_is_none(item: Item) -> None:
    """What it says may mean something else."""
    record_of(item)
    place = item.kept(".json")
    place.write_text(place.read_text().replace('"format": 1', '"format": 2'))

    assert read_record(item) is None


def test_complete_is_only_what_this_run_would_make(item: Item) -> None:
    """The same image, model and settings, and all results that are asked for."""
    record_of(item)

    assert find_complete(item, "me", OPTIONS) is not None
    assert find_complete(item, "another model", OPTIONS) is None
    for more in ({"probabilities": True}, {"measure": "csv"}, {"format": "ome-zarr"}):
        assert find_complete(item, "me", BatchOptions(**more)) is None  # type: ignore[arg-type]
    item.output("labels", ".tif").unlink()
    assert find_complete(item, "me", OPTIONS) is None


@pytest.mark.parametrize("at", [0, 199_999, None])
def test_another_image_is_stale_even_if_it_was_given_the_old_time(
    item: Item, at: int | None
) -> None:
    """Both ends of the file are compared; and its time, for what lies between them."""
    record_of(item)
    times = item.image.stat().st_atime_ns, item.image.stat().st_mtime_ns
    content = bytearray(item.image.read_bytes())
    content[100_000 if at is None else at] = 1
    item.image.write_bytes(content)
    os.utime(item.image, ns=times if at is not None else (times[0], times[1] + 1000))

    assert find_complete(item, "me", OPTIONS) is None
    assert not find_foreign(item, [item.output("labels", ".tif")])


def test_earlier_results_are_explained_until_they_change(item: Item) -> None:
    """Killed between the record and the move, the old result is still ours."""
    path = item.output("labels", ".tif")
    earlier = {path.name: str(stamp(path)), "a_objects.csv": "1 2"}
    record_of(item, outputs={"labels": (path.name, "7 7")}, earlier=earlier)

    assert not find_foreign(item, [path])
    assert explained(item) == {path.name: "7 7", "a_objects.csv": "1 2"}
    path.write_bytes(b"corrected")
    assert find_foreign(item, [path]) == [path]


@pytest.mark.parametrize("which", ["image", "labels"])
def test_a_copy_with_another_time_is_what_it_was(item: Item, which: str) -> None:
    """And the record learns the time, so that nothing is read as a whole again."""
    record_of(item)
    path = item.image if which == "image" else item.output("labels", ".tif")
    os.utime(path, ns=(1, 1))

    found = find_complete(item, "me", OPTIONS)

    assert found is not None
    assert not find_foreign(item, [item.output("labels", ".tif")])
    renew_record(item, found)
    assert read_record(item) == found
    assert found.outputs["labels"][1] == stamp(item.output("labels", ".tif"))
    assert found.fingerprint == fingerprint(item.image)


def test_what_is_too_large_to_be_read_again_is_known_by_its_time(
    item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of it is made anew, and what was changed is never taken for a copy."""
    monkeypatch.setattr(stamps, "LARGEST", 5)
    path = item.output("labels", ".tif")
    record = record_of(item)
    assert record.image_sum == record.sums[path.name] == ""
    assert find_complete(item, "me", OPTIONS) is not None
    os.utime(item.image, ns=(1, 1))
    assert find_complete(item, "me", OPTIONS) is None
    path.write_bytes(b"LABELS")
    assert find_foreign(item, [path]) == [path]


def test_a_correction_of_the_same_length_is_no_copy(item: Item) -> None:
    """What it holds is compared, be it a file or a folder."""
    record_of(item)
    path = item.output("labels", ".tif")
    path.write_bytes(b"LABELS")

    assert find_complete(item, "me", OPTIONS) is None
    assert find_foreign(item, [path]) == [path]


def test_a_table_that_was_copied_fits_the_labels_that_are_made_again(item: Item) -> None:
    """It is neither forgotten nor removed as one of another image."""
    table = item.output("objects", ".csv")
    table.write_bytes(b"table")
    labels = item.output("labels", ".tif")
    there = {"labels": labels, "objects": table}
    outputs = {kind: (path.name, str(stamp(path))) for kind, path in there.items()}
    record_of(item, outputs=outputs, sums={path.name: summed(path) for path in there.values()})
    for path in (item.image, *there.values()):
        os.utime(path, ns=(1, 1))
    made_from = "me", fingerprint(item.image), summed_image(item.image)

    assert not find_outdated(item, [labels], *made_from)
    lasting = find_lasting(item, {"labels": labels}, *made_from)
    assert lasting == {"objects": (table.name, stamp(table))}


def test_a_record_that_was_written_meanwhile_stays(item: Item) -> None:
    """Another process made other results, of which the copies say nothing."""
    record_of(item)
    os.utime(item.image, ns=(1, 1))
    found = find_complete(item, "me", OPTIONS)
    assert found is not None
    later = record_of(item, made_by="another model")

    renew_record(item, found)

    assert read_record(item) == replace(later, made_by="another model")


def test_only_what_is_still_as_it_was_made_is_remembered_on(item: Item) -> None:
    """Not a table that was changed, or is gone, since the labels were made."""
    paths = {kind: item.output(kind, ".csv") for kind in ("objects", "tracks", "volumes")}
    for path in paths.values():
        path.write_text("1")
    made = {kind: (path.name, str(stamp(path))) for kind, path in paths.items()}
    seen = record_of(item, outputs=made).fingerprint
    paths["objects"].write_text("corrected")
    paths["tracks"].unlink()

    lasting = find_lasting(item, {"labels": item.output("labels", ".tif")}, "me", seen, "")
    assert lasting == {"volumes": made["volumes"]}


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    """A chunk that changed, came or went makes another stamp."""
    (tmp_path / "a.zarr" / "c").mkdir(parents=True)
    (tmp_path / "a.zarr" / "c" / "0").write_bytes(b"1")
    seen = [stamp(tmp_path / "a.zarr")]
    (tmp_path / "a.zarr" / "c" / "1").write_bytes(b"1")
    seen.append(stamp(tmp_path / "a.zarr"))
    (tmp_path / "a.zarr" / "c" / "0").write_bytes(b"12")
    seen.append(stamp(tmp_path / "a.zarr"))
    assert len(set(seen)) == 3
    holds = summed(tmp_path / "a.zarr")
    (tmp_path / "a.zarr").rename(tmp_path / "b.zarr")
    assert stamp(tmp_path / "b.zarr") == seen[-1]
    assert stamp(tmp_path / "a.zarr") is None
    assert summed(tmp_path / "b.zarr") == holds
    (tmp_path / "b.zarr" / "c" / "0").write_bytes(b"21")
    assert summed(tmp_path / "b.zarr") != holds


@pytest.mark.parametrize("name", [".DS_Store", "c/._0", ".ipynb_checkpoints/0"])
def test_what_the_system_hides_in_a_folder_does_not_change_it(tmp_path: Path, name: str) -> None:
    """To look at a result is not to change it; but zarr has files of its own that are hidden."""
    (tmp_path / "a.zarr" / "c").mkdir(parents=True)
    for own in (".zarray", "c/0"):
        (tmp_path / "a.zarr" / own).write_bytes(b"1")
    seen = stamp(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "a.zarr" / name).write_bytes(b"1")
    assert stamp(tmp_path / "a.zarr") == seen
    (tmp_path / "a.zarr" / ".zarray").write_bytes(b"12")
    assert stamp(tmp_path / "a.zarr") != seen


def test_a_model_is_its_weights_and_settings_not_its_history() -> None:
    """Settings that change no result, and what is said of the model, do not count."""
    model, config, plain = starter_model(), PredictConfig(), BatchOptions()
    known, settings = identify(model, config, plain)
    assert identify(replace(model, provenance={}, seen={}), config, plain)[0] == known
    assert identify(model, PredictConfig(tile_size=100, device="cpu"), plain)[0] == known
    assert identify(model, config, BatchOptions(measure="csv"))[0] == known
    weights = dict(model.weights)
    name = next(iter(weights))
    weights[name] = np.nextafter(weights[name], np.float32(1))
    changed = {"threshold": 0.6, "min_size": 5, "max_hole": 5, "split": 0.5, "border": 1.0}
    changed |= {"magnification": 2.0, "spacing": 2.0, "rotations": 7}
    assert {*changed, "tile_size", "device"} == {field.name for field in fields(config)}
    others = (
        (replace(model, weights=weights), config, plain),
        (replace(model, split=0.3), config, plain),
        *((model, replace(config, **{name: value}), plain) for name, value in changed.items()),
        (model, config, BatchOptions(link="objects")),
    )
    assert len({known, *(identify(*other)[0] for other in others)}) == 1 + len(others)
    assert settings["threshold"] == 0.5
