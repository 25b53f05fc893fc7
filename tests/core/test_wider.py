"""A wider network says what the narrower one says, and its copies of a node learn apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.core.unet import UNet, weighted_cross_entropy
from napari_unet.core.wider import wider


def network(channels: int, weights: dict[str, np.ndarray] | None = None) -> UNet:
    """A network of two channels in and three classes out, without dropout."""
    torch.manual_seed(0)
    unet = UNet(in_channels=2, n_classes=3, base_channels=channels, depth=2).eval()
    if weights is not None:
        unet.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return unet


def weights_of(unet: UNet) -> dict[str, np.ndarray]:
    """Its weights, none of which is 0: new ones have biases of 0."""
    torch.manual_seed(1)
    return {
        name: (value + 0.1 * torch.randn(value.shape)).numpy()
        for name, value in unet.state_dict().items()
    }


@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_logits_are_the_same(times: int) -> None:
    """Through poolings, up-convolutions and skips that are put side by side."""
    weights = weights_of(network(4))
    image = torch.randn(1, 2, 60, 60)

    narrow = network(4, weights).whole_pass(image)
    wide = network(4 * times, wider(weights, times)).whole_pass(image)

    torch.testing.assert_close(wide, narrow, rtol=1e-4, atol=1e-4)


def test_no_two_nodes_learn_the_same() -> None:
    """Else twice as many would know no more than half of them."""
    unet = network(8, wider(weights_of(network(4)), 2))
    image, target = torch.randn(1, 2, 60, 60), torch.randint(3, (1, 20, 20))

    weighted_cross_entropy(unet.whole_pass(image), target, torch.ones(1, 20, 20)).backward()

    for name, parameter in unet.named_parameters():
        if name.endswith("bias") and not name.startswith("head"):
            assert parameter.grad is not None
            learning = parameter.grad[parameter.grad != 0]
            assert len(learning.unique()) == len(learning) > 0, name


def test_it_is_the_same_every_time() -> None:
    """Two processes that train one model begin alike."""
    weights = weights_of(network(4))

    for name, values in wider(weights, 2).items():
        assert values.dtype == np.float32
        assert np.array_equal(values, wider(weights, 2)[name])
