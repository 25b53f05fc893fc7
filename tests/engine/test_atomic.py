"""Files appear whole, whoever writes them and however that ends."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

from napari_unet.engine.atomic import write_atomically


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
