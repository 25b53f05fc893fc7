"""SLURM jobs: their options, as people write them and as Dask is given them, and their submission.

Dask submits jobs in the background: what goes wrong there is a traceback in its log, and whoever
waits for the workers waits for ever. So each job tells here whether it was taken.
"""

from __future__ import annotations

import shutil
from queue import Queue
from typing import Any

from napari_unet.errors import InputError

__all__ = ["check_slurm", "slurm_settings", "telling", "wait_for_one"]

SLURM = (
    "account",
    "cores",
    "interface",
    "job_name",
    "log_directory",
    "memory",
    "queue",
    "walltime",
)
"""Options of SLURM jobs that Dask has a name for; it must know cores and memory."""


def slurm_settings(options: str) -> dict[str, Any]:
    """Return what `dask_jobqueue.SLURMCluster` is given for options that somebody wrote.

    Parameters
    ----------
    options : str
        As `napari_unet.engine.cluster.slurm_jobs` takes them.

    Raises
    ------
    InputError
        If cores or memory are missing.
    """
    pairs = [part.strip().partition("=") for part in options.split(",") if part.strip()]
    settings: dict[str, Any] = {name: value for name, _, value in pairs if name in SLURM}
    if not settings.get("cores", "").isdecimal() or "memory" not in settings:
        raise InputError(
            f"The options of SLURM are {options!r}; cores and memory are needed, such as "
            f"cores=4,memory=16GB,walltime=02:00:00,queue=gpu,gres=gpu:1."
        )
    more = [f"--{name}{equals}{value}" for name, equals, value in pairs if name not in SLURM]
    # one process with one unit of work at a time, which computes with all cores
    return settings | {
        "cores": int(settings["cores"]),
        "processes": 1,
        "worker_extra_args": ["--nthreads", "1"],
        "job_extra_directives": more,
    }


def check_slurm() -> None:
    """Raise an `InputError` if no job can be submitted from this machine."""
    if shutil.which("sbatch") is None:
        raise InputError(
            "There is no sbatch on this machine, so it cannot submit jobs to SLURM. Give --slurm "
            "on a login node of the cluster; --workers alone computes here."
        )


def telling(kind: Any) -> tuple[Any, Queue[str | None]]:
    """Return a kind of job that tells whether it was submitted, and where it tells that."""
    from distributed import Status

    submitted: Queue[str | None] = Queue()

    class Job(kind):  # type: ignore[misc]
        """A job of the queue."""

        async def start(self) -> None:
            """Submit it."""
            try:
                await super().start()
            except (OSError, RuntimeError, ValueError) as error:
                # Dask may close what it takes for running; without a number nothing is cancelled
                self.status = Status.running
                submitted.put(str(error))
            else:
                submitted.put(None)

        async def close(self) -> None:
            """Cancel it."""
            await super().close()
            self.status = Status.closed  # which Dask insists on where it is not forgotten yet

    return Job, submitted


def wait_for_one(submitted: Queue[str | None], count: int) -> None:
    """Wait until one of some jobs is submitted; raise an `InputError` if none can be."""
    said = ""
    for _ in range(count):
        if (error := submitted.get()) is None:
            return
        said = said or error
    raise InputError(
        f"SLURM submitted no job: {_complaint(said)}. Correct the options of --slurm, or run "
        f"it where jobs may be submitted."
    )


def _complaint(text: str) -> str:
    """Return the first line that ``sbatch`` wrote about what is wrong, of what Dask tells of it."""
    _, found, stderr = text.partition("stderr:\n")
    lines = [line.strip() for line in (stderr if found else text).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "sbatch failed without a word"
