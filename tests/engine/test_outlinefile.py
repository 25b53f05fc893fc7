"""Outlines in the files of other programs."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_unet.core.config import PredictConfig
from napari_unet.core.outlines import outlines
from napari_unet.engine.batch import segment_files
from napari_unet.engine.events import PlaneDone
from napari_unet.engine.items.item import BatchOptions
from napari_unet.engine.outlinefile import OutlinedPlane, place_along, write_outlines
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import starter_model, with_classes
from napari_unet.errors import InputError
from napari_unet.sample_data import touching_cells

CPU = PredictConfig(device="cpu")

RING_AND_DOTS = np.array(
    [
        [1, 1, 1, 0, 2, 2],
        [1, 0, 1, 0, 2, 2],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 3, 0, 3],
    ],
    dtype=np.uint16,
)


def plane_of(labels: NDArray[np.integer], place: dict[str, int], kind: str = "") -> OutlinedPlane:
    """A plane with all its objects, of one class."""
    blocks = [((slice(0, labels.shape[0]), slice(0, labels.shape[1])), labels)]
    found = [(outline, kind) for outline in outlines(partial(iter, blocks))]
    return OutlinedPlane(objects=found, place=place)


def inside(rings: list[list[list[float]]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill what is inside an odd number of rings of (x, y) around the corners of pixels."""
    mask = np.zeros(shape, bool)
    for ring in rings:
        mask ^= polygon2mask(shape, np.asarray(ring, float)[:, ::-1] - 0.5)
    return mask


