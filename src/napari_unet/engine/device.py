"""Choose where to compute, in words, and translate what torch says of devices that fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_unet.engine.cgroups import cores_allowed, groups
from napari_unet.errors import DeviceError, first_line, gpu_failure, is_out_of_memory

__all__ = ["describe", "is_fast_with_bfloat16", "select_device", "torch_errors"]

if hasattr(os, "register_at_fork"):
    # where torch has computed, a forked process waits for ever for threads that it has not got
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

# torch counts the cores of the machine; of more threads than a container may use cores at a time,
# all wait for those that have had their share
if (_cores := min(map(cores_allowed, groups()))) < torch.get_num_threads():
    torch.set_num_threads(_cores)


def select_device(name: str = "auto") -> torch.device:
    """Return the torch device of a name; "auto" prefers CUDA, then Apple's MPS, then the CPU.

    Raises
    ------
    DeviceError
        If the device does not exist here; a device that was asked for is never replaced silently.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"There is no device {name!r}; use auto, cpu, cuda or mps.") from error
    available = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise DeviceError(
            f"Device {name!r} was asked for, but this torch ({torch.__version__}) finds no such "
            f"device here; use device='auto', or install a torch build for it."
        )
    return device


def describe(device: torch.device) -> str:
    """Say in words where the computation runs."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return "Apple GPU (MPS)"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def is_fast_with_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions of its own for numbers of 16 bits (bfloat16).

    Of CPUs those have that know AVX512-BF16 (AMD's since Zen 4, Intel's Xeons since Sapphire
    Rapids); on others such numbers are slower than those of 32 bits.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    told = getattr(torch.cpu, "get_capabilities", None)  # older versions do not say
    return told is not None and bool(told().get("avx512_bf16"))


@contextmanager
def torch_errors(remedy: str) -> Iterator[None]:
    """Turn out-of-memory errors into a `DeviceError` that ends with ``remedy``, and lost GPUs."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise DeviceError(f"Out of memory ({first_line(error)[:200]}). {remedy}") from error
        if (told := gpu_failure(error)) is not None:
            raise told from error
        raise
