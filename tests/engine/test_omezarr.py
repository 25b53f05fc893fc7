"""What is written as OME-Zarr is valid, complete or not there, and has a pyramid of itself."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaozarrs
import zarr

from napari_unet.core.config import PredictConfig
from napari_unet.core.unet import UNet
from napari_unet.engine.files import read_image, read_labels
from napari_unet.engine.formats import omezarr
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.engine.formats.omezarr import begin_zarr, finish_zarr, unfinished
from napari_unet.engine.formats.source import PixelSize
from napari_unet.engine.formats.tiffwriter import write_tiff
from napari_unet.engine.inference import segment, segment_into
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError

RNG = np.random.default_rng(0)
SIZE = PixelSize((0.5, 0.25), "micrometer", 2.0)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images have several chunks and levels."""
    monkeypatch.setattr(omezarr, "CHUNK", 16)


def numbers(*shape: int) -> np.ndarray:
    """Labels that are all different."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.uint32).reshape(shape)


def attributes(path: Path) -> dict[str, Any]:
    """The OME-Zarr metadata as it is in the file."""
    found: dict[str, Any] = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    return found


@pytest.mark.parametrize(
    ("axes", "planes"),
    [("YX", ()), ("ZYX", (3,)), ("TYX", (3,)), ("TZYX", (2, 3)), ("QYX", (3,))],
)
def test_labels_are_valid_and_come_back(axes: str, planes: tuple[int, ...], tmp_path: Path) -> None:
    """An independent reader finds nothing wrong; ours finds pixels, axes and sizes."""
    path = tmp_path / "new" / "a.ome.zarr"
    labels = numbers(*([int(np.prod(planes))] if planes else []), 50, 37)

    array = begin_zarr(path, (*planes, 50, 37), axes=axes, pixel_size=SIZE)
    array[...] = labels
    assert not path.exists()
    finish_zarr(path)

    assert isinstance(
        yaozarrs.validate_zarr_store(str(path)).ome_metadata(), yaozarrs.v05.LabelImage
    )
    assert sorted(item.name for item in path.parent.iterdir()) == ["a.ome.zarr"]
    np.testing.assert_array_equal(read_labels(path), labels)
    image = open_image(path)
    assert image.plane_axes == ("Z" if axes == "QYX" else axes[:-2])
    assert image.plane_shape == planes
    assert image.pixel_size == (SIZE if "Z" in image.plane_axes else replace(SIZE, z=None))


def test_time_is_stored_before_z(tmp_path: Path) -> None:
    """OME-Zarr wants this order; who wrote in the order of the file does not notice."""
    labels = numbers(2, 3, 20, 20)
    array = begin_zarr(tmp_path / "a.zarr", labels.shape, axes="ZTYX")
    array[...] = labels.reshape(6, 20, 20)
    np.testing.assert_array_equal(array[4], labels[1, 1])
    finish_zarr(tmp_path / "a.zarr")

    assert open_image(tmp_path / "a.zarr").plane_axes == "TZ"
    np.testing.assert_array_equal(
        read_labels(tmp_path / "a.zarr"), labels.transpose(1, 0, 2, 3).reshape(6, 20, 20)
    )


def test_the_pyramid_is_every_second_pixel(tmp_path: Path) -> None:
    """Levels of labels are samples, so that no number appears that is no label; sizes double."""
    labels = numbers(2, 51, 70)
    begin_zarr(tmp_path / "a.zarr", labels.shape, axes="ZYX", pixel_size=SIZE)[...] = labels
    finish_zarr(tmp_path / "a.zarr")

    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert sorted(group.array_keys()) == ["0", "1", "2", "3"]
    for level, dataset in enumerate(attributes(tmp_path / "a.zarr")["multiscales"][0]["datasets"]):
        step = 2**level
        array: Any = group[dataset["path"]]
        np.testing.assert_array_equal(array[:], labels[:, ::step, ::step])
        assert array.chunks == (1, 16, 16)
        (scale,) = dataset["coordinateTransformations"]
        assert scale == {"type": "scale", "scale": [2.0, 0.5 * step, 0.25 * step]}


@pytest.mark.parametrize(("axes", "shape"), [("CYX", (2, 51, 70)), ("CTZYX", (2, 2, 3, 21, 20))])
def test_probabilities_are_means_in_the_right_place(
    axes: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    """A coarser pixel is the mean of those that it covers, and its centre is theirs."""
    path = tmp_path / "a.ome.zarr"
    flat = (shape[0], *([int(np.prod(shape[1:-2]))] if len(shape) > 3 else []), *shape[-2:])
    values = RNG.random(flat).astype(np.float32)
    names = ["background", "cells"]
    settings: dict[str, Any] = {"dtype": np.float32, "channels": names, "pixel_size": SIZE}
    begin_zarr(path, shape, axes=axes, **settings)[...] = values
    finish_zarr(path)

    ome = yaozarrs.validate_zarr_store(str(path)).ome_metadata()
    assert [channel.label for channel in ome.omero.channels] == names
    np.testing.assert_array_equal(read_image(path), values)
    second = attributes(path)["multiscales"][0]["datasets"][1]
    assert second["coordinateTransformations"][1]["translation"][-2:] == [0.25, 0.125]
    coarse: Any = zarr.open_array(path / "1", mode="r")
    stored: Any = zarr.open_array(path / "0", mode="r")
    assert coarse[(0,) * (coarse.ndim - 2)][3, 4] == pytest.approx(
        stored[(0,) * (coarse.ndim - 2)][6:8, 8:10].mean()
    )
    edge = np.asarray(coarse)[..., -1, -1]
    odd = np.asarray(stored)[..., -1:, -2:] if shape[-1] % 2 == 0 else None
    np.testing.assert_allclose(edge, odd.mean(axis=(-1, -2)), rtol=1e-6)


def test_what_was_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """The earlier image stays until the new one is complete, then nothing of it is left."""
    path = tmp_path / "a.ome.zarr"
    for value in (1, 2):
        begin_zarr(path, (40, 40), axes="YX")[...] = np.full((40, 40), value)
        if value == 2:
            assert (read_labels(path) == 1).all()
        finish_zarr(path)

    assert (read_labels(path) == 2).all()
    assert list(tmp_path.iterdir()) == [path]


def test_an_attempt_goes_on_or_begins_anew(tmp_path: Path) -> None:
    """The same again keeps what is written; another shape, or rubbish, does not."""
    path = tmp_path / "a.ome.zarr"
    begin_zarr(path, (40, 40), axes="YX")[:16] = np.ones((16, 40))

    assert begin_zarr(path, (40, 40), axes="YX")[:].sum() == 16 * 40
    assert begin_zarr(path, (40, 41), axes="YX")[:].sum() == 0
    for damaged in ("zarr.json", "0/zarr.json"):
        (unfinished(path) / damaged).write_text("{")
        assert begin_zarr(path, (40, 41), axes="YX")[:].sum() == 0
    begin_zarr(path, (40, 41), axes="YX")[:] = np.ones((40, 41))
    finish_zarr(path)
    path.rename(unfinished(path))  # as if it had been stopped a moment before the end
    assert begin_zarr(path, (40, 41), axes="YX")[:].sum() == 40 * 41
    finish_zarr(path)
    assert (read_labels(path) == 1).all()
    with pytest.raises(InputError, match=r"There is no .*a\.ome\.zarr\.partial"):
        finish_zarr(path)


@pytest.mark.parametrize(("axes", "shape"), [("ZYX", (6, 40, 40)), ("TZYX", (2, 3, 40, 40))])
def test_other_processes_can_write(axes: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """The array travels; each copy writes chunks of its own."""
    path = tmp_path / "a.ome.zarr"
    array = begin_zarr(path, shape, axes=axes)
    labels = numbers(6, 40, 40)
    for plane in range(6):
        copy = pickle.loads(pickle.dumps(array))  # noqa: S301
        copy[plane : plane + 1, :16] = labels[plane : plane + 1, :16]
        copy[plane, 16:] = labels[plane, 16:]
    finish_zarr(path)

    np.testing.assert_array_equal(read_labels(path), labels)


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    """A file in the way, a folder that is somebody else's, and axes that do not fit."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "mine").mkdir()

    with pytest.raises(InputError, match="cannot be written"):
        begin_zarr(tmp_path / "file" / "a.ome.zarr", (4, 4), axes="YX")
    with pytest.raises(InputError, match="is not a zarr folder"):
        begin_zarr(tmp_path / "mine", (4, 4), axes="YX")
    with pytest.raises(InputError, match=r"axes 'YX' and the shape \(2, 4, 4\)"):
        begin_zarr(tmp_path / "a.ome.zarr", (2, 4, 4), axes="YX")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "mine"]


