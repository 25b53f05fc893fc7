"""After a training, what is painted decides where outlines run."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from napari_unet import metrics
from napari_unet.core.annotation import Annotation
from napari_unet.core.config import PredictConfig, TrainConfig
from napari_unet.engine.cells import find_cells
from napari_unet.engine.inference import probabilities, segment
from napari_unet.engine.learning.calibration import CLEARLY, _as_good, calibrate
from napari_unet.engine.learning.preparing import prepare
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.training import train
from napari_unet.sample_data import touching_cells

IMAGE, TRUTH = touching_cells((192, 192), seed=5)
PAINTED = Annotation(IMAGE, TRUTH)
CONFIG = TrainConfig(seconds=0, steps=60, validate=False, device="cpu")


@pytest.fixture(scope="module")
def trained() -> Segmenter:
    """What 60 steps make of a new model."""
    *_, last = train([PAINTED], CONFIG)
    return last.segmenter


@pytest.mark.parametrize("bias", [-3.0, 3.0])
def test_a_network_that_prefers_one_class_is_set_right(trained: Segmenter, bias: float) -> None:
    """As border weights make it: outlines too tight or too wide, on all cells alike."""
    data = prepare([PAINTED], CONFIG, trained, torch.device("cpu"))
    weights = dict(trained.weights)
    weights["head.bias"] = weights["head.bias"] + np.float32([0, bias])
    worse = replace(trained, weights=weights)
    better = calibrate(worse, data)

    before, after = (metrics.seg_score(TRUTH, segment(model, IMAGE)) for model in (worse, better))
    assert after > before + 0.02


def test_planes_without_cells_do_not_keep_those_of_others_from_being_looked_at(
    trained: Segmenter,
) -> None:
    """As the first ones of a stack, on which somebody painted that nothing is there."""
    nothing = Annotation(np.zeros_like(IMAGE), np.ones_like(TRUTH), "scribbles")
    weights = dict(trained.weights)
    weights["head.bias"] = weights["head.bias"] + np.float32([0, -3])
    worse = replace(trained, weights=weights)

    alone, behind = (
        calibrate(worse, prepare(planes, CONFIG, trained, torch.device("cpu")), scales=2)
        for planes in ([PAINTED], [nothing, nothing, PAINTED])
    )

    assert (behind.core, behind.split, behind.scales) == (alone.core, alone.split, alone.scales)
    for name, values in alone.weights.items():
        np.testing.assert_array_equal(behind.weights[name], values)
    assert (behind.weights["head.bias"] != worse.weights["head.bias"]).any()


def test_cells_in_two_places_far_from_each_other_are_looked_at(trained: Segmenter) -> None:
    """In the middle between them, where nothing is painted, there is nothing to fit to."""
    labels = np.zeros((960, 960), TRUTH.dtype)
    labels[:192, :192] = labels[-192:, -192:] = TRUTH + 1
    data = prepare(
        [Annotation(np.tile(IMAGE, (5, 5)), labels, "scribbles")],
        CONFIG,
        trained,
        torch.device("cpu"),
    )
    weights = dict(trained.weights)
    weights["head.bias"] = weights["head.bias"] + np.float32([0, -3])
    worse = replace(trained, weights=weights)

    better = calibrate(worse, data)

    before, after = (metrics.seg_score(TRUTH, segment(model, IMAGE)) for model in (worse, better))
    assert (better.weights["head.bias"] != weights["head.bias"]).any()
    assert after > before + 0.02


@pytest.mark.parametrize("seed", [14, 29])
def test_no_other_pair_is_clearly_better_at_any_threshold(trained: Segmenter, seed: int) -> None:
    """Cells that are one at a threshold are apart at the next, and then another pair is best."""
    image, truth = touching_cells((192, 192), seed=seed)
    weights = dict(trained.weights)
    weights["head.bias"] = weights["head.bias"] - np.float32([0, 1])
    tight = replace(trained, weights=weights)
    said = probabilities(tight, image)[1]

    def seg(core: float, split: float, threshold: float) -> float:
        odds = (1 - threshold) / threshold
        moved = said * odds / (said * odds + 1 - said)
        cells = find_cells(replace(tight, core=core, split=split), moved, PredictConfig())
        return metrics.seg_score(truth, cells)

    pairs = [(core, split) for core in (0.0, 0.8, 0.95) for split in (0.0, 0.1, 0.2, 0.4)]
    best = max(seg(*pair, t) for pair in pairs for t in (0.3, 0.4, 0.5, 0.6, 0.7))
    data = prepare([Annotation(image, truth)], CONFIG, tight, torch.device("cpu"))
    found = metrics.seg_score(truth, segment(calibrate(tight, data), image))
    assert found > best - 3 * CLEARLY  # one of a pair, one of a threshold, and one to spare


def body(segmenter: Segmenter) -> dict[str, np.ndarray]:
    """Return the weights that no threshold changes."""
    return {name: values for name, values in segmenter.weights.items() if name != "head.bias"}


def kept_of(found: Segmenter, trained: Segmenter, start: Segmenter) -> float:
    """Return the share of the model it began with in the weights of another one."""
    moved = whole = 0.0
    for name, values in body(found).items():
        moved += float(abs(values - trained.weights[name]).sum())
        whole += float(abs(start.weights[name] - trained.weights[name]).sum())
    return moved / whole


@pytest.mark.parametrize(("steps", "part"), [(0, 0.25), (60, 1)])
def test_where_little_is_painted_much_of_the_beginning_is_kept(
    trained: Segmenter, steps: int, part: float
) -> None:
    """As if it knew ten thousand pixels; a new model more, where that finds the cells as well."""
    data = prepare([PAINTED], CONFIG, trained, torch.device("cpu"))
    weights = {name: values * 0.998 for name, values in trained.weights.items()}
    start = replace(trained, weights=weights, provenance={"steps": steps})
    share = IMAGE.size / (IMAGE.size + 10_000)

    kept = kept_of(calibrate(trained, data, start), trained, start)
    assert kept == pytest.approx(1 - share * part, abs=1e-3)


def test_a_painted_cell_that_is_missed_counts_among_many() -> None:
    """It hardly changes the mean score of 121 cells, but somebody painted it."""
    found = np.full(121, 0.9)
    one_missed = found.copy()
    one_missed[7] = 0

    assert found.mean() - one_missed.mean() < CLEARLY
    assert not _as_good(one_missed, found)
    assert _as_good(found - CLEARLY / 2, found)
    assert _as_good(one_missed, one_missed)


@pytest.mark.parametrize(("recipe", "kept"), [("default", True), ("paper", False)])
def test_trained_further_a_model_keeps_what_it_knew(
    trained: Segmenter, recipe: Literal["default", "paper"], kept: bool
) -> None:
    """The same cells again teach it little; in the paper there is no such thing."""
    further = replace(CONFIG, recipe=recipe, steps=2)
    *_, validated, last = train([PAINTED], further, segmenter=trained)

    assert (kept_of(last.segmenter, validated.segmenter, trained) > 0.1) == kept


def test_nothing_of_the_beginning_is_kept_where_that_loses_painted_cells(
    trained: Segmenter,
) -> None:
    """A model that knew nothing of such cells has no say."""
    few = np.where(TRUTH == 3, 2, 0)
    few[:4] = 1
    data = prepare([Annotation(IMAGE, few, "scribbles")], CONFIG, trained, torch.device("cpu"))
    foreign = replace(trained, weights={n: -w for n, w in trained.weights.items()})

    found = calibrate(trained, data, foreign)
    for name, values in body(found).items():
        np.testing.assert_array_equal(values, trained.weights[name])


def test_classes_are_left_as_they_are() -> None:
    """Each pixel gets its most probable class."""
    classes = Annotation(IMAGE, (TRUTH > 0) + np.uint8(1), "classes")
    data = prepare([classes], CONFIG, None, torch.device("cpu"))
    model = Segmenter(
        weights={}, in_channels=1, n_classes=2, base_channels=16, depth=3, kind="classes"
    )

    assert calibrate(model, data) is model
