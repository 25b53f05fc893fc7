"""What the program tells a training while it runs: strokes, looks, and to finish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from painting import config, disks

from napari_unet.core.annotation import Annotation
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.core.normalise import grey_statistics
from napari_unet.core.touching import where_cells_meet
from napari_unet.core.unet import UNet
from napari_unet.engine.cells import find_cells
from napari_unet.engine.events import Learned, Previewed, StepDone, Trained, TrainEvent, Validated
from napari_unet.engine.inference import probabilities, segment
from napari_unet.engine.learning import preview
from napari_unet.engine.learning.budget import Budget
from napari_unet.engine.learning.heldout import BLOCK, Seen
from napari_unet.engine.learning.paintedplane import PaintedPlane
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.learning.trainingset import TrainingSet
from napari_unet.engine.learning.verdict import compare
from napari_unet.engine.process.mailbox import Finish, Look, Mailbox, Repainted
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import starter_model
from napari_unet.engine.training import train
from napari_unet.errors import InputError
from napari_unet.sample_data import touching_cells

torch.set_num_threads(1)
CPU = torch.device("cpu")
ENDLESS = config(steps=0, seconds=0)


def whole(shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The box of everything."""
    return slice(0, shape[0]), slice(0, shape[1])


def look_at(image: np.ndarray[Any, Any], out: np.ndarray[Any, Any], **when: Any) -> Look:
    """Ask for a preview of a whole plane."""
    pixels = image[None]
    when = {"key": 1} | when
    return Look(
        pixels=pixels, statistics=grey_statistics(pixels), inner=whole(image.shape), out=out, **when
    )


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_repainting_equals_starting_anew(data: st.DataObject) -> None:
    """Targets, cells and border weights, to the last bit, after any strokes and at any factor."""
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = (draw(st.integers(30, 90)), draw(st.integers(30, 90)))
    meaning: Any = draw(st.sampled_from(["scribbles", "instances", "classes"]))
    factor = draw(st.integers(1, 3))
    image = rng.normal(size=shape)
    labels = np.kron(rng.integers(0, 4, (10, 10)), np.ones((9, 9), int))[: shape[0], : shape[1]]
    plane = PaintedPlane(Annotation(image, labels.copy(), meaning), factor, 10.0, 2.0)
    for _ in range(draw(st.integers(1, 3))):
        y, x = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
        box = (
            slice(y, min(y + draw(st.integers(1, 12)), shape[0])),
            slice(x, min(x + 7, shape[1])),
        )
        labels[box] = draw(st.integers(0, 5))
        plane.repaint(box, labels[box].copy(), None)
    fresh = PaintedPlane(Annotation(image, labels, meaning), factor, 10.0, 2.0)
    np.testing.assert_array_equal(plane.annotation.labels, labels)
    np.testing.assert_array_equal(plane.target, fresh.target)
    np.testing.assert_array_equal(plane.cells, fresh.cells)
    np.testing.assert_array_equal(plane.pieces(), fresh.pieces())
    np.testing.assert_array_equal(plane.border, fresh.border)


def run(
    annotations: list[Annotation], mailbox: Mailbox, letters: dict[int, list[Any]], **more: Any
) -> Iterator[TrainEvent]:
    """A training without a budget; after a step its letters are sent."""
    for event in train(annotations, more.pop("settings", ENDLESS), mailbox=mailbox, **more):
        yield event
        if isinstance(event, StepDone):
            for letter in letters.get(event.step, []):
                mailbox.put(letter)


def test_finish_ends_a_training_as_a_budget_does() -> None:
    """It is measured, fitted and told as Trained."""
    events = list(run([Annotation(*disks())], Mailbox(), {5: [Finish()]}))
    assert [type(event) for event in events[-3:]] == [Validated, Learned, Trained]
    steps = [event for event in events if isinstance(event, StepDone)]
    assert 5 <= events[-1].steps == len(steps)
    progress = [event.progress for event in steps]
    assert progress[:5] == [0] * 5
    assert progress == sorted(progress)
    assert progress[-1] <= 1


def test_finish_uses_up_the_rest_of_a_budget_soon() -> None:
    """What was annealed so far stays so: the used share goes on from where it was."""
    long = replace(ENDLESS, steps=10_000)
    events = list(run([Annotation(*disks())], Mailbox(), {5: [Finish()]}, settings=long))
    assert isinstance(events[-1], Trained)
    progress = [event.progress for event in events if isinstance(event, StepDone)]
    assert progress[:5] == [step / 10_000 for step in range(1, 6)]
    assert progress == sorted(progress)
    assert events[-1].steps < 10_000


def test_finish_does_not_go_beyond_the_budget() -> None:
    """However little is left of it."""
    budget = Budget(TrainConfig(seconds=100))
    budget.go_on(99.99, 0.0)  # seconds, of 8 that finishing would take
    budget.finish(5)
    time.sleep(0.02)
    assert budget.over(6)


