"""A batch links the planes of a stack, and hands tracks to other programs."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from balls import two_balls, write_volume

from napari_unet import (
    InputError,
    PredictConfig,
    Segmenter,
    probabilities,
    segment,
)
from napari_unet.core.linkstack import link_into
from napari_unet.core.metrics import seg_score
from napari_unet.engine import blocks
from napari_unet.engine.batch import segment_files
from napari_unet.engine.cells import necks_in_3d
from napari_unet.engine.files import read_image, read_labels
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.engine.formats.omezarr import begin_zarr, finish_zarr
from napari_unet.engine.items import scratch
from napari_unet.engine.items.events import (
    BatchEvent,
    ItemDone,
    ItemFailed,
    ItemProgress,
    ItemSkipped,
)
from napari_unet.engine.items.item import BatchOptions, Link
from napari_unet.engine.items.plan import plan
from napari_unet.engine.starter import starter_model, with_classes
from napari_unet.sample_data import touching_cells

CPU = PredictConfig(device="cpu")


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Write three frames of cells that drift by two pixels a frame."""
    image = (touching_cells((96, 96))[0] * 1000).astype(np.uint16)
    frames = np.stack([np.roll(image, 2 * t, axis=1) for t in range(3)])
    path = tmp_path / "in" / "movie.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, frames, ome=True, photometric="minisblack", metadata={"axes": "TYX"})
    return path


def run(image: Path, out: Path, kind: Literal["", "objects", "tracks"], **more: Any) -> BatchEvent:
    """Segment one image, and return how it ended."""
    options = BatchOptions(link=kind, **more)
    *_, ended, _ = segment_files(starter_model(), image, out, CPU, options)
    return ended


@pytest.mark.parametrize("kind", ["objects", "tracks"])
def test_the_labels_are_those_of_the_planes_linked(
    movie: Path, tmp_path: Path, kind: Literal["objects", "tracks"]
) -> None:
    """A batch gives what `segment` and `link_into` give one after the other."""
    done = run(movie, tmp_path / "out", kind)
    expected = segment(starter_model(), read_image(movie), CPU)
    links = link_into(expected, expected, kind, necks_in_3d(starter_model(), CPU, 1.0))

    assert isinstance(done, ItemDone)
    assert done.objects == len(links.tracks)
    assert np.array_equal(read_labels(tmp_path / "out" / "movie_labels.tif"), expected)


def test_objects_on_top_of_each_other_are_cut_as_the_model_cuts_cells(tmp_path: Path) -> None:
    """By the spacing of planes in the file; with split = 0 what overlaps is one object."""
    image, truth = two_balls()
    path = write_volume(tmp_path / "a.tif", image)
    counts = {}
    for split in (-1.0, 0.0):
        out, options = tmp_path / f"out{split}", BatchOptions(link="objects")
        *_, done, _ = segment_files(starter_model(), path, out, replace(CPU, split=split), options)
        assert isinstance(done, ItemDone)
        counts[split] = done.objects

    assert open_image(path).pixel_size.z_in_pixels == 4
    assert counts == {-1.0: 2, 0.0: 1}
    found = read_labels(tmp_path / "out-1.0" / "a_labels.tif")
    assert seg_score(truth, found) > 0.6


def test_tracks_are_written_as_a_table_and_as_the_challenge_has_them(
    movie: Path, tmp_path: Path
) -> None:
    """Objects are measured by the numbers of their tracks; a second run has nothing to do."""
    out = tmp_path / "out"
    run(movie, out, "tracks", measure="csv")

    rows = list(csv.DictReader((out / "movie_tracks.csv").read_text().splitlines()))
    objects = list(csv.DictReader((out / "movie_objects.csv").read_text().splitlines()))
    assert {(r["track_id"], r["t"]) for r in rows} == {(o["label"], o["plane"]) for o in objects}
    assert len(rows) > len({row["track_id"] for row in rows}), "a track has several planes"
    masks = [tifffile.imread(out / "movie_RES" / f"mask00{t}.tif") for t in range(3)]
    tracks = (out / "movie_RES" / "res_track.txt").read_text().splitlines()
    assert {int(line.split()[0]) for line in tracks} == set(np.unique(masks)) - {0}
    assert isinstance(run(movie, out, "tracks", measure="csv"), ItemSkipped)
    assert isinstance(run(movie, out, "objects", measure="csv"), ItemDone), "linked otherwise"


