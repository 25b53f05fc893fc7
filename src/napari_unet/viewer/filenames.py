"""Names of files that are made for layers."""

from __future__ import annotations

import re

__all__ = ["free_name"]


def free_name(name: str, taken: set[str], suffix: str = "") -> str:
    """Return a file name that every system allows, and that is not taken yet; take it.

    Parameters
    ----------
    name : str
        Of a layer, or another one that a person gave.
    taken : set of str
        The names so far, in lower case: some systems do not tell it from capitals.
    suffix : str
        Comes behind it.
    """
    stem = re.sub(r"[^\w .()+-]", "_", name).strip(" .-") or "layer"
    names = [stem, *(f"{stem} {n}" for n in range(2, len(taken) + 3))]
    free = next(one + suffix for one in names if (one + suffix).casefold() not in taken)
    taken.add(free.casefold())
    return free
