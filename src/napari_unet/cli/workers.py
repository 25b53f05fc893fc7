"""Flags that say where a batch is computed: here, in other processes, or on other machines."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.engine.items.tasks import Executor

__all__ = ["add_workers", "executor_from"]


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers``, ``--scheduler`` and ``--slurm``."""
    add = parser.add_argument
    add("--workers", type=_count, default=0, metavar="N", help="in N processes, or jobs of SLURM")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="on the workers of this Dask scheduler"
    )
    where.add_argument("--slurm", metavar="OPTIONS", help="such as cores=4,memory=16GB,queue=gpu")


def executor_from(args: argparse.Namespace) -> AbstractContextManager[Executor | None]:
    """Return what the flags of `add_workers` ask for; None is this process."""
    if not (args.workers or args.scheduler or args.slurm):
        return nullcontext()
    from napari_unet.engine import cluster

    if args.scheduler:
        return cluster.scheduler_at(args.scheduler)
    if args.slurm:
        return cluster.slurm_jobs(args.workers or 1, args.slurm)
    return cluster.local_workers(args.workers)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers from 1 on")
    return int(text)