def test_new_strokes_are_trained_on_without_a_new_start() -> None:
    """The count of steps goes on, and the model says what it was trained on in the end."""
    image, labels = disks((200, 260))
    first = np.where(labels == 1, 2, np.where(labels == 0, 1, 0))
    first[60:] = 0
    more = np.where(labels > 0, labels + 1, 1)
    stroke = Repainted(plane=0, box=whole(more.shape), labels=more)
    events = list(
        run([Annotation(image, first, "scribbles")], Mailbox(), {3: [stroke], 6: [Finish()]})
    )
    steps = [event.step for event in events if isinstance(event, StepDone)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= 6
    assert "63 cells, 0 % unlabelled" in events[-1].segmenter.provenance["labelled"]


def test_a_plane_that_had_no_labels_joins_the_training() -> None:
    """It brings its image along."""
    image, labels = disks()
    other = Repainted(
        plane=1, box=whole(labels.shape), labels=labels, image=image[None], meaning="instances"
    )
    events = list(run([Annotation(image, labels)], Mailbox(), {2: [other], 4: [Finish()]}))
    assert "32 cells" in events[-1].segmenter.provenance["labelled"]
    assert len(events[-1].segmenter.seen["trained"]) == 1  # the same pixels


def test_erasing_everything_does_not_end_the_training() -> None:
    """The user is about to paint it anew; until then the old labels count."""
    image, labels = disks()
    nothing = Repainted(plane=0, box=whole(labels.shape), labels=np.zeros_like(labels))
    events = list(run([Annotation(image, labels)], Mailbox(), {2: [nothing], 5: [Finish()]}))
    assert isinstance(events[-1], Trained)
    assert events[-1].steps >= 5


def test_a_class_without_an_output_is_refused() -> None:
    """The network in training cannot learn a class that it was not made for."""
    image, labels = disks()
    classes = np.where(labels > 0, 2, 1)
    third = Repainted(plane=0, box=(slice(0, 5), slice(0, 5)), labels=np.full((5, 5), 3))
    with pytest.raises(InputError, match="knows 2 classes, but 3 classes are painted"):
        list(run([Annotation(image, classes, "classes")], Mailbox(), {2: [third]}))


@pytest.mark.parametrize(("factor", "scales"), [(1, 1), (3, 1), (1, 2)])
def test_a_preview_is_what_a_segmentation_would_show(factor: int, scales: int) -> None:
    """The pixels in view, from the network as it is after that step."""
    image, labels = disks((200, 260))
    *_, start = train([Annotation(image, labels)], config(steps=4, downsample=factor))
    model = replace(start.segmenter, scales=scales)
    grid = factor * scales * 2**model.depth
    box = (slice(2 * grid, 200), slice(3 * grid, 250))
    out = np.full((40, 70), 9, dtype=np.uint8)
    inner = (slice(70, 110), slice(70, 140))
    look = Look(
        key=7, pixels=image[None][:, *box], statistics=grey_statistics(image[None]), inner=inner,
        out=out,
    )  # fmt: skip
    mailbox = Mailbox()
    mailbox.put(look)
    events = train([Annotation(image, labels)], ENDLESS, segmenter=model, mailbox=mailbox)
    preview = next(event for event in events if isinstance(event, Previewed))
    events.close()
    assert (preview.key, preview.step) == (7, 0)
    said = probabilities(model, image, PredictConfig(device="cpu"))[1]
    y, x = (slice(b.start + i.start, b.start + i.stop) for b, i in zip(box, inner, strict=True))
    cells = find_cells(model, said[y, x], PredictConfig())
    assert cells.any()
    same = out == np.where(where_cells_meet(cells), 2, cells > 0)
    assert same.mean() > 0.995  # the last bits of a probability near the threshold may differ


@pytest.mark.parametrize("largest", [1 << 22, 100])
def test_touching_cells_are_apart_in_a_preview(
    largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a line with a number of its own, unless the field is too large for a screen to show it."""
    image, truth = touching_cells((160, 160))
    monkeypatch.setattr(preview, "LARGEST", largest)
    out = np.zeros(image.shape, np.uint8)
    mailbox = Mailbox()
    mailbox.put(look_at(image, out))
    events = train([Annotation(image, truth)], ENDLESS, segmenter=starter_model(), mailbox=mailbox)
    next(event for event in events if isinstance(event, Previewed))
    events.close()
    line = where_cells_meet(segment(starter_model(), image, PredictConfig(device="cpu")))
    assert line.sum() > 100
    assert (out[line] == 2).mean() > 0.9 if largest > image.size else out.max() == 1


def test_a_new_look_is_answered_at_once_and_the_old_one_is_forgotten() -> None:
    """Whoever pans does not wait for the next turn, and gets no stale pixels."""
    image, labels = disks()
    looks = [
        look_at(image, np.zeros(image.shape, np.uint8), key=key, every=60.0) for key in (1, 2, 3)
    ]
    letters = {1: looks[:1], 3: looks[1:], 6: [Finish()]}
    events = list(run([Annotation(image, labels)], Mailbox(), letters))
    previews = [(event.key, event.step) for event in events if isinstance(event, Previewed)]
    assert previews == [(1, 1), (3, 3)]


def test_previews_do_not_change_what_is_learned() -> None:
    """The same weights with and without, to the last bit."""
    image, labels = disks()
    mailbox = Mailbox()
    mailbox.put(look_at(image, np.zeros(image.shape, np.uint8), every=0.0))
    watched = list(train([Annotation(image, labels)], config(), mailbox=mailbox))
    alone = list(train([Annotation(image, labels)], config()))
    assert any(isinstance(event, Previewed) for event in watched)
    for name, weights in alone[-1].segmenter.weights.items():
        np.testing.assert_array_equal(weights, watched[-1].segmenter.weights[name])


def learned(annotations: list[Annotation], settings: TrainConfig, **more: Any) -> Segmenter:
    """What a training learns, without the fit to the painted cells that follows."""
    for event in train(annotations, settings, **more):
        if isinstance(event, Learned):
            break
    return event.segmenter


def trained_pixels(data: TrainingSet) -> np.ndarray[Any, Any]:
    """Where the first plane has a weight in training."""
    return data.planes[0].weight.numpy() > 0


@settings(deadline=None, max_examples=6)
@example(seed=840120)  # whose second training is worse than the first
@given(seed=st.integers(0, 10**6))
def test_what_was_held_out_stays_so_and_what_was_trained_on_is_never_held_out(seed: int) -> None:
    """Over several trainings of one model, whatever is painted in between."""
    rng = np.random.default_rng(seed)
    image, truth = disks((330, 330))
    painted = np.where(truth > 0, truth + 1, 1)
    labels = np.where(rng.random((6, 6)).repeat(55, 0).repeat(55, 1) < 0.5, painted, 0)
    start: Segmenter | None = None
    ever_trained = np.zeros(image.shape, dtype=bool)
    for _ in range(3):
        data = prepare(
            [Annotation(image, labels.copy(), "scribbles")], config(seed=seed), start, CPU
        )
        for block in data.held_out:
            corner = np.s_[block.y : block.y + BLOCK, block.x : block.x + BLOCK]
            assert not ever_trained[corner].any()
        for cell in data.held_out_cells[0]:
            assert not trained_pixels(data)[data.cells[0] == cell].any()
        model = learned(
            [Annotation(image, labels.copy(), "scribbles")],
            config(seed=seed, steps=1, base_channels=2, depth=1),
            segmenter=start,
        )
        if start is None or model.provenance["steps"] > start.provenance["steps"]:
            ever_trained |= trained_pixels(data)
            assert Seen.of(model.seen) == data.seen
        else:  # it got worse, so nothing was kept of this training
            assert model.seen == start.seen
        start = model
        labels = np.where(rng.random((6, 6)).repeat(55, 0).repeat(55, 1) < 0.3, painted, labels)


def test_the_score_compares_both_models_on_the_same_held_out_cells() -> None:
    """SEG before and after, in one line; a new model has no before."""
    image, labels = disks((330, 330))
    first = list(train([Annotation(image, labels)], config(steps=30)))[-1]
    assert isinstance(first, Trained)
    assert first.score is not None
    assert first.score.before is None
    assert first.score.metric == "SEG"
    again = list(train([Annotation(image, labels)], config(steps=5), segmenter=first.segmenter))[-1]
    assert isinstance(again, Trained)
    assert again.score is not None
    assert again.score.before == pytest.approx(first.score.after)
    assert again.score.count == first.score.count > 3
    assert str(again.score) == (
        f"SEG {again.score.before:.2f} -> {again.score.after:.2f} on {again.score.count} "
        f"held-out cells"
    )


@pytest.mark.parametrize("factor", [1, 2])
def test_cells_that_the_earlier_model_drew_do_not_say_whether_it_got_better(factor: int) -> None:
    """Accepted as they were found, they would make it perfect; those painted by hand count."""
    image, labels = (each.repeat(factor, 0).repeat(factor, 1) for each in disks((330, 330)))
    right = np.arange(labels.shape[1]) >= labels.shape[1] // 2
    settings = config(steps=60, downsample=factor)
    further = replace(settings, steps=2)
    painted = np.where(right, 0, labels + 1)  # the left half; background is 1
    first = list(train([Annotation(image, painted, "scribbles")], settings))[-1].segmenter
    found = segment(first, image).astype(np.int64) + 1

    accepted = [np.where(right, found + 1000 * (found > 1), painted), found]
    both, drawn = (
        list(train([Annotation(image, one, "scribbles")], further, segmenter=first))[-1]
        for one in accepted
    )

    assert isinstance(both, Trained)
    assert both.score is not None
    assert both.score.before is not None
    assert 0.5 < both.score.before < 0.98
    assert both.score.drawn > 0
    assert f"({both.score.drawn} drawn by the earlier model not counted)" in str(both.score)
    assert isinstance(drawn, Trained)
    assert drawn.score is None


def bright_is_cell(downsample: int) -> Segmenter:
    """A network that takes each pixel for a cell that is bright enough, whatever is around it."""
    network = UNet(1, 2, 1, 1)
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
        for block in (*network.down, *network.merge):
            for convolution in (block[0], block[2]):
                convolution.weight[0, 0, 1, 1] = 1
        network.head.weight[:, 0, 0, 0] = torch.tensor([-5.0, 5.0])
        network.head.bias[:] = torch.tensor([3.7, -3.7])
    shape = {"in_channels": 1, "n_classes": 2, "base_channels": 1, "depth": 1}
    return Segmenter(weights={}, **shape, downsample=downsample, core=0.0, split=0.0).with_weights(
        network
    )


def test_a_drawn_cell_is_known_though_its_rim_runs_through_network_pixels() -> None:
    """Of a pair of pixels at its left, which the network sees as one, only the right one is its.

    The others that were found there may have been taken away.
    """
    y, x = np.indices((720, 720))
    image = ((y % 90 - 45.5) ** 2 + (x % 90 - 44.5) ** 2 < 34**2).astype(np.float32)
    model = bright_is_cell(downsample=2)
    accepted = segment(model, image)
    assert accepted.max() == 64
    assert accepted[46, 10:12].tolist() == [0, 1]
    accepted[accepted % 2 == 0] = 0

    data = prepare([Annotation(image, accepted)], config(), model, CPU)

    assert len(data.held_out_cells[0]) > 3
    assert compare(model, model, data) is None


def test_classes_are_compared_by_overlap() -> None:
    """IoU on the held-out blocks."""
    image, labels = disks((330, 330))
    classes = np.where(labels > 0, 2, 1)
    first = list(train([Annotation(image, classes, "classes")], config()))[-1]
    assert isinstance(first, Trained)
    assert first.score is not None
    assert first.score.metric == "IoU"
    assert "held-out block" in str(first.score)


def test_too_little_to_hold_out_has_no_score() -> None:
    """Nothing is claimed then."""
    last = list(train([Annotation(*disks())], config()))[-1]
    assert isinstance(last, Trained)
    assert last.score is None


def test_an_image_given_twice_is_held_out_in_both_places() -> None:
    """Or a held-out pixel would be trained on through its twin."""
    image, truth = disks((330, 330))
    upper, lower = truth.copy(), truth.copy()
    upper[200:], lower[:120] = 0, 0
    data = prepare([Annotation(image, upper), Annotation(image, lower)], config(), None, CPU)
    corners = [{(b.y, b.x) for b in data.held_out if b.plane == plane} for plane in (0, 1)]
    assert corners[0] | corners[1]
    for plane, other in ((0, 1), (1, 0)):
        for y, x in corners[other]:
            assert not data.planes[plane].weight[y : y + BLOCK, x : x + BLOCK].any()


def test_what_was_trained_on_without_validation_is_not_held_out_later() -> None:
    """Neither is what was held out before and then trained on."""
    image, truth = disks((330, 330))
    painted = Annotation(image, truth)
    first = learned([painted], config(steps=1))
    assert prepare([painted], config(), first, CPU).held_out
    second = learned([painted], config(steps=1, validate=False), segmenter=first)
    assert not prepare([painted], config(), second, CPU).held_out


def test_what_travels_with_an_event_brings_no_torch_along() -> None:
    """The program that reads it must not load torch; types of torch would make it."""
    provenance = list(train([Annotation(*disks())], config()))[-1].segmenter.provenance
    assert {type(value) for value in provenance.values()} <= {str, int, float, type(None)}


def test_a_large_field_is_previewed_between_the_steps() -> None:
    """A piece at a time, the middle first, so that strokes are not kept waiting."""
    image, labels = disks((800, 900))
    out = np.full(image.shape, 9, dtype=np.uint8)
    mailbox = Mailbox()
    mailbox.put(look_at(image, out))
    steps = 0
    for event in train([Annotation(image, labels)], config(steps=30), mailbox=mailbox):
        steps += isinstance(event, StepDone)
        if isinstance(event, Previewed):
            break
    assert 5 <= steps < 30
    assert set(np.unique(out)) <= {0, 1, 2}
