"""Messages between the program and its compute process: length-prefixed pickles on a pipe.

Pickle is safe here: both ends are processes of the same user, and no one else holds the pipe.
"""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any, BinaryIO

__all__ = ["EventPickler", "EventUnpickler", "receive", "send"]

_LENGTH = struct.Struct("<Q")


def send(stream: BinaryIO, message: object) -> None:
    """Write one message; the caller sees to it that one thread writes at a time."""
    payload = pickle.dumps(message, protocol=5)
    stream.write(_LENGTH.pack(len(payload)))
    stream.write(payload)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one message; raise `EOFError` when the other side is gone."""
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    return pickle.loads(_read(stream, length))  # noqa: S301


def _read(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


class EventPickler:
    """Pickle the events of one run, and a `Segmenter` only when it changes.

    Training events carry the best segmenter so far: megabytes that change far less often than
    events come. Where an event holds the very object that the event before held as its
    ``segmenter``, a mark takes its place; `EventUnpickler` puts back the object it made then, so
    the events share it on the other side too. Nothing but the attribute's name is assumed.
    """

    def __init__(self) -> None:
        # The object and not its id(), which is given again once the object is gone.
        self._last: object = None

    def dumps(self, event: object) -> bytes:
        """Return the bytes of one event."""
        stream = io.BytesIO()
        _MarkingPickler(stream, self._last).dump(event)
        self._last = getattr(event, "segmenter", self._last)
        return stream.getvalue()


class _MarkingPickler(pickle.Pickler):
    def __init__(self, stream: BinaryIO, known: object) -> None:
        super().__init__(stream, protocol=5)
        self._known = known

    def persistent_id(self, obj: object) -> str | None:
        return "segmenter" if obj is self._known and obj is not None else None


class EventUnpickler:
    """The other end of an `EventPickler`: the same events in the same order."""

    def __init__(self) -> None:
        self._last: object = None

    def loads(self, data: bytes) -> Any:
        """Return the event."""
        event = _MarkedUnpickler(io.BytesIO(data), self._last).load()
        self._last = getattr(event, "segmenter", self._last)
        return event


class _MarkedUnpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, known: object) -> None:
        super().__init__(stream)
        self._known = known

    def persistent_load(self, pid: object) -> object:  # noqa: ARG002 (there is only one mark)
        return self._known
