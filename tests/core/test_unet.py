"""The network against the figure of the paper, and the loss against its equation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.core.unet import UNet, output_size, valid_size, weighted_cross_entropy
from napari_unet.errors import InputError

torch.set_num_threads(1)
unhurried = settings(deadline=None, max_examples=40)


def legal_sizes(depth: int, up_to: int) -> list[int]:
    """Every legal input side, counted from the smallest feature map upwards."""
    stride = 2**depth
    context = 12 * stride - 8
    sides = (stride * bottom + 4 * (stride - 1) for bottom in range(5, up_to))
    return [side for side in sides if context < side <= up_to]


@pytest.fixture(scope="module")
def paper() -> UNet:
    """The network of the paper, without the cost of computing with it."""
    with torch.device("meta"):
        return UNet()


def test_the_default_network_is_the_papers(paper: UNet) -> None:
    """23 convolutional layers and 31 030 658 parameters for one channel and two classes."""
    convolutions = [m for m in paper.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert len(convolutions) == 23
    assert sum(p.numel() for p in paper.parameters()) == 31_030_658
    assert (paper.context, paper.stride) == (184, 16)


def test_572_pixels_become_388(paper: UNet) -> None:
    """The figure's own numbers hold for an actual forward pass."""
    image = torch.empty(1, 1, 572, 572, device="meta")
    assert paper.eval()(image).shape == (1, 2, 388, 388)


