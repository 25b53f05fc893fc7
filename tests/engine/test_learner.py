"""A step of training: what a plain loop of torch does, only sooner, and never with a bad loss."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from painting import config, disks
from torch import nn

from napari_unet.core.annotation import Annotation
from napari_unet.core.augment import Plane
from napari_unet.core.unet import UNet, incoming_nodes, weighted_cross_entropy
from napari_unet.engine.device import is_fast_with_bfloat16
from napari_unet.engine.learning import optimiser
from napari_unet.engine.learning.dropout import SeededDropout
from napari_unet.engine.learning.flatweights import ALIGNED, FlatWeights
from napari_unet.engine.learning.learner import MOST_BAD_STEPS, Learner
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.recipe import DEFAULT, PAPER, Recipe, learning_rate
from napari_unet.engine.learning.stepgraph import WARM_UPS, Late
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.learning.update import Update
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import JobError

torch.set_num_threads(1)
CPU = torch.device("cpu")
RECIPES = {
    "default": DEFAULT,
    "slower where many nodes come in": replace(DEFAULT, fan_in=20),
    "two patches": replace(DEFAULT, patch=60, batch=2),
    "paper": replace(PAPER, patch=60),
    "paper, no momentum": replace(PAPER, patch=60, momentum=0.0),
}


def new_model(**more: Any) -> Segmenter:
    """A small network with random weights."""
    torch.manual_seed(0)
    shape = {"in_channels": 1, "n_classes": 2, "base_channels": 3, "depth": 2} | more
    return Segmenter(weights={}, **shape).with_weights(UNet(**shape))


def painted() -> TrainingSet:
    """Disks to learn."""
    return prepare([Annotation(*disks())], config(), None, CPU)


def everything(learner: Learner) -> list[torch.Tensor]:
    """Copies of all tensors that later steps depend on."""
    state = learner.state()
    kept = [*state["network"].values(), *state["average"].values()]
    kept += [value for values in state["optimiser"].values() for value in values.values()]
    return [value.clone() for value in kept]


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    """To the last bit."""
    return all(torch.equal(first, second) for first, second in zip(one, two, strict=True))


class PlainLoop:
    """The steps of a recipe as the tutorials of torch write them, weight by weight."""

    def __init__(self, start: Segmenter, recipe: Recipe, seed: int) -> None:
        self.recipe, self.seed, self.step = recipe, seed, 0
        self.network, self.average = start.network(), start.network()
        self.network.dropout = self.dropout = SeededDropout()
        # draws the same patches, and is never trained
        self.dealer = Learner(start, recipe, seed, CPU)
        parameters = self.network.parameters()
        self.optimiser: torch.optim.Optimizer = torch.optim.SGD(
            parameters, lr=0.0, momentum=recipe.momentum
        )
        if recipe.optimiser == "adam":
            paces = [min(1.0, recipe.fan_in / n) for n in incoming_nodes(self.network)]
            groups = [
                {"params": [parameter], "pace": pace}
                for parameter, pace in zip(self.network.parameters(), paces, strict=True)
            ]
            self.optimiser = torch.optim.AdamW(groups, lr=0.0, weight_decay=1e-4, foreach=False)

    def take_step(self, data: TrainingSet, progress: float) -> float:
        """One step."""
        self.step += 1
        for group in self.optimiser.param_groups:
            rate = learning_rate(self.recipe, self.step, progress)
            group["lr"] = rate * group.get("pace", 1.0)
        self.dealer.step, numbers = self.step, range(self.recipe.batch)
        patches = [self.dealer._draw_patch(data, number) for number in numbers]
        image, target, weight = (
            torch.stack([getattr(patch, name) for patch in patches])
            for name in ("image", "target", "weight")
        )
        self.network.train()
        with self.dropout.seeded(self.seed * 1_000_003 + self.step, CPU, numbers):
            loss = weighted_cross_entropy(self.network(image), target, weight)
        self.optimiser.zero_grad()
        loss.backward()
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimiser.step()
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(
                self.average.parameters(), self.network.parameters(), strict=True
            ):
                mean.copy_(keep * mean + (1 - keep) * value)
        return float(loss.detach())


@pytest.mark.parametrize("name", RECIPES)
def test_the_steps_are_those_of_a_plain_loop(name: str) -> None:
    """Losses, weights and their average, but for rounding."""
    start, recipe, data = new_model(), RECIPES[name], painted()
    recipe = replace(recipe, half=False)
    learner, plain = Learner(start, recipe, 3, CPU), PlainLoop(start, recipe, 3)
    for step in range(8):
        loss = plain.take_step(data, step / 8)
        assert learner.take_step(data, step / 8) == pytest.approx(loss, rel=1e-4)
    for ours, theirs in ((learner.network, plain.network), (learner.average, plain.average)):
        if not recipe.average and ours is learner.average:
            continue
        for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=2e-5)
    assert (learner.average is learner.network) == (not recipe.average)
    moved = list(learner.network.state_dict().values())
    assert not same(moved, list(start.network().state_dict().values()))


def spoil(data: TrainingSet) -> None:
    """Let every grey value be NaN, as no image that is prepared has it."""
    plane = data.planes[0]
    data.planes = [Plane(torch.full_like(plane.image, torch.nan), plane.target, plane.weight)]


@pytest.mark.parametrize("skipping", [optimiser.SKIPPING, ()], ids=["by itself", "for it"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_loss_that_is_not_finite_is_never_applied(
    monkeypatch: pytest.MonkeyPatch, name: str, skipping: tuple[str, ...]
) -> None:
    """Weights, average and optimiser stay as they were, and later steps are not worse for it."""
    monkeypatch.setattr(optimiser, "SKIPPING", skipping)
    start, recipe = new_model(), RECIPES[name]
    learner = Learner(start, recipe, 0, CPU)
    good, bad = painted(), painted()
    spoil(bad)
    for step in range(4):
        before = everything(learner)
        loss = learner.take_step(bad, 0.1)
        assert loss != loss  # NaN
        assert step == 0 or same(everything(learner), before)
        loss = learner.take_step(good, 0.1)
        assert 0 < loss < 50
        assert not same(everything(learner)[:10], before[:10])
    assert all(bool(value.isfinite().all()) for value in everything(learner))


@pytest.mark.parametrize("late", [False, True])
def test_many_bad_losses_end_the_training(late: bool) -> None:
    """Also those before a break count; where losses are read late, one step later."""
    data = painted()
    spoil(data)
    learner = Learner(new_model(), DEFAULT, 0, CPU)
    for _ in range(MOST_BAD_STEPS - 2):
        learner.take_step(data, 0.0)
    resumed = Learner(new_model(), DEFAULT, 0, CPU)
    resumed.restore(deepcopy(learner.state()))
    resumed._told = Late(resumed._update.told, late=late)
    for _ in range(1 + late):
        resumed.take_step(data, 0.0)
    message = rf"stopped at step {10 + late}: the loss became nan.*extreme values"
    with pytest.raises(JobError, match=message):
        resumed.take_step(data, 0.0)


def test_with_bfloat16_it_learns_much_the_same() -> None:
    """Where the device is fast with it; the weights and all that is added up stay float32."""
    data = painted()
    recipe = replace(RECIPES["two patches"], half=False)
    coarse, fine = (Learner(new_model(), recipe, 0, CPU) for _ in range(2))
    coarse._precision = partial(torch.autocast, "cpu", torch.bfloat16, cache_enabled=False)
    for _ in range(5):
        losses = [learner.take_step(data, 0.5) for learner in (coarse, fine)]
        assert losses[0] == pytest.approx(losses[1], rel=0.05)
        assert losses[0] != losses[1]
    assert {value.dtype for value in everything(coarse)} == {torch.float32}


def test_it_computes_with_bfloat16_where_the_cpu_has_instructions_for_it() -> None:
    """Others take longer with it; and the paper's recipe has float32 everywhere."""
    for recipe in (DEFAULT, PAPER):
        with Learner(new_model(), recipe, 0, CPU)._precision():
            wanted = recipe is DEFAULT and is_fast_with_bfloat16(CPU)
            assert torch.is_autocast_enabled("cpu") == wanted


