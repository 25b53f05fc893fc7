"""Run tiles through a network: there and back, and smaller ones where memory is too small.

On a CPU one tile is computed after the other. On CUDA two are under way: while one is computed, the
next one is read, normalised and copied there from page-locked memory, and the one before comes
back::

    CPU      read 2   read 3       read 4
    there        copy 2   copy 3       copy 4
    compute  tile 1   tile 2   tile 3
    back              copy 1   copy 2   copy 3
"""

from __future__ import annotations

import gc
import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_unet.core.tiles import Tile, halve, lengths, within
from napari_unet.core.unet import UNet
from napari_unet.engine.callersettings import set_aside
from napari_unet.engine.device import is_fast_with_bfloat16, torch_errors
from napari_unet.engine.segmenter import Segmenter
from napari_unet.errors import DeviceError, is_out_of_memory

__all__ = ["TileRunner"]

Pixels = NDArray[np.float32]


class TileRunner:
    """Runs tiles through the network of a Segmenter.

    A tile that does not fit into memory is cut into smaller ones, which give the same pixels; so
    are all later ones, and those that are done stay done.

    Parameters
    ----------
    segmenter : Segmenter
        Whose network.
    device : torch.device
        Where.

    Attributes
    ----------
    shrunk : str
        What the user should know about tiles that were cut, in a sentence; "" if none was.
    """

    def __init__(self, segmenter: Segmenter, device: torch.device) -> None:
        with torch_errors("The model itself does not fit; choose device='cpu'."):
            self._network = _network(_SameWeights(segmenter), str(device))
        self._lane = _PinnedLane(device) if device.type == "cuda" else _Lane(device)
        self._too_large: int | None = None
        self.shrunk = ""

    def run(
        self, tiles: Iterable[Tile], read: Callable[[tuple[slice, ...]], Pixels]
    ) -> Iterator[tuple[Tile, Pixels]]:
        """Yield every tile and its probabilities (K, *tile.output), in the order of the tiles.

        Parameters
        ----------
        tiles : iterable of Tile
            The next one is taken when a computation can start, so it may depend on what happened
            since.
        read : callable
            Returns the normalised pixels (C, *read) of a box of the plane, mirrored beyond it.

        Raises
        ------
        DeviceError
            If the smallest tile does not fit into memory either.
        """
        under_way: deque[tuple[Tile, _Ticket]] = deque()
        for tile in tiles:
            ticket = self._start(tile, read)
            while ticket is None and under_way:  # it may fit when the others are done
                yield self._finish(*under_way.popleft())
                ticket = self._start(tile, read)
            if ticket is None:
                yield tile, self._in_pieces(tile, read)
                continue
            under_way.append((tile, ticket))
            if len(under_way) > self._lane.ahead:
                yield self._finish(*under_way.popleft())
        while under_way:
            yield self._finish(*under_way.popleft())

    def _start(self, tile: Tile, read: Callable[[tuple[slice, ...]], Pixels]) -> _Ticket | None:
        """Start to compute a tile; None if it is too large."""
        if self._too_large is not None and _pixels(tile) >= self._too_large:
            return None
        try:
            return self._lane.start(self._network, read(tile.read))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # outside of the handler: the error's frames hold the tensors of the pass that failed
        self._lane.clear()
        return None

    def _finish(self, tile: Tile, ticket: _Ticket) -> tuple[Tile, Pixels]:
        return tile, self._lane.finish(ticket)

    def _in_pieces(self, tile: Tile, read: Callable[[tuple[slice, ...]], Pixels]) -> Pixels:
        """Compute a tile that is too large piece by piece."""
        network = self._network
        pieces = halve(tile, context=network.context, stride=network.stride)
        sides = " x ".join(map(str, lengths(tile.read)))
        if len(pieces) == 1:
            raise DeviceError(
                f"Out of memory: not even a tile of {sides} pixels fits; close other programs, "
                f"choose another device, or train a model with fewer base channels."
            )
        self._too_large = min(self._too_large or _pixels(tile), _pixels(tile))
        self.shrunk = f"Memory is too small for tiles of {sides} pixels; smaller ones are used."
        values = np.empty((network.n_classes, *lengths(tile.output)), np.float32)
        for piece in pieces:
            ticket = self._start(piece, read)
            part = self._in_pieces(piece, read) if ticket is None else self._lane.finish(ticket)
            values[(slice(None), *within(piece.output, tile.output))] = part
        return values


