"""Chunks of zarr that are compressed with Blosc, and may be cut short by a copy that broke off.

Of such a chunk, the decoder takes what lies behind it in memory for the rest, and says nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import LocalStore

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["reading_whole_chunks"]

HEADER = 16
"""Bytes before what is compressed; the last four of them are the size of all."""


def reading_whole_chunks(array: zarr.Array[Any], folder: Path) -> zarr.Array[Any]:
    """Return an array in a folder that raises ValueError where a chunk is cut short.

    Parameters
    ----------
    array : zarr.Array
        The array; other decoders, and the checksums of shards, find this by themselves.
    folder : Path
        Where it is.
    """
    names = [type(one).__name__ for one in array.compressors]
    if names not in (["Blosc"], ["BloscCodec"]) or array.shards is not None:
        return array
    return zarr.open_array(_BloscFolder(folder, read_only=True), mode="r")


class _BloscFolder(LocalStore):
    """The folder of an array whose chunks are all compressed with Blosc."""

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        found = await super().get(key, prototype, byte_range)
        # the names of chunks end in their number
        if found is not None and key[-1:].isdecimal():
            size = max(HEADER, int.from_bytes(found[:HEADER].to_bytes()[-4:], "little"))
            if len(found) < size:
                raise ValueError(f"the chunk {key} is cut short: {len(found)} of {size} bytes")
        return found
