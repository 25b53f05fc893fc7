"""What happens in a Dask worker: it holds models, and does one unit of work at a time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from distributed import Reschedule, Status, Worker, WorkerPlugin, get_worker

from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import JobError, LostDeviceError, UNetError

__all__ = ["Model", "ModelPlugin", "call"]

ONE_AT_A_TIME = threading.Lock()
"""A worker that was started with several threads computes with all of them, on one unit."""

LEAVING = threading.Event()
"""Set where a GPU failed: this process does no unit of work any more."""

HEARD, LOOK = 30.0, 0.05
"""Seconds that a program has to fetch the last result, and between two looks whether it has."""


@dataclass(frozen=True, slots=True)
class Model:
    """Stands for a Segmenter that the workers have; travels with each unit of work."""

    name: str


class ModelPlugin(WorkerPlugin):  # type: ignore[misc]
    """Brings a Segmenter once to each worker, also to those that come later.

    Parameters
    ----------
    model : Model
        By which units of work ask for it.
    segmenter : Segmenter
        The model itself.
    """

    known: dict[str, Segmenter] = {}  # noqa: RUF012 - of the whole process

    def __init__(self, model: Model, segmenter: Segmenter) -> None:
        self.name, self._segmenter = model.name, segmenter

    def setup(self, worker: Worker) -> None:
        """Keep it."""
        self.known[self.name] = self._segmenter
        if isinstance(worker.name, int):
            # Ctrl-C in a terminal reaches also the workers there; the program ends them
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        """Let it go."""
        self.known.pop(self.name, None)


def call(
    function: Callable[..., Any], arguments: Sequence[Any], threads: int
) -> tuple[Any, UNetError | None]:
    """Call a function in a worker, with models for their names.

    Parameters
    ----------
    function : callable
        What to do.
    arguments : sequence
        What it is given; a `Model` becomes the Segmenter.
    threads : int
        With how many threads to compute; 0 is as many as the worker has.

    Returns
    -------
    (result, UNetError or None)
        What it returned, or what it raised: an error that another attempt would not change.

    Raises
    ------
    Reschedule
        If a GPU failed here before; another worker is to do it.
    """
    worker = get_worker()
    with ONE_AT_A_TIME:
        if LEAVING.is_set():
            time.sleep(LOOK)
            raise Reschedule
        torch.set_num_threads(threads or worker.state.nthreads)
        _take_a_gpu(worker.name)
        try:
            return function(*map(_model, arguments)), None
        except UNetError as error:
            if isinstance(error, LostDeviceError):
                # all that comes next would fail here, and quickly: a new process takes its place
                LEAVING.set()
                worker.loop.add_callback(_leave, worker, worker.get_current_task())
            return None, error


async def _leave(worker: Worker, task: str) -> None:
    """End the process once what came of a task is fetched; gone with it, it is done again."""
    worker.status = Status.paused  # it begins nothing, and tells what it has done
    until = time.monotonic() + HEARD
    while task in worker.state.tasks and time.monotonic() < until:
        await asyncio.sleep(LOOK)
    await worker.scheduler.retire_workers(
        workers=[worker.address], close_workers=False, remove=True, stimulus_id="lost-device"
    )
    # its nanny starts a new one; what would tidy up here can wait for a GPU that never answers,
    # and that of Dask for a stream that nobody reads any more
    os._exit(1)


def _model(argument: Any) -> Any:
    if not isinstance(argument, Model):
        return argument
    if argument.name not in ModelPlugin.known:
        raise JobError("The worker has lost the model. Start the batch again; it goes on.")
    return ModelPlugin.known[argument.name]


def _take_a_gpu(name: object) -> None:
    """Let each worker that is numbered, as those of one machine are, have a GPU of its own."""
    if isinstance(name, int) and torch.cuda.device_count() > 1:
        torch.cuda.set_device(name % torch.cuda.device_count())
