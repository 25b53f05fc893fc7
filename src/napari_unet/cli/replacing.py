"""Which files a command may replace: those of its own kind, and never what the user made."""

from __future__ import annotations

import os
from pathlib import Path

from napari_unet.errors import InputError

__all__ = ["check_model_place", "check_table_places", "same_file"]

TABLE = b"image,"
"""How every table of ``evaluate`` begins."""


def check_model_place(path: Path) -> None:
    """Look at where a model will be written, before a training that would replace it.

    Raises
    ------
    InputError
        If something else than a model lies there.
    """
    from napari_unet.engine.modelfile import is_model

    if path.exists() and not is_model(path):
        raise InputError(
            f"{path} is there and is no model of this program, so it is not replaced; give "
            f"another name behind -o, or move it away."
        )


def check_table_places(paths: list[Path]) -> None:
    """Look at where tables will be written, before the work that fills them.

    Raises
    ------
    InputError
        If something else than such a table lies there, or two would become one file.
    """
    for number, path in enumerate(paths):
        if path.exists() and not _is_table(path):
            raise InputError(
                f"{path} is there and is no table of 'evaluate', so it is not replaced; give "
                f"another name, or move it away."
            )
        if any(same_file(path, other) for other in paths[:number]):
            raise InputError(
                f"--csv and --objects are both {path}; give each table a file of its own."
            )


def same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to the same file, be it there or not."""
    first, second = (os.path.normcase(os.path.realpath(path)) for path in (one, other))
    return first == second


def _is_table(path: Path) -> bool:
    """Whether a file begins as the tables do; an empty one holds nothing that could be lost."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(TABLE)) in (TABLE, b"")
