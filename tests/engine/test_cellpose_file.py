"""Masks come out of the files of Cellpose, and nothing that such a file holds is run."""

from __future__ import annotations

import collections
import datetime
import os
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.engine.files import read_image, read_labels
from napari_unet.engine.formats.pairfiles import pair_files
from napari_unet.errors import InputError

MASKS = np.arange(30, dtype=np.uint16).reshape(5, 6)


def write(path: Path, masks: Any, **others: Any) -> Path:
    """Write what Cellpose does, and more."""
    flows = [np.zeros((1, 5, 6, 3), np.uint8), [], np.ones((3, 5, 6), np.float32)]
    about = {"diameter": np.nan, "filename": "a.tif", "ismanual": np.zeros(29, bool)}
    np.save(path, {"outlines": masks, "masks": masks, "flows": flows, **about, **others})  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    "masks",
    [
        MASKS,
        np.asfortranarray(MASKS),
        MASKS.astype(">i4"),
        MASKS.astype(np.uint32) * 10000,
        np.stack([MASKS, MASKS + 1]),
        MASKS > 0,
    ],
    ids=["a plane", "by columns", "big-endian", "many cells", "a volume", "a mask"],
)
def test_masks_are_read_as_they_were(tmp_path: Path, masks: np.ndarray) -> None:
    """Whatever their type and the order of their bytes."""
    np.testing.assert_array_equal(read_labels(write(tmp_path / "a_seg.npy", masks)), masks)


def test_a_stack_of_one_plane_is_a_plane(tmp_path: Path) -> None:
    """As some versions write planes."""
    path = write(tmp_path / "a_seg.npy", MASKS[np.newaxis])

    np.testing.assert_array_equal(read_labels(path), MASKS)


class Command:
    """What makes a pickle run a command where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    """The masks are read past it; a file that is nothing else is refused."""
    mark = tmp_path / "was run"
    path = write(tmp_path / "a_seg.npy", MASKS, manual_changes=Command(mark))
    np.testing.assert_array_equal(read_labels(path), MASKS)
    np.save(path, Command(mark))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="holds no masks of Cellpose"):
        read_labels(path)
    assert not mark.exists()
    np.load(path, allow_pickle=True)
    assert mark.exists()


def test_what_else_is_in_a_file_is_no_matter(tmp_path: Path) -> None:
    """Paths of another system, times, and containers of any class."""
    path = write(
        tmp_path / "a_seg.npy",
        MASKS,
        model_path=PureWindowsPath("C:/models/mine"),
        restore=collections.OrderedDict(ratio=np.float32(0.5)),
        changes=collections.deque([datetime.datetime(2024, 1, 1)]),
    )

    np.testing.assert_array_equal(read_labels(path), MASKS)


def test_other_files_of_that_name_are_refused(tmp_path: Path) -> None:
    """Fractions, text, an array, no array, and a file that is cut off anywhere."""
    path = tmp_path / "a_seg.npy"
    for masks in (MASKS / 2, "masks", MASKS.astype(object), MASKS[0]):
        with pytest.raises(InputError, match=r"a_seg\.npy holds no masks of Cellpose"):
            read_labels(write(path, masks))
    np.save(path, MASKS)
    with pytest.raises(InputError, match="holds no masks of Cellpose"):
        read_labels(path)
    whole = write(path, MASKS).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="holds no masks of Cellpose"):
            read_labels(path)


def test_masks_are_no_image(tmp_path: Path) -> None:
    """The image lies beside them."""
    with pytest.raises(InputError, match="holds labels of Cellpose and no image; give the image"):
        read_image(write(tmp_path / "a_seg.npy", MASKS))


def test_images_are_paired_with_files_of_cellpose(tmp_path: Path) -> None:
    """In one folder, as its window leaves them; a picture of the masks is preferred."""
    for name in ("a.tif", "b.tif", "b_cp_masks.tif"):
        tifffile.imwrite(tmp_path / name, MASKS)
    for name in ("a_seg.npy", "b_seg.npy"):
        write(tmp_path / name, MASKS)

    found = [(image.name, labels.name) for image, labels in pair_files([tmp_path], [tmp_path])]

    assert found == [("a.tif", "a_seg.npy"), ("b.tif", "b_cp_masks.tif")]
