"""Silent nodes get new weights, and the network says what it said."""

from __future__ import annotations

import pytest
import torch

from napari_unet.core.silent import fresh_weights, rectified
from napari_unet.core.unet import UNet

torch.set_num_threads(1)


def muted(depth: int, share: float) -> tuple[UNet, list[torch.Tensor]]:
    """A network of which some nodes, in all layers, are 0 at every pixel; and which."""
    torch.manual_seed(depth)
    network = UNet(1, 2, 4, depth).train()
    network.dropout.p = 0.0
    chosen = []
    with torch.no_grad():
        for layer in rectified(network):
            nodes = torch.rand(layer.convolution.out_channels) < share
            layer.bias[nodes] = -1e6
            chosen.append(nodes)
    return network, chosen


def restart(network: UNet, silent: list[torch.Tensor]) -> None:
    """Give the nodes new weights."""
    generator = torch.Generator().manual_seed(0)
    for layer, nodes in zip(rectified(network), silent, strict=True):
        layer.restart(nodes, fresh_weights(layer.convolution, generator))


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_new_start_changes_nothing_that_is_said(depth: int, share: float) -> None:
    """Whether some nodes of each layer were silent or all of them."""
    network, silent = muted(depth, share)
    image = torch.randn(1, 1, network.valid_size(100), network.valid_size(100))
    before = network(image)
    restart(network, silent)

    assert torch.equal(network(image), before) or (network(image) - before).abs().max() < 1e-5


def test_who_got_a_new_start_is_heard_again() -> None:
    """The layers behind a new node have a gradient there, where they had none."""
    network, silent = muted(2, 0.3)
    image = torch.randn(1, 1, 100, 100)

    def deaf() -> int:
        network.zero_grad()
        network(image).square().sum().backward()
        return sum(
            int((layer.convolution.weight.grad.abs().amax((0, 2, 3)) == 0).sum())
            for layer in rectified(network)
            if layer.convolution.weight.grad is not None
        )

    before = deaf()
    assert before > 0
    restart(network, silent)
    assert deaf() < before / 2


def test_new_weights_are_as_large_as_those_of_a_new_network_and_sum_to_nothing() -> None:
    """He's deviation, less the mean of nine: so what is behind them hears what it is used to."""
    convolution = torch.nn.Conv2d(32, 64, 3)
    weights = fresh_weights(convolution, torch.Generator().manual_seed(0))

    assert weights.shape == convolution.weight.shape
    assert weights.sum((2, 3)).abs().max() < 1e-5
    assert float(weights.std()) == pytest.approx((2 / (32 * 9) * 8 / 9) ** 0.5, rel=0.02)


def test_every_rectified_convolution_is_found() -> None:
    """All but the head, each with all its nodes read somewhere."""
    network = UNet(3, 4, 4, 3)
    layers = list(rectified(network))

    assert len({id(layer.convolution) for layer in layers}) == 2 * (3 + 1 + 3)
    for layer in layers:
        assert {len(view) for view in layer.read_by} == {layer.convolution.out_channels}
