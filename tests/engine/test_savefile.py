"""Saved labels: what was written last, whole, comes back whatever happens to the files."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.engine.saving.labels import (
    SIDE,
    Corner,
    corners,
    read_labels,
    region_of,
    versions,
    write_piece,
    write_rotating,
)

HERE = Corner((), 0, 0)


def plane(value: int) -> np.ndarray:
    """Labels of one plane, told apart by what is painted."""
    labels = np.zeros((40, 50), np.uint16)
    labels[5:20, 7:30] = value
    return labels


def saved(folder: Path, *values: int) -> Path:
    """Save the plane several times; return the file."""
    for value in values:
        write_piece(folder, HERE, plane(value))
    return folder / f"{HERE.name}.npz"


def value_in(folder: Path) -> int:
    """Read the plane; return what is painted, all of it or nothing."""
    value = int(read_labels(folder, (40, 50), np.uint16).pixels.max())
    np.testing.assert_array_equal(
        read_labels(folder, (40, 50), np.uint16).pixels, plane(value), strict=True
    )
    return value


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", ">u2"])
@pytest.mark.parametrize("shape", [(3, 4), (2, SIDE + 1), (2, 3, SIDE, SIDE + 7), (1, 2, 3, 4)])
def test_what_was_saved_comes_back(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """In all shapes and kinds of numbers, also where pieces are cut off at the border."""
    labels = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    for corner in corners(shape):
        write_piece(tmp_path, corner, labels[region_of(corner)])
    read = read_labels(tmp_path, shape, dtype)

    np.testing.assert_array_equal(read.pixels, labels, strict=True)
    assert (read.older, read.lost) == (0, 0)


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 4), max_size=2),
    st.integers(1, 3 * SIDE),
    st.integers(1, 3 * SIDE),
)
def test_every_pixel_lies_in_one_piece(leading: list[int], height: int, width: int) -> None:
    """The pieces cover the labels and do not overlap."""
    shape = (*leading, height, width)
    counted = np.zeros(shape, np.uint8)
    for corner in corners(shape):
        counted[region_of(corner)] += 1

    assert counted.min() == counted.max() == 1


def test_anybody_can_read_a_piece(tmp_path: Path) -> None:
    """With numpy alone: whoever has lost this program has not lost the labels."""
    with np.load(saved(tmp_path, 3)) as file:
        np.testing.assert_array_equal(file["pixels"], plane(3))


def test_the_last_three_versions_are_kept(tmp_path: Path) -> None:
    """The newest under the plain name; nothing else is left in the folder."""
    path = saved(tmp_path, 1, 2, 3, 4, 5)
    values = [int(np.load(version)["pixels"].max()) for version in versions(path)]

    assert values == [5, 4, 3]
    assert {p.name for p in tmp_path.iterdir()} == {"0-0.npz", "0-0.1.npz", "0-0.2.npz"}


def test_a_damaged_version_gives_way_to_the_one_before(tmp_path: Path) -> None:
    """And the reader is told; if none is whole, that is told too."""
    paths = versions(saved(tmp_path, 1, 2, 3))

    paths[0].write_bytes(paths[0].read_bytes()[:-30])
    assert value_in(tmp_path) == 2
    assert read_labels(tmp_path, (40, 50), np.uint16)[1:] == (1, 0)

    paths[1].write_bytes(b"")
    paths[2].write_bytes(b"no zip file at all")
    assert read_labels(tmp_path, (40, 50), np.uint16)[1:] == (0, 1)


def test_pieces_that_are_gone_are_counted(tmp_path: Path) -> None:
    """Who knows how many there were is told how many are missing."""
    saved(tmp_path, 1)

    assert read_labels(tmp_path, (40, 50), np.uint16, parts=3).lost == 2
    assert read_labels(tmp_path / "nowhere", (40, 50), np.uint16, parts=1).lost == 1


@pytest.mark.parametrize("name", ["0-0-0.npz", "x.npz", "9000-0.npz", "-1-0.npz"])
def test_a_file_that_is_no_piece_of_these_labels_is_left_out(tmp_path: Path, name: str) -> None:
    """Of another number of axes, from outside the labels, or something else altogether."""
    saved(tmp_path, 1).rename(tmp_path / name)
    read = read_labels(tmp_path, (40, 50), np.uint16)

    assert not read.pixels.any()
    assert read.lost == 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_makes_up_a_pixel(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed or cut off anywhere: what comes back is a version as it was, or nothing."""
    for path in tmp_path.iterdir():
        path.unlink()
    path = saved(tmp_path, 1, 2)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[at:]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)

    assert value_in(tmp_path) in (1, 2)


def test_a_save_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Neither the newest version nor the older ones."""
    path = saved(tmp_path, 1, 2, 3)
    before = [version.read_bytes() for version in versions(path)]

    def write_a_little(file: object) -> None:
        file.write(b"PK")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_rotating(path, write_a_little)

    assert [version.read_bytes() for version in versions(path)] == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_save_that_ended_between_two_steps_is_made_good(tmp_path: Path) -> None:
    """The older versions were moved, the new file was not there yet."""
    path = saved(tmp_path, 1, 2, 3)
    path.rename(tmp_path / "taken away")
    assert value_in(tmp_path) == 2

    write_piece(tmp_path, HERE, plane(4))

    assert value_in(tmp_path) == 4
    assert [p.exists() for p in versions(path)] == [True, True, True]


SAVES_FOR_EVER = """
import sys
from pathlib import Path
import numpy as np
from napari_unet.engine.saving.labels import Corner, write_piece

value = 0
while True:
    value += 1
    labels = np.zeros((40, 50), np.uint16)
    labels[5:20, 7:30] = value
    write_piece(Path(sys.argv[1]), Corner((), 0, 0), labels)
    print(value, flush=True)
"""


def test_a_killed_process_leaves_what_it_had_saved(tmp_path: Path) -> None:
    """Killed at any moment of a save: the last one that was complete is there, or a newer one."""
    rng = random.Random(0)
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        with subprocess.Popen(
            [sys.executable, "-c", SAVES_FOR_EVER, folder], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
            lines += process.stdout.readlines()

        assert value_in(folder) in (int(lines[-1]), int(lines[-1]) + 1)
