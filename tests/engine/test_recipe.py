"""The two recipes: how fast they learn, and that nothing in the network falls silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_unet.core.annotation import Annotation
from napari_unet.core.config import TrainConfig
from napari_unet.core.unet import UNet
from napari_unet.engine.learning.learner import Learner
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.recipe import DEFAULT, PAPER, Recipe, is_reviving, learning_rate
from napari_unet.engine.segmenter import Segmenter
from napari_unet.sample_data import painted_scribbles, touching_cells

torch.set_num_threads(1)
CPU = torch.device("cpu")
DEEP = ("bottom.0", "bottom.2", "merge.0.2", "merge.1.2")


def silent_share(
    recipe: Recipe,
    network: UNet | None = None,
    *,
    steps: int = 50,
    layers: tuple[str, ...] = DEEP,
) -> float:
    """Train on the sample; return the share of the nodes of some layers that are 0 everywhere."""
    image, truth = touching_cells((256, 256))
    painted = Annotation(image, painted_scribbles(truth), "scribbles")
    data = prepare([painted], TrainConfig(), None, CPU)
    torch.manual_seed(0)
    start = Segmenter(weights={}, in_channels=1, n_classes=2, base_channels=16, depth=3)
    learner = Learner(start.with_weights(network or UNet(1, 2, 16, 3)), recipe, 0, CPU)
    for step in range(steps):
        learner.take_step(data, step / 1000)
    silent: list[bool] = []
    for name, module in learner.network.named_modules():
        if name in layers:
            assert isinstance(module, nn.Conv2d)
            module.register_forward_hook(
                lambda _, __, out: silent.extend((out.amax((0, 2, 3)) <= 0).tolist())
            )
    learner.network.train()  # the pass with hooks; evaluation computes in strips
    learner.network(data.planes[0].image[None, :, :204, :204])
    return float(np.mean(silent))


def test_deep_levels_do_not_fall_silent() -> None:
    """As they do at one rate for all, soon reached: then only the shallow ones were left."""
    small = replace(DEFAULT, patch=68)

    assert silent_share(replace(small, revive=0)) < 0.1
    assert silent_share(replace(small, revive=0, warm_up=20, fan_in=0)) > 0.25


@pytest.mark.parametrize(("revive", "least", "most"), [(0, 1.0, 1.0), (20, 0.0, 0.3)])
def test_a_level_that_fell_silent_learns_again(revive: int, least: float, most: float) -> None:
    """Its nodes get new weights, and few of them fall silent once more."""
    torch.manual_seed(0)
    network = UNet(1, 2, 16, 3)
    with torch.no_grad():
        network.merge[0][2].bias.fill_(-1e3)
    recipe = replace(DEFAULT, patch=68, revive=revive)

    assert least <= silent_share(recipe, network, layers=("merge.0.2",)) <= most


def test_nodes_get_new_weights_in_the_first_half_of_a_budget() -> None:
    """Every fifty steps, never before the first, and never with the paper's recipe."""
    early = [step for step in range(1, 202) if is_reviving(DEFAULT, step, 0.1)]

    assert early == [51, 101, 151, 201]
    assert not is_reviving(DEFAULT, 51, 0.5)
    assert not any(is_reviving(PAPER, step, 0.1) for step in range(1, 202))


def test_the_rate_grows_to_its_peak_and_ends_near_zero() -> None:
    """Over 200 steps, or a tenth of a budget if that comes first."""
    peak = DEFAULT.rate

    assert learning_rate(DEFAULT, 1, 0.0) == pytest.approx(peak / 200)
    assert learning_rate(DEFAULT, 200, 0.0) == pytest.approx(peak)
    assert learning_rate(DEFAULT, 10, 0.1) == pytest.approx(peak, rel=0.03)
    assert learning_rate(DEFAULT, 10**5, 1.0) == pytest.approx(0.01 * peak)
    assert {learning_rate(PAPER, step, step / 9) for step in range(1, 10)} == {PAPER.rate}
