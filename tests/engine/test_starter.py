"""The starter model: small, usable at once, and a better beginning than none."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet import metrics
from napari_unet.core.annotation import Annotation
from napari_unet.core.config import TrainConfig
from napari_unet.engine.inference import probabilities, segment
from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.starter import FILE, starter_model
from napari_unet.engine.training import train
from napari_unet.sample_data import painted_scribbles, touching_cells

IMAGE, TRUTH = touching_cells((192, 192), seed=5)
PAINTED = Annotation(IMAGE, painted_scribbles(TRUTH), "scribbles")


def trained(annotation: Annotation = PAINTED, **settings: object) -> Segmenter:
    """What a few steps make of a new model."""
    config = TrainConfig(**{"seconds": 0, "device": "cpu", "validate": False, **settings})  # type: ignore[arg-type]
    *_, last = train([annotation], config)
    return last.segmenter


def test_it_is_small_and_finds_cells_before_anything_is_painted() -> None:
    """In a file of less than 5 MB."""
    found = segment(starter_model(), IMAGE)

    assert FILE.stat().st_size < 5e6
    assert metrics.iou(TRUTH, found) > 0.5


def test_channels_count_alike() -> None:
    """Grey as colour gives what grey gives."""
    grey = probabilities(starter_model(), IMAGE)
    colour = probabilities(starter_model(3), np.stack([IMAGE] * 3))

    np.testing.assert_allclose(colour, grey, atol=1e-5)


def test_a_few_steps_from_it_beat_as_many_from_nothing() -> None:
    """On cells that were not painted."""
    image, truth = touching_cells((192, 192), seed=6)
    scores = {
        start: metrics.seg_score(truth, segment(trained(start=start, steps=15), image))
        for start in ("starter", "random")
    }

    assert scores["starter"] > scores["random"] + 0.1


@pytest.mark.parametrize(
    "settings",
    [{"start": "random"}, {"recipe": "paper"}, {"base_channels": 8}, {"depth": 2}],
)
def test_other_models_begin_with_nothing(settings: dict[str, object]) -> None:
    """If asked for, for the paper's recipe, and at another size."""
    events = train([PAINTED], TrainConfig(**{"seconds": 0, "steps": 1, **settings}))  # type: ignore[arg-type]
    first = next(events)
    events.close()

    assert "starter" not in first.message
    stored = starter_model().weights["bottom.2.weight"]
    assert not np.array_equal(first.segmenter.weights["bottom.2.weight"], stored)


@pytest.mark.parametrize("base_channels", [32, 48])
def test_wider_models_begin_with_what_it_knows(base_channels: int) -> None:
    """Before the first step they say what it says."""
    events = train([PAINTED], TrainConfig(seconds=0, steps=1, base_channels=base_channels))
    first = next(events)
    events.close()

    assert "begins with the starter model" in first.message
    assert first.segmenter.base_channels == base_channels
    said = probabilities(first.segmenter, IMAGE)
    np.testing.assert_allclose(said, probabilities(starter_model(), IMAGE), atol=1e-4)


def test_images_with_channels_begin_with_it_and_so_do_classes() -> None:
    """Of classes all but the head, which says something else."""
    image = np.stack([IMAGE] * 2)
    cells = Annotation(image, TRUTH)
    classes = Annotation(image, (TRUTH > 0) + np.uint8(1), "classes")
    events = [train([one], TrainConfig(seconds=0, steps=1)) for one in (cells, classes)]
    first, second = (next(some) for some in events)
    for some in events:
        some.close()

    stored = starter_model().weights
    for event in (first, second):
        assert "begins with the starter model" in event.message
        assert np.array_equal(event.segmenter.weights["bottom.2.weight"], stored["bottom.2.weight"])
    assert np.array_equal(first.segmenter.weights["head.weight"], stored["head.weight"])
    assert not np.array_equal(second.segmenter.weights["head.weight"], stored["head.weight"])
