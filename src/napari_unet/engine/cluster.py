"""Start workers on this machine, submit them to SLURM, or use those that run already, with Dask.

Nothing here loads Dask before it is asked for workers.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import torch

from napari_unet.engine.daskexecutor import DEATHS, DaskExecutor
from napari_unet.engine.slurm import check_slurm, slurm_settings, telling, wait_for_one
from napari_unet.errors import DeviceError, InputError, first_line

__all__ = ["local_workers", "scheduler_at", "slurm_jobs"]

PATIENCE = 10.0
"""Seconds to wait for a scheduler."""


@contextmanager
def local_workers(count: int) -> Iterator[DaskExecutor]:
    """Start processes on this machine, which share its cores, and end them.

    Parameters
    ----------
    count : int
        How many; where there are GPUs, as many as those.

    Raises
    ------
    DeviceError
        If one of them dies while it starts.
    """
    distributed = _dask("distributed")
    with (
        _own_environment(),
        _patient(),
        _entered(partial(_started, distributed.LocalCluster, count)) as cluster,
        _entered(partial(_client, cluster)) as client,
    ):
        yield DaskExecutor(client, max(1, torch.get_num_threads() // count))


@contextmanager
def scheduler_at(address: str) -> Iterator[DaskExecutor]:
    """Use the workers of a Dask scheduler that runs already.

    Parameters
    ----------
    address : str
        Such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    InputError
        If there is none.
    """
    _dask("distributed")
    with _entered(partial(_client, address)) as client:
        executor = DaskExecutor(client)
        try:
            yield executor
        finally:
            if client.status == "running":
                executor.close()


@contextmanager
def slurm_jobs(count: int, options: str) -> Iterator[DaskExecutor]:
    """Submit jobs to SLURM that are workers, and cancel them at the end.

    Parameters
    ----------
    count : int
        How many.
    options : str
        Such as ``cores=4,memory=16GB,walltime=02:00:00,queue=gpu,gres=gpu:1``: what Dask has no
        name for becomes an option of ``sbatch``.

    Raises
    ------
    InputError
        If cores or memory are missing, there is no SLURM, or it takes none of the jobs.
    """
    jobs = _dask("dask_jobqueue.slurm")
    settings = slurm_settings(options)
    check_slurm()
    job, submitted = telling(jobs.SLURMJob)
    submitting = partial(
        jobs.SLURMCluster,
        n_workers=count,
        job_cls=job,
        scheduler_options={"dashboard_address": ":0"},
        silence_logs=logging.CRITICAL,
        **settings,
    )
    with _patient(), _entered(submitting) as cluster:
        wait_for_one(submitted, count)
        with _entered(partial(_client, cluster)) as client:
            yield DaskExecutor(client, settings["cores"])


def _dask(module: str) -> Any:
    """Import a part of Dask."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f'Workers need Dask ({error}); run: pip install "napari-live-unet[cluster]".'
        ) from error
    finally:
        if signal.getsignal(signal.SIGINT) is not handler:
            # dask_jobqueue lets Ctrl-C end the program without a word
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _entered(make: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """Start a part of Dask, and close it; Ctrl-C meanwhile acts when it has started.

    Half of one cannot be closed: its jobs would stay in the queue, for nobody.
    """
    with ExitStack() as stack:
        with ThreadPoolExecutor(1) as pool:
            part = pool.submit(lambda: stack.enter_context(make())).result()
        yield part


@contextmanager
def _own_environment() -> Iterator[None]:
    """Take back what Dask sets for its workers: other processes would have one thread, too."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _started(make: Callable[..., AbstractContextManager[Any]], count: int) -> Any:
    """Return processes that have started."""
    try:
        return make(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:
        raise DeviceError(
            f"One of {count} workers died while it was started ({first_line(error)}). Mostly the "
            f"memory is too small for so many: give a smaller number, or no --workers."
        ) from error


def _patient() -> AbstractContextManager[None]:
    """Let a new scheduler not give up early, nor count a death against work that only waited.

    And let nobody look every 10 ms where its workers are.
    """
    import dask

    scheduler = {"allowed-failures": DEATHS, "worker-saturation": 1.0}
    settings = {f"distributed.scheduler.{name}": value for name, value in scheduler.items()}
    settings["distributed.worker.profile.enabled"] = False
    patience: AbstractContextManager[None] = dask.config.set(settings)
    return patience


def _client(address: Any) -> AbstractContextManager[Any]:
    """Connect to a scheduler."""
    from distributed import Client

    try:
        return closing(Client(address, timeout=PATIENCE, set_as_default=False))
    except (OSError, ValueError) as error:
        raise InputError(
            f"There is no Dask scheduler at {address} ({error}); give the address that "
            f"`dask scheduler` prints, such as tcp://10.0.0.1:8786."
        ) from error
