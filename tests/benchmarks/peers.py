"""What people use today, trained on painted labels: a random forest, and a U-Net of MONAI.

Both learn what our network learns: classes, or cells on a background that runs one pixel wide
between touching ones. scikit-learn and MONAI are imported on use; they are optional.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from kinds import Array
from skimage.feature import multiscale_basic_features

from napari_unet.core.annotation import IGNORE, Annotation, encode
from napari_unet.core.diameters import diameters, smallest_diameter, typical_diameter
from napari_unet.core.instances import instances
from napari_unet.engine.segmenter import Segmenter

__all__ = ["MOST_PIXELS", "TREES", "Learned", "cells", "forest", "monai_unet", "sizes"]

TREES, TREES_AT_ONCE = 100, 10
"""A whole forest, and how many trees grow between two looks at the clock."""

MOST_PIXELS = 50_000
"""Labelled pixels that a forest is grown from, at most."""

SIDE = 256
"""Crops of MONAI's network; one a step: in 20 and 45 s on two cores that scored higher on the
``develop`` splits of histology and nuclei than the four a step of MONAI's tutorials."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a training came to.

    Attributes
    ----------
    probabilities : callable
        From a (C, Y, X) image to (K, Y, X) probabilities.
    took : float
        Seconds of training, without imports.
    rounds : int
        Trees, or steps.
    """

    probabilities: Callable[[Array], Array]
    took: float
    rounds: int


def forest(painted: Sequence[Annotation], seconds: float, seed: int) -> Learned:
    """Grow as many trees on multi-scale features as the time allows: 10 at least, 100 at most.

    This is what ilastik, Labkit and APOC do. Features and a chunk of trees are not broken off, so
    it can take longer than ``seconds``.
    """
    from sklearn.ensemble import RandomForestClassifier

    began = time.perf_counter()
    planes = _planes(painted)
    values = np.concatenate([features(image)[classes != IGNORE] for image, classes in planes])
    wanted = np.concatenate([classes[classes != IGNORE] for _, classes in planes])
    if len(wanted) > MOST_PIXELS:
        some = np.random.default_rng(seed).choice(len(wanted), MOST_PIXELS, replace=False)
        values, wanted = values[some], wanted[some]
    trees = RandomForestClassifier(warm_start=True, n_jobs=2, random_state=seed)
    for count in range(TREES_AT_ONCE, TREES + 1, TREES_AT_ONCE):
        trees.set_params(n_estimators=count).fit(values, wanted)
        if time.perf_counter() - began >= seconds:
            break
    took = time.perf_counter() - began

    def probabilities(image: Array) -> Array:
        pixels = features(image)
        found = trees.predict_proba(pixels.reshape(-1, pixels.shape[-1]))
        result = np.zeros((_count(planes), *image.shape[1:]), np.float32)
        result[trees.classes_] = found.T.reshape(-1, *image.shape[1:])
        return result

    return Learned(probabilities=probabilities, took=took, rounds=len(trees.estimators_))


def features(image: Array) -> Array:
    """Return (Y, X, F): intensity, edges and texture of every channel at sigma 1, 2, 4, 8, 16."""
    found: Array = multiscale_basic_features(image, sigma_min=1, sigma_max=16, channel_axis=0)
    return found


def monai_unet(painted: Sequence[Annotation], seconds: float, seed: int) -> Learned:
    """Train MONAI's U-Net as its 2D tutorials do, until the time is used up.

    Residual U-Net with padded convolutions and instance normalisation, Adam at 1e-3, Dice loss and
    cross entropy where labelled, flips and quarter turns.
    """
    import monai
    import torch

    torch.manual_seed(seed)
    monai.data.set_track_meta(False)
    rng, crop = np.random.default_rng(seed), _crop()
    planes = _planes(painted)
    network = monai.networks.nets.UNet(
        spatial_dims=2,
        in_channels=len(planes[0][0]),
        out_channels=_count(planes),
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
    )
    # what this imports takes seconds, so the clock starts after it
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    began, steps = time.perf_counter(), 0
    items = [_item(image, classes) for image, classes in planes]
    while time.perf_counter() - began < seconds:
        (seen,) = crop(items[rng.integers(len(items))])
        optimiser.zero_grad()
        _loss(network(seen["image"][None]), seen["classes"].long()).backward()
        optimiser.step()
        steps += 1
    took = time.perf_counter() - began

    def probabilities(image: Array) -> Array:
        network.eval()
        with torch.inference_mode():
            logits = monai.inferers.sliding_window_inference(
                _normalise()(image.astype(np.float32))[None], (SIDE, SIDE), 4, network, 0.25
            )
            result: Array = logits[0].softmax(0).numpy()
        return result

    return Learned(probabilities=probabilities, took=took, rounds=steps)


def _item(image: Array, classes: Array) -> dict[str, Any]:
    """Return what MONAI's transforms take; crops lie around labelled pixels of each class alike."""
    where = np.zeros(classes.shape, np.float32)
    for k in np.unique(classes[classes != IGNORE]):
        where[classes == k] = 1 / np.count_nonzero(classes == k)
    normalised = _normalise()(image.astype(np.float32))
    return {"image": normalised, "classes": classes[None], "where": where[None]}


