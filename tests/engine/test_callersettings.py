"""What a notebook has set in torch changes no training and no cell, and is as it was afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from painting import config, disks

from napari_unet import sample_data
from napari_unet.core.annotation import Annotation
from napari_unet.core.config import PredictConfig
from napari_unet.engine.inference import probabilities
from napari_unet.engine.starter import starter_model
from napari_unet.engine.training import train

torch.set_num_threads(1)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Numbers without a type are of this one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def setting(name: str) -> AbstractContextManager[Any]:
    """Something that a notebook may have set."""
    return {
        "no gradients": torch.no_grad,
        "inference": torch.inference_mode,
        "64 bits": lambda: default_dtype(torch.float64),
        "16 bits": lambda: default_dtype(torch.float16),
        "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        "another device": lambda: torch.device("meta"),
    }[name]()


def state() -> tuple[Any, ...]:
    """Return what torch does at present."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
    )


NAMES = ["no gradients", "inference", "64 bits", "16 bits", "autocast", "another device"]


@pytest.mark.parametrize("name", NAMES)
def test_a_training_is_the_same(name: str) -> None:
    """And between two events, and after the last one, the caller's settings stand."""
    annotations = [Annotation(*disks((100, 110)))]
    *_, plain = train(annotations, config(steps=3))
    with setting(name):
        before = state()
        events = []
        for event in train(annotations, config(steps=3)):
            assert state() == before
            events.append(event)
        assert state() == before
    for weight, values in plain.segmenter.weights.items():
        np.testing.assert_array_equal(events[-1].segmenter.weights[weight], values)


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_are_the_same(name: str) -> None:
    """To the last bit."""
    image, _ = sample_data.touching_cells((120, 130))
    plain = probabilities(starter_model(), image, PredictConfig(device="cpu"))
    with setting(name):
        before = state()
        found = probabilities(starter_model(), image, PredictConfig(device="cpu"))
        assert state() == before
    np.testing.assert_array_equal(found, plain)


def test_a_training_that_is_closed_early_leaves_the_settings_as_they_were() -> None:
    """Its last bits are computed as the first ones."""
    with torch.no_grad():
        events = train([Annotation(*disks((100, 110)))], config(steps=3))
        next(events)
        events.close()
        assert not torch.is_grad_enabled()


UNFINISHED = """
import builtins
import numpy as np
from napari_unet import Annotation, TrainConfig, train
labels = np.zeros((80, 80), np.uint8)
labels[9:20, 9:20], labels[40:55, 30:60] = 1, 2
config = TrainConfig(steps=9, base_channels=4, depth=2, device="cpu")
builtins.kept = train([Annotation(labels.astype(np.float32), labels, "instances")], config)
next(builtins.kept)
"""


def test_a_training_that_python_itself_ends_is_closed_without_a_word() -> None:
    """Nothing of torch can be asked then; what is kept among the builtins lives the longest."""
    command = [sys.executable, "-c", UNFINISHED]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
