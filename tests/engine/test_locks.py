"""A lock keeps others away as long as its process lives, and not longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from napari_unet.engine.items import locks as item_locks
from napari_unet.engine.items.locks import ItemLocks, _set_aside


def owned(path: Path, **changes: object) -> Path:
    """Write the lock of a process that lives, or of another."""
    parent = psutil.Process().parent()
    assert parent is not None
    owner = {"pid": parent.pid, "created": parent.create_time(), "node": os.uname().nodename}
    path.write_text(json.dumps(owner | changes))
    return path


def test_a_lock_names_its_process_until_it_is_given_back(tmp_path: Path) -> None:
    """In folders that it makes; leaving the block gives all back."""
    first, second = tmp_path / "sub" / "a.lock", tmp_path / "b.lock"
    with ItemLocks() as mine, ItemLocks() as others:
        assert mine.take(first) == mine.take(second) == ""
        assert others.take(first) == f"process {os.getpid()}"
        others.give_back(first)  # not theirs
        assert first.exists()
        mine.give_back(first)
        assert others.take(first) == ""
    assert not first.exists()
    assert not second.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="os.uname")
def test_a_living_process_keeps_its_lock(tmp_path: Path) -> None:
    """However old it is."""
    path = owned(tmp_path / "a.lock")
    os.utime(path, (0, 0))
    with ItemLocks() as locks:
        assert locks.take(path).startswith("process ")
    assert path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="os.uname")
def test_the_lock_of_a_process_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    """Also where its number was given to another process since."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with ItemLocks() as locks:
        assert locks.take(owned(tmp_path / "a.lock", pid=gone.pid)) == ""
        assert locks.take(owned(tmp_path / "b.lock", created=5.0)) == ""
        assert json.loads((tmp_path / "a.lock").read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="os.uname")
def test_another_machine_keeps_its_lock_while_it_gives_signs_of_life(tmp_path: Path) -> None:
    """Its process cannot be looked at, but it touches the file."""
    path = owned(tmp_path / "a.lock", node="elsewhere")
    with ItemLocks() as locks:
        assert locks.take(path).endswith(" on elsewhere")
        os.utime(path, times=(time.time() - 1000,) * 2)
        assert locks.take(path) == ""


def test_a_lock_that_another_process_took_over_sooner_stays(tmp_path: Path) -> None:
    """Of several that find the same lock of nobody, one has it, and the others leave it alone."""
    path = tmp_path / "a.lock"
    with ItemLocks() as quicker:
        quicker.take(path)
        _set_aside(path)
        assert list(tmp_path.iterdir()) == [path]
        with ItemLocks() as slower:
            assert slower.take(path) == f"process {os.getpid()}"


def test_a_lock_without_a_name_is_one_that_is_being_written(tmp_path: Path) -> None:
    """For a moment; then whoever wrote it is gone."""
    path = tmp_path / "a.lock"
    path.touch()
    with ItemLocks() as locks:
        assert locks.take(path) == "another process"
        os.utime(path, times=(time.time() - 100,) * 2)
        assert locks.take(path) == ""


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from napari_unet.engine.items.locks import ItemLocks
path, chance = Path("a.lock"), random.Random(0)
for _ in range(60):
    child = os.fork()
    if child == 0:
        locks = ItemLocks()
        while True:
            locks.take(path)
            locks.give_back(path)
    time.sleep(0.002 + chance.uniform(0, 0.002))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    locks = ItemLocks()
    if owner := locks.take(path):
        sys.exit(owner)
    locks.give_back(path)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
def test_a_process_that_is_killed_at_any_moment_leaves_no_lock_without_a_name(
    tmp_path: Path,
) -> None:
    """The next run would believe, for half a minute, that somebody still works on the image."""
    command = [sys.executable, "-W", "ignore", "-c", KILLED]
    ended = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    """Then, and on a disk without hard links, a lock is made before its text is written."""
    path = tmp_path / f"{'a' * 250}.lock"
    with ItemLocks() as mine, ItemLocks() as others:
        assert mine.take(path) == ""
        assert others.take(path) == f"process {os.getpid()}"
    assert not list(tmp_path.iterdir())


def test_locks_are_touched_while_they_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that other machines see that the work goes on."""
    monkeypatch.setattr(item_locks, "TOUCHED", 0.02)
    path = tmp_path / "a.lock"
    with ItemLocks() as locks:
        locks.take(path)
        os.utime(path, (0, 0))
        waited = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < waited:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 60


@pytest.mark.skipif(sys.platform != "linux", reason="a limit that stands for a full disk")
def test_a_full_disk_leaves_no_lock_without_an_owner(tmp_path: Path) -> None:
    """It would keep the next run away from an image that nobody works on."""
    code = """
import resource, signal, sys
from pathlib import Path
from napari_unet.engine.items.locks import ItemLocks
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
with ItemLocks() as locks:
    try:
        locks.take(Path("a.lock"))
    except OSError:
        sys.exit(7)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)

    assert ended.returncode == 7
    assert not list(tmp_path.iterdir())
