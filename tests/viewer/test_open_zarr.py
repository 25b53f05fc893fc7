"""OME-Zarr opens in napari as what it is, with its sizes, and without being read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
import zarr
from napari.layers import Image, Labels

from napari_unet.engine.formats import omezarr
from napari_unet.engine.formats.omezarr import begin_zarr, finish_zarr
from napari_unet.engine.formats.source import PixelSize
from napari_unet.errors import InputError
from napari_unet.viewer.open_zarr import get_reader
from napari_unet.viewer.stack import ImageStack

OURS = "napari-live-unet"


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the installed plugins, as napari with a window does; small images have levels."""
    npe2.PluginManager.instance().discover()
    monkeypatch.setattr(omezarr, "CHUNK", 32)


@pytest.mark.parametrize("viewer", ["model", "real"], indirect=True)
def test_labels_open_as_labels_in_their_size(viewer: Any, tmp_path: Path) -> None:
    """A multiscale Labels layer, scaled as the image, of which no level is loaded as a whole."""
    path = tmp_path / "cells.ome.zarr"
    labels = np.arange(3 * 90 * 80, dtype=np.uint32).reshape(3, 90, 80)
    size = PixelSize((0.5, 0.25), "micrometer")
    begin_zarr(path, labels.shape, axes="TYX", pixel_size=size)[...] = labels
    finish_zarr(path)

    (layer,) = viewer.open(path, plugin=OURS)

    assert isinstance(layer, Labels)
    assert layer.multiscale
    assert layer.name == "cells"
    assert [level.shape for level in layer.data] == [(3, 90, 80), (3, 45, 40), (3, 23, 20)]
    assert not isinstance(layer.data[0], np.ndarray)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), labels)
    assert layer.scale.tolist() == [1, 0.5, 0.25]
    assert [str(unit) for unit in layer.units] == ["pixel", "micrometer", "micrometer"]
    assert layer.axis_labels == ("t", "y", "x")


@pytest.mark.parametrize("viewer", ["model"], indirect=True)
def test_the_time_between_frames_is_told(viewer: Any, tmp_path: Path) -> None:
    """In seconds, so that files that are made of the layer have it, too."""
    path = tmp_path / "film.ome.zarr"
    size = PixelSize((0.5, 0.25), "micrometer", frame=90.0)
    begin_zarr(path, (3, 90, 80), axes="TYX", pixel_size=size)
    finish_zarr(path)

    (layer,) = viewer.open(path, plugin=OURS)

    assert layer.scale.tolist() == [90, 0.5, 0.25]
    assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]


def test_channels_come_first(viewer: Any, tmp_path: Path) -> None:
    """An image (T, C, Y, X) becomes a layer that the dock takes, with the right pixels."""
    path = tmp_path / "a.ome.zarr"
    pixels = np.random.default_rng(0).random((2, 3 * 4, 40, 50)).astype(np.float32)
    begin_zarr(path, (2, 3, 4, 40, 50), axes="CTZYX", dtype=np.float32)[...] = pixels
    finish_zarr(path)

    (layer,) = viewer.open(path, plugin=OURS)

    assert isinstance(layer, Image)
    assert layer.axis_labels == ("c", "t", "z", "y", "x")
    stack = ImageStack.of(layer)
    assert (stack.channels, stack.leading) == (2, (3, 4))
    np.testing.assert_array_equal(stack.plane((2, 1)), pixels[:, 9])


def test_what_is_no_image_is_left_to_others(tmp_path: Path) -> None:
    """Single arrays, groups without metadata, and lists of files are not ours; damage is named."""
    zarr.create_array(tmp_path / "array.ome.zarr", data=np.ones((4, 4)))
    zarr.create_group(tmp_path / "group.ome.zarr")
    (tmp_path / "damaged.ome.zarr").mkdir()

    for path in ("array.ome.zarr", "group.ome.zarr", "missing.ome.zarr"):
        assert get_reader(str(tmp_path / path)) is None
    assert get_reader([str(tmp_path / "array.ome.zarr")]) is None
    with pytest.raises(InputError, match=r"damaged\.ome\.zarr is not a zarr folder"):
        get_reader(str(tmp_path / "damaged.ome.zarr"))
