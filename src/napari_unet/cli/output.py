"""What the command prints: results on standard output, progress and complaints on the other."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

__all__ = ["PROGRAM", "Report", "complain", "complaining", "progress_bar", "remark", "say"]

PROGRAM = "napari-unet"
BAR = "{l_bar}{bar}| {elapsed}{postfix}"


def say(text: str) -> None:
    """Print a line on standard output, at once: somebody may wait for it at a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def remark(text: str) -> None:
    """Print a line beside the results, on standard error."""
    try:
        sys.stderr.write(f"{text}\n")
    except BrokenPipeError:
        raise  # nobody reads on
    except OSError:
        pass  # a log on a full disk must not end the work that it is about


def complain(text: str) -> None:
    """Print what went wrong as one line on standard error."""
    remark(f"{PROGRAM}: {' '.join(text.split())}")


@contextmanager
def complaining() -> Iterator[None]:
    """Print warnings as what else went wrong, without the line of code that they are from."""

    def show(
        message: Warning | str,
        category: type[Warning],  # noqa: ARG001 (the signature of warnings.showwarning)
        filename: str,  # noqa: ARG001
        lineno: int,  # noqa: ARG001
        file: TextIO | None = None,  # noqa: ARG001
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        complain(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def progress_bar() -> Any:
    """Open a tqdm bar from 0 to 1 on standard error; it shows itself on a terminal only."""
    from tqdm import tqdm

    return tqdm(
        total=1.0, file=sys.stderr, disable=None, leave=False, dynamic_ncols=True, bar_format=BAR
    )


LONG = ("weights", "seen", "earlier")
"""What no program wants to read in every line."""


class Report:
    """Words for people, or with ``--json`` one JSON object per event for programs."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def line(self, text: str) -> None:
        """Tell people."""
        if not self.as_json:
            say(text)

    def event(self, event: Any) -> None:
        """Tell programs about an event of the engine, without weights."""
        self.record(type(event).__name__, **_plain(event))

    def record(self, name: str, **values: object) -> None:
        """Tell programs a name and values."""
        if self.as_json:
            # in ASCII, which every encoding of an output has
            say(json.dumps({"event": name, **_plain(values)}, allow_nan=False))


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: a slice is [start, stop], what is not finite is null."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.name not in LONG]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, slice):
        return [value.start, value.stop]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
