"""Processes of their own for what is measured, which end with the program that started them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process

__all__ = ["children"]


def children(count: int = 1) -> ProcessPoolExecutor:
    """Return a pool of so many processes at once, each for one call.

    One that is left behind, because the program was killed, would slow the next measurement.
    """
    context = get_context("spawn")
    return ProcessPoolExecutor(count, context, _end_with_parent, max_tasks_per_child=1)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