def test_a_movie_in_which_nothing_is_found_has_no_tracks(tmp_path: Path) -> None:
    """That is a result, too: an empty table and empty masks."""
    form: Any = {"photometric": "minisblack", "metadata": {"axes": "TYX"}}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 40, 40), np.uint16), ome=True, **form)
    done = run(tmp_path / "a.tif", tmp_path / "out", "tracks", measure="csv")

    assert isinstance(done, ItemDone)
    assert done.objects == 0


def test_masks_of_the_challenge_are_no_images_of_the_next_batch(movie: Path) -> None:
    """Results that lie beside the images, in folders too, are not segmented."""
    run(movie, movie.parent, "tracks")

    assert [item.image for item in plan(movie.parent, movie.parent)] == [movie]


def test_a_single_plane_is_a_stack_of_one(tmp_path: Path) -> None:
    """A folder of movies and pictures goes through with one command."""
    tifffile.imwrite(tmp_path / "a.tif", (touching_cells((64, 64))[0] * 1000).astype(np.uint16))

    assert isinstance(run(tmp_path / "a.tif", tmp_path / "out", "tracks"), ItemDone)
    assert (tmp_path / "out" / "a_tracks.csv").exists()


def test_planes_of_time_and_depth_are_linked_along_both(tmp_path: Path) -> None:
    """Of (T, Z, Y, X) the 3D objects are tracked; the output keeps the axes."""
    image = (touching_cells((64, 64))[0] * 1000).astype(np.uint16)
    store = begin_zarr(tmp_path / "a.zarr", (2, 2, 64, 64), axes="TZYX", dtype=np.uint16)
    for plane in range(4):
        store[plane] = image
    finish_zarr(tmp_path / "a.zarr")
    done = run(tmp_path / "a.zarr", tmp_path / "out", "tracks")

    assert isinstance(done, ItemDone), done
    labels = read_labels(tmp_path / "out" / "a_labels.ome.zarr")
    assert all(np.array_equal(plane, labels[0]) for plane in labels), "the same cells everywhere"


def test_axes_that_have_no_order_to_link_along_are_refused(tmp_path: Path) -> None:
    """Two axes of planes that are not T and Z: the sentence says what to do."""
    stack = np.zeros((2, 2, 32, 32), np.uint16)
    form: Any = {"photometric": "minisblack", "metadata": {"axes": "ZTYX"}}
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=False, **form)
    failed = run(tmp_path / "a.tif", tmp_path / "out", "objects")

    assert isinstance(failed, ItemFailed)
    assert "planes along ZT" in failed.reason
    assert "Do not link them" in failed.reason


def test_frames_in_files_of_their_own_are_not_linked_and_that_is_said(tmp_path: Path) -> None:
    """As the Cell Tracking Challenge has them; each would have tracks of one frame."""
    for frame in range(2):
        tifffile.imwrite(tmp_path / f"t{frame}.tif", touching_cells((80, 96), seed=frame)[0])

    def notes(link: Link) -> list[str]:
        options = BatchOptions(link=link, overwrite=True)
        events = segment_files(starter_model(), tmp_path, tmp_path / "out", CPU, options)
        return [event.note for event in events if isinstance(event, ItemProgress) and event.note]

    assert notes("") == []
    assert [note[:31] for note in notes("tracks")] == ["Nothing is linked in images wit"] * 2


def test_classes_cannot_be_linked(movie: Path, tmp_path: Path) -> None:
    """A model of classes finds no cells; that is said before anything starts."""
    classes = replace(starter_model(), kind="classes")

    with pytest.raises(InputError, match="only planes of cells can be linked"):
        segment_files(classes, movie, tmp_path / "out", CPU, BatchOptions(link="tracks"))