def test_a_pyramid_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level is made chunk by chunk: 4 chunks at a time, whatever the size."""
    monkeypatch.setattr(omezarr, "CHUNK", 256)
    array = begin_zarr(tmp_path / "a.zarr", (4096, 4096), axes="YX")
    array[:300, :300] = np.ones((300, 300))
    zarr.open_group(unfinished(tmp_path / "a.zarr"))
    tracemalloc.start()
    finish_zarr(tmp_path / "a.zarr")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 8 * 2**20, f"{peak / 2**20:.1f} MiB for an image of 64 MiB"


@pytest.mark.parametrize("kind", ["TIFF", "zarr"])
def test_a_stack_goes_from_file_to_file(kind: str, tmp_path: Path) -> None:
    """Segmented from an opened file into OME-Zarr, as from memory into memory."""
    torch.manual_seed(0)
    shape = {"in_channels": 2, "n_classes": 2, "base_channels": 4, "depth": 1}
    segmenter = Segmenter(weights={}, **shape).with_weights(UNet(*shape.values()))
    pixels = RNG.integers(0, 1000, (2, 2, 3, 70, 50)).astype(np.uint16)
    path = tmp_path / "a.ome.zarr"
    if kind == "zarr":
        array = begin_zarr(path, (2, 2, 3, 70, 50), axes="CTZYX", dtype=np.float32)
        array[...] = pixels.reshape(2, 6, 70, 50)
        finish_zarr(path)
    else:
        write_tiff(path, pixels, "CTZYX", np.uint16)
    image, config = open_image(path), PredictConfig(device="cpu", tile_size=60, threshold=0.45)

    axes, whole = f"{image.plane_axes}YX", (*image.plane_shape, 70, 50)
    labels = begin_zarr(tmp_path / "l.ome.zarr", whole, axes=axes)
    for _ in segment_into(segmenter, image.data, labels, config):
        pass
    finish_zarr(tmp_path / "l.ome.zarr")

    expected = segment(segmenter, pixels.reshape(2, 6, 70, 50), config)
    assert expected.max() > 0
    np.testing.assert_array_equal(read_labels(tmp_path / "l.ome.zarr"), expected)
    assert open_image(tmp_path / "l.ome.zarr").plane_axes == "TZ"
