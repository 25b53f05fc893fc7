"""Several processes that train one network together, started by torchrun.

::

    process 0   patches 0, 2, ...  ─┐  gradients are added up: the same  ┌─  measures, saves, tells
    process 1   patches 1, 3, ...  ─┘  step is taken in all of them      └─  learns along

Each holds the whole network and all images. How far the training is, and that it is over, is what
the first process says.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from napari_unet.engine.device import select_device
from napari_unet.errors import DeviceError, InputError, JobError, first_line

__all__ = ["ALONE", "Ranks", "placed", "together"]

ADDRESS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment by which torchrun tells processes how to find each other."""

PATIENCE = timedelta(minutes=5)
"""How long processes wait for one that does not answer; longer than any validation takes."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is.

    Attributes
    ----------
    rank, count : int
        0 ... count - 1.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process measures, saves and tells."""
        return self.rank == 0

    def patches(self, batch: int) -> range:
        """Return which patches of a step are those of this process.

        Parameters
        ----------
        batch : int
            Patches of a step, of all processes.

        Raises
        ------
        InputError
            If there are not enough for all.
        """
        if batch < self.count:
            raise InputError(
                f"batch is {batch}, and {self.count} processes share the patches of a step; set it "
                f"to {self.count} or more, or to 0."
            )
        return range(self.rank, batch, self.count)

    def agree(self, value: float) -> float:
        """Return the value of the first process."""
        if self.count == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64)
        with _lost():
            dist.broadcast(told, 0)
        return float(told)

    def hand_out(self, values: Any) -> Any:
        """Return what the first process gives: tensors and plain values."""
        if self.count == 1:
            return values
        box = [values]
        with _lost():
            dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
        return box[0]

    def join(self, gradient: Tensor, loss: Tensor, weight: Tensor) -> Tensor:
        """Make a gradient that of the patches of all processes, and return their loss.

        Parameters
        ----------
        gradient : (n,) Tensor
            Of the loss here; is changed.
        loss : scalar Tensor
            Mean over the labelled pixels here.
        weight : Tensor
            Of all pixels here, above 0 where they are labelled.
        """
        if self.count == 1:
            return loss
        pixels = (weight > 0).sum()
        joined = torch.cat([gradient, loss[None], pixels.new_ones(1, dtype=loss.dtype)])
        joined.mul_(pixels)
        with _lost():
            dist.all_reduce(joined)
        joined.div_(joined[-1].clone().clamp(min=1))
        gradient.copy_(joined[:-2])
        return joined[-2]


ALONE = Ranks()


def placed() -> Ranks:
    """Read from the environment which of several processes this is."""
    given = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")]
    if not all(value.isdecimal() for value in given):
        return ALONE
    rank, count = map(int, given)
    return Ranks(rank, count) if count > 1 else ALONE


@contextmanager
def together(device: str, *, alone: bool = False) -> Iterator[tuple[Ranks, torch.device]]:
    """Find the other processes of this training; leave them if it breaks off.

    Parameters
    ----------
    device : str
        As in `TrainConfig.device`; each process takes a GPU of its own.
    alone : bool
        Train here only, however this process was started.

    Yields
    ------
    (Ranks, torch.device)
        Which process this is, and where it computes.

    Raises
    ------
    InputError
        If the environment says that there are several, but not where.
    DeviceError
        If there is no such device, or several processes cannot compute on it.
    JobError
        If the others do not come.
    """
    ranks = ALONE if alone else placed()
    if ranks.count == 1:
        yield ranks, select_device(device)
        return
    where = _own_device(device)
    missing = [name for name in ADDRESS if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {ranks.count}, so several processes train together, but "
            f"{', '.join(missing)} is not set; start them with torchrun, or unset WORLD_SIZE."
        )
    if not dist.is_initialized():
        _meet(ranks, where)
    try:
        yield ranks, where
    except BaseException:
        _part()  # lets the others end, too
        raise


def _meet(ranks: Ranks, where: torch.device) -> None:
    """Wait for the other processes; they stay together for further trainings."""
    # As first read, its functions hold what is the group then. An optimizer of torch reads it; if
    # that is after the meeting, the group outlives `_part`, and its threads abort a Python that
    # ends.
    import torch.distributed.nn

    if where.type == "cuda":
        torch.cuda.set_device(where)
    with _lost():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo",
            timeout=PATIENCE,
            rank=ranks.rank,
            world_size=ranks.count,
        )
    atexit.register(_part)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _own_device(name: str) -> torch.device:
    """Return the device of one of several processes."""
    if name == "auto" and not torch.cuda.is_available():
        name = "cpu"
    if name in ("auto", "cuda"):
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    device = select_device(name)
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"Several processes train together on cpu or cuda, not on {name}.")
    return device


@contextmanager
def _lost() -> Iterator[None]:
    """Say what it means that the others do not answer."""
    try:
        yield
    except RuntimeError as error:
        reason = first_line(error)[:200]
        raise JobError(
            f"Another process of this training ended or cannot be reached ({reason}). Look at what "
            f"it wrote, and start all of them again; with a checkpoint the training goes on."
        ) from error
