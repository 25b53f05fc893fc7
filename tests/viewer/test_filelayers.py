"""Layers of images and labels on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from PIL import Image as Picture

from napari_unet.engine.files import write_labels
from napari_unet.engine.formats.omezarr import begin_zarr, finish_zarr
from napari_unet.engine.formats.source import PixelSize
from napari_unet.errors import InputError
from napari_unet.viewer.batches.filelayers import file_layers, labels_layer
from napari_unet.viewer.stack import ImageStack


def movie(path: Path, *shape: int, axes: str) -> np.ndarray:
    """Write an OME-TIFF of pixels of 0.5 micrometer."""
    pixels = np.random.default_rng(0).integers(0, 1000, shape, dtype=np.uint16)
    sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"} | {f"PhysicalSize{a}Unit": "µm" for a in "XY"}
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": axes, **sizes})
    return pixels


def test_an_image_and_its_labels_lie_on_each_other(tmp_path: Path, viewer: Any) -> None:
    """With their planes, their channels first, and the size of their pixels."""
    pixels = movie(tmp_path / "a.ome.tif", 3, 2, 20, 30, axes="TCYX")
    found = np.arange(3 * 20 * 30, dtype=np.uint32).reshape(3, 20, 30)
    size = PixelSize((0.5, 0.5), "micrometer")
    write_labels(tmp_path / "a_labels.tif", found, axes="TYX", pixel_size=size)
    image, labels = file_layers(tmp_path / "a.ome.tif", tmp_path / "a_labels.tif")
    viewer.layers.extend([image, labels])

    np.testing.assert_array_equal(np.asarray(image.data), pixels.transpose(1, 0, 2, 3))
    np.testing.assert_array_equal(labels.data, found)
    assert image.axis_labels == ("c", "t", "y", "x")
    assert labels.axis_labels == ("t", "y", "x")
    np.testing.assert_allclose(labels.scale, (1, 0.5, 0.5))
    assert [str(unit) for unit in image.units] == ["pixel", "pixel", "micrometer", "micrometer"]
    assert ImageStack.of(image).channels == 2
    assert labels.editable


def test_labels_of_all_planes_in_one_axis_get_an_image_like_them(tmp_path: Path) -> None:
    """As a folder of older results may have them."""
    movie(tmp_path / "a.ome.tif", 2, 3, 20, 30, axes="TZYX")
    write_labels(tmp_path / "a_labels.tif", np.ones((6, 20, 30), np.uint32))
    image, labels = file_layers(tmp_path / "a.ome.tif", tmp_path / "a_labels.tif")
    assert image.data.shape == labels.data.shape == (6, 20, 30)

    write_labels(tmp_path / "b_labels.tif", np.ones((5, 20, 30), np.uint32))
    with pytest.raises(InputError, match=r"has 5 planes, but .* has 6; .* Run the batch again"):
        file_layers(tmp_path / "a.ome.tif", tmp_path / "b_labels.tif")


@pytest.mark.parametrize("times", [2, 3])
def test_labels_lie_on_an_image_whose_depth_comes_before_its_time(
    tmp_path: Path, times: int
) -> None:
    """OME-Zarr has time first, in whatever order the image has them."""
    movie(tmp_path / "a.ome.tif", 2, times, 20, 30, axes="ZTYX")
    found = np.arange(2 * times, dtype=np.uint32)[:, None, None] * np.ones((20, 30), np.uint32)
    array = begin_zarr(tmp_path / "a_labels.ome.zarr", (2, times, 20, 30), axes="ZTYX")
    array[...] = found
    finish_zarr(tmp_path / "a_labels.ome.zarr")
    image, labels = file_layers(tmp_path / "a.ome.tif", tmp_path / "a_labels.ome.zarr")

    assert image.axis_labels == labels.axis_labels == ("z", "t", "y", "x")
    np.testing.assert_array_equal(labels.data, found.reshape(2, times, 20, 30))
    alone = labels_layer(tmp_path / "a_labels.ome.zarr", "ZT")
    np.testing.assert_array_equal(alone.data, labels.data)


def test_a_file_that_goes_while_it_is_shown_is_named(tmp_path: Path) -> None:
    """Of several that are open, the user learns which."""
    movie(tmp_path / "a.ome.tif", 2, 20, 30, axes="TYX")
    write_labels(tmp_path / "a_labels.tif", np.ones((2, 20, 30), np.uint32), axes="TYX")
    image, _ = file_layers(tmp_path / "a.ome.tif", tmp_path / "a_labels.tif")
    (tmp_path / "a.ome.tif").rename(tmp_path / "elsewhere.tif")

    with pytest.raises(InputError, match=r"The pixels of .*a\.ome\.tif could not be read"):
        np.asarray(image.data)


def test_a_pyramid_is_shown_as_one(tmp_path: Path, viewer: Any) -> None:
    """So that labels larger than a screen card's memory can be looked at."""
    pixels = np.random.default_rng(0).integers(0, 9, (2, 1100, 1300), dtype=np.uint32)
    array = begin_zarr(tmp_path / "big.ome.zarr", pixels.shape, axes="TYX")
    array[...] = pixels
    finish_zarr(tmp_path / "big.ome.zarr")
    layer = labels_layer(tmp_path / "big.ome.zarr")
    viewer.add_layer(layer)

    assert isinstance(layer, Labels)
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(2, 1100, 1300), (2, 550, 650)]
    np.testing.assert_array_equal(np.asarray(layer.data[0][1]), pixels[1])


def test_a_photograph_has_its_colours(tmp_path: Path, viewer: Any) -> None:
    """Without its alpha."""
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 4), dtype=np.uint8)
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    write_labels(tmp_path / "a_labels.tif", np.ones((20, 30), np.uint32))
    image, _ = file_layers(tmp_path / "a.png", tmp_path / "a_labels.tif")
    viewer.add_layer(image)

    assert image.rgb
    assert image.data.shape == (20, 30, 3)
