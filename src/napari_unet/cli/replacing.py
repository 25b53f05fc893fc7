"""Where a command may write: not where it cannot, and never in place of what the user made."""

from __future__ import annotations

import os
from pathlib import Path

from napari_unet.errors import InputError

__all__ = [
    "check_folder",
    "check_model_place",
    "check_package_place",
    "check_place",
    "check_table_places",
    "same_file",
]

TABLE = b"image,"
"""How every table of ``evaluate`` begins."""


def check_place(path: Path) -> None:
    """Look at whether a file can be written, before the work that it is for.

    Raises
    ------
    InputError
        If there can be no folder for it, or nothing may be written there.
    """
    _check(path, path.absolute().parent)


def check_folder(path: Path) -> None:
    """Look at whether files can be written into a folder, as `check_place` does."""
    _check(path, path.absolute())


def _check(path: Path, folder: Path) -> None:
    # missing folders are made
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        raise InputError(f"{path} cannot be written: {there} is no folder. Give another place.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            f"{path} cannot be written: you may not write into {there}. Give another place."
        )


def check_model_place(path: Path) -> None:
    """Look at where a model will be written, before a training that would replace it.

    Raises
    ------
    InputError
        If something else than a model lies there, or nothing can be written.
    """
    from napari_unet.engine.modelfile import is_model

    check_place(path)
    if path.exists() and not is_model(path):
        raise InputError(
            f"{path} exists and is not a model of this program, so it is not replaced; give "
            f"another name behind -o, or move it away."
        )


def check_package_place(path: Path) -> None:
    """Look at where a package for other programs will be written.

    Raises
    ------
    InputError
        If something else than such a package lies there, or nothing can be written.
    """
    from napari_unet.engine.modelfile import is_package

    check_place(path)
    if path.exists() and not is_package(path):
        raise InputError(
            f"{path} exists and is not a package of this program, so it is not replaced; give "
            f"another name behind -o, or move it away."
        )


def check_table_places(paths: list[Path]) -> None:
    """Look at where tables will be written, before the work that fills them.

    Raises
    ------
    InputError
        If something else than such a table lies there, nothing can be written, or two would become
        one file.
    """
    for number, path in enumerate(paths):
        check_place(path)
        if path.exists() and not _is_table(path):
            raise InputError(
                f"{path} exists and is not a table of 'evaluate', so it is not replaced; give "
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