@pytest.mark.parametrize("recipe", [DEFAULT, PAPER], ids=["adam", "sgd"])
def test_a_gradient_that_is_not_finite_is_never_applied(recipe: Recipe) -> None:
    """Though the loss was a number; a first step, too, leaves nothing behind."""
    networks = [new_model().network() for _ in range(2)]
    updates = [Update(network, network, recipe) for network in networks]
    first, second = (next(network.parameters()) for network in networks)
    updates[0].prepare(1, 0.01)
    # the root of 0 is 0, and infinitely steep
    updates[0].apply((sum(p.sum() for p in networks[0].parameters()) * 0).sqrt(), torch.ones(1))
    assert updates[0].told.isnan().tolist() == [True, False]
    assert torch.equal(first, second)
    for update, network in zip(updates, networks, strict=True):
        update.prepare(1, 0.01)
        update.apply(sum(p.square().sum() for p in network.parameters()), torch.ones(1))
    assert not torch.equal(first, next(new_model().network().parameters()))
    assert torch.equal(first, second)
    assert [update.state()["bad_steps"] for update in updates] == [1, 0]


def test_a_step_that_is_not_taken_says_nothing_of_silent_nodes() -> None:
    """They have been silent for as many steps as before it."""
    network = new_model().network()
    update = Update(network, network, DEFAULT)
    update.prepare(1, 0.01)
    update.apply(sum(p.sum() for p in network.parameters()) * 0, torch.ones(1))
    before = update.state()["idle"]
    assert before.tolist() == [1] * len(before)

    for _ in range(2):
        update.apply((sum(p.sum() for p in network.parameters()) * 0).sqrt(), torch.ones(1))

    assert update.state()["bad_steps"] == 2
    assert torch.equal(update.state()["idle"], before)