def test_cells_keep_their_classes_linked_and_in_blocks(
    movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has the same classes at the same places, whatever the cells are called."""
    monkeypatch.setattr(scratch, "BLOCK", 48)
    model = _two_classes()
    places = []
    for kind, large in product(("", "tracks"), (blocks.LARGE, 1)):
        monkeypatch.setattr(blocks, "LARGE", large)
        out = tmp_path / f"out{kind}{large}"
        list(segment_files(model, movie, out, CPU, BatchOptions(link=kind, measure="csv")))  # type: ignore[arg-type]
        rows = csv.DictReader((out / "movie_objects.csv").read_text().splitlines())
        places.append({(r["plane"], r["centroid_y"], r["centroid_x"], r["class"]) for r in rows})

    assert all(place == places[0] for place in places)
    assert len({place[-1] for place in places[0]}) == 2


def test_linked_objects_are_measured_as_wholes(tmp_path: Path) -> None:
    """One row for each 3D object, which is the sum of its rows in the planes."""
    image = (touching_cells((96, 96))[0] * 1000).astype(np.uint16)
    stack = np.stack([image * 0, image, image, image, image * 0])
    path = tmp_path / "a.tif"
    size = {f"PhysicalSize{axis}": side for axis, side in zip("ZYX", (2, 0.5, 0.5), strict=True)}
    metadata = {"axes": "ZYX", **size}
    tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata=metadata)
    run(path, tmp_path / "out", "objects", measure="csv")
    planes, volumes = (_rows(tmp_path / "out" / f"a_{what}.csv") for what in ("objects", "volumes"))

    labels = read_labels(tmp_path / "out" / "a_labels.tif")
    assert [row["label"] for row in volumes] == list(range(1, labels.max() + 1))
    assert len(planes) > len(volumes) > 3
    for row in volumes:
        own = [piece for piece in planes if piece["label"] == row["label"]]
        z, y, x = np.nonzero(labels == row["label"])
        assert row["volume"] == sum(piece["area"] for piece in own) == len(z)
        assert row["volume_um3"] == pytest.approx(len(z) * 2 * 0.5 * 0.5)
        assert (row["first_plane"], row["last_plane"]) == (z.min(), z.max())
        centre = [row[f"centroid_{axis}"] for axis in "zyx"]
        assert centre == pytest.approx([z.mean(), y.mean(), x.mean()], rel=1e-5)
        assert row["centroid_z_um"] == pytest.approx(2 * z.mean(), rel=1e-5)
        values = stack[z, y, x]
        found = [row[f"intensity_{name}_0"] for name in ("mean", "min", "max")]
        assert found == pytest.approx([values.mean(), values.min(), values.max()], rel=1e-5)
        assert row["touches_border"] == (0 in (*z, *y, *x) or 4 in z or 95 in (*y, *x))
    assert isinstance(run(path, tmp_path / "out", "objects", measure="csv"), ItemSkipped)


def test_objects_of_every_time_point_are_measured_apart(tmp_path: Path) -> None:
    """The first and last plane of a volume are its borders, whichever the volume."""
    image = (touching_cells((64, 64))[0] * 1000).astype(np.uint16)
    volume = np.stack([image * 0, image, image * 0])
    metadata = {"axes": "TZYX"}
    stack = np.stack([volume, np.stack([image] * 3)])
    tifffile.imwrite(
        tmp_path / "a.tif", stack, ome=True, photometric="minisblack", metadata=metadata
    )
    run(tmp_path / "a.tif", tmp_path / "out", "objects", measure="csv")
    rows = _rows(tmp_path / "out" / "a_volumes.csv")

    assert {(row["t"], row["first_plane"], row["last_plane"]) for row in rows} == {
        (0, 1, 1),
        (1, 3, 5),
    }
    assert {row["centroid_z"] for row in rows} == {1}
    assert not all(row["touches_border"] for row in rows if row["t"] == 0)
    assert all(row["touches_border"] for row in rows if row["t"] == 1)


def test_a_3d_object_has_the_class_of_most_of_its_voxels(movie: Path, tmp_path: Path) -> None:
    """By the classes of its pieces in the planes."""
    model, out = _two_classes(), tmp_path / "out"
    options = BatchOptions(link="objects", measure="csv")
    list(segment_files(model, movie, out, CPU, options))
    pieces = list(csv.DictReader((out / "movie_objects.csv").read_text().splitlines()))
    for row in csv.DictReader((out / "movie_volumes.csv").read_text().splitlines()):
        votes: Counter[str] = Counter()
        for piece in (piece for piece in pieces if piece["label"] == row["label"]):
            votes[piece["class"]] += int(piece["area"])
        assert votes[row["class"]] == max(votes.values())


def _rows(path: Path) -> list[dict[str, float]]:
    rows = csv.DictReader(path.read_text().splitlines())
    return [{name: float(value) for name, value in row.items()} for row in rows]


def _two_classes() -> Segmenter:
    """Make a model that finds cells of both classes, whichever network the starter model is."""
    plain = with_classes(starter_model(), ("round", "other"))
    head, bias = (plain.weights[f"head.{name}"].copy() for name in ("weight", "bias"))
    head[2] += np.random.default_rng(0).normal(0, 0.1, head[2].shape)
    drawn = replace(plain, weights={**plain.weights, "head.weight": head, "head.bias": bias})
    image, labels = touching_cells((96, 96))
    first, second = np.log(probabilities(drawn, image * 1000, CPU)[1:, labels > 0])
    bias[2] += np.median(first - second)
    return replace(drawn, weights={**drawn.weights, "head.bias": bias})
