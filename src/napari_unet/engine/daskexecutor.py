"""Run the units of a batch on the workers of a Dask scheduler.

::

    run_batch ──> DaskExecutor.map ──> scheduler ──> workers: read images, write results
                          small records <──────────────┘

The workers come from `napari_unet.engine.cluster`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import JobError, UNetError, in_short

__all__ = ["DEATHS", "DaskExecutor"]

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
