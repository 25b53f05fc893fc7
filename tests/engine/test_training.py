"""Training on painted labels: repeatable, stoppable, and it learns."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from painting import config, disks

from napari_unet import sample_data
from napari_unet.core.annotation import Annotation
from napari_unet.core.config import PredictConfig
from napari_unet.core.metrics import iou
from napari_unet.engine.events import Learned, Prepared, StepDone, Trained, TrainEvent, Validated
from napari_unet.engine.inference import probabilities, segment
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.training import train
from napari_unet.errors import DeviceError, InputError

torch.set_num_threads(1)
CPU = PredictConfig(device="cpu")


def annotation(shape: tuple[int, int] = (100, 110), **more: Any) -> Annotation:
    """Disks, all of them labelled."""
    return Annotation(*disks(shape), **more)


def run(annotations: Iterable[Annotation], *args: Any, **more: Any) -> list[TrainEvent]:
    """All events of a training."""
    return list(train(annotations, *args, **more))


def weights(event: TrainEvent) -> dict[str, NDArray[np.float32]]:
    """The weights that an event carries."""
    return event.segmenter.weights


def equal(one: TrainEvent, two: TrainEvent) -> bool:
    """Whether two events carry the same weights, to the last bit."""
    return all(np.array_equal(w, weights(two)[name]) for name, w in weights(one).items())


def test_the_events_tell_the_story() -> None:
    """Prepared, one StepDone per step, Validated now and then, Learned, and at last Trained."""
    events = run([annotation()], config(steps=4))
    assert isinstance(events[0], Prepared)
    assert isinstance(events[-1], Trained)
    assert events[-1].steps == 4
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [e.step for e in steps] == [1, 2, 3, 4]
    assert [e.progress for e in steps] == [0.25, 0.5, 0.75, 1]
    assert all(np.isfinite(e.loss) and e.loss > 0 for e in steps)
    seconds = [e.seconds for e in events if not isinstance(e, Prepared)]
    assert seconds == sorted(seconds)
    assert [type(event) for event in events[-3:]] == [Validated, Learned, Trained]
    assert all(pickle.loads(pickle.dumps(e)).segmenter.depth == 2 for e in events)  # noqa: S301


def test_preparing_says_what_is_learned_from() -> None:
    """The labels in words, the device, the resolution, and what is held out."""
    large = next(iter(train([annotation((330, 330))], config(downsample=2))))
    assert isinstance(large, Prepared)
    assert "px background, 121 cells, 0 % unlabelled" in large.message
    assert "CPU, 1 thread" in large.message
    assert "1/2 of the resolution" in large.message
    assert "held out" in large.message
    small = next(iter(train([annotation()], config())))
    assert isinstance(small, Prepared)
    assert "too little labelled" in small.message
    assert "resolution" not in small.message


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_the_same_seed_gives_the_same_weights(recipe: Any) -> None:
    """To the last bit on a CPU, whatever else draws random numbers; another seed does not."""
    tiny = {"recipe": recipe, "steps": 3, "depth": 1, "base_channels": 2}
    first = run([annotation()], config(**tiny))
    torch.manual_seed(12345)
    state = torch.get_rng_state()
    second = []
    for event in train([annotation()], config(**tiny)):
        assert torch.equal(torch.get_rng_state(), state)
        second.append(event)
    assert equal(first[-1], second[-1])
    losses = [[e.loss for e in run_ if isinstance(e, StepDone)] for run_ in (first, second)]
    assert losses[0] == losses[1]
    other = run([annotation()], config(seed=1, **tiny))
    assert not equal(first[-1], other[-1])
    assert not equal(first[0], other[0])


def test_the_same_seed_holds_out_the_same_pixels() -> None:
    """Measured quality is repeatable too."""
    runs = [run([annotation((200, 260))], config(seed=4)) for _ in range(2)]
    measured = [[(e.loss, e.iou) for e in r if isinstance(e, Validated)] for r in runs]
    assert measured[0] == measured[1]
    assert all(np.isfinite(pair).all() and 0 <= pair[1] <= 1 for pair in measured[0])
    assert equal(runs[0][-1], runs[1][-1])


@pytest.mark.parametrize("stop_after", range(1, 8))
def test_closing_after_any_event_leaves_a_usable_segmenter(stop_after: int) -> None:
    """The last event that was seen segments the image, can be saved, and says how it was made."""
    image, labels = disks()
    events = train([Annotation(image, labels)], config())
    seen = list(itertools.islice(events, stop_after))
    events.close()
    segmenter = seen[-1].segmenter
    assert segment(segmenter, image, CPU).shape == image.shape
    assert 0 <= segmenter.provenance["steps"] <= 3
    assert list(events) == []


def test_stopping_late_loses_nothing_that_was_measured(tmp_path: Any) -> None:
    """A generator that is closed carries the best so far; its file is the same model."""
    events = train([annotation()], config(steps=0, validate=False))
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, StepDone) and event.step == 3:
            break
    events.close()
    validated = [e for e in seen if isinstance(e, Validated)]
    assert equal(seen[-1], validated[-1])
    seen[-1].segmenter.save(tmp_path / "model.unet")
    loaded = Segmenter.load(tmp_path / "model.unet")
    assert loaded.provenance == seen[-1].segmenter.provenance
    assert all(np.array_equal(loaded.weights[k], w) for k, w in weights(seen[-1]).items())


def test_a_time_budget_is_kept() -> None:
    """Half a second of training takes about that, and at least a step."""
    events = run([annotation()], config(steps=0, seconds=0.5, base_channels=2, depth=1))
    last = events[-1]
    assert isinstance(last, Trained)
    assert last.steps >= 1
    assert 0.5 <= last.seconds < 20
    progress = [e.progress for e in events if isinstance(e, StepDone)]
    assert progress == sorted(progress)
    assert progress[-1] == 1


def test_training_goes_on_from_a_model() -> None:
    """The architecture stays, the steps add up, and the weights start where they were."""
    first = run([annotation()], config(validate=False, base_channels=5))[-1]
    assert first.segmenter.provenance["steps"] == 3
    again = run(
        [annotation()],
        config(validate=False, steps=2, base_channels=16, depth=3, downsample=0),
        segmenter=first.segmenter,
    )
    assert equal(again[0], first)
    last = again[-1].segmenter
    assert (last.base_channels, last.depth, last.downsample) == (5, 2, 1)
    assert last.provenance["steps"] == 5
    assert last.provenance["seconds"] >= first.segmenter.provenance["seconds"]
    assert not equal(again[-1], first)
    assert first.segmenter.provenance["steps"] == 3


def test_training_on_never_changes_the_model_it_started_from() -> None:
    """The arrays of the first Segmenter are its own."""
    first = run([annotation()], config())[-1].segmenter
    before = {name: w.copy() for name, w in first.weights.items()}
    run([annotation()], config(), segmenter=first)
    assert all(np.array_equal(first.weights[name], w) for name, w in before.items())


def test_a_model_says_how_it_was_made() -> None:
    """Steps, time, labels, recipe, seed, versions and date are in its provenance."""
    made = run([annotation()], config(seed=9))[-1].segmenter
    assert made.provenance["labelled"].endswith("16 cells, 0 % unlabelled")
    assert (made.provenance["recipe"], made.provenance["seed"]) == ("default", 9)
    assert made.provenance["torch"] == torch.__version__
    assert {"steps", "seconds", "version", "date"} <= made.provenance.keys()
    assert made.diameter == pytest.approx(20, rel=0.1)
    assert (made.kind, made.n_classes, made.in_channels) == ("cells", 2, 1)


def test_channels_planes_and_several_images_train_together() -> None:
    """A stack of two channels and an image of two channels; all meanings of cells."""
    image, labels = disks()
    stack = Annotation(
        np.stack([np.stack([image] * 3), np.stack([-image] * 3)]),
        np.stack([labels, labels * 0] * 2)[:3],
    )
    flat = Annotation(np.stack([image, image]), np.where(labels > 0, labels + 1, 1), "scribbles")
    made = run([stack, flat], config())[-1].segmenter
    assert made.in_channels == 2
    assert segment(made, np.stack([image, image]), CPU).shape == image.shape


def test_classes_train_without_a_background() -> None:
    """Class 1 is the first output; the segmentation speaks the painted numbers."""
    image, labels = disks()
    painted = np.where(labels > 0, 3, 1)
    painted[:40] = 0
    made = run([Annotation(image, painted, "classes")], config())[-1].segmenter
    assert (made.kind, made.n_classes) == ("classes", 3)
    assert set(np.unique(segment(made, image, CPU))) <= {1, 2, 3}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda a: np.where(a > 0.5, np.nan, a), id="NaN"),
        pytest.param(lambda a: np.where(a > 0.9, np.inf, np.where(a < 0, -np.inf, a)), id="inf"),
        pytest.param(lambda a: np.full_like(a, np.nan), id="all NaN"),
        pytest.param(lambda a: np.zeros_like(a), id="zeros"),
        pytest.param(lambda a: np.full(a.shape, 65535, np.uint16), id="constant"),
        pytest.param(lambda a: a > 0.5, id="bool"),
        pytest.param(lambda a: (a * 9000 + 9000).astype(np.uint16), id="uint16"),
        pytest.param(lambda a: (a * 9000 + 9000).astype(">u2"), id="big-endian"),
        pytest.param(lambda a: a.astype(np.float64), id="float64"),
        pytest.param(lambda a: a.astype(np.float16), id="float16"),
        pytest.param(lambda a: np.asfortranarray(a), id="columns first"),
        pytest.param(lambda a: a[::-1, ::-1].copy()[::-1, ::-1], id="negative strides"),
    ],
)
@pytest.mark.parametrize("downsample", [1, 2])
def test_any_real_image_trains_and_segments(change: Any, downsample: int) -> None:
    """Losses, weights and probabilities are finite; the image is read-only and stays as it is."""
    image, labels = disks()
    strange = change(image)
    strange.flags.writeable = labels.flags.writeable = False
    tiny = config(steps=2, base_channels=2, depth=1, downsample=downsample)
    events = run([Annotation(strange, labels)], tiny)
    assert all(np.isfinite(e.loss) for e in events if isinstance(e, StepDone))
    assert all(np.isfinite(w).all() for w in weights(events[-1]).values())
    assert np.isfinite(probabilities(events[-1].segmenter, strange, CPU)).all()
    assert segment(events[-1].segmenter, strange, CPU).shape == image.shape


def test_byte_order_and_layout_train_the_same_network() -> None:
    """The values count, not how they lie in memory."""
    image, labels = disks()
    image = (image * 9000 + 9000).astype(np.uint16)
    plain = run([Annotation(image, labels)], config())[-1]
    strange = Annotation(np.asfortranarray(image).astype(">u2"), labels.astype(">i8"))
    assert equal(plain, run([strange], config())[-1])


@pytest.mark.parametrize("shape", [(1, 2), (3, 200), (33, 20)])
def test_tiny_images_train(shape: tuple[int, int]) -> None:
    """Smaller than any patch: mirrored as often as needed."""
    labels = np.zeros(shape, dtype=np.int32)
    labels[:, shape[1] // 2 :] = 5
    image = labels + np.random.default_rng(0).normal(0, 0.1, shape)
    events = run([Annotation(image, labels)], config(steps=2))
    assert segment(events[-1].segmenter, image, CPU).shape == shape


def test_nothing_to_learn_is_refused_before_any_step() -> None:
    """The first thing asked of the generator is the error, with a remedy; no event comes first."""
    image, labels = disks()
    nothing = Annotation(image, labels * 0, "scribbles")
    only_cells = Annotation(image, np.where(labels > 0, labels + 1, 0), "scribbles")
    two_channels = Annotation(np.stack([image, image]), labels)
    for given, message in (
        ([], "nothing to train on; give"),
        ([nothing], "Nothing is painted yet; paint"),
        ([only_cells], "No background is painted yet.*16 cells.*paint"),
        ([annotation(), two_channels], "different numbers of channels"),
    ):
        with pytest.raises(InputError, match=message):
            next(iter(train(given, config())))


def test_annotations_may_come_from_a_generator() -> None:
    """Which gives each of them once."""
    once = run((annotation() for _ in range(1)), config(steps=2))
    assert equal(once[-1], run([annotation()], config(steps=2))[-1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_absent_is_an_error() -> None:
    """Not a silent fallback."""
    with pytest.raises(DeviceError, match="'cuda'"):
        next(iter(train([annotation()], config(device="cuda"))))


def test_it_learns_touching_cells() -> None:
    """A few seconds on one image are enough to find the cells of another one."""
    image, labels = sample_data.touching_cells((192, 192), seed=0)
    other, truth = sample_data.touching_cells((192, 192), seed=1)
    events = run([Annotation(image, labels)], config(steps=100, base_channels=16, seed=1))
    foreground = probabilities(events[-1].segmenter, other, CPU)[1] >= 0.5
    everything = iou(np.ones_like(truth, dtype=bool), truth > 0)
    learned = iou(foreground, truth > 0)
    assert learned > 0.85
    assert learned > everything + 0.15
    losses = [e.loss for e in events if isinstance(e, StepDone)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
