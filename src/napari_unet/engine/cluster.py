"""Run the units of a batch in other processes and on other machines, with Dask.

::

    run_batch ──> DaskExecutor.map ──> scheduler ──> workers: read images, write results
                          small records <──────────────┘

Nothing here loads Dask before it is asked for workers.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import torch

from napari_unet.engine.segmenter import Segmenter
from napari_unet.engine.slurm import check_slurm, slurm_settings, telling, wait_for_one
from napari_unet.errors import InputError, JobError, UNetError, in_short

__all__ = ["DaskExecutor", "local_workers", "scheduler_at", "slurm_jobs"]

R = TypeVar("R")

AHEAD = 1000
"""Units of work that the scheduler knows of at a time."""

DEATHS = 5
"""Workers that may die over one unit of work until it is given up."""

GONE = (
    "The Dask scheduler is gone. What is done is kept: start a scheduler and run the same batch "
    "again."
)
DIED = (
    "The workers that tried it died, one after the other. Perhaps memory does not suffice: give "
    "them more, or set a smaller tile size."
)

PATIENCE = 10.0
"""Seconds to wait for a scheduler."""


class DaskExecutor:
    """Runs units of work on the workers of a Dask scheduler; see `Executor` in items/tasks.py.

    Parameters
    ----------
    client : distributed.Client
        Of the scheduler.
    threads : int
        With how many threads a worker computes; 0 is as many as Dask gave it.
    """

    def __init__(self, client: Any, threads: int = 0) -> None:
        self._client, self._threads = client, threads
        self._models: dict[int, tuple[Segmenter, Any]] = {}

    def map(
        self, function: Callable[..., R], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, R | UNetError]]:
        """Call a function with each of the arguments on the workers.

        Parameters
        ----------
        function : callable
            Of a module that the workers can import. It may be called again when a worker dies.
        arguments : sequence of tuple
            A Segmenter among them travels once to each worker.

        Yields
        ------
        (int, result or UNetError)
            Index of the arguments, and what came of them, as soon as it is known.

        Raises
        ------
        JobError
            If the scheduler is gone, or the workers lack what the work needs.
        """
        from distributed import as_completed

        from napari_unet.engine.clusterworker import call

        given = [tuple(map(self._light, some)) for some in arguments]
        waiting, done = iter(enumerate(given)), as_completed(loop=self._client.loop)
        running: dict[str, int] = {}

        def start(count: int) -> None:
            for index, some in islice(waiting, count):
                future = self._client.submit(call, function, some, self._threads, pure=False)
                running[future.key] = index
                done.add(future)

        try:
            start(AHEAD)
            while running:
                key, result = _outcome(next(done))
                start(1)
                yield running.pop(key), result
        finally:
            if self._client.status == "running":
                self._client.cancel(list(done.futures))

    def _light(self, argument: Any) -> Any:
        """Return what stands for an argument on its way."""
        if not isinstance(argument, Segmenter):
            return argument
        if id(argument) not in self._models:
            from napari_unet.engine.clusterworker import Model, ModelPlugin

            # a name of its own: another program may use the same model on the same workers
            model = Model(f"live-unet-{uuid.uuid4().hex}")
            self._bring(ModelPlugin(model, argument))
            self._models[id(argument)] = argument, model
        return self._models[id(argument)][1]

    def _bring(self, plugin: Any) -> None:
        """Give the workers a model; one that dies meanwhile has a successor that is given it, too.

        Again, because the scheduler does not wait for the others where one dies.
        """
        for _ in range(DEATHS):
            try:
                self._client.register_plugin(plugin)
            except OSError as error:
                if self._client.status != "running":
                    raise JobError(GONE) from error
            else:
                return
        raise JobError(DIED)

    def close(self) -> None:
        """Let the workers forget the models."""
        for _, model in self._models.values():
            self._client.unregister_worker_plugin(model.name)
        self._models.clear()


@contextmanager
def local_workers(count: int) -> Iterator[DaskExecutor]:
    """Start processes on this machine, which share its cores, and end them.

    Parameters
    ----------
    count : int
        How many; where there are GPUs, as many as those.
    """
    distributed = _dask("distributed")
    settings = {
        "threads_per_worker": 1,
        "memory_limit": None,
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": logging.CRITICAL,
    }
    with (
        _own_environment(),
        _patient(),
        _entered(partial(distributed.LocalCluster, n_workers=count, **settings)) as cluster,
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


def _outcome(future: Any) -> tuple[str, Any]:
    """Return the key of a unit of work and what came of it; what would fail for all is raised.

    Nobody holds the future any more then, so nothing is done again if its worker dies.
    """
    if future.status == "finished":
        result, error = future.result()
        return future.key, result if error is None else error
    return future.key, _failure(future)


def _failure(future: Any) -> UNetError:
    from distributed import KilledWorker

    if future.cancelled():
        raise JobError(GONE)
    reason = future.exception()
    if isinstance(reason, KilledWorker):
        return JobError(DIED)
    raise JobError(
        f"The workers cannot do their part ({in_short(reason)}). Install the same "
        f"versions of Python and napari-live-unet for the scheduler and all workers."
    ) from reason
