"""Options of SLURM jobs, as people write them and as Dask is given them."""

from __future__ import annotations

from typing import Any

from napari_unet.errors import InputError

__all__ = ["complaint", "slurm_settings"]

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


def complaint(text: str) -> str:
    """Return the first line that ``sbatch`` wrote about what is wrong, of what Dask tells of it."""
    _, found, stderr = text.partition("stderr:\n")
    lines = [line.strip() for line in (stderr if found else text).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "sbatch failed without a word"
