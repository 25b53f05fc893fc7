"""Several resolutions are averaged where the surroundings tell what a pixel is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from painting import disks
from scipy import ndimage

from napari_unet.core.annotation import Annotation
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.normalise import grey_statistics, normalise
from napari_unet.core.resolution import coarsen, refine
from napari_unet.core.unet import UNet
from napari_unet.engine.inference import probabilities
from napari_unet.engine.learning.window import predict_window
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.training import train

torch.set_num_threads(1)
CPU = PredictConfig(device="cpu")
ONE_SCALE, TWO_SCALES = 1, 2


def picture(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Smooth noise."""
    noise = np.random.default_rng(4).normal(size=shape)
    return ndimage.gaussian_filter(noise, 2).astype(np.float32)


def model(**settings: int) -> Segmenter:
    """A tiny network with random weights."""
    torch.manual_seed(5)
    shape = {"in_channels": 1, "n_classes": 3, "base_channels": 4, "depth": 2}
    return Segmenter(weights={}, kind="classes", **(shape | settings)).with_weights(
        UNet(1, 3, 4, 2)
    )


def once(segmenter: Segmenter, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the network says of normalised pixels (1, Y, X), in one pass."""
    whole = (slice(0, pixels.shape[1]), slice(0, pixels.shape[2]))
    return predict_window(segmenter.network(), torch.from_numpy(pixels), whole)


@pytest.mark.parametrize("sides", [(90, 131), (1, 1), (2, 37)])
@pytest.mark.parametrize("downsample", [1, 3])
def test_the_mean_is_taken_of_what_is_said_at_each_resolution(
    sides: tuple[int, int], downsample: int
) -> None:
    """From what it sees at the working resolution, as it is and in blocks of 2 and 4 pixels."""
    segmenter, image = model(scales=3, downsample=downsample), picture(sides)[None]
    seen = normalise(coarsen(image, downsample), grey_statistics(image))
    y, x = seen.shape[1:]
    looks = [once(segmenter, seen)]
    for factor in (2, 4):
        said = once(segmenter, coarsen(seen, factor))
        looks.append(refine(said, factor, (0, 0), (slice(0, y), slice(0, x)), (y, x)))
    whole = (slice(0, sides[0]), slice(0, sides[1]))
    expected = refine(np.mean(looks, axis=0), downsample, (0, 0), whole, sides)

    assert sides == (1, 1) or abs(looks[0] - looks[1]).max() > 0.001
    found = probabilities(segmenter, image, CPU)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    box = (slice(y // 3, y), slice(x // 2, x))
    part = predict_window(segmenter.network(), torch.from_numpy(seen), box, (2, 4))
    np.testing.assert_allclose(part, np.mean(looks, axis=0)[:, *box], atol=1e-5)


def filled(
    sides: tuple[int, int], apart: int = 24
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Cells that fill an image, with dark lines between them."""
    seeds = np.zeros(sides, dtype=bool)
    seeds[apart // 2 :: apart, apart // 2 :: apart] = True
    nearest = ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)
    cells = np.ravel_multi_index(tuple(nearest), sides)
    lines = ndimage.maximum_filter(cells, 3) != ndimage.minimum_filter(cells, 3)
    labels = np.where(lines, 0, np.unique(cells, return_inverse=True)[1].reshape(sides) + 1)
    noise = np.random.default_rng(6).normal(scale=0.05, size=sides)
    return (np.where(lines, 0.2, 0.8) + noise).astype(np.float32), labels.astype(np.int32)


def trained(annotation: Annotation, recipe: str = "default", steps: int = 40) -> Segmenter:
    """What a few steps make of a new model."""
    small = {} if recipe == "default" else {"base_channels": 4, "depth": 2}
    config = TrainConfig(seconds=0, steps=steps, recipe=recipe, device="cpu", **small)  # type: ignore[arg-type]
    *_, last = train([annotation], config)
    return last.segmenter


def test_models_of_classes_average_two_resolutions() -> None:
    """And models of cells that fill the image, but not of single cells."""
    image, labels = disks((200, 200))
    classes = Annotation(image, np.where(labels > 0, 2, 1), "classes")
    assert trained(classes, steps=1).scales == TWO_SCALES
    assert trained(Annotation(*filled((192, 192))), steps=20).scales == TWO_SCALES
    assert trained(Annotation(image, labels), steps=10).scales == ONE_SCALE


def test_the_recipe_of_the_paper_averages_none() -> None:
    """It has one resolution."""
    image, labels = disks((200, 200))
    classes = Annotation(image, np.where(labels > 0, 2, 1), "classes")
    assert trained(classes, "paper", steps=1).scales == ONE_SCALE
    assert trained(Annotation(*filled((192, 192))), "paper").scales == ONE_SCALE


def test_one_resolution_is_kept_where_two_lose_painted_cells() -> None:
    """Lines of two pixels between small cells are hardly seen at half the resolution."""
    config = TrainConfig(seconds=0, steps=80, base_channels=8, depth=1, device="cpu", downsample=1)
    *_, last = train([Annotation(*filled((192, 192), apart=12))], config)
    assert last.segmenter.scales == ONE_SCALE
