"""What goes wrong with an image is tried again if it may help, and said in a sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator

import pytest

from napari_unet import DeviceError, InputError, JobError
from napari_unet.engine.items import errors
from napari_unet.engine.items.errors import again, attempt, complete


class Share:
    """A network share that is away for the first so many times."""

    def __init__(self, away: int, number: int = errno.ESTALE) -> None:
        self.away, self.number, self.asked = away, number, 0

    def read(self) -> str:
        """Read what lies there."""
        self.asked += 1
        if self.asked <= self.away:
            raise OSError(self.number, os.strerror(self.number), "share/a.tif")
        return "pixels"

    def read_as_input(self) -> str:
        """Read it as the readers of files do."""
        try:
            return self.read()
        except OSError as error:
            raise InputError("share/a.tif cannot be read.") from error

    def write(self) -> None:
        """Write as NumPy does, which forgets the number of the error."""
        raise OSError("360000 requested and 15328 written")

    def steps(self) -> Generator[int, None, str]:
        """Read it step by step."""
        yield 1
        pixels = self.read()
        yield 2
        return pixels


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "PAUSE", 0)


def test_a_share_that_was_away_for_a_moment_is_asked_again() -> None:
    """Once; whether it said so itself or through the reader of a file."""
    assert again(Share(away=1).read) == "pixels"
    assert again(Share(away=1).read_as_input) == "pixels"
    assert list(attempt(Share(away=1).steps)) == [1, 1, 2]
    assert complete(Share(away=1).steps)[0] == "pixels"
    with pytest.raises(InputError, match=r"share/a.tif: Stale.*Check the disk or network share"):
        again(Share(away=2).read)
    with pytest.raises(InputError, match=r"cannot be read\.$"):
        again(Share(away=2).read_as_input)


def test_what_no_second_attempt_helps_is_not_tried_again() -> None:
    """A file that is not there, or that must not be read."""
    share = Share(away=1, number=errno.EACCES)
    with pytest.raises(InputError, match=r"Permission denied\. Change the permissions of the file"):
        again(share.read)
    assert share.asked == 1


def test_each_lack_is_a_sentence_with_what_to_do() -> None:
    """Disk, memory, device, and what nobody expected."""
    with pytest.raises(DeviceError, match=r"The disk is full \(share/a.tif\)"):
        again(Share(away=9, number=errno.ENOSPC).read)
    with pytest.raises(DeviceError, match=r"\(share/a.tif\), or takes no file of this size"):
        again(Share(away=9, number=errno.EFBIG).read)
    with pytest.raises(DeviceError, match="The disk is full"):  # as NumPy says it
        again(Share(away=9, number=errno.ENOSPC).write)

    for read in ("read", "read_as_input"):  # be it the image or a result that cannot have the name
        share = Share(away=9, number=errno.ENAMETOOLONG)
        with pytest.raises(InputError, match=r"a\.tif: File name too long. Give the image a shor"):
            again(getattr(share, read))

    def fails(error: Exception) -> None:
        raise error

    for lack in (
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ):
        with pytest.raises(DeviceError, match="Memory does not suffice"):
            again(fails, lack)
    with pytest.raises(DeviceError, match="The GPU failed"):
        again(fails, RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(JobError, match="Unexpected KeyError: 'plane'"):
        again(fails, KeyError("plane"))
    with pytest.raises(JobError, match="itself"):
        again(fails, JobError("itself"))
