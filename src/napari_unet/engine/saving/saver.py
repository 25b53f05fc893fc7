"""The thread that writes a session to its folder, while the user paints on."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.engine.saving.folders import clean, new_folder
from napari_unet.engine.saving.labels import Corner, rotate, write_piece
from napari_unet.engine.saving.session import (
    MODEL,
    RECORD,
    SavedLabels,
    SavedModel,
    SavedSession,
    write_json,
    write_session,
)
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import ModelFileError

__all__ = ["Present", "Saver"]

RETRY_SECONDS = 20.0
"""Until what could not be written is tried again."""

Key = tuple[str, Corner]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Present:
    """What a session has now, apart from the pixels of its labels.

    Attributes
    ----------
    session : SavedSession
        Its layers; models, parts and cells are filled in when it is written.
    model : Segmenter or None
        The present model.
    history : tuple of (Segmenter, str, str)
        Earlier models, with time (ISO 8601) and summary.
    record : dict
        The numbers of the last training.
    """

    session: SavedSession
    model: Segmenter | None = None
    history: tuple[tuple[Segmenter, str, str], ...] = ()
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Written:
    """What the folder holds."""

    sums: dict[Key, int] = field(default_factory=dict)
    numbers: dict[Key, frozenset[int]] = field(default_factory=dict)
    model: Segmenter | None = None
    history: dict[int, tuple[Segmenter, str]] = field(default_factory=dict)
    models: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    session: SavedSession | None = None


class Saver:
    """Writes what it is given, in a thread of its own; of each thing the newest state wins.

    What cannot be written is tried again, later and with whatever is given next.

    Parameters
    ----------
    root : Path
        Gets a folder for the session with the first thing that is written.
    on_trouble : callable
        Is given a sentence, in the thread, when writing begins to fail.
    """

    def __init__(self, root: Path, on_trouble: Callable[[str], object]) -> None:
        self._root, self._on_trouble = root, on_trouble
        self.folder: Path | None = None
        self._changed = threading.Condition()
        self._pieces: dict[Key, NDArray[Any]] = {}
        self._present: Present | None = None
        self._fresh = self._busy = self._closed = self._told = False
        self._written = _Written()
        self._thread = threading.Thread(target=self._run, name="autosave", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Size of the pixels that wait to be written."""
        with self._changed:
            return sum(pixels.nbytes for pixels in self._pieces.values())

    def put(self, folder: str, corner: Corner, pixels: NDArray[Any]) -> None:
        """Write a piece of labels; the array must not be written to any more."""
        with self._changed:
            self._pieces[folder, corner] = pixels
            self._wake()

    def note(self, present: Present) -> None:
        """Write everything else."""
        with self._changed:
            self._present = present
            self._wake()

    def wait(self, seconds: float) -> bool:
        """Wait until all is written; return whether it is."""
        with self._changed:
            idle = self._changed.wait_for(lambda: not (self._fresh or self._busy), seconds)
            return idle and not self._pieces and self._present is None

    def close(self, seconds: float = 30.0) -> None:
        """Write what waits, if that can be done at once, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _wake(self) -> None:
        self._fresh = True
        self._changed.notify_all()

    def _run(self) -> None:
        while self._work_comes():
            trouble = ""
            try:
                self._write_pieces()
                trouble = self._write_present()
            except (OSError, MemoryError) as error:
                trouble = str(error) or type(error).__name__
            with self._changed:
                self._busy = False
                self._changed.notify_all()
            if trouble and not self._told:
                self._on_trouble(
                    f"Labels and model cannot be autosaved at the moment: {trouble}. You can go "
                    f"on, and saving is tried again; free space in {self._root}, or set "
                    f"NAPARI_UNET_AUTOSAVE to another folder."
                )
            self._told = bool(trouble)
        if self.folder is not None:
            clean(self._root)

    def _work_comes(self) -> bool:
        """Wait for it; return whether there will be any."""
        with self._changed:
            retry = RETRY_SECONDS if self._pieces or self._present else None
            self._changed.wait_for(lambda: self._fresh or self._closed, retry)
            work = self._fresh or (not self._closed and retry is not None)
            self._busy, self._fresh = work, False
            return work

    def _write_pieces(self) -> None:
        """Write the pieces that wait; one that cannot be written waits on."""
        while True:
            with self._changed:
                if not self._pieces:
                    return
                key = next(iter(self._pieces))
                pixels = self._pieces[key]
            self._write_piece(key, pixels)
            with self._changed:
                if self._pieces.get(key) is pixels:
                    del self._pieces[key]

    def _write_piece(self, key: Key, pixels: NDArray[Any]) -> None:
        pixels = np.ascontiguousarray(pixels)
        folder, corner = key
        written, total = self._written, zlib.crc32(pixels.data)
        if written.sums.get(key) == total or (key not in written.sums and not pixels.any()):
            return
        write_piece(self._open_folder() / folder, corner, pixels)
        written.sums[key] = total
        written.numbers[key] = frozenset(np.unique(pixels[pixels != 0]).tolist())

    def _write_present(self) -> str:
        """Write everything else; return what could not be done, or raise an OSError."""
        with self._changed:
            present = self._present
        if present is None:
            return ""
        folder, written, trouble = self._open_folder(), self._written, ""
        if written.record != present.record:
            write_json(folder / RECORD, present.record)
            written.record = present.record
        try:
            self._write_models(folder, present)
        except ModelFileError as error:
            trouble = str(error)
        session = replace(
            present.session,
            labels=tuple(self._counted(labels) for labels in present.session.labels),
            model=None if written.model is None or present.model is None else MODEL,
            history=tuple(self._known_history(present)),
        )
        if written.session is None or replace(session, saved=written.session.saved) != (
            written.session
        ):
            write_session(folder, replace(session, saved=time.time()))
            written.session = session
        self._forget_history(folder, present)
        with self._changed:
            if self._present is present and not trouble:
                self._present = None
        return trouble

    def _open_folder(self) -> Path:
        if self.folder is None:
            self.folder = new_folder(self._root)
        return self.folder

    def _write_models(self, folder: Path, present: Present) -> None:
        written = self._written
        if present.model is not None and present.model is not written.model:
            complete = folder / f"new-{MODEL}"
            present.model.save(complete)
            rotate(folder / MODEL)
            complete.replace(folder / MODEL)
            written.model = present.model
        for segmenter, _, _ in present.history:
            if id(segmenter) not in written.history:
                name = f"history-{written.models}.safetensors"
                segmenter.save(folder / name)
                written.models += 1
                written.history[id(segmenter)] = segmenter, name

    def _known_history(self, present: Present) -> Iterator[SavedModel]:
        for segmenter, made, summary in present.history:
            if id(segmenter) in self._written.history:
                _, name = self._written.history[id(segmenter)]
                yield SavedModel(file=name, time=made, summary=summary)

    def _forget_history(self, folder: Path, present: Present) -> None:
        """Delete the models that no session speaks of any more."""
        kept = {id(segmenter) for segmenter, _, _ in present.history}
        for key in self._written.history.keys() - kept:
            _, name = self._written.history.pop(key)
            (folder / name).unlink(missing_ok=True)

    def _counted(self, labels: SavedLabels) -> SavedLabels:
        """Fill in how much of a layer is saved; planes are independent."""
        background = {1} if labels.meaning == "scribbles" else set()
        planes: dict[tuple[int, ...], set[int]] = {}
        parts = 0
        for (folder, corner), numbers in self._written.numbers.items():
            if folder == labels.folder:
                planes.setdefault(corner.plane, set()).update(numbers - background)
                parts += 1
        return replace(labels, parts=parts, cells=sum(len(ids) for ids in planes.values()))
