"""Kernels that numba compiles: once, and then from a file where there is a place for one."""

from __future__ import annotations

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, TypeVar, cast

import numba

__all__ = ["inlined", "kept"]

F = TypeVar("F", bound=Callable[..., Any])

UNUSABLE = RuntimeError, OSError, EOFError, UnpicklingError
"""What numba raises if no folder can be written and read, or a file is not as it was written."""

# numba's own types, where it has any, do not let a compiled function be called as the function
inlined: Callable[[F], F] = cast(Any, numba.njit(nogil=True))
"""Make a function one that kernels call."""


def kept(signature: str) -> Callable[[F], F]:
    """Compile a kernel for one set of types now; keep it on disk where there is a place."""

    def kept(function: F) -> F:
        try:
            made = numba.njit([signature], nogil=True, cache=True)(function)
        except UNUSABLE:
            made = numba.njit([signature], nogil=True)(function)
        return cast(F, made)

    return kept
