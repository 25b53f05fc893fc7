"""The knobs of training and prediction: one field = one knob = one command-line flag."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from napari_unet.errors import InputError

__all__ = ["PredictConfig", "TrainConfig", "check_fields", "knobs"]

_Config = TypeVar("_Config")


def _knob(
    default: Any, help: str, minimum: float | None = None, maximum: float | None = None
) -> Any:
    """Declare a field whose range and explanation the dock, the CLI and the check share."""
    return dataclasses.field(
        default=default, metadata={"help": help, "minimum": minimum, "maximum": maximum}
    )


def _with_knobs_in_help(config: type[_Config]) -> type[_Config]:
    """Add the fields to the docstring: ``help`` is where a notebook looks for them."""
    hints = typing.get_type_hints(config)
    lines = [inspect.getdoc(config) or "", "", "Attributes", "----------"]
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        choices = ", ".join(f'"{choice}"' for choice in typing.get_args(hints[field.name]))
        kind = f"{{{choices}}}" if choices else hints[field.name].__name__
        lines.append(f"{field.name} : {kind}, default {field.default!r}")
        lines.append(f"    {field.metadata['help']}")
    config.__doc__ = "\n".join(lines)
    return config


@_with_knobs_in_help
@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train. Frozen and validated; unknown or illegal values raise `InputError`.

    ``seconds`` and ``steps`` are budgets; whichever is used up first ends the training, and with
    both 0 it goes on until it is stopped. Equal seeds give equal results on a CPU when the budget
    is ``steps`` (a clock is not repeatable).
    """

    seconds: float = _knob(60.0, "time budget in seconds (0 = no limit)", 0, 1e7)
    steps: int = _knob(0, "step budget (0 = no limit)", 0, 10**9)
    base_channels: int = _knob(16, "channels of the first level (the paper: 64)", 1, 256)
    depth: int = _knob(3, "number of 2x2 poolings (the paper: 4)", 1, 6)
    recipe: Literal["default", "paper"] = _knob(
        "default", "default: quickest to a useful result; paper: the optimiser and tiles of 2015"
    )
    batch: int = _knob(0, "patches per step (0 = one per process)", 0, 1024)
    start: Literal["starter", "random"] = _knob("starter", "what new models begin with")
    downsample: int = _knob(
        0,
        "working resolution: average this many pixels per side (0 = from the painted objects)",
        0,
        32,
    )
    w0: float = _knob(10.0, "height of boundary weights (the paper: 10)", 0, 1000)
    sigma: float = _knob(
        5.0, "width of the boundary weights in network pixels (the paper: 5)", 0.1, 100
    )
    validate: bool = _knob(True, "hold labelled blocks out to measure the quality")
    seed: int = _knob(0, "seed of every random choice", 0, 2**32 - 1)
    device: str = _knob("auto", "auto, cpu, cuda, cuda:1, mps")

    def __post_init__(self) -> None:
        check_fields(self)


@_with_knobs_in_help
@dataclass(frozen=True, slots=True, kw_only=True)
class PredictConfig:
    """How to segment. Frozen and validated; unknown or illegal values raise `InputError`."""

    tile_size: int = _knob(0, "largest tile in network pixels (0 = automatic)", 0, 16384)
    threshold: float = _knob(0.5, "minimum probability of the pixels of a cell", 0, 1)
    min_size: int = _knob(
        -1,
        "smallest cell in pixels (-1 = from the painted cells, 0 = keep all)",
        -1,
        10**9,
    )
    max_hole: int = _knob(
        -1,
        "largest hole in pixels filled in a cell (-1 = 0.3 typical painted cells, 0 = none)",
        -1,
        10**9,
    )
    split: float = _knob(-1.0, "cut at necks this deep (-1 = fitted, 0 = never)", -1, 5)
    border: float = _knob(
        -1.0,
        "border in pixels given back to touching cells (-1 = 1.5 network pixels, 0 = none)",
        -1,
        100,
    )
    magnification: float = _knob(1.0, "size of objects relative to the painted ones", 0.25, 4)
    spacing: float = _knob(0.0, "pixels between planes in 3D (0 = as in the image)", 0, 1000)
    rotations: int = _knob(1, "average over rotated copies (the paper: 7)", 1, 64)
    device: str = _knob("auto", "auto, cpu, cuda, cuda:1, mps")

    def __post_init__(self) -> None:
        check_fields(self)


def knobs(config: type[TrainConfig] | type[PredictConfig]) -> dict[str, tuple[type, Any, str]]:
    """Return ``{name: (type or Literal, default, help)}`` of every field of a configuration."""
    hints = typing.get_type_hints(config)
    return {
        field.name: (hints[field.name], field.default, field.metadata["help"])
        for field in dataclasses.fields(config)
    }


def check_fields(config: Any) -> None:
    """Check the fields of a frozen dataclass against their types, and the ranges they declare.

    Raises
    ------
    InputError
        If a value is of another type, none of the choices, or out of range.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), hints[field.name]
        if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a scalar of NumPy
            value = value.item()
            object.__setattr__(config, field.name, value)
        where = f"{type(config).__name__}.{field.name}"
        if "help" in field.metadata:
            where += f" ({field.metadata['help']})"
        if typing.get_origin(kind) is Literal:
            choices = typing.get_args(kind)
            if value not in choices:
                named = ", ".join(choice or "''" for choice in choices)
                raise InputError(f"{where} is {value!r}; choose one of {named}.")
            continue
        if not _is_a(value, kind):
            raise InputError(f"{where} is {value!r}; give a value of type {kind.__name__}.")
        minimum, maximum = field.metadata.get("minimum"), field.metadata.get("maximum")
        # written so that NaN fails too
        if minimum is not None and not minimum <= value <= maximum:
            raise InputError(f"{where} is {value}; give a value from {minimum:g} to {maximum:g}.")


def _is_a(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
