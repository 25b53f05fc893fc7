"""Arrays that cross to the compute process without being copied through a pipe.

One block of shared memory carries the call of a run, every part on a multiple of 64 bytes::

    | pickle of (function, args, kwargs) | array 0 | array 1 | ...

and a `SharedArray` is a block of its own that both processes write and read.

Who owns what: the program creates every block and takes its name away again; the compute process
only attaches. A mapping lives exactly as long as an array that looks at it.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import sys
import weakref
from collections.abc import Callable
from math import prod
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import psutil
from numpy.typing import DTypeLike, NDArray

from napari_unet.engine.process.lazy import Served
from napari_unet.errors import DeviceError

__all__ = ["Request", "SharedArray", "Ticket"]

_ALIGNMENT = 64

Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
Ticket: TypeAlias = tuple[str, list[tuple[int, int]]]


class SharedArray:
    """An array that the program and its compute process see at once.

    Pickled it is a name; unpickled in the compute process it is a plain writable array on the same
    memory, so that an engine function which is given one as ``out`` never knows. `close` takes the
    name away, after which no process can attach; ``array`` and its views stay valid (a layer may
    keep showing them), and the memory goes with the last of them.
    """

    def __init__(self, block: _Block, array: NDArray[Any]) -> None:
        self._block = block
        self._array: NDArray[Any] | None = array

    @classmethod
    def create(cls, shape: tuple[int, ...], dtype: DTypeLike) -> Self:
        """Return a shared array of zeros.

        Raises
        ------
        TypeError
            If the dtype holds Python objects, which no other process can see.
        DeviceError
            If the machine has not enough shared memory.
        """
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise TypeError(f"An array of {kind} holds Python objects and cannot be shared.")
        block = _Block(prod(shape) * kind.itemsize)
        return cls(block, _view(block.data, shape, kind))

    @property
    def array(self) -> NDArray[Any]:
        """The array, in this process."""
        if self._array is None:
            raise ValueError("This shared array is closed.")
        return self._array

    def close(self) -> None:
        """Take the name away; may be called twice."""
        self._array = None
        self._block.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        array = self.array
        return _attached_array, (self._block.name, array.shape, array.dtype)


class Request:
    """A call laid out in shared memory; ``ticket`` is all that the other process needs.

    Parameters
    ----------
    call : tuple
        (function, args, kwargs). The function travels by reference, the arrays by content; of a
        `Served` array only its number in ``served`` travels.

    Raises
    ------
    DeviceError
        If the machine has not enough shared memory.
    """

    def __init__(self, call: Call) -> None:
        buffers: list[pickle.PickleBuffer] = []
        stream = io.BytesIO()
        pickler = _CallPickler(stream, protocol=5, buffer_callback=buffers.append)
        pickler.dump(call)
        self.served = pickler.served
        parts = [stream.getbuffer(), *(buffer.raw() for buffer in buffers)]
        starts, end = [], 0
        for part in parts:
            starts.append(end)
            end += -(-part.nbytes // _ALIGNMENT) * _ALIGNMENT
        self._block = _Block(end)
        for start, part in zip(starts, parts, strict=True):
            self._block.data[start : start + part.nbytes] = part
        self.ticket: Ticket = (
            self._block.name,
            [(start, part.nbytes) for start, part in zip(starts, parts, strict=True)],
        )

    def close(self) -> None:
        """Take the block's name away; what is mapped in the other process stays until let go."""
        self._block.close()

    @staticmethod
    def load(ticket: Ticket) -> Call:
        """Return the call; its arrays are read-only views of the block."""
        name, parts = ticket
        data = _attach(name, writable=False)
        pickled, *buffers = (data[start : start + size].data for start, size in parts)
        call: Call = pickle.loads(pickled, buffers=buffers)  # noqa: S301 (the user's own process)
        return call


class _CallPickler(pickle.Pickler):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.served: list[Served] = []

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Served):
            self.served.append(obj)
            return obj.ticket(len(self.served) - 1)
        # A strided array (channels moved to the front) would be copied into the pickle as bytes
        # and from there once more; made contiguous it goes out of band like any other.
        if type(obj) is np.ndarray and not (obj.flags.c_contiguous or obj.flags.f_contiguous):
            return np.ascontiguousarray(obj).__reduce_ex__(5)
        return NotImplemented


class _Block:
    """Shared memory that this process owns; its name is gone after `close`, or at exit."""

    def __init__(self, nbytes: int) -> None:
        try:
            memory = SharedMemory(create=True, size=max(1, nbytes))
        except OSError as error:
            raise _shortage(nbytes, error) from error
        self.name = memory.name
        self.close: Callable[[], object] = weakref.finalize(self, memory.unlink)
        try:
            _reserve(memory)
        except OSError as error:
            self.close()
            raise _shortage(nbytes, error) from error
        self.data = _mapped(memory, writable=True)


def _shortage(nbytes: int, error: OSError) -> DeviceError:
    return DeviceError(
        f"There is not enough shared memory for {nbytes / 1e6:,.0f} MB ({error.strerror}). Close "
        "other programs or use a smaller image; in a container, give /dev/shm more room "
        "(docker run --shm-size=8g)."
    )


def _reserve(memory: SharedMemory) -> None:
    # Linux promises pages that it may not have, and writing to such a page kills the program with
    # SIGBUS, painted labels and all. Asking for them first makes it an error instead. It hands them
    # out one by one, though, and where the last ones are missing it ends other programs for them.
    path = Path("/dev/shm", memory.name)
    if sys.platform == "linux" and path.exists():
        room = os.statvfs(path)
        free = min(room.f_bavail * room.f_frsize, psutil.virtual_memory().available)
        if memory.size > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, memory.size)
        finally:
            os.close(descriptor)


def _attach(name: str, *, writable: bool) -> NDArray[np.uint8]:
    """Map a block that another process owns."""
    if sys.version_info >= (3, 13):
        return _mapped(SharedMemory(name, track=False), writable=writable)
    # Up to 3.12 whoever attaches is taken for an owner too: the tracker of this process would
    # remove the block at exit, and warn of a leak.
    register = resource_tracker.register
    resource_tracker.register = lambda *_: None
    try:
        return _mapped(SharedMemory(name), writable=writable)
    finally:
        resource_tracker.register = register


def _attached_array(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    return _view(_attach(name, writable=True), shape, dtype)


def _view(data: NDArray[np.uint8], shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    return data[: prod(shape) * dtype.itemsize].view(dtype).reshape(shape)


def _mapped(memory: SharedMemory, *, writable: bool) -> NDArray[np.uint8]:
    return np.asarray(_Mapping(memory, writable=writable))


class _Mapping:
    """Makes an array from an address, so that the array owns the mapping.

    An array on ``memory.buf`` would be an export of it: `SharedMemory` then refuses to close, and
    its destructor writes a traceback to the terminal.
    """

    def __init__(self, memory: SharedMemory, *, writable: bool) -> None:
        self._memory = memory
        buffer = memory.buf
        assert buffer is not None  # only after close()
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (memory.size,),
            "data": (np.frombuffer(buffer, np.uint8).ctypes.data, not writable),
        }
