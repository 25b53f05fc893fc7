"""One function called again and again: plainly, or on a GPU as a graph with the same results."""

from __future__ import annotations

import pytest
import torch

from napari_unet.engine.learning.dropout import SeededDropout
from napari_unet.engine.learning.stepgraph import WARM_UPS, Captured, Late

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def test_without_a_gpu_every_call_is_a_plain_one() -> None:
    """From the first to those after which a graph would be made."""
    count = torch.zeros(())
    captured = Captured(CPU)
    for _ in range(WARM_UPS + 3):
        captured(lambda: count.add_(1))
    assert count == WARM_UPS + 3
    assert (captured.is_graph, captured.refusal) == (False, "")


def test_numbers_are_read_late_or_at_once() -> None:
    """Late: those of the read before; the first is read at once, for want of another."""
    numbers = torch.zeros(2)
    late, prompt = Late(numbers, late=True), Late(numbers, late=False)
    read = []
    for value in range(5):
        numbers[0], numbers[1] = value, 10 * value
        assert prompt.read() == [value, 10 * value]
        read.append(late.read())
    assert read == [[0, 0], [0, 0], [1, 10], [2, 20], [3, 30]]


def test_dropout_depends_on_its_seed_alone() -> None:
    """Half of the values are 0 and the others doubled; what torch draws is left alone."""
    dropout, values = SeededDropout(), torch.rand(2, 5, 90, 100) + 1
    before = torch.get_rng_state()
    dropped = []
    for seed in (5, 6, 5):
        torch.rand(seed)
        with dropout.seeded(seed, CPU):
            dropped.append([dropout(values), dropout(values)])
    torch.set_rng_state(before)
    assert torch.equal(dropped[0][0], dropped[2][0])
    assert torch.equal(dropped[0][1], dropped[2][1])
    assert not torch.equal(dropped[0][0], dropped[0][1])
    assert not torch.equal(dropped[0][0], dropped[1][0])
    left = dropped[0][0] != 0
    assert torch.equal(dropped[0][0], torch.where(left, 2 * values, 0))
    for axes in ((0, 1), (2, 3)):
        share = left.float().mean(axes)
        assert 0.5 - 4 * share.std() < share.min() < share.max() < 0.5 + 4 * share.std()
        assert share.std() < 0.2
    with dropout.seeded(5, CPU):
        dropout(values)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_drops_the_same_in_each_layout_and_from_gradients_too() -> None:
    """A number of values that fills no byte, too; in evaluation mode all pass."""
    dropout, values = SeededDropout(), torch.rand(1, 3, 5, 7) + 1
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        leaf = values.to(memory_format=layout, copy=True).requires_grad_()
        with dropout.seeded(1, CPU):
            results.append(dropout(leaf))
        results[-1].sum().backward()
        assert torch.equal(leaf.grad, 2.0 * (results[-1] != 0))
    assert torch.equal(results[0], results[1])
    assert torch.equal(dropout.eval()(values), values)


@needs_cuda
def test_a_graph_gives_the_results_of_plain_calls() -> None:
    """Of what stands in its tensors now, with the random numbers of the seed of each call."""
    device = torch.zeros(1, device="cuda").device
    given, plain, graphed = (torch.ones(1, 1, 30, 30, device=device) for _ in range(3))
    dropout, before = SeededDropout(), torch.cuda.get_rng_state(device)
    captured = Captured(device)
    for call in range(WARM_UPS + 4):
        given.fill_(call)
        with dropout.seeded(call, device):
            plain.copy_(dropout(given) + plain)
        with dropout.seeded(call, device):
            captured(lambda: graphed.copy_(dropout(given) + graphed))
        assert torch.equal(plain, graphed)
    assert captured.is_graph
    assert torch.equal(torch.cuda.get_rng_state(device), before)


@needs_cuda
def test_where_a_graph_is_refused_plain_calls_go_on() -> None:
    """A function that waits for the device cannot be captured, and is called all the same."""
    device = torch.zeros(1, device="cuda").device
    count, dropout = torch.zeros(1, 1, 1, 1, device=device), SeededDropout()

    def function() -> None:
        count.add_(1 if float(dropout(count)) >= 0 else 2)

    stream = torch.cuda.current_stream(device)
    captured = Captured(device)
    for _ in range(WARM_UPS + 4):
        captured(function)
    assert float(count) == WARM_UPS + 4
    assert not captured.is_graph
    assert captured.refusal
    assert torch.cuda.current_stream(device) == stream
