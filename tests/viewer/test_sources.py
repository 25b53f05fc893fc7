"""Which images are trained on: those that somebody painted on, each with one labels layer."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_unet.viewer.imageregions import ImageRegions
from napari_unet.viewer.layers import new_scribbles
from napari_unet.viewer.learning.sources import Source, painted_sources
from napari_unet.viewer.notes import link, mark_result
from napari_unet.viewer.regions import new_regions

PIXELS = np.zeros((20, 30), np.float32)


def duplicate(viewer: ViewerModel, layer: Layer) -> Any:
    """Duplicate a layer as napari's menu does."""
    viewer.layers.selection.active = layer
    data, state, kind = layer.as_layer_data_tuple()
    copied = Layer.create(data.copy(), state | {"name": f"{layer.name} copy"}, kind)
    return viewer.add_layer(copied)


def painted(viewer: ViewerModel, image: Any) -> Labels:
    """Make scribbles for an image, with a stroke."""
    labels = new_scribbles(viewer, image)
    labels.data[3, 4:9] = 2
    return labels


def as_sets(sources: list[Source]) -> list[set[Any]]:
    """Return which layers belong together."""
    return [{source.image, source.labels, source.regions} - {None} for source in sources]


@pytest.fixture
def viewer() -> ViewerModel:
    """A viewer without a window."""
    return ViewerModel()


def test_painted_images_count_and_empty_ones_do_not(viewer: ViewerModel) -> None:
    """An image that was only opened, or got a labels layer without a stroke, is left out."""
    first, second, third = (viewer.add_image(PIXELS, name=name) for name in "abc")
    labels = painted(viewer, first)
    new_scribbles(viewer, second)
    viewer.add_labels(np.ones(PIXELS.shape, np.uint8))

    assert as_sets(painted_sources(viewer, ImageRegions(viewer))) == [{first, labels}]
    assert third in viewer.layers


def test_no_more_labels_are_read_than_tell_what_is_painted(viewer: ViewerModel) -> None:
    """Stacks that lie on disk take long, and this is asked whenever a layer comes or goes."""
    read: list[str] = []

    def lazy(name: str, value: int) -> Labels:
        def load(block_id: tuple[int, ...] = ()) -> np.ndarray:
            read.append(f"{name} {block_id[0]}")
            return np.full((1, 20, 30), value, np.uint8)

        planes = da.map_blocks(load, chunks=((1,) * 6, 20, 30), dtype=np.uint8, meta=np.empty(0))
        return viewer.add_labels(planes, name=name)

    image = viewer.add_image(np.zeros((6, 20, 30), np.float32))
    old, new, empty, _ = (lazy(*one) for one in [("a", 1), ("b", 1), ("c", 0), ("d", 0)])
    for one in (old, new, empty):
        link(one, image)
    read.clear()

    assert as_sets(painted_sources(viewer, ImageRegions(viewer))) == [{image, new}]
    assert read == [*(f"c {z}" for z in range(6)), "b 0"]


def test_a_duplicate_is_not_trained_on_unasked(viewer: ViewerModel) -> None:
    """Neither of a result, whose cells nobody painted, nor of scribbles, which count once."""
    image = viewer.add_image(PIXELS)
    labels = painted(viewer, image)
    result = viewer.add_labels(np.ones(PIXELS.shape, np.uint8), name="result")
    mark_result(result, "segmentation", image)
    copies = [duplicate(viewer, layer) for layer in (result, labels)]
    viewer.layers.remove(result)

    assert as_sets(painted_sources(viewer, ImageRegions(viewer))) == [{image, labels}]
    viewer.layers.remove(labels)
    assert painted_sources(viewer, ImageRegions(viewer)) == []
    link(copies[0], image)  # as a training does
    assert as_sets(painted_sources(viewer, ImageRegions(viewer))) == [{image, copies[0]}]


def test_of_several_labels_the_last_ones_count(viewer: ViewerModel) -> None:
    """Those made last, until older ones are trained with."""
    image = viewer.add_image(PIXELS)
    older, newer = painted(viewer, image), painted(viewer, image)
    assert as_sets(painted_sources(viewer, ImageRegions(viewer))) == [{image, newer}]
    link(older, image)

    assert as_sets(painted_sources(viewer, ImageRegions(viewer))) == [{image, older}]


def test_regions_go_with_the_image_they_were_trained_on_with(viewer: ViewerModel) -> None:
    """A duplicate of them does not."""
    image = viewer.add_image(PIXELS)
    labels, regions = painted(viewer, image), new_regions(viewer, image)
    link(regions, image)
    viewer.add_shapes(ndim=2, metadata=dict(regions.metadata))

    assert as_sets(painted_sources(viewer, ImageRegions(viewer))) == [{image, labels, regions}]


def test_an_image_that_cannot_be_trained_on_is_passed_over(viewer: ViewerModel) -> None:
    """It must not keep the others from being trained on."""
    viewer.add_image(np.zeros((4, 2, 20, 30)), axis_labels=("z", "c", "y", "x"))
    image = viewer.add_image(PIXELS)
    labels = painted(viewer, image)

    assert as_sets(painted_sources(viewer, ImageRegions(viewer))) == [{image, labels}]
