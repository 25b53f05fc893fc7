"""The knobs: typed, bounded, explained."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import re
from typing import Any, Literal, get_origin

import numpy as np
import pytest

from napari_unet.core.config import PredictConfig, TrainConfig, knobs
from napari_unet.errors import InputError

CONFIGS = [TrainConfig, PredictConfig]


def test_defaults_are_what_the_readme_promises() -> None:
    """A minute on any device, and automatic tiles."""
    train = TrainConfig()
    assert (train.seconds, train.steps, train.base_channels, train.depth) == (60, 0, 16, 3)
    assert (train.recipe, train.seed, train.device) == ("default", 0, "auto")
    predict = PredictConfig()
    assert (predict.tile_size, predict.threshold, predict.rotations) == (0, 0.5, 1)
    assert (predict.min_size, predict.max_hole, predict.split, predict.border) == (-1, -1, -1, -1)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_is_a_knob_with_help(config: Any) -> None:
    """One field, one knob: a type, a legal default and a sentence for people."""
    described = knobs(config)
    assert list(described) == [field.name for field in dataclasses.fields(config)]
    for kind, default, help_ in described.values():
        assert get_origin(kind) is Literal or isinstance(default, kind)
        assert len(help_) > 3


@pytest.mark.parametrize("config", CONFIGS)
def test_help_explains_every_knob(config: Any) -> None:
    """In a notebook, ``help(TrainConfig)`` says of each setting what it is, beside its default."""
    page = inspect.getdoc(config) or ""
    for name, (_, default, help_) in knobs(config).items():
        assert re.search(rf"^{name} : .*, default {default!r}\n    {re.escape(help_)}$", page, re.M)


@pytest.mark.parametrize("config", CONFIGS)
def test_bounds_are_enforced_where_they_are_declared(config: Any) -> None:
    """Both ends of every range are legal, and a step beyond either is not."""
    for field in dataclasses.fields(config):
        if field.metadata["minimum"] is None:
            continue
        kind = knobs(config)[field.name][0]
        low, high = kind(field.metadata["minimum"]), kind(field.metadata["maximum"])
        for fine in (low, high):
            assert getattr(config(**{field.name: fine}), field.name) == fine
        for beyond in (low - kind(1), high + kind(1)):
            with pytest.raises(InputError, match=f"{field.name} .* is {beyond}"):
                config(**{field.name: beyond})


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (TrainConfig, {"recipe": "fast"}, "'fast'; choose one of default, paper"),
        (TrainConfig, {"seconds": float("nan")}, "seconds .* is nan"),
        (TrainConfig, {"seconds": float("inf")}, "seconds .* is inf"),
        (TrainConfig, {"steps": 1.5}, "steps .* is 1.5; give a value of type int"),
        (TrainConfig, {"steps": True}, "steps .* is True"),
        (TrainConfig, {"validate": 1}, "validate .* is 1"),
        (TrainConfig, {"device": None}, "device .* is None"),
        (TrainConfig, {"depth": "3"}, "depth .* is '3'"),
        (PredictConfig, {"threshold": 1.01}, "threshold .* is 1.01; give a value from 0 to 1"),
        (PredictConfig, {"rotations": 0}, "rotations .* is 0; give a value from 1"),
        (PredictConfig, {"tile_size": -1}, "tile_size .* is -1"),
        (PredictConfig, {"max_hole": 1.5}, "max_hole .* is 1.5; give a value of type int"),
        (PredictConfig, {"border": -1.5}, "border .* is -1.5; give a value from -1 to 100"),
    ],
)
def test_what_makes_no_sense_is_refused(config: Any, values: dict[str, Any], message: str) -> None:
    """The error names the knob, the value and what is legal."""
    with pytest.raises(InputError, match=message):
        config(**values)


def test_numbers_of_numpy_are_numbers() -> None:
    """As other libraries compute a threshold or a size; the same as if they were typed."""
    config = PredictConfig(threshold=np.float32(0.25), min_size=np.int64(30))
    assert config == PredictConfig(threshold=0.25, min_size=30)
    assert (type(config.threshold), type(config.min_size)) == (float, int)
    assert TrainConfig(validate=np.bool_(False)) == TrainConfig(validate=False)
    with pytest.raises(InputError, match=r"min_size .* is 1\.5"):
        PredictConfig(min_size=np.float64(1.5))
    with pytest.raises(InputError, match=r"steps .* is True"):
        TrainConfig(steps=np.bool_(True))


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_cannot_change(config: Any) -> None:
    """It is frozen, takes no unknown knob, and survives a process boundary."""
    one = config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.device = "cpu"
    with pytest.raises(TypeError, match="learning_rate"):
        config(learning_rate=1.0)
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes
