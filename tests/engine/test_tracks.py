"""Tracks as other programs read them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Tracks

from napari_unet.core.linkstack import Linked, link_planes
from napari_unet.engine.tracks import napari_tracks, write_challenge, write_points
from napari_unet.errors import InputError


@pytest.fixture
def linked() -> Linked:
    """A cell that is missed in plane 1 and divides after plane 3."""
    stack = np.zeros((5, 8, 20), np.uint16)
    stack[[0, 2, 3], 2:6, 2:18] = 7
    stack[4, 2:6, 2:9] = 1
    stack[4, 2:6, 11:18] = 2
    return link_planes(stack, kind="tracks")


def test_the_challenge_finds_its_masks_and_its_table(linked: Linked, tmp_path: Path) -> None:
    """A track ends at a gap, the rest of it has it as parent, and the daughters have the rest."""
    write_challenge(tmp_path / "01_RES", *linked)

    lines = (tmp_path / "01_RES" / "res_track.txt").read_text().splitlines()
    masks = sorted((tmp_path / "01_RES").glob("*.tif"))
    assert [mask.name for mask in masks] == [f"mask{t:03}.tif" for t in range(5)]
    assert lines == ["1 0 0 0", "2 4 4 4", "3 4 4 4", "4 2 3 1"]
    for t, mask in enumerate(masks):
        plane = tifffile.imread(mask)
        rows = [list(map(int, line.split())) for line in lines]
        assert plane.dtype == np.uint16
        assert np.unique(plane[plane > 0]).tolist() == [n for n, b, e, _ in rows if b <= t <= e]
        assert np.array_equal(plane > 0, linked.labels[t] > 0)


@pytest.mark.parametrize("planes", [1, 3, 4])
def test_masks_of_volumes_are_planes_and_no_colours(planes: int, tmp_path: Path) -> None:
    """Other programs find as many pages as there are planes, however few."""
    movie = np.zeros((2, planes, 8, 20), np.uint16)
    movie[:, :, 2:6, 2:9] = 1
    linked = link_planes(movie, kind="tracks")
    write_challenge(tmp_path / "01_RES", *linked)

    with tifffile.TiffFile(tmp_path / "01_RES" / "mask001.tif") as mask:
        assert len(mask.pages) == planes
        assert mask.pages.first.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert np.array_equal(mask.asarray().reshape(movie[1].shape), linked.labels[1])


def test_a_movie_in_which_nothing_is_found_has_masks_and_no_tracks(tmp_path: Path) -> None:
    """It is a result like any other."""
    empty = link_planes(np.zeros((3, 8, 20), np.uint16), kind="tracks")
    write_challenge(tmp_path / "01_RES", *empty)
    write_points(tmp_path / "tracks.csv", empty.tracks, empty.points)

    masks = [tifffile.imread(path) for path in sorted((tmp_path / "01_RES").glob("*.tif"))]
    assert [int(mask.max()) for mask in masks] == [0, 0, 0]
    assert (tmp_path / "01_RES" / "res_track.txt").read_text() == ""
    assert len((tmp_path / "tracks.csv").read_text().splitlines()) == 1


def test_nothing_is_overwritten_and_nothing_half_written_stays(
    linked: Linked, tmp_path: Path
) -> None:
    """An existing folder is refused; what breaks off leaves no folder."""
    (tmp_path / "01_RES").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write_challenge(tmp_path / "01_RES", *linked)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_challenge(tmp_path / "file" / "01_RES", *linked)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01_RES", "file"]


@pytest.mark.parametrize(("count", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_a_movie_of_very_many_tracks_is_written_with_wider_numbers(
    tmp_path: Path, count: int, dtype: Any
) -> None:
    """The challenge knows none, but hours of work are not refused for that."""
    stack = np.zeros((2, 256, 512), np.uint32)
    stack[:, ::2] = np.arange(1, 65_537).reshape(1, 128, 512)
    stack[stack > count] = 0
    linked = link_planes(stack, kind="tracks")
    write_challenge(tmp_path / "01_RES", *linked)

    assert len((tmp_path / "01_RES" / "res_track.txt").read_text().splitlines()) == count
    mask = tifffile.imread(tmp_path / "01_RES" / "mask001.tif")
    assert mask.dtype == dtype
    np.testing.assert_array_equal(mask, linked.labels[1])


def test_a_table_says_where_tracks_are(linked: Linked, tmp_path: Path) -> None:
    """One row a track and plane, with the parent of the track."""
    write_points(tmp_path / "tracks.csv", linked.tracks, linked.points)

    with (tmp_path / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"track_id": "1", "t": "0", "y": "3.50", "x": "9.50", "parent": "0"}
    assert [(row["track_id"], row["t"], row["parent"]) for row in rows[3:]] == [
        ("2", "4", "1"),
        ("3", "4", "1"),
    ]


def test_napari_takes_tracks_with_their_parents(linked: Linked) -> None:
    """Its layer has every point, and knows from which track the daughters come."""
    data, graph = napari_tracks(linked.tracks, linked.points)

    layer = Tracks(data, graph=graph)

    assert np.array_equal(layer.data, linked.points)
    assert layer.graph == {2: [1], 3: [1]}
