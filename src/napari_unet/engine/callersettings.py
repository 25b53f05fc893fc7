"""What a Python program may have set in torch for itself, set aside while we compute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

__all__ = ["between_events", "set_aside"]

P = ParamSpec("P")
E = TypeVar("E")


@contextmanager
def set_aside() -> Iterator[None]:
    """Compute as torch does when it has just been loaded, whatever the caller has set.

    That is with gradients, on float32, without autocast, on the CPU where no device is named.
    Otherwise a training inside ``torch.no_grad()`` would fail, and cells found inside
    ``torch.autocast`` would be others. Can also decorate a function.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if device.type != "cpu":  # it slows down every call of torch
            stack.enter_context(torch.device("cpu"))
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


def between_events(
    generate: Callable[P, Generator[E, None, None]],
) -> Callable[P, Generator[E, None, None]]:
    """Let a generator compute so; between two events, the caller has its own settings again."""

    @wraps(generate)
    def events(*args: P.args, **kwargs: P.kwargs) -> Generator[E, None, None]:
        ours = generate(*args, **kwargs)
        try:
            while True:
                with set_aside():
                    try:
                        event = next(ours)
                    except StopIteration:
                        return
                yield event
        finally:
            # while Python ends, torch can be asked nothing any more
            with nullcontext() if sys.is_finalizing() else set_aside():
                ours.close()

    return events
