"""Pixels that lie in a file as they are, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RawPixels"]


@dataclass(frozen=True, slots=True)
class RawPixels:
    """An array in a file, mapped into memory only while a region of it is copied.

    A map that lasted would count as memory of this process as far as it was ever read, and one of
    a file that has become shorter meanwhile would end the process.

    Attributes
    ----------
    path : Path
        The file.
    offset : int
        Where in it the array begins.
    shape : tuple of int
        The axes, the last one the fastest.
    dtype : dtype
        With the byte order of the file.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        return np.array(mapped[index])
