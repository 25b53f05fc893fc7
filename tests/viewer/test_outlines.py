"""Labels layers are saved as outlines from napari's own menu."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from napari.layers import Labels

from napari_unet.errors import JobError
from napari_unet.viewer.notes import set_meaning

PLUGIN = "napari-live-unet"


@pytest.fixture
def labels(make_napari_viewer: Any) -> Labels:
    """A movie of two planes with a stroke of background, two cells, and what they are."""
    pixels = np.zeros((2, 20, 30), np.int32)
    pixels[0, 1:3, 2:28] = 1
    pixels[0, 5:9, 4:9] = 2
    pixels[1, 6:10, 4:9] = 2
    pixels[1, 12:18, 20:26] = 3
    layer: Labels = make_napari_viewer().add_labels(
        pixels, name="cells", axis_labels=("t", "y", "x"), scale=(1, 0.5, 0.5)
    )
    layer.features = {"index": [2, 3], "class": ["mother", None]}
    return layer


def saved(layer: Labels, path: Path) -> Path:
    """Save a layer as *File > Save Selected Layers* does, and return the file that is there."""
    (written,) = layer.save(str(path), plugin=PLUGIN)
    return Path(written)


def test_cells_become_rois_of_imagej(labels: Labels, tmp_path: Path) -> None:
    """In pixels, whatever the scale; strokes of background are no cell."""
    set_meaning(labels, "scribbles")

    rois = {roi.name: roi for roi in roifile.roiread(saved(labels, tmp_path / "cells.zip"))}

    assert sorted(rois) == ["t0001-0002-mother", "t0002-0002-mother", "t0002-0003"]
    first = rois["t0001-0002-mother"]
    assert (first.left, first.top, first.right, first.bottom) == (4, 5, 9, 9)
    assert [roi.position for _, roi in sorted(rois.items())] == [1, 2, 2]


def test_labels_become_objects_for_qupath(labels: Labels, tmp_path: Path) -> None:
    """All of them, where 0 is the background."""
    set_meaning(labels, "instances")

    text = saved(labels, tmp_path / "cells.geojson").read_text(encoding="utf-8")

    features = json.loads(text)["features"]
    places = [(f["properties"]["name"], f["geometry"]["plane"]["t"]) for f in features]
    assert places == [("1", 0), ("2", 0), ("2", 1), ("3", 1)]
    named = [f["properties"].get("classification") for f in features]
    assert named == [None, {"name": "mother"}, {"name": "mother"}, None]


def test_an_empty_layer_is_an_empty_file(make_napari_viewer: Any, tmp_path: Path) -> None:
    """Of one plane, in both formats."""
    layer = make_napari_viewer().add_labels(np.zeros((9, 9), np.uint8))

    with zipfile.ZipFile(saved(layer, tmp_path / "a.zip")) as rois:
        assert rois.namelist() == []
    assert json.loads(saved(layer, tmp_path / "a.geojson").read_text())["features"] == []


def test_a_place_that_cannot_be_written_is_said(labels: Labels, tmp_path: Path) -> None:
    """A folder lies where the file should be; nothing is left beside it."""
    (tmp_path / "a.zip").mkdir()

    with pytest.raises(JobError, match="outlines could not be written to"):
        labels.save(str(tmp_path / "a.zip"), plugin=PLUGIN)

    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    labels.features = {"index": [2], "class": [0.5]}
    with pytest.raises(JobError, match=r"0\.5"):
        labels.save(str(tmp_path / "b.zip"), plugin=PLUGIN)
