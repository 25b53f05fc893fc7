"""Units of work that are easily told apart, for workers that are killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from napari_unet.engine import blocks
from napari_unet.engine.items import scratch
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import InputError, LostDeviceError

LOST: list[int] = []
"""Where the GPU of this process was lost."""


def linger(folder: Path, number: int, seconds: float) -> int:
    """Leave a file for each attempt, and take a while."""
    (folder / f"{number}-{os.getpid()}").touch()
    time.sleep(seconds)
    return number**2


def outlive(folder: Path, number: int) -> int:
    """Leave a file for each attempt; the first one at number 1 waits for its death."""
    first = not any(folder.glob(f"{number}-*"))
    (folder / f"{number}-{os.getpid()}").touch()
    if number == 1 and first:
        time.sleep(1000)
    return number**2


def look(segmenter: Segmenter, number: int) -> tuple[int, int, int, int]:
    """Tell by what a unit of work is done, and with which model."""
    return number, os.getpid(), id(segmenter), torch.get_num_threads()


def refuse(number: int) -> None:
    """Fail as an image can, or in a way that nobody thought of."""
    if number:
        raise InputError(f"Image {number} cannot be read.")
    raise ZeroDivisionError("of nothing")


def lose_the_gpu(number: int) -> int:
    """Fail at number 0, and in the same process ever after."""
    if number == 0 or LOST:
        LOST.append(number)
        raise LostDeviceError(f"The GPU failed in {os.getpid()}")
    return number


def die() -> None:
    """End the process as the system ends one that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


class Fatal:
    """Part of a model that is too much for the first process that it comes to."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.file,)


def _arrive(file: Path) -> str:
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return "arrived"
    die()
    return "never"


def cut_into_blocks(large: int, side: int) -> None:
    """Let planes of more than so many pixels be segmented in blocks of that side."""
    blocks.LARGE, scratch.BLOCK = large, side
