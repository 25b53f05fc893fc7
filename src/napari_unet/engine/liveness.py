"""Whether the process that wrote down who it is still runs."""

from __future__ import annotations

import psutil

__all__ = ["is_alive"]

ALIKE = 2.0
"""Seconds by which two readings of the start of one process may differ."""


def is_alive(pid: int, created: float) -> bool:
    """Tell whether a process of this machine runs, and is not a later one with the same number.

    Parameters
    ----------
    pid : int
        Its number.
    created : float
        When the system started it, in seconds since 1970.
    """
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < ALIKE
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
