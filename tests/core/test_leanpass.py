"""The forward pass with little memory against the plain one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_unet.core.leanpass import ROWS, lean_pass, skip_sides, strips
from napari_unet.core.unet import UNet

torch.set_num_threads(1)
unhurried = settings(deadline=None, max_examples=25)


def network_and_image(
    base: int, depth: int, sides: tuple[int, int], *, batch: int = 1, channels: int = 1
) -> tuple[UNet, torch.Tensor]:
    """A network with random weights, and an image of at least these sides."""
    torch.manual_seed(base + depth)
    network = UNet(channels, 3, base, depth).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shape = [network.valid_size(network.context + side) for side in sides]
    image = torch.randn(batch, channels, *shape).contiguous(memory_format=torch.channels_last)
    return network.eval(), image


@unhurried
@example(base=3, depth=3, sides=(165, 20), batch=1, channels=1)
@given(
    base=st.integers(1, 6),
    depth=st.integers(1, 3),
    sides=st.tuples(st.integers(20, 400), st.integers(20, 120)),
    batch=st.integers(1, 2),
    channels=st.integers(1, 3),
)
def test_the_lean_pass_gives_what_the_plain_one_gives(
    base: int, depth: int, sides: tuple[int, int], batch: int, channels: int
) -> None:
    """Any network and any sides, with and without strips.

    In double precision: random networks have logits of 16, of which float32 rounds off 1e-5.
    """
    network, image = network_and_image(base, depth, sides, batch=batch, channels=channels)
    network, image = network.double(), image.double()
    plain = network(image).detach()  # gradients are on: the plain pass
    with torch.no_grad():
        for in_strips in (False, True):
            lean = lean_pass(network, image, in_strips=in_strips)
            assert lean.shape == plain.shape
            torch.testing.assert_close(lean, plain, rtol=0, atol=1e-11)


def test_strips_of_a_real_tile_are_bit_for_bit_the_whole() -> None:
    """At the size of an automatic tile of the default network."""
    network, image = network_and_image(16, 3, (516, 516))
    plain = network(image).detach()
    with torch.no_grad():
        assert torch.equal(network(image), plain)
        assert torch.equal(lean_pass(network, image, in_strips=False), plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_numbers_keep_their_type(dtype: torch.dtype) -> None:
    """The buffers are made of the type of the network."""
    network, image = network_and_image(2, 2, (60, 60))
    with torch.no_grad():
        logits = network.to(dtype)(image.to(dtype))
    assert logits.dtype == dtype


@unhurried
@given(rows=st.integers(1, 2000).map(lambda n: 2 * n))
def test_strips_cover_all_rows_once(rows: int) -> None:
    """In order, of even length, none shorter than the least where there is room."""
    cut = list(strips(rows))
    assert [start for start, _ in cut] == [0, *(stop for _, stop in cut[:-1])]
    assert cut[-1][1] == rows
    assert all((stop - start) % 2 == 0 for start, stop in cut)
    assert all(stop - start >= min(rows, ROWS) - 2 for start, stop in cut)


def test_the_skips_of_the_paper() -> None:
    """Figure 1: 392, 200, 104 and 56 pixels are copied to the other side."""
    assert skip_sides(572, 4) == [392, 200, 104, 56]


def test_with_dropout_the_plain_pass_is_taken() -> None:
    """A network in training mode drops features out, also where no gradient is asked for."""
    network, image = network_and_image(4, 2, (40, 40))
    with torch.no_grad():
        still = network(image)
        assert not torch.equal(network.train()(image), still)
