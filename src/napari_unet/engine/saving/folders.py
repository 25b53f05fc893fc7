"""The folders that sessions are saved to: where they lie, and what becomes of them.

::

    <root>/20270131-140312-4711/
        session.json     see `napari_unet.engine.saving.session`
        labels-0/        see `napari_unet.engine.saving.labels`
        model.safetensors, history-0.safetensors, record.json
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import platformdirs

from napari_unet.engine.liveness import is_alive
from napari_unet.engine.saving.session import SavedSession, State, read_session, write_session
from napari_unet.errors import InputError

__all__ = ["clean", "default_root", "is_running", "mark", "new_folder", "saved_sessions"]

KEPT_SESSIONS = 5
"""Sessions that ended well, or were dealt with, and are kept all the same."""

OTHER_MACHINE_HOURS = 12
"""Without a save, after which a session of another machine is taken to be over."""

_log = logging.getLogger(__name__)


def default_root() -> Path:
    """Return where sessions are saved: ``NAPARI_UNET_AUTOSAVE``, or among the user's data."""
    given = os.environ.get("NAPARI_UNET_AUTOSAVE")
    if given:
        return Path(given)
    return platformdirs.user_data_path("napari-live-unet", appauthor=False) / "autosave"


def new_folder(root: Path) -> Path:
    """Make a folder for a session of this process.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    number = 1
    while True:
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not folder.is_dir():  # the root itself may be a file
                raise
            number += 1
        else:
            return folder


def saved_sessions(root: Path) -> Iterator[tuple[Path, SavedSession]]:
    """Yield the sessions saved below a folder, newest first; what is damaged is logged."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return
    for folder in reversed(folders):
        try:
            yield folder, read_session(folder)
        except InputError as error:
            _log.warning("%s", error)


def is_running(session: SavedSession) -> bool:
    """Whether the process of a session still runs; of other machines it can only be guessed."""
    if session.node != platform.node():
        return time.time() - session.saved < OTHER_MACHINE_HOURS * 3600
    return is_alive(session.pid, session.created)


def mark(folder: Path, state: State) -> None:
    """Note that the user dealt with a session.

    Raises
    ------
    InputError, OSError
        If it cannot be read or written.
    """
    write_session(folder, replace(read_session(folder), state=state))


def clean(root: Path) -> None:
    """Delete the oldest sessions that ended well or were dealt with; no other is ever deleted."""
    done = [folder for folder, session in saved_sessions(root) if session.state != "open"]
    for folder in done[KEPT_SESSIONS:]:
        shutil.rmtree(folder, ignore_errors=True)