@unhurried
@given(
    base=st.integers(1, 5),
    depth=st.integers(1, 4),
    channels=st.integers(1, 3),
    classes=st.integers(1, 5),
    more=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_every_shape_of_network_loses_exactly_its_context(
    base: int, depth: int, channels: int, classes: int, more: tuple[int, int]
) -> None:
    """Any base, depth, channels and classes, on rectangles."""
    with torch.device("meta"):
        network = UNet(channels, classes, base, depth).eval()
        y, x = (network.valid_size(network.context + 1 + m) for m in more)
        logits = network(torch.empty(2, channels, y, x))
    assert logits.shape == (2, classes, y - network.context, x - network.context)


@unhurried
@given(depth=st.integers(1, 6), at_least=st.integers(-10, 1500))
def test_valid_size_is_the_smallest_legal_one(depth: int, at_least: int) -> None:
    """Against the list of all legal sizes, made the other way round."""
    expected = next(s for s in legal_sizes(depth, 2500) if s >= at_least)
    assert valid_size(at_least, depth) == expected
    assert output_size(expected, depth) == expected - (12 * 2**depth - 8)


@unhurried
@given(depth=st.integers(1, 3), size=st.integers(1, 200))
def test_an_illegal_size_is_refused_with_the_next_legal_ones(depth: int, size: int) -> None:
    """A size is either in the list of legal ones and works, or the error names the next three."""
    with torch.device("meta"):
        network = UNet(1, 2, 1, depth).eval()
        fine = network.valid_size(1)
        image = torch.empty(1, 1, fine, size)
        legal = legal_sizes(depth, 400)
        if size in legal:
            assert network(image).shape[3] == size - network.context
            return
        upcoming = [s for s in legal if s > size][:3]
        with pytest.raises(InputError, match="X = {}.*{}, {} and {}".format(size, *upcoming)):
            network(image)


def test_images_of_another_kind_are_refused() -> None:
    """A wrong number of channels or axes names what was given."""
    network = UNet(2, 2, 2, 1)
    with pytest.raises(InputError, match=r"\(N, 2, Y, X\).*\(1, 1, 20, 20\)"):
        network(torch.zeros(1, 1, 20, 20))
    with pytest.raises(InputError, match=r"\(2, 20, 20\)"):
        network(torch.zeros(2, 20, 20))


@pytest.mark.parametrize("name", ["in_channels", "n_classes", "base_channels", "depth"])
def test_arguments_must_be_positive(name: str) -> None:
    """The error names the argument."""
    with pytest.raises(InputError, match=f"{name} is 0"):
        UNet(**{name: 0})


def test_he_initialisation() -> None:
    """Each layer's weights have mean 0 and std sqrt(2 / N), N incoming nodes; biases are 0."""
    torch.manual_seed(0)
    network = UNet(3, 4, 32, 3)
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            incoming = module.in_channels  # kernel 2, stride 2: one input pixel per output pixel
        elif isinstance(module, nn.Conv2d):
            incoming = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
        else:
            continue
        weight = module.weight.detach()
        expected = (2 / incoming) ** 0.5
        # five standard errors of a mean and of a standard deviation
        assert abs(weight.mean()) < 5 * expected / weight.numel() ** 0.5
        assert abs(weight.std() / expected - 1) < 5 / (2 * weight.numel()) ** 0.5
        assert module.bias is not None
        assert not module.bias.any()


def test_dropout_sits_at_the_end_of_the_contracting_path() -> None:
    """It meets the two deepest blocks only, zeroes half of what it meets, and only in training."""
    torch.manual_seed(0)
    network = UNet(1, 2, 4, 3)
    met: list[tuple[int, float]] = []

    def note(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        live = inputs[0] != 0
        met.append((output.shape[1], float((output[live] == 0).float().mean())))

    drops = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    assert len(drops) == 1
    drops[0].register_forward_hook(note)
    image = torch.rand(1, 1, network.valid_size(140), network.valid_size(140))

    with torch.no_grad():
        first, second = network(image), network(image)
        assert not torch.equal(first, second)
        assert [channels for channels, _ in met] == [16, 32] * 2
        assert all(0.4 < zeroed < 0.6 for _, zeroed in met)
        met.clear()
        network.eval()
        assert torch.equal(network(image), network(image))
        assert all(zeroed == 0 for _, zeroed in met)


def _pass_through(network: UNet, *, skips: bool) -> None:
    """Set weights that hand the first channel on unchanged, by the skips or by the bottom."""
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            middle = module.kernel_size[0] // 2
            module.weight.data[0, 0, middle, middle] = 1
        elif isinstance(module, nn.ConvTranspose2d):
            module.weight.data[0, 0] = 1
    if not skips:
        for block in network.merge:
            first = block[0]
            first.weight.data[0] = 0
            first.weight.data[0, first.in_channels // 2, 1, 1] = 1


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_skips_are_cropped_in_the_middle(depth: int) -> None:
    """With weights that only pass the finest skip on, the output is the middle of the input."""
    network = UNet(1, 1, 1, depth).eval()
    _pass_through(network, skips=True)
    half = network.context // 2
    sides = network.valid_size(network.context + 9), network.valid_size(network.context + 22)
    image = torch.rand(1, 1, *sides)
    with torch.no_grad():
        assert torch.equal(network(image), image[..., half:-half, half:-half])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_bottom_comes_back_where_it_came_from(depth: int) -> None:
    """With weights that only pass the deepest path on, each output pixel is its block's maximum."""
    network = UNet(1, 1, 1, depth).eval()
    _pass_through(network, skips=False)
    half, stride = network.context // 2, network.stride
    side = network.valid_size(network.context + 17)
    image = torch.rand(1, 1, side, side)
    with torch.no_grad():
        output = network(image)[0, 0].numpy()
    start = 2 * (stride - 1)  # each level loses two pixels before it pools
    blocks = image[0, 0].numpy()[start:, start:]
    count = len(blocks) // stride
    blocks = blocks[: count * stride, : count * stride]
    largest = blocks.reshape(count, stride, count, stride).max(axis=(1, 3))
    index = (np.arange(side - network.context) + half - start) // stride
    np.testing.assert_array_equal(output, largest[np.ix_(index, index)])


def test_the_loss_is_equation_one() -> None:
    """Softmax cross entropy times weight, averaged over the pixels that have a weight."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5, 4))
    target = rng.integers(0, 3, (2, 5, 4))
    weight = rng.uniform(0.1, 10, (2, 5, 4)) * (rng.random((2, 5, 4)) < 0.6)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = np.take_along_axis(p, target[:, None], axis=1)[:, 0]
    expected = -(weight * np.log(own)).sum() / (weight > 0).sum()
    loss = weighted_cross_entropy(*map(torch.from_numpy, (logits, target, weight)))
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_an_unlabelled_pixel_has_no_gradient_whatever_it_holds() -> None:
    """Also where the target is no class at all."""
    logits = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[[255, 1, 0], [-7, 0, 1], [99, 1, 1]]])
    weight = torch.tensor([[[0.0, 2, 1], [0, 1, 1], [0, 3, 1]]], dtype=torch.float64)
    loss = weighted_cross_entropy(logits, target, weight)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert (logits.grad[0, :, :, 0] == 0).all()
    assert (logits.grad[0, :, :, 1:] != 0).all()


def test_a_patch_without_labels_costs_nothing() -> None:
    """The loss and its gradient are 0, not NaN."""
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    nothing = torch.zeros(1, 4, 4)
    loss = weighted_cross_entropy(logits, torch.full((1, 4, 4), 255), nothing)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()