@pytest.mark.parametrize("name", RECIPES)
def test_a_learner_goes_back_to_where_its_state_was_taken(name: str) -> None:
    """And takes the same steps again, to the last bit."""
    data = painted()
    learner = Learner(new_model(), RECIPES[name], 0, CPU)
    learner.take_step(data, 0.0)
    state = deepcopy(learner.state())
    runs = []
    for _ in range(2):
        losses = [learner.take_step(data, 0.5) for _ in range(3)]
        runs.append((losses, everything(learner)))
        learner.restore(deepcopy(state))
        assert learner.step == 1
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])


def test_a_validation_between_two_steps_changes_nothing() -> None:
    """The network that it leaves in evaluation mode drops out again in the next step."""
    data = painted()
    validated, alone = (Learner(new_model(), RECIPES["paper"], 0, CPU) for _ in range(2))
    for _ in range(3):
        validated.average.eval()
        assert validated.take_step(data, 0.0) == alone.take_step(data, 0.0)
    assert same(everything(validated), everything(alone))


def test_one_vector_holds_all_weights_of_a_network() -> None:
    """What is written there the network computes with, and nothing lies between the weights."""
    network, image = new_model().network(), torch.randn(1, 1, 44, 44)
    before = network(image)
    flat = FlatWeights(network)
    torch.testing.assert_close(network(image), before)
    assert flat.vector.numel() % ALIGNED == 0
    with torch.no_grad():
        flat.vector.mul_(2)
    doubled = new_model().network()
    for twice, once in zip(network.parameters(), doubled.parameters(), strict=True):
        assert torch.equal(twice, 2 * once)
        assert (twice.data_ptr() - flat.vector.data_ptr()) % (4 * ALIGNED) == 0
        assert twice.ndim != 4 or twice.is_contiguous(memory_format=torch.channels_last)
    weights = torch.cat([p.detach().reshape(-1) for p in network.parameters()])
    assert int((flat.vector != 0).sum()) == int((weights != 0).sum())


def test_gradients_are_gathered_where_their_weights_are() -> None:
    """In whatever layout the library of convolutions returns them."""
    network = new_model().network()
    flat = FlatWeights(network)
    for layout in (torch.channels_last, torch.contiguous_format):
        gradients = [
            p.detach().clone(memory_format=layout if p.ndim == 4 else torch.contiguous_format)
            for p in network.parameters()
        ]
        assert torch.equal(flat.gather(gradients), flat.vector)
    assert flat.vector.grad is flat.gradient


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_on_a_gpu_the_steps_are_taken_as_a_graph() -> None:
    """Those that it takes without one, but for rounding; its loss is that of the step before."""
    device = torch.zeros(1, device="cuda").device
    data = prepare([Annotation(*disks())], config(), None, device)
    graphed, plain = (Learner(new_model(), DEFAULT, 0, device) for _ in range(2))
    plain._captured = lambda learn: learn()  # type: ignore[assignment]
    for _ in range(WARM_UPS + 6):
        losses = graphed.take_step(data, 0.1), plain.take_step(data, 0.1)
        assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert graphed._captured.refusal == ""
    assert graphed._captured.is_graph
    graphed.restore(graphed.state())
    assert not graphed._captured.is_graph
    assert 0 < graphed.take_step(data, 0.1) < 50
