"""Files appear whole, whoever writes them and however that ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from napari_unet.engine.atomic import write_atomically
from napari_unet.engine.saving.labels import write_rotating


def test_two_that_write_one_file_at_once_do_not_meet(tmp_path: Path) -> None:
    """Whoever is done first is read whole, and so is the other one after it."""
    path, half_way, other_is_done = tmp_path / "a.npy", threading.Event(), threading.Event()

    def slowly(file: BinaryIO) -> None:
        file.write(b"slow")
        half_way.set()
        other_is_done.wait()
        file.write(b"ly")

    thread = threading.Thread(target=write_atomically, args=(path, slowly))
    thread.start()
    half_way.wait()
    write_atomically(path, lambda file: file.write(b"quickly"))
    assert path.read_bytes() == b"quickly"

    other_is_done.set()
    thread.join()
    assert path.read_bytes() == b"slowly"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_atomically, write_rotating])
def test_a_file_is_safe_on_the_disk_before_it_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]
) -> None:
    """Or a machine that loses its power would have neither under that name."""
    path = tmp_path / "a.json"
    write(path, lambda file: file.write(b"old"))
    flush, seen = os.fsync, []

    def note(file: int) -> None:
        seen.append((os.fstat(file).st_size, path.exists() and path.read_bytes()))
        flush(file)

    monkeypatch.setattr(os, "fsync", note)
    write(path, lambda file: file.write(b"newer"))

    assert seen[0] == (len(b"newer"), b"old")
