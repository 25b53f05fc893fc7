"""The state of a training in a file, from which it goes on as if it had never been stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch

from napari_unet.core.config import TrainConfig
from napari_unet.engine.atomic import unfinished, write_atomically
from napari_unet.engine.events import StepDone, Validated
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError, ModelFileError

__all__ = [
    "identity",
    "load",
    "make_place",
    "pack_segmenter",
    "save",
    "unpack_events",
    "unpack_segmenter",
]

FORMAT = 5
"""Version of what a state means; another one is refused."""

OWN = {"format", "config", "learner", "start", "best"}
"""What is in every state, whatever its version; a file without it may be anybody's."""

BUDGET = ("seconds", "steps", "device")
"""Settings that a training may be resumed with other values of."""

DAMAGE = (
    ArithmeticError,
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zlib.error,
)
"""What is raised for a file that torch did not write, or not to the end."""

State = dict[str, Any]


def make_place(path: Path) -> None:
    """Make the folder of a state; a disk that is full by then may have room later.

    Raises
    ------
    ModelFileError
        If no file can be made there.
    """
    file = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        file.unlink()
    except OSError as error:
        raise _not_saved(path, error) from error


def save(path: str | os.PathLike[str], config: TrainConfig, state: State) -> None:
    """Write the state of a training; the file is complete, or the one before.

    Parameters
    ----------
    path : path
        The file.
    config : TrainConfig
        What the training was started with.
    state : dict
        Tensors and plain values.

    Raises
    ------
    ModelFileError
        If it cannot be written.
    """
    content = {"format": FORMAT, "config": dataclasses.asdict(config), **state}
    written = io.BytesIO()  # torch does not say, of a file, that the disk is full
    torch.save(content, written)
    try:
        write_atomically(Path(path), lambda file: file.write(written.getbuffer()))
    except OSError as error:
        raise _not_saved(path, error) from error


def _not_saved(path: str | os.PathLike[str], error: OSError) -> ModelFileError:
    return ModelFileError(f"The state of the training could not be saved to {path}: {error}.")


def identity(segmenter: Segmenter | None) -> str:
    """Return a digest of the weights that a training began with; "" for a new model."""
    if segmenter is None:
        return ""
    digest = hashlib.sha256()
    segmenter.hash_weights(digest.update)
    return digest.hexdigest()


def load(
    path: str | os.PathLike[str], config: TrainConfig, segmenter: Segmenter | None = None
) -> State | None:
    """Read the state of a training; None if there is no such file.

    Parameters
    ----------
    path : path
        The file.
    config : TrainConfig
        What the training is to go on with.
    segmenter : Segmenter, optional
        The model that it is said to have begun with; without it, that of the file will do.

    Raises
    ------
    ModelFileError
        If the file is damaged, another one, or cannot be read.
    InputError
        If the training was started with other settings, or another model.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        state = _read(path)
        known = state["format"] == FORMAT
        # what it does not know was not there to choose
        started = dataclasses.asdict(TrainConfig()) | state["config"]
    except (IsADirectoryError, PermissionError) as error:
        raise ModelFileError(
            f"{path} cannot be read: {error.strerror}. Choose another file for the state of the "
            f"training."
        ) from error
    except DAMAGE as error:
        # perhaps somebody's image: nobody is told to delete it
        raise ModelFileError(
            f"{path} is damaged or not the state of a training. Choose another file to train from "
            f"the start."
        ) from error
    if not known:
        raise ModelFileError(f"{path} is from another version of the program; delete it.")
    for name, value in dataclasses.asdict(config).items():
        if name not in BUDGET and started[name] != value:
            raise InputError(
                f"The training in {path} was started with {name}={started[name]}, not "
                f"{value}. Use the same settings to go on, or another file to start anew."
            )
    if segmenter is not None and state["given"] != identity(segmenter):
        began = "another model" if state["given"] else "a new model"
        raise InputError(
            f"The training in {path} began with {began}, not with the one that is to be continued "
            f"now. Leave that one out to go on, or use another file to start anew."
        )
    return state


def _read(path: Path) -> State:
    with ZipFile(path) as file:
        # torch does not compare the checksums that it writes
        if damaged := file.testzip():
            raise BadZipFile(damaged)
    # only tensors and plain values: opening a file never runs code from it
    found: Any = torch.load(path, map_location="cpu", weights_only=True)
    if type(found) is not dict:
        raise TypeError(type(found).__name__)
    if missing := OWN - found.keys():
        raise KeyError(*missing)
    return found


def pack_segmenter(segmenter: Segmenter) -> State:
    """Return a Segmenter as tensors and text."""
    settings = {
        field.name: getattr(segmenter, field.name)
        for field in dataclasses.fields(segmenter)
        if field.name != "weights"
    }
    # copies: what came from another process is read-only, which torch warns of
    weights = {name: torch.from_numpy(array.copy()) for name, array in segmenter.weights.items()}
    return {"settings": json.dumps(settings), "weights": weights}


def unpack_segmenter(packed: State) -> Segmenter:
    """Return the Segmenter that was packed."""
    weights = {name: tensor.numpy() for name, tensor in packed["weights"].items()}
    return Segmenter(weights=weights, **json.loads(packed["settings"]))


def unpack_events(
    log: list[tuple[Any, ...]], segmenter: Segmenter
) -> tuple[StepDone | Validated, ...]:
    """Return the events that a log is about: (step, seconds, loss, progress or IoU, kind)."""
    events: list[StepDone | Validated] = []
    for step, seconds, loss, other, kind in log:
        if kind == "step":
            events.append(
                StepDone(step=step, seconds=seconds, loss=loss, progress=other, segmenter=segmenter)
            )
        else:
            events.append(
                Validated(step=step, seconds=seconds, loss=loss, iou=other, segmenter=segmenter)
            )
    return tuple(events)
