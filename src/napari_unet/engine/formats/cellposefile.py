"""The masks in ``NAME_seg.npy`` of Cellpose, without running what else the file may hold.

Such a file is a pickle, which may name any function of Python and have it called. Here nothing that
a pickle names is looked up: what would be called is only noted, and of the notes those that spell
an array of whole numbers called ``masks`` are read.
"""

from __future__ import annotations

import pickle
import re
import tokenize
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_cellpose", "read_cellpose"]

ENDING = "_seg.npy"

DAMAGED = (
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    tokenize.TokenError,
)
"""What reading raises on bytes that make no sense."""

WHOLE = re.compile(r"[iub][1248]")
"""The types that masks have, as NumPy spells them."""


def is_cellpose(path: Path) -> bool:
    """Whether the name of a file is one that Cellpose gives."""
    return path.name.lower().endswith(ENDING)


def read_cellpose(path: Path) -> tuple[NDArray[Any], str]:
    """Return the masks in a file of Cellpose, and a letter per axis.

    Raises
    ------
    InputError
        If there are none.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        try:
            masks = _array(_contents(file)["masks"])
        except DAMAGED as error:
            raise InputError(
                f"{path} holds no masks of Cellpose that can be read; save them there as PNG or "
                f"TIFF."
            ) from error
    # a plane is a stack of one in some versions
    masks = masks[0] if masks.ndim == 3 and len(masks) == 1 else masks
    return masks, "QYX"[-masks.ndim :]


class _Noted:
    """What a pickle would have made by a call: its arguments, and what it was then told."""

    def __init__(self, *given: Any) -> None:
        self.given = given
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Of dictionaries and lists of other classes, nothing is needed."""

    def append(self, value: Any) -> None:
        """As above."""


class _Notes(pickle.Unpickler):
    """Reads a pickle, and looks up nothing that it names."""

    def find_class(self, _module: str, _name: str, /) -> type[_Noted]:
        return _Noted


def _contents(file: BinaryIO) -> dict[str, Any]:
    """Return the dictionary that is the only element of the array in a file."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    read_header[version](file)
    # the state of an array: version, shape, dtype, order, elements
    (contents,) = _Notes(file).load().state[4]
    if not isinstance(contents, dict):
        raise TypeError(type(contents))
    return contents


def _array(noted: _Noted) -> NDArray[Any]:
    """Return an array of whole numbers of which a pickle told."""
    _, shape, dtype, is_fortran, data = noted.state
    # a dtype is made of its kind and size, and told its byte order second
    kind, order = dtype.given[0], dtype.state[1]
    if not WHOLE.fullmatch(kind) or len(shape) not in (2, 3):
        raise ValueError(kind)
    numbers = np.frombuffer(data, np.dtype(kind).newbyteorder(order))
    return numbers.reshape(shape, order="F" if is_fortran else "C")