def drawn_geojson(path: Path, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Draw the objects of a file for QuPath."""
    labels = np.zeros(shape, np.int64)
    for feature in json.loads(path.read_text(encoding="utf-8"))["features"]:
        rings = feature["geometry"]["coordinates"]
        if feature["geometry"]["type"] == "MultiPolygon":
            rings = [ring for polygon in rings for ring in polygon]
        assert all(ring[0] == ring[-1] for ring in rings)
        labels[inside(rings, shape)] = int(feature["properties"]["name"])
    return labels


def drawn_rois(path: Path, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Draw the objects of a file for ImageJ."""
    labels = np.zeros(shape, np.int64)
    for roi in roifile.roiread(path):
        rings = roi.coordinates(multi=True)
        labels[inside([ring.tolist() for ring in rings], shape)] = int(roi.name.split("-")[0])
    return labels


def test_what_the_files_say_are_the_objects(tmp_path: Path) -> None:
    """With a hole, and in two pieces: composites in ImageJ, polygons with holes in QuPath."""
    for name, draw in (("a.zip", drawn_rois), ("a.geojson", drawn_geojson)):
        write_outlines(tmp_path / name, [plane_of(RING_AND_DOTS, {})])

        np.testing.assert_array_equal(draw(tmp_path / name, (4, 6)), RING_AND_DOTS)

    square = {roi.name: roi for roi in roifile.roiread(tmp_path / "a.zip")}["0002"]
    assert square.roitype == roifile.ROI_TYPE.TRACED
    assert (square.left, square.top, square.right, square.bottom) == (4, 0, 6, 2)


def test_hundreds_of_real_cells_come_back(tmp_path: Path) -> None:
    """The truth of the sample, pixel by pixel."""
    _, truth = touching_cells((256, 300))
    for name, draw in (("a.zip", drawn_rois), ("a.geojson", drawn_geojson)):
        write_outlines(tmp_path / name, [plane_of(truth, {})])

        np.testing.assert_array_equal(draw(tmp_path / name, (256, 300)), truth)


def test_planes_and_classes_are_where_the_programs_look_for_them(tmp_path: Path) -> None:
    """A simple stack has positions, a movie of stacks t and z, from 1; QuPath counts from 0."""
    planes = [plane_of(RING_AND_DOTS, {"z": z}, "round/one") for z in range(2)]
    write_outlines(tmp_path / "stack.zip", planes)
    write_outlines(tmp_path / "stack.geojson", planes)
    write_outlines(tmp_path / "movie.zip", [plane_of(RING_AND_DOTS, {"t": 4, "z": 2})])

    stack, movie = (roifile.roiread(tmp_path / f"{name}.zip") for name in ("stack", "movie"))
    assert {(roi.name, roi.position) for roi in stack} == {
        (f"z{z:04d}-{label:04d}-round_one", z) for z in (1, 2) for label in (1, 2, 3)
    }
    assert {(roi.t_position, roi.z_position) for roi in movie} == {(5, 3)}
    features = json.loads((tmp_path / "stack.geojson").read_text())["features"]
    assert [feature["geometry"]["plane"]["z"] for feature in features] == [0, 0, 0, 1, 1, 1]
    assert features[0]["properties"]["classification"] == {"name": "round/one"}
    assert features[0]["properties"]["objectType"] == "detection"


@pytest.mark.parametrize(
    ("axes", "index", "place"),
    [
        ("", (), {}),
        ("Z", (3,), {"z": 3}),
        ("T", (3,), {"t": 3}),
        ("TZ", (1, 3), {"t": 1, "z": 3}),
        ("ZT", (1, 3), {"z": 1, "t": 3}),
        ("Q", (3,), {"z": 3}),
        ("QTZ", (2, 1, 3), {"t": 1, "z": 3}),
        ("QQ", (1, 3), {"t": 1, "z": 3}),
    ],
)
def test_a_plane_lies_along_t_and_z(axes: str, index: tuple[int, ...], place: object) -> None:
    """Other axes are taken for these."""
    assert place_along(axes, index) == place


def test_other_endings_and_a_missing_package_are_named(tmp_path: Path) -> None:
    """Nothing is written then."""
    with pytest.raises(InputError, match=r"as \.geojson, not as \.svg"):
        write_outlines(tmp_path / "a.svg", [])
    code = (
        "import sys; sys.modules['roifile'] = None\n"
        "from pathlib import Path\n"
        "from napari_unet.engine.outlinefile import write_outlines\n"
        "try:\n    write_outlines(Path('a.zip'), [])\n"
        "except ValueError as error:\n    print(error)\n"
    )
    run = partial(subprocess.run, capture_output=True, text=True, timeout=100, check=True)
    assert 'pip install "napari-live-unet[export]"' in run([sys.executable, "-c", code]).stdout
    assert list(tmp_path.iterdir()) == []


def model(kind: str) -> Segmenter:
    """The starter model, also as one of two classes of cells."""
    return starter_model() if kind == "cells" else with_classes(starter_model(), ["a", "b"])


@pytest.mark.parametrize("kind", ["cells", "cells of two classes"])
@pytest.mark.parametrize(("form", "suffix"), [("imagej", ".zip"), ("geojson", ".geojson")])
def test_a_batch_writes_the_outlines_of_its_labels(
    kind: str, form: str, suffix: str, tmp_path: Path
) -> None:
    """Beside them; a second run has nothing left to do, and one with tables adds these."""
    image, out = tmp_path / "cells.tif", tmp_path / "out"
    tifffile.imwrite(image, touching_cells((128, 140))[0])
    options = BatchOptions(outlines=form)  # type: ignore[arg-type]
    draw = drawn_rois if form == "imagej" else drawn_geojson

    list(segment_files(model(kind), image, out, CPU, options))

    labels = tifffile.imread(out / "cells_labels.tif")
    path = out / f"cells_outlines{suffix}"
    assert labels.max() > 10
    np.testing.assert_array_equal(draw(path, (128, 140)), labels)
    text = path.read_bytes()
    assert (b"classification" in text or b"-a.roi" in text or b"-b.roi" in text) == (
        kind != "cells"
    )
    again = [*segment_files(model(kind), image, out, CPU, options)]
    assert not any(isinstance(event, PlaneDone) for event in again)
    assert "ItemSkipped" in {type(event).__name__ for event in again}


def test_linked_objects_have_one_name_in_all_planes(tmp_path: Path) -> None:
    """A stack of three planes of the same cells."""
    image = tmp_path / "stack.tif"
    stack = np.stack([touching_cells((96, 100))[0]] * 3)
    tifffile.imwrite(image, stack, photometric="minisblack", metadata={"axes": "ZYX"})
    options = BatchOptions(outlines="imagej", link="objects")

    list(segment_files(starter_model(), image, tmp_path / "out", CPU, options))

    labels = tifffile.imread(tmp_path / "out" / "stack_labels.tif")
    rois = roifile.roiread(tmp_path / "out" / "stack_outlines.zip")
    assert {(roi.position, int(roi.name.split("-")[1])) for roi in rois} == {
        (z + 1, label) for z in range(3) for label in np.unique(labels[z]) if label
    }
