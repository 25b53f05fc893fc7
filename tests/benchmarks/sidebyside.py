"""Time things side by side in one run: in turns, so that all of them meet the same neighbours.

A ratio of two medians taken this way moves far less than either time: what else runs on the
machine slows both. With one thread and `time.process_time`, the clock stands still while another
process has the core.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

__all__ = ["PLAIN", "Result", "Row", "in_turns", "interleaved", "machine", "torch", "write"]

PLAIN = {"THP_MEM_ALLOC_ENABLE": "0"}
"""The environment of torch as others use it: without what the engine asks of it."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One line of a result.

    Attributes
    ----------
    name : str
        What was measured.
    values : tuple of float
        Every repeat; seconds unless ``unit`` says otherwise.
    target : str
        What was hoped for, in words; empty if nothing was.
    met : bool or None
        Whether it was reached; None where there is no target.
    """

    name: str
    values: tuple[float, ...] = ()
    unit: str = "s"
    note: str = ""
    target: str = ""
    met: bool | None = None

    @property
    def median(self) -> float:
        """Return the median of the repeats."""
        return statistics.median(self.values) if self.values else float("nan")


@dataclass
class Result:
    """All that a benchmark found, with what it ran on."""

    title: str
    rows: list[Row] = field(default_factory=list)

    def add(self, *args: Any, **kwargs: Any) -> Row:
        """Append a `Row`, and return it."""
        row = Row(*args, **kwargs)
        self.rows.append(row)
        return row

    def ratio(
        self,
        name: str,
        over: Sequence[float],
        under: Sequence[float],
        target: str = "",
        met: Callable[[float], bool] | None = None,
    ) -> Row:
        """Append the ratio of two medians; ``met`` is a function of it, where there is a target."""
        value = statistics.median(over) / statistics.median(under)
        reached = None if met is None else met(value)
        return self.add(name, (value,), unit="x", target=target, met=reached)


def interleaved(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Clock = time.process_time,
    warm_up: int = 1,
) -> dict[str, tuple[float, ...]]:
    """Call all functions in turns; return the seconds of every call, by name.

    Parameters
    ----------
    functions : mapping of str to callable
        What to time.
    repeats : int
        Rounds that count.
    clock : callable
        `time.process_time`, or `time.perf_counter` where several threads work.
    warm_up : int
        Rounds before, which do not count.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(-warm_up, repeats):
        for name, function in functions.items():
            began = clock()
            function()
            if turn >= 0:
                times[name].append(clock() - began)
    return {name: tuple(values) for name, values in times.items()}


def in_turns(
    commands: Mapping[str, Sequence[str]],
    rounds: int,
    environments: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, tuple[float, ...]]:
    """Run commands in turns, each in a process of its own that prints numbers; collect them.

    For what must not meet the settings of another one: how torch's threads wait and its memory is
    paged is decided once in a process.

    Parameters
    ----------
    commands : mapping of str to sequence of str
        Arguments for this Python.
    rounds : int
        Turns.
    environments : mapping of str to mapping, optional
        Variables to set, by name of the command.
    """
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, arguments in commands.items():
            ran = subprocess.run(
                [sys.executable, *arguments],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | dict((environments or {}).get(name, {})),
            )
            found[name] += [float(word) for word in ran.stdout.split()]
    return {name: tuple(values) for name, values in found.items()}


def machine(*packages: str) -> str:
    """Say in a line what this runs on, with the versions of the packages that count."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    return ", ".join([name, f"{os.cpu_count()} cores", *versions])


def table(result: Result) -> str:
    """Return the result as aligned text."""
    lines = [result.title]
    wide = max((len(row.name) for row in result.rows), default=0)
    for row in result.rows:
        if row.values:
            spread = (
                f"  ({_number(min(row.values))} - {_number(max(row.values))})"
                if len(row.values) > 1
                else ""
            )
            value = f"{_number(row.median)} {row.unit}{spread}"
        else:
            value = "-"
        verdict = "" if row.met is None else (" met" if row.met else " MISSED")
        target = f"  [{row.target}{verdict}]" if row.target else ""
        note = f"  {row.note}" if row.note else ""
        lines.append(f"  {row.name:<{wide}}  {value}{target}{note}")
    return "\n".join(lines)


def write(path: str | os.PathLike[str] | None, result: Result, ran_on: str) -> None:
    """Print the table and, if a path is given, write the result there as JSON."""
    print(table(result))
    print(f"  on {ran_on}")
    if path:
        content: dict[str, Any] = {"title": result.title, "machine": ran_on}
        content |= {"rows": [asdict(row) | {"median": row.median} for row in result.rows]}
        Path(path).write_text(json.dumps(content, indent=1) + "\n")


def _number(value: float) -> str:
    return f"{value:.4g}"
