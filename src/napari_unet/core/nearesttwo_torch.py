"""The passes of `napari_unet.core.nearesttwo` on a device of torch, a GPU above all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_unet.core.nearesttwo import Pass
from napari_unet.errors import DeviceError, first_line

__all__ = ["squares_of_nearest_two"]

PATIENCE = 16
"""Steps along a line between two looks whether all is done: each waits for the device."""


def squares_of_nearest_two(
    cells: NDArray[np.int32], passes: Iterable[Pass], device: torch.device | str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the squared distances to the nearest and the second nearest cell, one after another.

    Parameters
    ----------
    cells, passes
        As for `napari_unet.core.nearesttwo_numba.squares_of_nearest_two`.
    device : torch.device or str
        Where to compute.

    Raises
    ------
    DeviceError
        If torch cannot use the device.
    """
    ids = _on_device(cells, device)
    first = torch.where(ids != 0, 0.0, torch.inf)
    known = [first, ids, torch.full_like(first, torch.inf), torch.zeros_like(ids)]
    for along in passes:
        known = [part.reshape(along.outer, along.length, along.inner) for part in known]
        nearest, owners = _search(known, along, None, None)
        second, others = _search(known, along, owners, nearest)
        known = [nearest, owners, second, others]
    return known[0].cpu().numpy(), known[2].cpu().numpy()


def _on_device(cells: NDArray[np.int32], device: torch.device | str) -> Tensor:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where torch has no CUDA at all
        raise DeviceError(
            f"Device {str(device)!r} cannot be used here ({first_line(error)}); leave "
            f"`device` out to compute on the CPU."
        ) from error
    return torch.tensor(cells, device=device)


def _search(
    known: list[Tensor], along: Pass, barred: Tensor | None, nearest: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Find for each pixel the nearest cell, or the nearest that is not the barred one."""
    known1, ids1, known2, ids2 = known
    wanted = along.stop - along.begin
    found: Any = (along.outer, wanted, along.inner)
    out, out_ids = known1.new_full(found, torch.inf), ids1.new_zeros(found)
    for k, square in enumerate(along.squares.tolist()):
        if k % PATIENCE == 1:
            waiting = out > square
            if square >= along.half:
                waiting &= (out if nearest is None else nearest) < along.half
            if not waiting.any():
                break
        for shift in (-k, k) if k else (0,):
            first = max(0, -shift - along.begin)
            stop = min(wanted, along.length - shift - along.begin)
            if stop <= first:
                continue
            here = slice(first, stop)
            there = slice(along.begin + first + shift, along.begin + stop + shift)
            value, ids = known1[:, there], ids1[:, there]
            if barred is not None:
                taken = ids == barred[:, here]
                value = torch.where(taken, known2[:, there], value)
                ids = torch.where(taken, ids2[:, there], ids)
            value = value + square
            old, old_ids = out[:, here], out_ids[:, here]
            old_ids.copy_(torch.where(value < old, ids, old_ids))
            old.copy_(torch.minimum(value, old))
    return out, out_ids