def _normalise() -> Any:
    from monai.transforms import ScaleIntensityRangePercentiles

    return ScaleIntensityRangePercentiles(1, 99.8, 0, 1, channel_wise=True)


def _crop() -> Any:
    from monai.transforms import Compose, RandFlipd, RandRotate90d, RandWeightedCropd

    keys = ("image", "classes")
    steps = [
        RandWeightedCropd(keys, "where", (SIDE, SIDE)),
        RandFlipd(keys, prob=0.5, spatial_axis=0),
        RandFlipd(keys, prob=0.5, spatial_axis=1),
        RandRotate90d(keys, prob=0.75),
    ]
    return Compose(steps).set_random_state(0)


def _loss(logits: Any, classes: Any) -> Any:
    """Return Dice loss plus cross entropy (MONAI's DiceCELoss), of labelled pixels only."""
    from monai.losses import MaskedDiceLoss
    from torch.nn import functional as F

    labelled = classes != IGNORE
    onehot = F.one_hot(classes.where(labelled, 0), logits.shape[1]).movedim(-1, 1)
    dice = MaskedDiceLoss(softmax=True)(logits, onehot, labelled[:, None])
    entropy = F.cross_entropy(logits, classes, ignore_index=IGNORE, reduction="sum")
    return dice + entropy / labelled.sum().clamp(min=1)


def _planes(painted: Sequence[Annotation]) -> list[tuple[Array, Array]]:
    """Return every painted plane as a (C, Y, X) image and its classes, `IGNORE` elsewhere."""
    return [
        (plane.image, encode(plane.labels, plane.meaning, plane.region).classes)
        for annotation in painted
        for plane in annotation.planes()
    ]


def _count(planes: Sequence[tuple[Array, Array]]) -> int:
    return 1 + max(int(classes[classes != IGNORE].max()) for _, classes in planes)


def sizes(painted: Sequence[Annotation]) -> dict[str, int]:
    """Return the sizes of the smallest cells and of the largest hole, as our segmenter does."""
    painted_cells = [
        np.where(plane.labels > (plane.meaning == "scribbles"), plane.labels, 0)
        for annotation in painted
        for plane in annotation.planes()
    ]
    found = np.concatenate([diameters(each) for each in painted_cells])
    model = Segmenter(
        weights={}, in_channels=1, n_classes=2, base_channels=1, depth=1,
        diameter=typical_diameter(found), smallest=smallest_diameter(found),
    )  # fmt: skip
    return {
        "min_size": model.smallest_cell(),
        "cut_size": model.smallest_cut_cell(),
        "max_hole": model.largest_hole(),
    }


def cells(probabilities: Array, rules: Mapping[str, int]) -> tuple[Array, Array]:
    """Read cells in two ways: connected components from 0.5 on, and split as ours are."""
    # holes as our own segmenter fills them: all of them would drown membranes
    foreground = probabilities[1]
    plain = instances(foreground, border=0, **rules)
    split = instances(foreground, core=0.8, split=0.2, **rules)
    return plain, split