def _pixels(tile: Tile) -> int:
    return math.prod(lengths(tile.read))


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    """Probabilities (K, Y, X) that are ready on the device, or on their way back from it."""

    values: Tensor
    arrived: Any = None


class _Lane:
    """Takes pixels to a device and brings probabilities back, one tile after the other."""

    ahead = 0

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @set_aside()
    @torch.inference_mode()
    def start(self, network: UNet, pixels: Pixels) -> _Ticket:
        """Compute (C, Y, X) pixels."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels))[None].to(self._device)
        return _Ticket(_probabilities(network, batch))

    def finish(self, ticket: _Ticket) -> Pixels:
        """Return the probabilities."""
        values: Pixels = ticket.values.cpu().numpy()
        return values

    def clear(self) -> None:
        """Give memory back that a failed computation left behind."""
        gc.collect()


class _PinnedLane(_Lane):
    """The same on CUDA, with copies in both directions beside the computation.

    Every tile under way has its own page-locked memory, so that nothing is overwritten before it
    has arrived.
    """

    ahead = 1

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._there, self._back = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self._rooms = [(_Room(pinned=True), _Room(pinned=True)) for _ in range(self.ahead + 1)]
        self._turn = 0

    @set_aside()
    @torch.inference_mode()
    def start(self, network: UNet, pixels: Pixels) -> _Ticket:
        """Start to copy, to compute and to copy back; return at once."""
        self._turn = (self._turn + 1) % (self.ahead + 1)
        compute = torch.cuda.current_stream(self._device)
        room_there, room_back = self._rooms[self._turn]
        host = room_there.of(pixels.shape)
        host.copy_(torch.from_numpy(pixels))
        with torch.cuda.stream(self._there):
            batch = host.to(self._device, non_blocking=True)[None]
        compute.wait_stream(self._there)
        batch.record_stream(compute)
        values = _probabilities(network, batch)
        self._back.wait_stream(compute)
        result = room_back.of(values.shape)
        arrived = torch.cuda.Event()
        with torch.cuda.stream(self._back):
            result.copy_(values, non_blocking=True)
            arrived.record(self._back)
        values.record_stream(self._back)
        return _Ticket(result, arrived)

    def finish(self, ticket: _Ticket) -> Pixels:
        """Wait until the probabilities are here."""
        ticket.arrived.synchronize()
        values: Pixels = ticket.values.numpy().copy()  # the page-locked memory is used again
        return values

    def clear(self) -> None:
        """Return cached blocks, which may be of sizes that are not needed again."""
        super().clear()
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()


class _Room:
    """Memory for one tile at a time: as much as the largest so far needed, whatever its sides.

    Parameters
    ----------
    pinned : bool
        Whether it is page-locked, so that a GPU can copy beside its computations.
    """

    def __init__(self, *, pinned: bool) -> None:
        self._pinned, self._flat = pinned, torch.empty(0)

    def of(self, shape: tuple[int, ...]) -> Tensor:
        """Return it as a tensor of this shape; what was there before is lost."""
        count = math.prod(shape)
        if len(self._flat) < count:
            self._flat = torch.empty(count, dtype=torch.float32, pin_memory=self._pinned)
        return self._flat[:count].view(shape)


def _probabilities(network: UNet, batch: Tensor) -> Tensor:
    dtype = next(network.parameters()).dtype
    logits = network(batch.to(dtype).contiguous(memory_format=torch.channels_last))
    return F.softmax(logits.float(), dim=1)[0].contiguous()


class _SameWeights:
    """A Segmenter that equals another one, perhaps from another process, with its weights."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        digest = hashlib.blake2b(repr(segmenter.describe()).encode())
        segmenter.hash_weights(digest.update)
        self._digest = digest.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameWeights) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)


@lru_cache(maxsize=2)
def _network(key: _SameWeights, device: str) -> UNet:
    """Keep the networks used last: building one for each plane of a stack takes time.

    On a GPU that computes in 16 bits (bfloat16) the weights are kept so.
    """
    network = key.segmenter.network(torch.device(device))
    if torch.device(device).type == "cuda" and is_fast_with_bfloat16(torch.device(device)):
        network = network.to(torch.bfloat16)
    return network
